"""Procedurally drawn crowds in perspective: `render(domain, seed, index)` returns an image and its head points.

A scene consists of a look (`looks`), a place (`places`, `ground`, `buildings`, `things`) and a crowd (`crowd`, `people`),
seen by a random camera. It is drawn from far to near, so that near people hide those behind them, at twice the size of the
image. Images of the target domain then pass through a simulated camera (`optics`).

A head counts if its center is inside the image and at least a quarter of it is visible. A person who counts by eye would
not see one that is hidden further.
"""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from cc_jax.data.scenes import buildings, crowd, ground, looks, optics, people, places, things
from cc_jax.data.scenes.canvas import Camera, Canvas

DOMAINS = ("source", "target")
# Size of the canvas relative to the image. Shrinking the canvas smooths all edges.
_SCALE = 2
# Share of a head that must be visible for it to count.
_VISIBLE_SHARE = 0.25
# Fewest and most people in a scene, including hidden ones.
_PEOPLE = {"source": (12, 300), "target": (16, 320)}
# Smallest radius of a head in the image, in pixels. Nobody is farther away than that.
_MIN_HEAD_RADIUS = 1.1


@dataclasses.dataclass(frozen=True)
class Scene:
    """A rendered scene.

    Attributes:
      image: RGB image.
      points: Heads (x, y) in pixels, inside the image, far ones first.
    """

    image: UInt8[np.ndarray, "H W 3"]
    points: Float32[np.ndarray, "N 2"]


def render(domain: str, seed: int, index: int, *, height: int = 256, width: int = 384) -> Scene:
    """Render a scene. The same arguments always give the same pixels.

    Args:
      domain: "source" for clean renders, "target" for renders that resemble photographs.
      seed: Seed of a series of scenes.
      index: Index of the scene in the series.
      height: Height of the image in pixels.
      width: Width of the image in pixels.

    Raises:
      ValueError: The domain is another one.
    """
    if domain not in DOMAINS:
        raise ValueError(f"domain must be one of {DOMAINS}, not {domain!r}")
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
    """Draw a camera between a raised hand and a window on the third floor. It often shows the horizon."""
    high = float(np.exp(rng.uniform(np.log(2.6), np.log(11))))
    focal = columns * rng.uniform(0.75, 1.5)
    tilt = np.arctan(high / rng.uniform(9, 26))
    roll = rng.normal(0, 0.004 if domain == "source" else 0.02)
    return Camera(high, float(tilt), float(roll), float(focal), rows, columns)


def _depths(camera: Camera, place: places.Place) -> tuple[float, float]:
    """Return the smallest and largest depth at which people stand.

    The smallest depth is that of the lower edge of the image. The largest is the least of the upper edge, the smallest
    heads and the back of the place.
    """
    half = np.arctan(camera.rows / 2 / camera.focal)
    below, above = camera.tilt + half, camera.tilt - half
    near = max(2.5, (camera.height - 1.5) / np.tan(below))
    far = people.HEAD * camera.focal / (_MIN_HEAD_RADIUS * _SCALE)
    edge = (camera.height - 1.5) / np.tan(above) if above > 0 else np.inf
    return near, max(near + 3, min(far, edge, place.back - 1.5))


def _draw(rng, camera: Camera, place: places.Place, look: looks.Look, persons: list, near: float) -> Canvas:
    """Draw sky, ground and shadows, then buildings, then people and things from far to near."""
    shade = people.shadow_mask(persons, camera, look, _SCALE)
    canvas = Canvas(ground.backdrop(rng, camera, place, look, shade), look.haze, look.haze_range)
    buildings.draw_buildings(rng, canvas, camera, place, look)
    axes = people.axes_of(persons, camera)
    drawn = [(person.z, number, person) for number, person in enumerate(persons, 1)]
    drawn += [(thing.z, 0, thing) for thing in things.scatter_things(rng, place, look, near)]
    for _, number, item in sorted(drawn, key=lambda entry: -entry[0]):
        if number:
            people.draw_person(canvas, axes[number - 1], item, look, number)
        else:
            things.draw_thing(rng, canvas, camera, item, look)
    return canvas


def _visible_heads(canvas: Canvas, camera: Camera, persons: list) -> np.ndarray:
    """Return the image positions of the heads that count."""
    heads, depth = camera.project(people.head_positions(persons))
    seen = np.bincount(canvas.heads.ravel(), minlength=len(persons) + 1)[1:]
    radius = people.HEAD * camera.focal / depth
    # Area of a head in pixels. A pixel counts as drawn if the edge passes through it.
    whole = np.pi * 1.1 * (radius + 0.3) ** 2
    inside = ((heads >= 0) & (heads < (camera.columns, camera.rows))).all(axis=1)
    return (heads[inside & (seen >= _VISIBLE_SHARE * whole)] / _SCALE).astype(np.float32).reshape(-1, 2)
