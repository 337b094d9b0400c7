"""Where the crowd is: sky, ground, buildings, and the things standing about that are no people."""

import dataclasses

import cv2
import numpy as np

from cc_jax.data.scenes.canvas import Camera, Canvas, Colour, Spot, noise
from cc_jax.data.scenes.looks import Look

_STEP = (
    2  # the ground is computed at every second pixel of the canvas, which is drawn at twice the image's size
)


@dataclasses.dataclass(frozen=True)
class Place:
    """A street between two rows of houses, a square before one, or a park before trees.

    Attributes:
      kind: "street", "square" or "park".
      half_width: metres from the middle to the sides, where people may stand.
      back: metres to what closes the view.
    """

    kind: str
    half_width: float
    back: float


@dataclasses.dataclass(frozen=True)
class Thing:
    """Something drawn among the people, at (x, z) metres."""

    kind: str
    x: float
    z: float
    size: float
    colour: np.ndarray


def draw_place(rng: np.random.Generator) -> Place:
    """A random place."""
    kind = rng.choice(["street", "square", "square", "park"])
    half_width = {"street": rng.uniform(6, 13), "square": rng.uniform(16, 40), "park": rng.uniform(25, 50)}[
        kind
    ]
    return Place(str(kind), float(half_width), float(rng.uniform(36, 75)))


# ---------------------------------------------------------------------------------------------- sky and ground


def backdrop(
    rng: np.random.Generator, camera: Camera, place: Place, look: Look, shade: np.ndarray
) -> np.ndarray:
    """Sky and ground as RGB uint8 [rows, columns]; `shade` is `people.shadow_mask`."""
    x, z, depth = camera.ground(_STEP)
    ground = _ground(rng, camera, place, look, x, z, depth)
    clear = np.exp(-np.minimum(depth, 1e4) / look.haze_range)
    lit = clear * (1 - look.shadow * _shade(place, look, shade, x, depth))
    ground = ground * lit[..., None] + look.haze.astype(np.float32) * (1 - clear)[..., None]
    rgb = np.where((depth < 1e3)[..., None], ground, _sky(rng, camera, look, depth.shape))
    return cv2.resize(np.clip(rgb, 0, 255).astype(np.uint8), (camera.columns, camera.rows))


def _sky(rng: np.random.Generator, camera: Camera, look: Look, shape: tuple[int, int]) -> np.ndarray:
    """From `sky_low` at the horizon upwards to `sky_top`, with clouds where surfaces are worn."""
    horizon = (camera.rows / 2 - camera.focal * np.tan(camera.tilt)) / _STEP
    rise = np.clip((horizon - np.arange(shape[0])) / (0.35 * camera.focal / _STEP), 0, 1)[:, None, None]
    sky = np.broadcast_to(look.sky_low * (1 - rise) + look.sky_top * rise, (*shape, 3)).astype(np.float32)
    if look.texture > 0 and horizon > 4:
        clouds = cv2.resize(noise(rng, 128, 16), (shape[1], shape[0] * 2))[: shape[0], :, None]
        sky += np.clip(clouds, 0, 1.5) * 0.3 * (look.sky_low.astype(np.float32) + 14 - sky)
    return sky


def _ground(rng, camera: Camera, place: Place, look: Look, x, z, depth) -> np.ndarray:
    """Base colour, paving and wear, float32 [H, W, 3]."""
    lawn = place.kind == "park" or (place.kind == "square" and rng.random() < 0.15)
    base = look.lawn if lawn else look.ground
    footprint = (
        np.minimum(depth, 1e3) ** 2 / (camera.height * camera.focal) * _STEP
    )  # metres a pixel covers in z
    value = np.ones_like(x)
    if not lawn:
        value += _paving(rng, look, x, z, footprint)
    if look.texture > 0:
        value += look.texture * _wear(rng, x, z, footprint)
    ground = value[..., None] * base.astype(np.float32)
    if place.kind == "street" and rng.random() < 0.6:
        ground = _markings(rng, look, ground, x, z, footprint, place)
    return ground


