"""Images without people, full of what a counter takes for heads: leaves, bricks, tiles, windows, cobbles, chairs, fruit.

`render(seed, index)` returns an image. It shows one to three surfaces, one above the other or one filling the frame, each
with a texture of its own, seen straight on or in perspective. One image in four is a piece of a photograph, one in eight is
nearly plain.

A counter that has only seen crowds learns that texture means people. Half of what it counts in a street can then stand
where nobody is.
"""

from collections.abc import Callable

import cv2
import numpy as np
import scipy.fft
from jaxtyping import Float, Float32, UInt8

from cc_jax.data.scenes import photographs
from cc_jax.data.scenes.canvas import pure_color

# The canvas relative to the image. Shrinking it smooths all edges.
_SCALE = 2
_PLAIN_SHARE, _PHOTOGRAPH_SHARE = 0.125, 0.25
# Bits behind the point of positions in cv2's drawing functions: ellipses lie at sixteenths of a pixel.
_SHIFT = 4

Image = Float[np.ndarray, "H W 3"]


def render(seed: int, index: int, *, height: int = 512, width: int = 768) -> UInt8[np.ndarray, "H W 3"]:
    """Render an RGB image without people. The same arguments always give the same pixels.

    Args:
      seed: seed of a series of images.
      index: index of the image in the series.
      height: height of the image in pixels.
      width: width of the image in pixels.
    """
    rng = np.random.default_rng([2, seed, index])
    kind = rng.random()
    if kind < _PLAIN_SHARE:
        canvas = _lit(rng, _plain(rng, height * _SCALE, width * _SCALE))
    elif kind < _PLAIN_SHARE + _PHOTOGRAPH_SHARE:
        # It has its light already.
        canvas = photographs.view(rng, height * _SCALE, width * _SCALE) * rng.uniform(0.6, 1.2)
    else:
        canvas = _lit(rng, _surfaces(rng, height * _SCALE, width * _SCALE))
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return np.clip(np.round(small), 0, 255).astype(np.uint8)


def _surfaces(rng: np.random.Generator, rows: int, columns: int) -> Image:
    """One to three surfaces from top to bottom, their borders slightly tilted."""
    number = int(rng.choice([1, 2, 3], p=[0.45, 0.35, 0.2]))
    which = rng.choice(len(TEXTURES), number).tolist()
    canvas = _textured(rng, which[0], rows, columns)
    for texture in which[1:]:
        left, right = rng.uniform(0.15, 0.85) + rng.normal(0, 0.04, 2)
        border = np.array([[0, rows * left], [columns, rows * right], [columns, rows], [0, rows]])
        mask = np.zeros((rows, columns), np.uint8)
        cv2.fillPoly(mask, [border.astype(np.int32)], 1)
        canvas = np.where(mask[..., None] > 0, _textured(rng, texture, rows, columns), canvas)
    return canvas


def _textured(rng: np.random.Generator, which: int, rows: int, columns: int) -> Image:
    """A texture over the canvas, in half of the cases in perspective: compressed towards a horizon or to one side."""
    flat = list(TEXTURES.values())[which](rng, rows, columns)
    if rng.random() < 0.5:
        return flat
    far = rng.uniform(0.2, 0.9)
    corners = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
    inset = columns * (1 - far) / 2
    # The frame shows what lies inside of this trapezoid of the flat texture: the far side shows more of it.
    seen = corners.copy()
    seen[2:, 0] = [columns - inset, inset]
    matrix = cv2.getPerspectiveTransform(seen, corners)
    warped = cv2.warpPerspective(
        flat, matrix, (columns, rows), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT
    )
    turn = int(rng.integers(3))  # a floor, or a wall that recedes to one side
    if turn == 0:
        return warped
    side = cv2.rotate(warped, cv2.ROTATE_90_CLOCKWISE if turn == 1 else cv2.ROTATE_90_COUNTERCLOCKWISE)
    return cv2.resize(side, (columns, rows), interpolation=cv2.INTER_AREA)


# Textures: function(rng, rows, columns) -> image of the canvas.


