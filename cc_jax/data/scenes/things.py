"""Things among the people that are not people: trees, signs, bollards, benches, cars and others."""

import dataclasses

import numpy as np

from cc_jax.data.scenes.canvas import Camera, Canvas, Colour, LocalAxes, Spot
from cc_jax.data.scenes.looks import Look
from cc_jax.data.scenes.places import Place


@dataclasses.dataclass(frozen=True)
class Thing:
    """A thing among the people.

    Attributes:
      kind: Key of `_THINGS`.
      x: Position to the right, in meters.
      z: Position forward, in meters.
      size: Factor on its size. For trees at the back, their height in meters.
      colour: Color (r, g, b).
    """

    kind: str
    x: float
    z: float
    size: float
    colour: np.ndarray


def scatter_things(rng: np.random.Generator, place: Place, look: Look, near: float) -> list[Thing]:
    """Place poles, trees, signs, bollards, benches, parasols, cars and litter among the people."""
    kinds = ["pole", "tree", "sign", "bollard", "bench", "bin"]
    if look.photo:
        kinds += ["parasol", "car", "litter", "litter", "bollard", "lamp", "planter", "pigeon"]
    things = []
    for kind in rng.permutation(kinds)[: rng.poisson(2.5 * look.clutter)]:
        things += _place_kind(rng, str(kind), place, look, near)
    return things


def _place_kind(rng: np.random.Generator, kind: str, place: Place, look: Look, near: float) -> list[Thing]:
    """Place one to a dozen things of a kind. Bollards, poles and lamps stand in a line."""
    far = place.back - 2
    n = {"litter": 12, "pigeon": 8, "bollard": 8, "pole": 3, "lamp": 3, "planter": 3}.get(kind, 2)
    n = int(rng.integers(1, n + 1))
    half = min(place.half_width, 22.0)
    x, z = rng.uniform(-half, half, n), rng.uniform(near, far, n)
    if kind in ("bollard", "pole", "lamp"):
        x, z = (
            np.full(n, rng.uniform(-half, half)) + rng.normal(0, 0.05, n),
            near + 3 + np.arange(n) * (far - near) / n,
        )
    if kind == "tree":
        x = np.sign(x) * np.maximum(np.abs(x), min(5.0, half))
    colours = look.tops[rng.integers(len(look.tops), size=n)]
    return [Thing(kind, x[i], z[i], rng.uniform(0.8, 1.2), colours[i]) for i in range(n)]


def draw_thing(rng: np.random.Generator, canvas: Canvas, camera: Camera, thing: Thing, look: Look) -> None:
    """Draw a thing. It hides the heads behind it."""
    (foot, top), depths = camera.project(np.array([[thing.x, 0, thing.z], [thing.x, 1, thing.z]]))
    depth = float(depths.mean())
    scale, steep = (
        camera.focal / depth,
        camera.height / float(np.hypot(np.hypot(thing.x, thing.z), camera.height)),
    )
    side = scale * np.array([np.cos(camera.roll), np.sin(camera.roll)])
    origin, up, right = (tuple(vector.tolist()) for vector in (foot, top - foot, side))
    axes = LocalAxes(origin, up, right, scale, depth, max(0.05, steep))
    _THINGS[thing.kind](rng, _Pen(canvas, axes), thing, look)


@dataclasses.dataclass(frozen=True)
class _Pen:
    """Draws in meters (side, up) from the origin of `axes`."""

    canvas: Canvas
    axes: LocalAxes

    def tone(self, colour) -> Colour:
        red, green, blue = map(float, colour)
        return self.canvas.hazed((red, green, blue), self.axes.depth)

    def shape(self, places: list[Spot], colour) -> None:
        """Draw a convex polygon."""
        self.canvas.polygon(self.axes.outline(places), self.tone(colour), solid=True)

    def box(self, left: float, right: float, low: float, high: float, colour) -> None:
        self.shape([(left, low), (right, low), (right, high), (left, high)], colour)

    def line(self, a: Spot, b: Spot, thickness: float, colour) -> None:
        self.canvas.line(
            self.axes.spot(*a), self.axes.spot(*b), thickness * self.axes.scale, self.tone(colour), solid=True
        )

    def disc(self, x: float, y: float, rx: float, ry: float, colour, **options) -> None:
        radii = rx * self.axes.scale, ry * self.axes.scale
        self.canvas.ellipse(self.axes.spot(x, y), radii, self.tone(colour), head=0, **options)


def _pole(rng, pen: _Pen, thing: Thing, look: Look) -> None:
    metal = np.array([96, 100, 104])
    pen.line((0, 0), (0, 6.5 * thing.size), 0.13, metal)
    pen.line((0, 6.5 * thing.size), (1.2, 6.6 * thing.size), 0.08, metal)


def _lamp(rng, pen: _Pen, thing: Thing, look: Look) -> None:
    """Draw a globe on a post, which resembles a head from afar."""
    high = 2.8 * thing.size
    pen.line((0, 0), (0, high), 0.09, (58, 60, 62))
    pen.disc(0, high + 0.15, 0.2, 0.2, (226, 222, 206))