def _paving(rng: np.random.Generator, look: Look, x, z, footprint) -> np.ndarray:
    """Slabs, rows of bricks, or asphalt with nothing on it; fades out where it is finer than a pixel."""
    size = rng.choice([0.0, rng.uniform(0.6, 3.0), rng.uniform(0.6, 3.0)])
    if size == 0:
        return np.zeros_like(x)
    turn = rng.choice([0.0, 0.0, rng.uniform(-0.7, 0.7)])
    p, q = (x * np.cos(turn) + z * np.sin(turn)) / size, (z * np.cos(turn) - x * np.sin(turn)) / size
    row = np.floor(q)
    p = p + 0.5 * np.mod(row, 2) * rng.integers(2)
    column = np.floor(p)
    fade = np.clip(size / np.maximum(footprint, 1e-3) / 2 - 0.5, 0, 1)
    joint = np.maximum(np.abs(p - column - 0.5), np.abs(q - row - 0.5)) > 0.47
    if look.texture > 0:
        slab = (
            np.mod(np.sin(row * 12.9898 + column * 78.233) * 43758.55, 1.0) - 0.5
        )  # a hash of the slab's number
        return fade * (0.16 * slab * look.texture - 0.22 * joint)
    checker = np.mod(row + column, 2) - 0.5
    return fade * (0.1 * checker * rng.integers(2) - 0.12 * joint)