def _unit(rng: np.random.Generator, low: float, high: float) -> float:
    """The length of what a texture repeats, in pixels of the canvas; `low` and `high` are in those of the image."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high)))) * _SCALE


def grey(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """A color that is nearly grey, of a brightness between `low` and `high`."""
    return np.clip(rng.uniform(low, high) * (1 + rng.normal(0, 0.06, 3)), 0, 255)


def vivid(rng: np.random.Generator) -> np.ndarray:
    """A color like those of signs, flags and plastic."""
    color = pure_color(rng.random())
    return rng.uniform(80, 235) * (1 - rng.uniform(0.25, 0.9) * (1 - color))


def _color(rng: np.random.Generator, spread: float = 40) -> np.ndarray:
    """A color like those of walls and grounds: its channels are near each other."""
    return np.clip(rng.uniform(20, 235) + rng.normal(0, spread * 0.4, 3), 5, 250)


def spectrum(
    rng: np.random.Generator, rows: int, columns: int, exponent: float
) -> Float32[np.ndarray, "H W"]:
    """Noise with a spectrum of 1 / frequency ** exponent, mean 0 and standard deviation 1.

    Unlike `canvas.noise` it has grain down to single pixels, as stone and bark have.
    """
    y, x = np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None]
    frequency = np.maximum(np.hypot(x, y), 1 / max(rows, columns)).astype(np.float32)
    waves = rng.standard_normal((2, *frequency.shape), np.float32) * frequency**-exponent
    field = scipy.fft.irfft2(waves[0] + np.complex64(1j) * waves[1], (rows, columns))
    return ((field - field.mean()) / field.std()).astype(np.float32)


def _stone(rng: np.random.Generator, rows: int, columns: int) -> Image:
    """Plaster, asphalt, bark, clouds: colored noise."""
    field = spectrum(rng, rows, columns, rng.uniform(0.6, 1.8))[..., None]
    return (_color(rng) + field * rng.uniform(4, 40) * rng.uniform(0.7, 1.0, 3)).astype(np.float32)


def _plain(rng: np.random.Generator, rows: int, columns: int) -> Image:
    """One color or a gradient between two, black and white among them."""
    first, second = (
        rng.choice([0, 128, 255]) * np.ones(3) if rng.random() < 0.4 else _color(rng) for _ in "ab"
    )
    if rng.random() < 0.5:
        second = first
    ramp = np.linspace(0, 1, rows)[:, None, None]
    return np.broadcast_to(first * (1 - ramp) + second * ramp, (rows, columns, 3)).astype(np.float32)


def _leaves(rng: np.random.Generator, rows: int, columns: int) -> Image:
    """Foliage, litter or heaps: overlapping ellipses of many sizes (the dead leaves model), shaded one by one."""
    canvas = np.empty((rows, columns, 3), np.uint8)
    canvas[:] = _color(rng) * 0.3
    green = rng.random() < 0.6
    base = (
        np.array([rng.uniform(40, 120), rng.uniform(70, 140), rng.uniform(20, 60)]) if green else _color(rng)
    )
    low = _unit(rng, 1, 10)
    number = int(min(6000, 2.5 * rows * columns / (low * low * 6)))
    radii = low * (1 + rng.pareto(2.5, number)).clip(1, 8)
    light = spectrum(rng, 64, 64, 1.5)
    slim = rng.uniform(0.25, 1.0)
    places, turns = rng.random((number, 2)), rng.uniform(0, 180, number)
    cells = (places * 64).astype(int)
    shade = 1 + 0.35 * light[cells[:, 1], cells[:, 0]] + rng.normal(0, 0.2, number)
    colors = base * np.maximum(shade, 0.1)[:, None] + rng.normal(0, 14 if green else 45, (number, 3))
    centers = (places * (columns, rows) * 2**_SHIFT).astype(int)
    axes = (radii[:, None] * (1, slim) * 2**_SHIFT).astype(int)
    rest = (centers.tolist(), axes.tolist(), turns.tolist(), colors.clip(0, 255).tolist())
    for center, both, turned, color in zip(*rest, strict=True):
        cv2.ellipse(canvas, center, both, turned, 0, 360, color, -1, cv2.LINE_AA, _SHIFT)
    return canvas.astype(np.float32)


def _grid(
    rng: np.random.Generator, rows: int, columns: int, size: tuple[float, float], shift: float, gap: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A wall of equal parts: (number of each pixel's part, place x and y in it from -1 to 1). 0 is the gap between them.

    Args:
      size: height and width of a part in pixels.
      shift: how far every second row is moved, in parts.
      gap: share of a part's height that is gap.
    """
    high, wide = size
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    row = np.floor(y / high)
    along = x / wide + shift * (row % 2) + rng.random()
    number = (row * 7919 + np.floor(along) * 104729 + 1).astype(np.int64)
    v, u = 2 * (y / high - row) - 1, 2 * (along - np.floor(along)) - 1
    inside = (np.abs(v) < 1 - gap) & (np.abs(u) < 1 - gap * high / wide)
    return np.where(inside, number, 0), u, v


