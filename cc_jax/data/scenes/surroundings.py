"""What stands around a crowd: sky, ground, walls, trees, stalls, cars, barriers, flags.

All of it is painted with the textures of `clutter`, so that what looks like heads appears beside people too.
"""

import dataclasses
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from cc_jax.data.scenes import clutter, photographs
from cc_jax.data.scenes.canvas import Camera, noise

Image = Float32[np.ndarray, "_ _ 3"]
# Side of the square texture of a ground, in pixels: in images of more than `_SMALL` rows, and in smaller ones.
_TILES, _SMALL = (512, 256), 256
# How far the ground is drawn, in metres.
_HORIZON = 400.0
# Parts of a pixel along each axis from which its coverage is counted, a power of two.
_FINE = 4
# Positions are clipped to this many pixels: OpenCV's fixed-point numbers overflow.
_LIMIT = 8000


@dataclasses.dataclass(frozen=True)
class Place:
    """What a place consists of.

    Attributes:
      name: "street", "square", "field", "beach", "market", "hall", "stand" or "station".
      grounds: textures of `clutter` that its ground may have.
      tint: mean color of the ground, or None for any grey.
      half_width: least and largest distance in metres from the middle to what bounds it at the sides.
      back: least and largest distance in metres to what bounds it at the back.
      sides: whether walls stand at its sides.
      roofed: whether it is indoors.
      things: what stands about in it, from `THINGS`.
    """

    name: str
    grounds: tuple[str, ...]
    tint: tuple[float, float, float] | None
    half_width: tuple[float, float]
    back: tuple[float, float]
    sides: bool
    roofed: bool
    things: tuple[str, ...]


_PAVED = ("stone", "bricks", "cobbles", "photograph")
_STREET = ("pole", "sign", "tree", "car", "barrier", "flag", "hedge", "goods", "board")
_SQUARE = ("pole", "tree", "stall", "flag", "barrier", "parasol", "hedge", "goods", "board")
_FIELD = ("tree", "stall", "flag", "barrier", "hedge", "hedge", "goods")
_BEACH = ("parasol", "parasol", "barrier", "goods")
_MARKET = ("stall", "stall", "parasol", "sign", "goods", "goods", "board")
_INDOORS = ("pole", "sign", "barrier", "goods", "board")
PLACES = (
    Place("street", _PAVED, None, (5, 14), (30, 120), True, False, _STREET),
    Place("square", _PAVED, None, (20, 50), (30, 110), False, False, _SQUARE),
    Place("field", ("stone", "strands", "photograph"), (95, 118, 62), (40, 90), (60, 200), False, False, _FIELD),
    Place("beach", ("stone",), (196, 172, 130), (40, 90), (50, 150), False, False, _BEACH),
    Place("market", _PAVED, None, (5, 12), (25, 60), True, False, _MARKET),
    Place("hall", ("stone", "bricks", "stripes"), None, (10, 30), (20, 50), True, True, _INDOORS),
    Place("station", ("bricks", "stone"), None, (6, 15), (25, 80), True, True, _INDOORS),
    Place("stand", ("stone",), None, (30, 60), (25, 60), False, False, ("flag", "barrier", "board")),
)  # fmt: skip


LIGHTS = ("overcast", "sun", "haze", "night", "stage", "indoors")


@dataclasses.dataclass(frozen=True)
class Bounds:
    """What bounds a place, in metres: from its middle to its sides, and to its back."""

    half_width: float
    back: float


# Where a panorama was taken.
PANORAMA = Place("panorama", (), None, (8, 25), (14, 60), False, False, ())


def draw_place(rng: np.random.Generator, names: Sequence[str]) -> Place:
    """Choose one of the places with these names. A name that stands twice is chosen twice as often."""
    name = names[int(rng.integers(len(names)))]
    return next(place for place in (*PLACES, PANORAMA) if place.name == name)


def draw_bounds(rng: np.random.Generator, place: Place) -> Bounds:
    """Choose how large a place is."""
    return Bounds(float(rng.uniform(*place.half_width)), float(rng.uniform(*place.back)))