def _wear(rng: np.random.Generator, x, z, footprint) -> np.ndarray:
    """Stains of metres and grain of centimetres."""
    texture = noise(rng, 256, 128, 0.8)
    value = np.zeros_like(x)
    for metres, strength in ((24.0, 0.05), (5.0, 0.04), (0.9, 0.05)):
        u, v = ((c - np.floor(c)) * 256 for c in (x / metres, z / metres))
        fade = np.clip(metres / np.maximum(footprint, 1e-3) / 12, 0, 1)
        value += strength * fade * cv2.remap(texture, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return value


def _markings(rng, look: Look, ground, x, z, footprint, place: Place) -> np.ndarray:
    """A dashed line, kerbs, and perhaps a zebra crossing."""
    paint = np.array([225, 222, 210]) * (1 - 0.2 * look.texture)
    middle = rng.uniform(-2, 2)
    on = (np.abs(x - middle) < 0.1) & (np.mod(z, 5) < 2.5)
    start = rng.uniform(6, 18)
    if rng.random() < 0.5:
        on |= (z > start) & (z < start + 3) & (np.mod(x, 1.1) < 0.55) & (np.abs(x) < place.half_width - 2.2)
    strength = (on * np.clip(0.4 / np.maximum(footprint, 1e-3), 0, 0.8))[..., None].astype(np.float32)
    ground = ground * (1 - strength) + paint.astype(np.float32) * strength
    side = np.abs(x) > place.half_width - 2
    return np.where(side[..., None], ground * 1.12, ground)


def _shade(place: Place, look: Look, people: np.ndarray, x, depth) -> np.ndarray:
    """Shadows of people, and of the houses on one side when the sun is out, 0-1."""
    shade = people
    if look.sun is not None:
        if place.kind == "street":
            reach = place.half_width - abs(look.sun[0]) * 7
            beyond = (x * np.sign(look.sun[0]) < -reach) & (depth < 1e3)
            shade = np.maximum(shade, cv2.GaussianBlur(beyond.astype(np.float32), (0, 0), 1.2))
        shade = cv2.GaussianBlur(shade, (0, 0), 0.6)
    else:
        shade = cv2.GaussianBlur(shade, (0, 0), 1.5)
    return shade


# --------------------------------------------------------------------------------------------------- buildings


def draw_buildings(
    rng: np.random.Generator, canvas: Canvas, camera: Camera, place: Place, look: Look
) -> None:
    """Houses or trees that close the view, far ones first."""
    if place.kind == "park":
        _tree_line(rng, canvas, camera, place, look)
        return
    half = 0.65 * camera.columns / camera.focal * place.back
    _row(rng, canvas, camera, look, (-half, place.back), (half, place.back))
    if place.kind == "street":
        for side in (-1, 1):
            x = side * (place.half_width + 0.5)
            _row(rng, canvas, camera, look, (x, place.back), (x, 3.5))


def _row(rng, canvas: Canvas, camera: Camera, look: Look, start: tuple, end: tuple) -> None:
    """Houses along a line on the ground, from `start` to `end` (x, z)."""
    start, end = np.array(start, float), np.array(end, float)
    length = float(np.hypot(*(end - start)))
    at = 0.0
    base = rng.uniform(7, 18)
    while at < length:
        width = min(rng.uniform(6, 16), length - at)
        edges = start + np.outer([at, at + width], (end - start) / length)
        if rng.random() < 0.93:
            _house(rng, canvas, camera, look, edges, max(4.0, base * rng.uniform(0.6, 1.4)))
        at += width


def _house(rng, canvas: Canvas, camera: Camera, look: Look, edges: np.ndarray, height: float) -> None:
    """One facade between two ground points: wall, stains, windows, a ground floor, a cornice."""
    wall = look.walls[rng.integers(len(look.walls))] * rng.uniform(0.85, 1.1)
    across = edges[1] - edges[0]
    if abs(across[1]) > abs(across[0]):  # a side of the street: turned to the light or away from it
        wall = wall * (1.06 if np.sign(edges[0, 0]) == look.side else 0.8)
    layers = [([(0, 1, 0, 1)], wall)]
    if look.texture > 0:
        layers += _stains(rng, wall, look)
    floors, bays = max(1, int(height / 3.2)), max(1, int(np.hypot(*across) / rng.uniform(2.2, 3.6)))
    layers += _windows(rng, wall, look, floors, bays)
    layers += [([(0, 1, 1 - 0.35 / height, 1)], wall * 0.7), ([(0, 0.006, 0, 1)], wall * 0.6)]
    _paint(canvas, camera, edges, height, layers)


def _paint(canvas: Canvas, camera: Camera, edges: np.ndarray, height: float, layers: list[tuple]) -> None:
    """Paints boxes (left, right, bottom, top; 0-1 on the wall) on a facade, layer by layer, each in a colour."""
    boxes = np.concatenate([np.asarray(boxes, float).reshape(-1, 4) for boxes, _ in layers])
    corners = boxes[:, [[0, 2], [1, 2], [1, 3], [0, 3]]].reshape(-1, 2)
    ground = edges[0] + corners[:, :1] * (edges[1] - edges[0])
    uv, _ = camera.project(np.column_stack([ground[:, 0], corners[:, 1] * height, ground[:, 1]]))
    depth, quads, at = float(edges[:, 1].mean()), uv.reshape(-1, 4, 2), 0
    for boxes, colour in layers:
        canvas.polygons(
            quads[at : at + len(boxes)], canvas.hazed(tuple(np.clip(colour, 0, 255).tolist()), depth)
        )
        at += len(boxes)


def _windows(rng, wall: np.ndarray, look: Look, floors: int, bays: int) -> list[tuple]:
    """A grid of panes of a few brightnesses over a ground floor of shops or doors."""
    i, j = (a.ravel() for a in np.meshgrid(np.arange(bays), np.arange(floors), indexing="ij"))
    wide, tall = rng.uniform(0.35, 0.75), rng.uniform(0.45, 0.7)
    left, low = (i + 0.5 - wide / 2) / bays, (j + 0.28) / floors
    boxes = np.stack([left, left + wide / bays, low, low + tall / floors], axis=1)
    glass = np.array([84, 104, 124]) if look.texture == 0 else np.array([58, 64, 70])
    group = rng.integers(3, size=len(boxes)) if look.texture > 0 else np.zeros(len(boxes), int)
    frame = boxes + np.array([-0.04, 0.04, -0.03, 0.03]) / np.array([bays, bays, floors, floors])
    layers = [(frame[j > 0], wall * (1.12 if look.texture == 0 else rng.choice([0.7, 1.2])))]
    layers += [(boxes[(group == g) & (j > 0)], glass * bright) for g, bright in enumerate((1.0, 0.75, 1.5))]
    layers += [(boxes[j == 0] * (1, 1, 0, 1) + (0, 0, 0.04 / floors, 0.1 / floors), glass * 0.8)]
    if rng.random() < 0.6:
        layers += [([(0.04, 0.96, 0.86 / floors, 1.04 / floors)], look.tops[rng.integers(len(look.tops))])]
    return layers


def _stains(rng: np.random.Generator, wall: np.ndarray, look: Look) -> list[tuple]:
    """Patches of other plaster and lines of rain."""
    n = int(rng.integers(4, 12))
    left, low = rng.random(n), rng.random(n)
    size = rng.uniform(0.02, 0.3, (2, n))
    boxes = np.stack([left, np.minimum(left + size[0], 1), low, np.minimum(low + size[1], 1)], axis=1)
    return [
        ([box], wall * bright)
        for box, bright in zip(boxes, rng.normal(1, 0.07 * look.texture, n), strict=True)
    ]


def _tree_line(rng: np.random.Generator, canvas: Canvas, camera: Camera, place: Place, look: Look) -> None:
    """Trees side by side at the far end, with a hedge of their leaves below."""
    half = 0.7 * camera.columns / camera.focal * place.back
    xs = np.arange(-half, half, 4.0) + rng.normal(0, 1.0, len(np.arange(-half, half, 4.0)))
    hedge = look.leaves[0] * 0.75
    edges = np.array([[-1.4 * half, place.back + 4], [1.4 * half, place.back + 4]])
    _paint(canvas, camera, edges, 3.0, [([(0, 1, 0, 1)], hedge)])
    for x in xs:
        draw_thing(
            rng,
            canvas,
            camera,
            Thing("tree", x, place.back + rng.uniform(0, 3), rng.uniform(5, 11), hedge),
            look,
        )


# ------------------------------------------------------------------------------------------------------ things


def scatter_things(rng: np.random.Generator, place: Place, look: Look, near: float) -> list[Thing]:
    """Poles, trees, signs, bollards, benches, parasols, cars and litter, drawn among the people."""
    kinds = ["pole", "tree", "sign", "bollard", "bench", "bin"]
    if look.photo:
        kinds += ["parasol", "car", "litter", "litter", "bollard", "lamp", "planter", "pigeon"]
    things = []
    for kind in rng.permutation(kinds)[: rng.poisson(2.5 * look.clutter)]:
        things += _some(rng, str(kind), place, look, near)
    return things


def _some(rng: np.random.Generator, kind: str, place: Place, look: Look, near: float) -> list[Thing]:
    """One to a dozen things of a kind; bollards stand in lines, litter lies about."""
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
    """Draws one thing; it hides the heads behind it."""
    (foot, top), depths = camera.project(np.array([[thing.x, 0, thing.z], [thing.x, 1, thing.z]]))
    depth = float(depths.mean())
    scale, steep = (
        camera.focal / depth,
        camera.height / float(np.hypot(np.hypot(thing.x, thing.z), camera.height)),
    )
    side = scale * np.array([np.cos(camera.roll), np.sin(camera.roll)])
    pen = _Pen(canvas, *(tuple(v.tolist()) for v in (foot, side, top - foot)), scale, depth, max(0.05, steep))
    _THINGS[thing.kind](rng, pen, thing, look)


@dataclasses.dataclass(frozen=True)
class _Pen:
    """Draws in metres (side, up) from a foot on the ground."""

    canvas: Canvas
    foot: Spot
    side: Spot
    up: Spot
    scale: float
    depth: float
    steep: float

    def at(self, x: float, y: float) -> Spot:
        return (
            self.foot[0] + x * self.side[0] + y * self.up[0],
            self.foot[1] + x * self.side[1] + y * self.up[1],
        )

    def tone(self, colour) -> Colour:
        return self.canvas.hazed(tuple(colour), self.depth)

    def shape(self, places: list[Spot], colour) -> None:
        """A convex polygon."""
        self.canvas.polygon(np.array([self.at(*place) for place in places]), self.tone(colour), solid=True)

    def box(self, left: float, right: float, low: float, high: float, colour) -> None:
        self.shape([(left, low), (right, low), (right, high), (left, high)], colour)

    def line(self, a: Spot, b: Spot, thickness: float, colour) -> None:
        self.canvas.line(self.at(*a), self.at(*b), thickness * self.scale, self.tone(colour), solid=True)

    def disc(self, x: float, y: float, rx: float, ry: float, colour, **options) -> None:
        radii = rx * self.scale, ry * self.scale
        self.canvas.ellipse(self.at(x, y), radii, self.tone(colour), head=0, **options)


def _pole(rng, pen: _Pen, thing: Thing, look: Look) -> None:
    metal = np.array([96, 100, 104])
    pen.line((0, 0), (0, 6.5 * thing.size), 0.13, metal)
    pen.line((0, 6.5 * thing.size), (1.2, 6.6 * thing.size), 0.08, metal)


def _lamp(rng, pen: _Pen, thing: Thing, look: Look) -> None:
    """A globe on a post, about as high as heads are from afar."""
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
    """A round traffic sign."""
    pen.line((0, 0), (0, 2.2), 0.07, (120, 122, 124))
    pen.disc(0, 2.35, 0.3, 0.3, thing.colour)
    pen.disc(0, 2.35, 0.2, 0.2, (228, 228, 224))


def _bollard(rng, pen: _Pen, thing: Thing, look: Look) -> None:
    """A post with a ball on it."""
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
    pen.disc(0, 0.95, 0.28, 0.28 * pen.steep + 0.04, (44, 56, 48))


def _planter(rng, pen: _Pen, thing: Thing, look: Look) -> None:
    """A pot with a ball of leaves, of a head's colours when it is dry."""
    pen.box(-0.3, 0.3, 0, 0.55, thing.colour * 0.4 + 60)
    for _ in range(6):
        leaf = look.leaves[rng.integers(len(look.leaves))] * rng.uniform(0.7, 1.2)
        pen.disc(rng.normal(0, 0.14), 0.85 + rng.normal(0, 0.14), 0.2, 0.2, leaf)


def _parasol(rng, pen: _Pen, thing: Thing, look: Look) -> None:
    """A market umbrella over a table."""
    high, wide = 2.4 * thing.size, 1.4
    pen.line((0, 0), (0, high), 0.06, (110, 96, 80))
    pen.disc(0, 0.75, 0.5, 0.5 * pen.steep + 0.04, (150, 124, 96))
    pen.disc(0, high, wide, wide * 0.3, thing.colour, arc=(180, 360))
    pen.disc(0, high, wide, wide * (0.1 + 0.6 * pen.steep), thing.colour * 0.85)


def _car(rng, pen: _Pen, thing: Thing, look: Look) -> None:
    """Seen from the side."""
    body = thing.colour * 0.8 + 20
    pen.box(-2.0, 2.0, 0.3, 0.85, body)
    pen.shape([(-1.3, 0.85), (-0.8, 1.45), (0.8, 1.45), (1.4, 0.85)], body * 0.92)
    pen.shape([(-1.0, 0.88), (-0.72, 1.36), (-0.08, 1.36), (-0.08, 0.88)], (62, 70, 78))
    pen.shape([(0.05, 0.88), (0.05, 1.36), (0.74, 1.36), (1.05, 0.88)], (62, 70, 78))
    for x in (-1.25, 1.25):
        pen.disc(x, 0.32, 0.34, 0.34, (28, 28, 30))
        pen.disc(x, 0.32, 0.17, 0.17, (130, 132, 134))


def _litter(rng, pen: _Pen, thing: Thing, look: Look) -> None:
    pen.disc(0, 0.02, 0.14, 0.14 * pen.steep, thing.colour * 0.5 + 90)


def _pigeon(rng, pen: _Pen, thing: Thing, look: Look) -> None:
    pen.disc(0, 0.12, 0.15, 0.09, (96, 98, 108))
    pen.disc(0.12, 0.24, 0.05, 0.05, (70, 74, 88))


_THINGS = {
    "pole": _pole, "lamp": _lamp, "tree": _tree, "sign": _sign, "bollard": _bollard, "bench": _bench, "bin": _bin,
    "planter": _planter, "parasol": _parasol, "car": _car, "litter": _litter, "pigeon": _pigeon,
}  # fmt: skip