def _colored_parts(rng: np.random.Generator, number: np.ndarray, color: np.ndarray, spread: float) -> Image:
    """Each part in a color of its own near `color`."""
    palette = np.clip(color + rng.normal(0, spread, (257, 1)) + rng.normal(0, spread * 0.4, (257, 3)), 0, 255)
    return palette[number % 257].astype(np.float32)


def _bricks(rng: np.random.Generator, rows: int, columns: int) -> Image:
    """Brickwork, slabs, tiles, roofs: rows of equal parts with joints."""
    high = _unit(rng, 4, 30)
    wide = high * rng.choice([1, 1, 2, 3]) * rng.uniform(0.9, 1.2)
    number, _, v = _grid(rng, rows, columns, (high, wide), rng.choice([0.0, 0.5]), rng.uniform(0.03, 0.2))
    reds = np.array([rng.uniform(110, 190), rng.uniform(60, 110), rng.uniform(45, 90)])
    color = reds if rng.random() < 0.4 else _color(rng)
    parts = _colored_parts(rng, number, color, rng.uniform(2, 25)) * (1 - rng.uniform(0, 0.35) * v[..., None])
    joint = _color(rng)
    grain = spectrum(rng, rows, columns, 0.6)[..., None] * rng.uniform(1, 8)
    return np.where(number[..., None] > 0, parts, joint).astype(np.float32) + grain