@dataclasses.dataclass(frozen=True)
class Light:
    """The light of a scene.

    Attributes:
      name: one of `LIGHTS`.
      sun: direction of the sun relative to the camera's, in degrees, positive to the right; 0 without sun.
      gain: factors on red, green and blue.
      haze: color of the air.
      haze_range: metres of air that hide two thirds of what is behind them.
    """

    name: str
    sun: float
    gain: np.ndarray
    haze: np.ndarray
    haze_range: float

    def hazed(self, color: np.ndarray, depth: float | np.ndarray) -> np.ndarray:
        """Colors as they look through `depth` metres of air: one depth, or one for each pixel of an image."""
        clear = np.exp(-np.minimum(depth, 1e4) / self.haze_range)
        clear = clear[..., None].astype(np.float32) if np.ndim(clear) else float(clear)
        return color * clear + self.haze.astype(color.dtype) * (1 - clear)


def draw_light(rng: np.random.Generator, place: Place, lights: Sequence[str] = LIGHTS) -> Light:
    """Choose one of `lights` that the place can have. A panorama has its own light, which counts as overcast."""
    if place is PANORAMA:
        lights = ("overcast",)
    names = ["indoors", "night", "stage"] if place.roofed else ["overcast", "sun", "haze", "night", "stage"]
    shares = [0.75, 0.1, 0.15] if place.roofed else [0.4, 0.35, 0.1, 0.09, 0.06]
    odds = np.array([share * (name in lights) for name, share in zip(names, shares, strict=True)])
    name = str(rng.choice(names, p=odds / odds.sum()))
    sun = float(rng.choice([-1, 1]) * rng.uniform(20, 140)) if name == "sun" else 0.0
    warm = rng.normal(0, 0.06) + (0.08 if name in ("indoors", "night") else 0)
    gain = rng.uniform(0.75, 1.2) * np.array([1 + warm, 1, 1 - warm])
    grey = rng.uniform(170, 235)
    reach = rng.uniform(40, 120) if name == "haze" else rng.uniform(250, 2000)
    return Light(name, sun, gain, np.array([grey * 0.97, grey, grey * 1.03]), reach)


def backdrop(
    rng: np.random.Generator, camera: Camera, place: Place, bounds: Bounds, light: Light, shade: np.ndarray
) -> Image:
    """Paint sky or ceiling, ground and walls.

    Args:
      rng: source of randomness.
      camera: the camera.
      place: what to paint.
      bounds: how large it is.
      light: its light.
      shade: how dark the shadows on the ground are, between 0 and 1, `[H, W]`.
    """
    if place is PANORAMA:
        return photographs.around(rng, camera) * (1 - 0.8 * shade[..., None])
    x, z, depth = camera.ground(1)
    real = light.name in ("overcast", "sun", "haze") and rng.random() < 0.5
    if place.roofed:
        canvas = _ceiling(rng, camera)
    elif real:
        canvas = light.hazed(photographs.beyond(rng, camera), 100)
    else:
        canvas = _sky(rng, camera, light)
    ground = _ground(rng, camera, place, x, z, depth) * (1 - 0.5 * shade[..., None])
    if not (place.roofed or real) and rng.random() < 0.6:
        _hills(rng, camera, canvas, light)
    # The ground ends at its horizon, which seldom lies between two rows of pixels.
    below = camera.height * camera.focal * (1 / depth - 1 / _HORIZON) + 0.5
    blend(canvas, light.hazed(ground, depth), np.clip(255 * below, 0, 255).astype(np.uint8))
    _walls(rng, camera, place, bounds, light, canvas)
    # No surface of the world is as smooth as a painted one.
    grain = clutter.spectrum(rng, camera.rows, camera.columns, rng.uniform(0.5, 1.3))
    return canvas * (1 + rng.uniform(0.0, 0.12) * grain[..., None])


