"""Procedural crowds in perspective: `render(domain, seed, index)` is an image and the positions of its heads.

A scene is a look (`looks`), a place (`places`) and a crowd (`crowd`, `people`) before a random camera; it is drawn
from far to near at twice its size, so that near people hide far ones, and taken through a lens (`optics`).

Which heads count: those whose middle is inside the frame and of which at least a quarter can be seen. A head
hidden further than that by people or things is not labelled, as a person counting by eye would not see it.
"""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from cc_jax.data.scenes import crowd, looks, optics, people, places
from cc_jax.data.scenes.canvas import Camera, Canvas

DOMAINS = ("source", "target")
_SCALE = 2  # the canvas is this many times the image's size; shrinking it smooths all edges
_VISIBLE = 0.25  # share of a head that must be seen for it to count
_PEOPLE = {"source": (12, 300), "target": (16, 320)}  # the fewest and most in a scene, before hiding
_SMALLEST = 1.1  # pixels of head radius in the image: nobody stands farther away than this


@dataclasses.dataclass(frozen=True)
class Scene:
    """image: uint8 RGB; points: heads (x, y) in pixels, inside the frame, far ones first."""

    image: UInt8[np.ndarray, "H W 3"]
    points: Float32[np.ndarray, "N 2"]


def render(domain: str, seed: int, index: int, *, height: int = 256, width: int = 384) -> Scene:
    """Scene `index` of `seed` in "source" or "target" style: the same arguments always give the same pixels."""
    if domain not in DOMAINS:
        raise ValueError(f"a domain is one of {DOMAINS}, not {domain!r}")
    rng = np.random.default_rng([DOMAINS.index(domain), seed, index])
    look, place = looks.draw_look(domain, rng), places.draw_place(rng)
    camera = _camera(rng, domain, height * _SCALE, width * _SCALE)
    near, far = _depths(camera, place)
    count = int(np.exp(rng.uniform(*np.log(_PEOPLE[domain]))))
    spots = crowd.arrange(rng, camera, count, place.half_width, near, far)
    crowd_people = people.make_people(rng, spots, look)
    canvas = _draw(rng, camera, place, look, crowd_people, near)
    image = cv2.resize(canvas.image, (width, height), interpolation=cv2.INTER_AREA)
    if look.photo:
        image = optics.photograph(rng, image)
    return Scene(image, _visible_heads(canvas, camera, crowd_people))


def _camera(rng: np.random.Generator, domain: str, rows: int, columns: int) -> Camera:
    """From a hand held high to a third-floor window; the horizon is often, not always, in the picture."""
    high = float(np.exp(rng.uniform(np.log(2.6), np.log(11))))
    focal = columns * rng.uniform(0.75, 1.5)
    tilt = np.arctan(high / rng.uniform(9, 26))
    roll = rng.normal(0, 0.004 if domain == "source" else 0.02)
    return Camera(high, float(tilt), float(roll), float(focal), rows, columns)


def _depths(camera: Camera, place: places.Place) -> tuple[float, float]:
    """Depths on the ground between which people stand: from the frame's lower edge to its upper or the smallest heads."""
    half = np.arctan(camera.rows / 2 / camera.focal)
    below, above = camera.tilt + half, camera.tilt - half
    near = max(2.5, (camera.height - 1.5) / np.tan(below))
    far = people.HEAD * camera.focal / (_SMALLEST * _SCALE)
    edge = (camera.height - 1.5) / np.tan(above) if above > 0 else np.inf
    return near, max(near + 3, min(far, edge, place.back - 1.5))


def _draw(rng, camera: Camera, place: places.Place, look: looks.Look, persons: list, near: float) -> Canvas:
    """Sky, ground and shadows, buildings, then people and things from far to near."""
    shade = people.shadow_mask(persons, camera, look, _SCALE)
    canvas = Canvas(places.backdrop(rng, camera, place, look, shade), look.haze, look.haze_range)
    places.draw_buildings(rng, canvas, camera, place, look)
    frames = people.frames(persons, camera)
    drawn = [(person.z, number, person) for number, person in enumerate(persons, 1)]
    drawn += [(thing.z, 0, thing) for thing in places.scatter_things(rng, place, look, near)]
    for _, number, item in sorted(drawn, key=lambda entry: -entry[0]):
        if number:
            people.draw_person(canvas, frames[number - 1], item, look, number)
        else:
            places.draw_thing(rng, canvas, camera, item, look)
    return canvas


def _visible_heads(canvas: Canvas, camera: Camera, persons: list) -> np.ndarray:
    """Image positions of the heads that count."""
    heads, depth = camera.project(people.head_positions(persons))
    seen = np.bincount(canvas.heads.ravel(), minlength=len(persons) + 1)[1:]
    radius = people.HEAD * camera.focal / depth
    whole = np.pi * 1.1 * (radius + 0.3) ** 2  # a pixel counts as drawn when the edge passes through it
    inside = ((heads >= 0) & (heads < (camera.columns, camera.rows))).all(axis=1)
    return (heads[inside & (seen >= _VISIBLE * whole)] / _SCALE).astype(np.float32).reshape(-1, 2)