def _windows(rng: np.random.Generator, rows: int, columns: int) -> Image:
    """The front of a house: rows of windows with frames, dark, lit or with a reflection."""
    high = _unit(rng, 12, 70)
    number, u, v = _grid(
        rng, rows, columns, (high, high * rng.uniform(0.6, 1.8)), 0.0, rng.uniform(0.2, 0.45)
    )
    glass = _colored_parts(rng, number, _color(rng) * rng.uniform(0.2, 0.8), rng.uniform(8, 50))
    glass = glass + (rng.uniform(0, 50) * (u + v))[..., None]
    bars = (np.abs(u) < 0.06) | (np.abs(v + rng.uniform(-0.3, 0.3)) < 0.05)
    wall = _color(rng) + spectrum(rng, rows, columns, 1.2)[..., None] * rng.uniform(1, 10)
    inside = (number > 0) & ~bars
    frame = cv2.dilate((number > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return np.where(inside[..., None], glass, np.where(frame[..., None], _color(rng), wall)).astype(
        np.float32
    )


def _cobbles(rng: np.random.Generator, rows: int, columns: int) -> Image:
    """Cobbles, gravel, scales: irregular cells, each lit from one side."""
    unit = _unit(rng, 1.5, 20)
    down, across = int(rows / unit) + 3, int(columns / unit) + 3
    lattice = np.moveaxis(np.mgrid[:down, :across], 0, -1)
    seeds = lattice + rng.uniform(-0.4, 0.4, (down, across, 2)) - 1
    points = (seeds.reshape(-1, 2) * unit)[:, ::-1]
    inside = ((points >= 0) & (points < (columns, rows))).all(1)
    spots = np.ones((rows, columns), np.uint8)
    at = points[inside].astype(int)
    spots[at[:, 1], at[:, 0]] = 0
    distance, label = cv2.distanceTransformWithLabels(spots, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    parts = _colored_parts(rng, label, _color(rng), rng.uniform(5, 45))
    round_off = np.clip(1.25 - (distance / (0.62 * unit)) ** rng.uniform(1.5, 4), 0.15, 1)
    slope = cv2.Sobel(distance, cv2.CV_32F, 1, 1, ksize=3)
    return parts * round_off[..., None] + rng.uniform(0, 12) * slope[..., None]


def _balls(rng: np.random.Generator, rows: int, columns: int) -> Image:
    """Fruit, balloons, lamps, chairs' backs: rows of round things with a light spot and a shadow below."""
    unit = _unit(rng, 5, 30)
    fill = rng.uniform(0.6, 1.0)
    number, u, v = _grid(rng, rows, columns, (unit, unit * rng.uniform(0.8, 1.5)), 0.5, 0.0)
    squareness = rng.choice([2.0, 2.0, 4.0, 8.0])
    body = (np.abs(u) ** squareness + np.abs(v) ** squareness) < fill**squareness
    vivid = rng.uniform(20, 235, 3)
    parts = _colored_parts(rng, number, vivid, rng.uniform(2, 40))
    shine = np.exp(-(((u + 0.3) ** 2 + (v + 0.35) ** 2) / rng.uniform(0.05, 0.6)))
    shaded = parts * (1 - 0.45 * np.clip(v, 0, 1))[..., None] + (rng.uniform(0, 90) * shine)[..., None]
    ground = _color(rng) * rng.uniform(0.3, 1) * (1 - 0.3 * np.exp(-((v - 0.9) ** 2) / 0.1))[..., None]
    return np.where(body[..., None], shaded, ground).astype(np.float32)


def _stripes(rng: np.random.Generator, rows: int, columns: int) -> Image:
    """Fences, blinds, planks, stairs, flags: parallel stripes."""
    angle = rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)])
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    along = (x * np.cos(angle) + y * np.sin(angle)) / _unit(rng, 3, 40)
    number, place = np.floor(along), along - np.floor(along)
    parts = _colored_parts(rng, (number % 97).astype(np.int64) + 1, _color(rng), rng.uniform(3, 70))
    return np.where((place < rng.uniform(0.3, 1.0))[..., None], parts, _color(rng)).astype(np.float32)


def _strands(rng: np.random.Generator, rows: int, columns: int) -> Image:
    """Grass, straw, needles, hair: many short strokes that point in similar directions."""
    canvas = np.empty((rows, columns, 3), np.uint8)
    green = rng.random() < 0.7
    base = (
        np.array([rng.uniform(50, 130), rng.uniform(80, 150), rng.uniform(25, 70)]) if green else _color(rng)
    )
    canvas[:] = base * 0.5
    length, number = _unit(rng, 3, 14), int(min(9000, rows * columns / 40))
    start = rng.random((number, 2)) * (columns, rows)
    angle = rng.uniform(0, np.pi) + rng.normal(0, rng.uniform(0.2, 1.5), number)
    end = start + length * rng.uniform(0.4, 1.3, (number, 1)) * np.stack([np.cos(angle), np.sin(angle)], 1)
    colors = np.clip(base * rng.normal(1, 0.3, (number, 1)) + rng.normal(0, 10, (number, 3)), 0, 255)
    lines = np.round(np.stack([start, end], 1) * 2**_SHIFT).astype(int).tolist()
    for (first, second), color in zip(lines, colors.tolist(), strict=True):
        cv2.line(canvas, first, second, color, 1, cv2.LINE_AA, _SHIFT)
    return canvas.astype(np.float32)