def _sky(rng: np.random.Generator, camera: Camera, light: Light) -> Image:
    rise = np.clip((camera.horizon - np.arange(camera.rows)) / (0.5 * camera.focal), 0, 1)[:, None, None]
    low = light.haze if light.name != "night" else np.array([40.0, 38, 45])
    top = low * rng.uniform(0.75, 1.0)
    if light.name in ("sun", "overcast") and rng.random() < 0.6:
        top = np.array([rng.uniform(60, 130), rng.uniform(120, 170), rng.uniform(190, 235)])
    if light.name in ("night", "stage"):
        low, top = np.array([35.0, 32, 40]), np.array([8.0, 9, 16])
    sky = np.broadcast_to(low * (1 - rise) + top * rise, (camera.rows, camera.columns, 3)).astype(np.float32)
    clouds = cv2.resize(noise(rng, 256, 64), (camera.columns, 2 * camera.rows))[: camera.rows, :, None]
    return sky + np.clip(clouds - rng.uniform(-0.5, 1), 0, 1.5) * rng.uniform(0, 0.35) * (
        low.astype(np.float32) * 1.08 - sky
    )


def _ceiling(rng: np.random.Generator, camera: Camera) -> Image:
    """The ceiling of a hall: what the ground would be, upside down, with lamps in rows."""
    high = rng.uniform(4, 12)
    flipped = dataclasses.replace(camera, height=high, tilt=-camera.tilt, roll=-camera.roll)
    x, z, depth = (plane[::-1] for plane in flipped.ground(1))
    plain = np.full((camera.rows, camera.columns, 3), rng.uniform(60, 200), np.float32) * rng.uniform(
        0.9, 1.0, 3
    )
    panel = rng.uniform(0.6, 3)
    across, along = _footprint(flipped, depth)
    joints = np.maximum(*(_stripes(c, panel, 0.06 * panel, f) for c, f in ((x, across), (z, along))))
    far = np.clip(8 / np.maximum(depth, 1), 0, 1)
    plain *= (1 - 0.3 * joints * far)[..., None]
    lamps = _stripes(x, 3.1, 0.5, across) * _stripes(z, 2.4, 1.2, along)
    return (plain + lamps[..., None] * (250 - plain)).astype(np.float32)