def _tree(rng, pen: _Pen, thing: Thing, look: Look) -> None:
    tall = thing.size if thing.size > 3 else 5.5 * thing.size
    pen.line((0, 0), (0, 0.55 * tall), 0.05 * tall, (92, 72, 54))
    leaves = 26 if look.photo else 8
    for k in range(leaves):
        angle, out = rng.uniform(0, 2 * np.pi), 0.26 * tall * np.sqrt(rng.random())
        leaf = look.leaves[rng.integers(len(look.leaves))] * (0.75 + 0.4 * k / leaves)
        radius = rng.uniform(0.07, 0.14) * tall if look.photo else rng.uniform(0.11, 0.19) * tall
        pen.disc(out * np.cos(angle), 0.7 * tall + out * np.sin(angle), radius, 0.9 * radius, leaf)


def _sign(rng, pen: _Pen, thing: Thing, look: Look) -> None:
    """Draw a round traffic sign."""
    pen.line((0, 0), (0, 2.2), 0.07, (120, 122, 124))
    pen.disc(0, 2.35, 0.3, 0.3, thing.colour)
    pen.disc(0, 2.35, 0.2, 0.2, (228, 228, 224))


def _bollard(rng, pen: _Pen, thing: Thing, look: Look) -> None:
    """Draw a post with a ball on it."""
    shade = thing.colour * 0.3 + 50
    pen.line((0, 0), (0, 0.85), 0.16, shade)
    pen.disc(0, 0.95, 0.13, 0.13, shade * 1.25)


def _bench(rng, pen: _Pen, thing: Thing, look: Look) -> None:
    wood = np.array([132, 96, 62])
    pen.line((-0.7, 0), (-0.7, 0.45), 0.08, (60, 60, 62))
    pen.line((0.7, 0), (0.7, 0.45), 0.08, (60, 60, 62))
    pen.box(-0.9, 0.9, 0.4, 0.52, wood)
    pen.box(-0.9, 0.9, 0.6, 0.85, wood * 0.85)


def _bin(rng, pen: _Pen, thing: Thing, look: Look) -> None:
    pen.box(-0.26, 0.26, 0, 0.95, (64, 84, 70))
    pen.disc(0, 0.95, 0.28, 0.28 * pen.axes.steep + 0.04, (44, 56, 48))


def _planter(rng, pen: _Pen, thing: Thing, look: Look) -> None:
    """Draw a pot with a ball of leaves."""
    pen.box(-0.3, 0.3, 0, 0.55, thing.colour * 0.4 + 60)
    for _ in range(6):
        leaf = look.leaves[rng.integers(len(look.leaves))] * rng.uniform(0.7, 1.2)
        pen.disc(rng.normal(0, 0.14), 0.85 + rng.normal(0, 0.14), 0.2, 0.2, leaf)


def _parasol(rng, pen: _Pen, thing: Thing, look: Look) -> None:
    """Draw a market umbrella above a table."""
    high, wide = 2.4 * thing.size, 1.4
    pen.line((0, 0), (0, high), 0.06, (110, 96, 80))
    pen.disc(0, 0.75, 0.5, 0.5 * pen.axes.steep + 0.04, (150, 124, 96))
    pen.disc(0, high, wide, wide * 0.3, thing.colour, arc=(180, 360))
    pen.disc(0, high, wide, wide * (0.1 + 0.6 * pen.axes.steep), thing.colour * 0.85)


def _car(rng, pen: _Pen, thing: Thing, look: Look) -> None:
    """Draw a car, seen from the side."""
    body = thing.colour * 0.8 + 20
    pen.box(-2.0, 2.0, 0.3, 0.85, body)
    pen.shape([(-1.3, 0.85), (-0.8, 1.45), (0.8, 1.45), (1.4, 0.85)], body * 0.92)
    pen.shape([(-1.0, 0.88), (-0.72, 1.36), (-0.08, 1.36), (-0.08, 0.88)], (62, 70, 78))
    pen.shape([(0.05, 0.88), (0.05, 1.36), (0.74, 1.36), (1.05, 0.88)], (62, 70, 78))
    for x in (-1.25, 1.25):
        pen.disc(x, 0.32, 0.34, 0.34, (28, 28, 30))
        pen.disc(x, 0.32, 0.17, 0.17, (130, 132, 134))


def _litter(rng, pen: _Pen, thing: Thing, look: Look) -> None:
    pen.disc(0, 0.02, 0.14, 0.14 * pen.axes.steep, thing.colour * 0.5 + 90)


def _pigeon(rng, pen: _Pen, thing: Thing, look: Look) -> None:
    pen.disc(0, 0.12, 0.15, 0.09, (96, 98, 108))
    pen.disc(0.12, 0.24, 0.05, 0.05, (70, 74, 88))


_THINGS = {
    "pole": _pole, "lamp": _lamp, "tree": _tree, "sign": _sign, "bollard": _bollard, "bench": _bench, "bin": _bin,
    "planter": _planter, "parasol": _parasol, "car": _car, "litter": _litter, "pigeon": _pigeon,
}  # fmt: skip