def _heap(rng: np.random.Generator, rows: int, columns: int) -> Image:
    """Goods, litter, books, parked bicycles: things of all colors and forms, one over the other."""
    canvas = np.empty((rows, columns, 3), np.uint8)
    canvas[:] = _color(rng)
    unit = _unit(rng, 5, 40)
    number = int(min(4000, 3 * rows * columns / unit**2))
    for x, y in (rng.random((number, 2)) * (columns, rows)).tolist():
        color = (vivid(rng) if rng.random() < 0.5 else grey(rng, 10, 245)).tolist()
        size = rng.uniform(0.2, 1.0, 2) * unit
        kind = rng.integers(4)
        if kind == 0:
            corners = cv2.boxPoints(((x, y), size.tolist(), float(rng.uniform(0, 180))))
            cv2.fillConvexPoly(canvas, np.round(corners * 16).astype(np.int32), color, cv2.LINE_AA, 4)
        elif kind == 1:
            spot, axes = (int(x * 16), int(y * 16)), (int(size[0] * 8), int(size[1] * 8))
            cv2.ellipse(canvas, spot, axes, float(rng.uniform(0, 180)), 0, 360, color, -1, cv2.LINE_AA, 4)
        elif kind == 2:
            corners = np.array([x, y]) + rng.normal(0, 0.4 * unit, (3, 2))
            cv2.fillConvexPoly(canvas, np.round(corners * 16).astype(np.int32), color, cv2.LINE_AA, 4)
        else:
            end = np.array([x, y]) + rng.normal(0, unit, 2)
            cv2.line(
                canvas,
                (int(x), int(y)),
                (int(end[0]), int(end[1])),
                color,
                int(rng.integers(1, 4)),
                cv2.LINE_AA,
            )
    return canvas.astype(np.float32)


def _photograph(rng: np.random.Generator, rows: int, columns: int) -> Image:
    """Bricks, grass or gravel as a camera saw them."""
    gray = photographs.surface(rng, rows, columns, _unit(rng, 0.3, 1.2))
    contrast = rng.uniform(0.5, 1.3)
    colored = (gray - gray.mean()) * contrast * rng.uniform(0.7, 1.0, 3) + _color(rng)
    return colored.astype(np.float32)


TEXTURES: dict[str, Callable[[np.random.Generator, int, int], Image]] = {
    "stone": _stone,
    "leaves": _leaves,
    "bricks": _bricks,
    "windows": _windows,
    "cobbles": _cobbles,
    "balls": _balls,
    "stripes": _stripes,
    "strands": _strands,
    "heap": _heap,
    "photograph": _photograph,
}


def front(rng: np.random.Generator, rows: int, columns: int) -> Image:
    """The front of a building: windows or another texture above, and often shops or an arcade below."""
    above = str(rng.choice(["windows", "bricks", "stone", "stripes"], p=[0.6, 0.15, 0.15, 0.1]))
    image = TEXTURES[above](rng, rows, columns)
    low = int(rows * rng.uniform(0.1, 0.35))
    if rng.random() < 0.35 and low > 4:
        # What shops and yards are full of.
        image[-low:] = TEXTURES[str(rng.choice(["heap", "leaves", "windows", "balls"]))](rng, low, columns)
    elif rng.random() < 0.6 and low > 4:
        shops = np.empty((low, columns, 3), np.float32)
        shops[:] = grey(rng, 30, 150)
        edges = np.cumsum(rng.uniform(0.5, 2.5, 60)) * low
        for left, right in zip(edges[:-1], edges[1:], strict=True):
            if left > columns:
                break
            a, b = int(left), int(max(left + 2, right - 0.08 * low))
            shops[low // 4 :, a:b] = grey(rng, 15, 220) if rng.random() < 0.7 else vivid(rng)
            shops[: low // 4, a:b] = vivid(rng)
            for at in range(a + 2, b - 3, max(3, low // 8)):  # letters
                if rng.random() < 0.8:
                    shops[low // 12 : low // 6 + 1, at : at + max(1, low // 14)] = grey(rng, 200, 255)
        image[-low:] = shops
    return image


def _lit(rng: np.random.Generator, canvas: Image) -> Image:
    """The canvas under uneven light, in some cases with the shadow of something outside of the picture."""
    rows, columns = canvas.shape[:2]
    light = cv2.resize(spectrum(rng, 64, 96, 1.8), (columns, rows), interpolation=cv2.INTER_CUBIC)
    gain = 1 + rng.uniform(0, 0.3) * light
    if rng.random() < 0.3:
        shadow = cv2.GaussianBlur((light > rng.uniform(0, 1)).astype(np.float32), (0, 0), 2.0 * _SCALE)
        gain = gain * (1 - rng.uniform(0.3, 0.6) * shadow)
    return canvas * np.maximum(gain, 0.1)[..., None]