def _footprint(camera: Camera, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Metres that a pixel covers on the ground across the view and along it."""
    depth = np.minimum(depth, 1e3)
    return depth / camera.focal, depth**2 / (camera.height * camera.focal)


def _stripes(place: np.ndarray, every: float, wide: float, footprint: np.ndarray) -> np.ndarray:
    """Which share of a pixel shows stripes that begin wherever `place` is a multiple of `every`, all in metres."""

    def painted(at: np.ndarray) -> np.ndarray:
        whole = np.floor(at)
        return whole * share + np.minimum(at - whole, share)

    share, middle, half = wide / every, place / every, 0.5 / every * footprint
    return (painted(middle + half) - painted(middle - half)) / (2 * half)


def _ground(rng: np.random.Generator, camera: Camera, place: Place, x, z, depth) -> Image:
    """The ground with a texture that repeats every few metres, stains and markings."""
    name = str(rng.choice(place.grounds))
    side = _TILES[camera.rows <= _SMALL]
    tile = clutter.TEXTURES[name](rng, side, side).clip(0, 255)
    tint = np.array(place.tint) * rng.uniform(0.8, 1.15) if place.tint else clutter.grey(rng, 60, 190)
    contrast = rng.uniform(0.15, 0.6)
    tile = ((tile - tile.mean((0, 1))) * contrast + tint).astype(np.float32)
    metres = float(np.exp(rng.uniform(np.log(2.5), np.log(9))))
    across, along = _footprint(camera, depth)
    ground = _repeated(tile, x / metres, z / metres, along / metres * side)
    stains = noise(rng, 256, 64, 0.7)
    value = np.ones_like(x)
    for size, strength in ((60.0, 0.05), (11.0, 0.04)):
        u, v = ((c / size - np.floor(c / size)) * 256 for c in (x, z))
        value += strength * cv2.remap(stains, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    ground = ground * value[..., None].astype(np.float32)
    if place.name in ("street", "station") and rng.random() < 0.6:
        ground = _markings(rng, ground, x, z, across, along)
    return ground


def _repeated(tile: Image, u: np.ndarray, v: np.ndarray, texels: np.ndarray) -> Image:
    """A texture that is mirrored wherever it ends, taken from a smaller copy where a pixel covers many of its pixels."""
    level = np.clip(np.log2(np.maximum(texels, 1e-3)), 0, 7).astype(np.float32)
    # From 0 to 1 and back.
    u, v = (np.abs(np.mod(c, 2) - 1).astype(np.float32) for c in (u, v))
    result = np.zeros((*u.shape, 3), np.float32)
    for number in range(int(level.min()), int(np.ceil(level.max())) + 1):
        share = np.clip(1 - np.abs(level - number), 0, 1)
        rows = np.flatnonzero(share.any(1))
        if not len(rows):
            continue
        part = slice(rows[0], rows[-1] + 1)
        side = len(tile) >> number
        small = cv2.resize(tile, (side, side), interpolation=cv2.INTER_AREA)
        seen = cv2.remap(small, u[part] * (side - 1), v[part] * (side - 1), cv2.INTER_LINEAR)
        result[part] += share[part][..., None] * seen
    return result


def _markings(rng: np.random.Generator, ground: Image, x, z, across, along) -> Image:
    middle, start = rng.uniform(-3, 3), rng.uniform(6, 30)
    # One stripe is the first of many that are too far apart to be seen.
    on = _stripes(x - middle + 0.08, 1e3, 0.16, across) * _stripes(z, 6, 3, along)
    on = np.maximum(on, _stripes(x - middle - rng.uniform(2.5, 4) + 0.08, 1e3, 0.16, across))
    if rng.random() < 0.5:
        on = np.maximum(on, _stripes(z - start, 1e3, 3.5, along) * _stripes(x, 1.0, 0.5, across))
    return ground + 0.75 * on[..., None].astype(np.float32) * (rng.uniform(170, 230) - ground)


def _hills(rng: np.random.Generator, camera: Camera, canvas: Image, light: Light) -> None:
    """Trees, hills or a skyline far away, in front of the sky. The ground hides their feet."""
    if not -50 < camera.horizon < camera.rows:
        return
    if rng.random() < 0.4:  # houses
        profile = np.repeat(rng.normal(0, 1, camera.columns), rng.integers(12, 60))[: camera.columns]
    else:
        profile = cv2.resize(noise(rng, 256, 256, rng.uniform(0.5, 0.8))[:1], (camera.columns, 1))[0]
    horizon = camera.horizon + np.tan(camera.roll) * (np.arange(camera.columns) + 0.5 - camera.columns / 2)
    top = horizon - np.abs(rng.uniform(0.01, 0.08) * camera.focal * (1.2 + profile))
    low = horizon.max() + camera.height * camera.focal / _HORIZON + 2
    outline = _under(top, low)
    color = clutter.grey(rng, 40, 150) * [0.9, 1.0, 0.85]
    grain = clutter.TEXTURES["leaves" if rng.random() < 0.5 else "stone"](rng, 256, 256)
    grain = cv2.resize(grain - grain.mean((0, 1)), (camera.columns, camera.rows))
    box = _box(outline, camera)
    if box is not None:
        left, upper = box[1].start, box[0].start
        shares = coverage(outline - (left, upper), canvas[box].shape[:2])
        blend(canvas[box], light.hazed(color + 0.5 * grain[box], 200), shares)


def _under(top: np.ndarray, low: float) -> np.ndarray:
    """The outline of what reaches from a row of each column down to one row: x and y of its corners."""
    x = np.arange(len(top)) + 0.5
    x[[0, -1]] = 0, len(top)
    return np.concatenate([np.stack([x, top], 1), [[len(top), low], [0, low]]])


def _walls(rng, camera: Camera, place: Place, bounds: Bounds, light: Light, canvas: Image) -> None:
    """The back wall and, in streets and halls, the walls at both sides."""
    half_width, back = bounds.half_width, bounds.back
    spans: list[tuple[tuple[float, float], tuple[float, float]]] = []
    if place.roofed or rng.random() < 0.6:
        left = -1.5 * half_width - back
        while left < 1.5 * half_width + back:
            width = rng.uniform(10, 30)
            spans.append(((left, back + rng.normal(0, 1)), (left + width, back)))
            left += width + (0 if place.roofed or rng.random() < 0.7 else rng.uniform(2, 15))
    if place.sides:
        for side in (-1, 1):
            if rng.random() < 0.15 and not place.roofed:
                continue
            at = back
            while at > 2:
                ahead = max(1.5, at - rng.uniform(8, 22))
                spans.append(((side * half_width, at), (side * half_width, ahead)))
                at = ahead
    story = rng.uniform(4, 9) if place.roofed else 0.0
    for a, b in spans:
        high = story or rng.uniform(4, 22)
        _wall(rng, camera, light, canvas, a, b, high)


def _wall(rng, camera: Camera, light: Light, canvas: Image, a, b, high: float) -> None:
    """A wall between two points of the ground, with one texture below and another one above."""
    corners = np.array([[a[0], high, a[1]], [b[0], high, b[1]], [b[0], 0, b[1]], [a[0], 0, a[1]]], float)
    seen, depth = camera.project(corners)
    box = _box(seen, camera)
    if depth.min() < 1.0 or box is None:
        return
    # The texture has about as many pixels as the wall on the canvas, so that little of it is lost. Most of a wall that
    # is much larger than the image lies beside it.
    rows = np.linalg.norm(seen[[1, 2]][0] - seen[[1, 2]][1])
    rows = int(np.clip(rows, 24, min(700, 2 * camera.rows)))
    columns = rows * np.hypot(a[0] - b[0], a[1] - b[1]) / high
    columns = int(np.clip(columns, 24, min(1200, 3 * camera.rows)))
    texture = clutter.front(rng, rows, columns)
    texture = 0.5 * texture + 0.5 * texture.mean(-1, keepdims=True, dtype=np.float32)
    # A wall seen from the side shows its length on few columns: shrunk first, or its windows turn into broken lines.
    columns = min(columns, 16 + int(1.5 * np.linalg.norm(seen[[0, 3]] - seen[[1, 2]], axis=1).max()))
    texture = _softened(cv2.resize(texture, (columns, rows), interpolation=cv2.INTER_AREA))
    # Only the part of the canvas that the wall covers.
    inside = (seen - (box[1].start, box[0].start)).astype(np.float32)
    corner = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
    # In OpenCV the middle of the first pixel is 0, here it is 0.5.
    matrix = cv2.getPerspectiveTransform(corner - 0.5, inside - 0.5)
    part = canvas[box]
    shown = cv2.warpPerspective(
        texture, matrix, part.shape[1::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    blend(part, light.hazed(shown, float(depth.mean())), coverage(inside, part.shape[:2]))


def _softened(texture: Image) -> Image:
    """A texture with its hard steps as soft as a lens shows them."""
    return cv2.GaussianBlur(texture, (3, 3), 0.6)


def _box(points: np.ndarray, camera: Camera) -> tuple[slice, slice] | None:
    """The rows and columns of the canvas that hold these points; None if they are all beside it."""
    (left, top), (right, bottom) = np.floor(points.min(0)).tolist(), np.ceil(points.max(0)).tolist()
    rows = slice(int(max(top, 0)), int(min(bottom, camera.rows)))
    columns = slice(int(max(left, 0)), int(min(right, camera.columns)))
    return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None


def coverage(outline: np.ndarray, shape: tuple[int, int]) -> UInt8[np.ndarray, "H W"]:
    """How much of each pixel of an image lies within a polygon: 0 to 255. OpenCV smooths edges by widening shapes."""
    fine = np.zeros((shape[0] * _FINE, shape[1] * _FINE), np.uint8)
    fixed = np.round((outline.clip(-_LIMIT, _LIMIT) * _FINE - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(fine, [fixed], 255, cv2.LINE_8, 4)
    # OpenCV halves images many times faster than it shrinks them otherwise.
    while len(fine) > shape[0]:
        fine = cv2.resize(fine, (fine.shape[1] // 2, len(fine) // 2), interpolation=cv2.INTER_AREA)
    return fine


def blend(canvas: Image, image: np.ndarray, shares: UInt8[np.ndarray, "H W"]) -> None:
    """Paint an image or a color on a canvas, where 255 hides it and 0 leaves it as it is."""
    canvas += (image - canvas) * (cv2.cvtColor(shares, cv2.COLOR_GRAY2RGB) * np.float32(1 / 255))


# Things: function(rng, paint, x, z). They stand at a point of the ground and hide what is behind them.


@dataclasses.dataclass(frozen=True)
class Brush:
    """Paints upright things on a canvas and erases the heads behind them.

    Attributes:
      canvas: the image.
      heads: the number of the head that each pixel shows, 0 for none.
      camera: the camera.
      light: the light.
    """

    canvas: Image
    heads: np.ndarray
    camera: Camera
    light: Light

    def polygon(self, corners: Sequence[tuple[float, float, float]], color: np.ndarray) -> None:
        """A polygon of points in the world: x, y and z in metres."""
        seen, depth = self.camera.project(np.array(corners, float))
        box = _box(seen, self.camera)
        if depth.min() < 0.7 or box is None:
            return
        shown = self.light.hazed(color, float(depth.mean())).clip(0, 255).astype(np.float32)
        part = self.canvas[box]
        self.cover(box, shown, coverage(seen - (box[1].start, box[0].start), part.shape[:2]))

    def cover(self, box: tuple[slice, slice], image: np.ndarray, shares: UInt8[np.ndarray, "H W"]) -> None:
        """Paint an image or a color on a part of the canvas. It hides the heads where it covers half of a pixel."""
        blend(self.canvas[box], image, shares)
        self.heads[box][shares > 127] = 0

    def box(self, x: float, z: float, half: float, low: float, high: float, color: np.ndarray) -> None:
        """An upright rectangle that faces the camera."""
        self.polygon(
            [(x - half, low, z), (x + half, low, z), (x + half, high, z), (x - half, high, z)], color
        )


def _pole(rng, brush: Brush, x: float, z: float) -> None:
    high, color = rng.uniform(2.5, 8), clutter.grey(rng, 20, 150)
    brush.box(x, z, rng.uniform(0.03, 0.12), 0, high, color)
    if rng.random() < 0.5:
        brush.box(
            x + rng.normal(0, 0.3), z, rng.uniform(0.15, 0.4), high - 0.3, high, clutter.grey(rng, 120, 255)
        )


def _sign(rng, brush: Brush, x: float, z: float) -> None:
    high, half, color = rng.uniform(2.2, 3.5), rng.uniform(0.2, 1.0), clutter.vivid(rng)
    brush.box(x, z, 0.04, 0, high, clutter.grey(rng, 40, 150))
    brush.box(x, z, half, high - half, high + 0.2, color)
    for line in range(rng.integers(1, 4)):
        at = high - half * (0.2 + 0.3 * line)
        brush.box(x, z, half * rng.uniform(0.3, 0.8), at, at + 0.12 * half, 255 - color)


def _tree(rng, brush: Brush, x: float, z: float) -> None:
    high = rng.uniform(3.5, 10)
    brush.box(x, z, rng.uniform(0.08, 0.25), 0, high * 0.6, np.array([60.0, 48, 38]) * rng.uniform(0.5, 1.3))
    (center,), (depth,) = brush.camera.project(np.array([[x, high * 0.75, z]]))
    radius = int(rng.uniform(0.25, 0.4) * high * brush.camera.focal / depth)
    if not 2 <= radius <= 600:
        return
    side = 2 * radius + 1
    leaves = clutter.TEXTURES["leaves"](rng, 384, 384)
    color = np.array([rng.uniform(40, 110), rng.uniform(65, 125), rng.uniform(20, 60)])
    leaves = ((leaves - leaves.mean((0, 1))) * 0.8 + color).astype(np.float32)
    leaves = cv2.resize(
        leaves, (side, side), interpolation=cv2.INTER_AREA if side < 256 else cv2.INTER_LINEAR
    )
    yy, xx = (np.mgrid[:side, :side].astype(np.float32) - radius) / radius
    ragged = cv2.resize(
        noise(rng, 64, 32, 0.8), (side, side), interpolation=cv2.INTER_AREA if side < 64 else cv2.INTER_LINEAR
    )
    left, top = (int(round(c)) - radius for c in center)
    # Over its slope, the height of a field is the distance from its zero in pixels.
    field = 0.75 + 0.22 * ragged - xx**2 - yy**2
    slope = cv2.magnitude(*(cv2.Sobel(field, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (0, 1)))
    shares = np.clip(255 * (field / np.maximum(slope, 1e-6) + 0.5), 0, 255).astype(np.uint8)
    paste(brush, brush.light.hazed(leaves, float(depth)), shares, left, top)


def overlap(canvas: np.ndarray, image: np.ndarray, left: int, top: int) -> tuple[tuple, tuple] | None:
    """What an image covers of a canvas when its upper left corner comes to a point of it.

    Returns:
      Slices of the canvas and slices of the image, each for rows and columns; None if the image lies outside.
    """
    (height, width), (high, wide) = canvas.shape[:2], image.shape[:2]
    rows = slice(max(0, top), min(height, top + high))
    columns = slice(max(0, left), min(width, left + wide))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    part = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    return (rows, columns), part


def paste(brush: Brush, image: Image, shares: UInt8[np.ndarray, "H W"], left: int, top: int) -> None:
    """Paint an image as far as `shares` say; its upper left corner comes to a point of the canvas."""
    found = overlap(brush.canvas, image, left, top)
    if found is not None:
        box, part = found
        brush.cover(box, image[part], shares[part])


def _panel(
    rng, brush: Brush, x: float, z: float, half: float, high: float, texture: str, ragged: bool
) -> None:
    """An upright rectangle with a texture, in some cases with a ragged upper edge."""
    (low, top), (depth, _) = brush.camera.project(np.array([[x, 0, z], [x, high, z]]))
    rows = int(low[1] - top[1])
    columns = int(2 * half * brush.camera.focal / depth)
    if rows < 3 or columns < 3 or rows > 1500 or columns > 3000:
        return
    # Drawn at twice the size where it is small, so that its parts get as small as they should be.
    scale = 2 if rows < 120 else 1
    image = clutter.TEXTURES[texture](rng, max(32, scale * rows), max(32, scale * min(columns, 1200)))
    # Its edges lie between pixels: it reaches into one row and one column more.
    image = cv2.resize(image.clip(0, 255), (columns + 1, rows + 1), interpolation=cv2.INTER_AREA)
    image = brush.light.hazed(_softened(image.astype(np.float32)), float(depth))
    edge = np.zeros(columns)
    if ragged:
        line = noise(rng, 256, 128, 0.8)[:1]
        way = cv2.INTER_AREA if columns < 256 else cv2.INTER_LINEAR
        edge = 0.35 * rows * np.abs(cv2.resize(line, (columns, 1), interpolation=way)[0])
    corner = np.array([low[0] - columns / 2, top[1]])
    left, upper = np.floor(corner).astype(int).tolist()
    shares = coverage(_under(edge, rows) + corner - (left, upper), (rows + 1, columns + 1))
    paste(brush, image, shares, left, upper)


def _hedge(rng, brush: Brush, x: float, z: float) -> None:
    """A hedge, a flower bed or reeds."""
    texture = "leaves" if rng.random() < 0.75 else "strands"
    _panel(rng, brush, x, z, rng.uniform(0.5, 8), rng.uniform(0.4, 2.6), texture, True)


def _goods(rng, brush: Brush, x: float, z: float) -> None:
    """Shelves, parked bicycles, luggage, rubbish."""
    texture = str(rng.choice(["heap", "heap", "balls", "cobbles"]))
    _panel(rng, brush, x, z, rng.uniform(0.4, 5), rng.uniform(0.5, 2.4), texture, bool(rng.random() < 0.6))


def _board(rng, brush: Brush, x: float, z: float) -> None:
    """A poster, a banner or a screen."""
    _panel(
        rng,
        brush,
        x,
        z,
        rng.uniform(0.4, 3),
        rng.uniform(1.2, 3.5),
        str(rng.choice(list(clutter.TEXTURES))),
        False,
    )


def _stall(rng, brush: Brush, x: float, z: float) -> None:
    half, high = rng.uniform(1, 2.2), rng.uniform(2.1, 2.8)
    first, second = clutter.vivid(rng), clutter.grey(rng, 180, 250)
    for side in (-half, half):
        brush.box(x + side, z, 0.04, 0, high, clutter.grey(rng, 60, 200))
    brush.box(x, z, half, 0.1, rng.uniform(0.7, 1.0), clutter.grey(rng, 40, 200))
    goods = clutter.vivid(rng)
    for place in np.arange(-half, half, rng.uniform(0.12, 0.3)):  # fruit, bottles, hats
        brush.box(x + place, z, 0.05, 0.95, 0.95 + rng.uniform(0.05, 0.2), goods + rng.normal(0, 40, 3))
    strips = int(rng.integers(1, 9))
    edges = np.linspace(-half, half, strips + 1)
    # Each strip is painted over the ones before it: two half covered pixels would show what is behind.
    for number, left in enumerate(edges[:-1]):
        top = [(x + half * 0.6, high + 0.7, z + 0.8), (x + left * 0.6, high + 0.7, z + 0.8)]
        brush.polygon([(x + left, high, z), (x + half, high, z), *top], (first, second)[number % 2])


def _car(rng, brush: Brush, x: float, z: float) -> None:
    half, color = (
        rng.uniform(1.7, 2.3),
        clutter.vivid(rng) if rng.random() < 0.4 else clutter.grey(rng, 15, 235),
    )
    brush.box(x, z, half, 0.25, 0.85, color)
    roof = [
        (x - half * 0.65, 0.82, z),
        (x + half * 0.55, 0.82, z),
        (x + half * 0.35, 1.4, z),
        (x - half * 0.5, 1.4, z),
    ]
    brush.polygon(roof, color * 0.9)
    brush.polygon([(a * 0.85 + x * 0.15, b * 0.9 + 0.12, c) for a, b, c in roof], np.array([35.0, 42, 50]))
    for side in (-0.6, 0.6):
        wheel = [
            (x + side * half + 0.32 * np.cos(t), 0.32 + 0.32 * np.sin(t), z)
            for t in np.linspace(0, 2 * np.pi, 12)
        ]
        brush.polygon(wheel, np.array([20.0, 20, 22]))


def _barrier(rng, brush: Brush, x: float, z: float) -> None:
    half, color = (
        rng.uniform(1.0, 6.0),
        clutter.grey(rng, 60, 220) if rng.random() < 0.7 else clutter.vivid(rng),
    )
    brush.box(x, z, half, 0.95, 1.05, color)
    brush.box(x, z, half, 0.2, 0.27, color)
    for place in np.arange(-half, half, rng.uniform(0.12, 0.5)):
        brush.box(x + place, z, 0.015, 0.2, 1.0, color)


def _flag(rng, brush: Brush, x: float, z: float) -> None:
    low, wide, high = rng.uniform(2.2, 5), rng.uniform(0.5, 1.6), rng.uniform(0.4, 1.1)
    brush.box(x, z, 0.02, 0, low + high, clutter.grey(rng, 60, 200))
    stripes = int(rng.integers(1, 4))
    edges = np.linspace(low, low + high, stripes + 1)
    wave = rng.uniform(-0.2, 0.2)
    for bottom in edges[:-1]:  # up to the upper edge, or the seams would show what is behind
        top = low + high
        corners = [(x, bottom, z), (x + wide, bottom + wave, z), (x + wide, top + wave, z), (x, top, z)]
        brush.polygon(corners, clutter.vivid(rng))


def _parasol(rng, brush: Brush, x: float, z: float) -> None:
    high, radius, color = rng.uniform(2.0, 2.6), rng.uniform(0.9, 1.6), clutter.vivid(rng)
    brush.box(x, z, 0.03, 0, high, clutter.grey(rng, 100, 220))
    angles = np.linspace(0, 2 * np.pi, 9)
    order = sorted(range(8), key=lambda i: -np.sin((angles[i] + angles[i + 1]) / 2))  # the far side first
    for number in order:
        rim = [
            (x + radius * np.cos(t), high, z + radius * np.sin(t))
            for t in (angles[number] - 0.04, angles[number + 1] + 0.04)  # over the seams
        ]
        shade = rng.uniform(0.85, 1.05) if number % 2 else rng.uniform(0.95, 1.1)
        brush.polygon([*rim, (x, high + 0.45, z)], color * shade)


THINGS: dict[str, Callable] = {
    "pole": _pole,
    "sign": _sign,
    "tree": _tree,
    "stall": _stall,
    "car": _car,
    "barrier": _barrier,
    "flag": _flag,
    "parasol": _parasol,
    "hedge": _hedge,
    "goods": _goods,
    "board": _board,
}
