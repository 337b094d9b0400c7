"""What clothes show: folds, stripes, checks, dots, prints and pieces of photographs.

Few of the rendered people wear patterned clothes. A counter that has only seen those takes every detail on a real one for a
head: a bag, a hand, a print. So everyone in a scene wears a cloth from here, as factors on the colors of what is rendered.
"""

import functools
import math

import cv2
import numpy as np
from jaxtyping import Float32

from cc_jax.data.scenes import photographs
from cc_jax.data.scenes.canvas import noise

# A tile of cloth is this many pixels wide and 2 metres.
_SIZE, _METRES = 256, 2.0
_TILES = 66
# Tiles are kept at sizes that differ by this factor, down to a tile of at least this many pixels.
_STEP, _SMALLEST = 2**0.5, 12


def piece(
    rng: np.random.Generator, which: int, metre: float, rows: int, columns: int
) -> Float32[np.ndarray, "rows columns 3"]:
    """A piece of cloth: factors with a mean near 1.

    Args:
      rng: random generator, for which part of the cloth it is.
      which: number of the cloth; all numbers are allowed.
      metre: pixels a metre.
      rows: height of the piece in pixels.
      columns: width of the piece in pixels.
    """
    sizes = _tile(which % _TILES)
    finer = math.log(max(_SIZE / _METRES / metre, 1e-6), _STEP)
    tile = sizes[min(max(round(finer), 0), len(sizes) - 1)]
    size = len(tile) // 2
    top, left = rng.integers(size, size=2)
    if rows > size or columns > size:
        down, across = (top + np.arange(rows)) % size, (left + np.arange(columns)) % size
        return tile[down[:, None], across]
    return tile[top : top + rows, left : left + columns]


@functools.cache
def _tile(number: int) -> tuple[Float32[np.ndarray, "s s 3"], ...]:
    """A cloth in several sizes, from large to small; each is repeated twice in both directions."""
    rng = np.random.default_rng([6, number])
    cloth = _PATTERNS[number % len(_PATTERNS)](rng) * _folds(rng)
    cloth = np.clip(cloth / cloth.mean((0, 1)), 0.05, 3.0).astype(np.float32)
    sizes, side = [], float(_SIZE)
    while side >= _SMALLEST:
        small = cv2.resize(cloth, (round(side),) * 2, interpolation=cv2.INTER_AREA)
        sizes.append(np.tile(small, (2, 2, 1)))
        side /= _STEP
    return tuple(sizes)


def _folds(rng: np.random.Generator) -> np.ndarray:
    """Light and shade of folds that mostly hang down."""
    folds = cv2.resize(
        noise(rng, _SIZE, 64, 0.75, coarsest=4), (_SIZE // 2, _SIZE), interpolation=cv2.INTER_AREA
    )
    folds = np.tile(folds, (1, 2))
    return np.exp(rng.uniform(0.1, 0.35) * folds)[..., None]


def _plain(rng: np.random.Generator) -> np.ndarray:
    return np.ones((_SIZE, _SIZE, 3))


def _colors(rng: np.random.Generator) -> np.ndarray:
    """Two factors on the colors of what is rendered, far apart."""
    pair = np.exp(rng.normal(0, 0.25, (2, 3)))
    pair[0] *= rng.uniform(0.15, 0.6)
    pair[1] *= rng.uniform(1.1, 2.2)
    return pair if rng.random() < 0.5 else pair[::-1]


def _blend(rng: np.random.Generator, shown: np.ndarray) -> np.ndarray:
    first, second = _colors(rng)
    return first + (second - first) * shown[..., None]


def _wave(rng: np.random.Generator, narrow: float, wide: float) -> np.ndarray:
    """Stripes along a line of the tile, between 0 and 1, that are this many metres apart."""
    times = max(1, round(_METRES / float(np.exp(rng.uniform(np.log(narrow), np.log(wide))))))
    place = (np.arange(_SIZE) * times / _SIZE + rng.random()) % 1
    return np.clip((rng.uniform(0.3, 0.7) - np.abs(2 * place - 1)) * _SIZE / times / 2 + 0.5, 0, 1)


def _stripes(rng: np.random.Generator) -> np.ndarray:
    stripes = np.broadcast_to(_wave(rng, 0.04, 0.25), (_SIZE, _SIZE))
    return _blend(rng, stripes.T if rng.random() < 0.7 else stripes)


def _checks(rng: np.random.Generator) -> np.ndarray:
    return _blend(rng, (_wave(rng, 0.05, 0.3)[:, None] + _wave(rng, 0.05, 0.3)) / 2)


def _spots(rng: np.random.Generator, least: float, most: float, cover: float) -> np.ndarray:
    """Ellipses, rectangles and letters' strokes of many colors, with radii in metres, that cover a share of the tile."""
    cloth = np.ones((_SIZE, _SIZE, 3)) * np.exp(rng.normal(0, 0.1, 3))
    pixels = _SIZE / _METRES
    radius = float(np.exp(rng.uniform(np.log(least), np.log(most))))
    number = int(cover * _METRES**2 / (np.pi * radius**2))
    colors = _colors(rng)
    for _ in range(max(number, 1)):
        x, y = rng.integers(_SIZE, size=2).tolist()
        axes = (radius * pixels * rng.uniform(0.6, 1.3, 2)).tolist()
        color = (colors[rng.integers(2)] * np.exp(rng.normal(0, 0.3))).tolist()
        angle, round_ = float(rng.uniform(0, 180)), rng.random() < 0.6
        for dx in (-_SIZE, 0, _SIZE):
            for dy in (-_SIZE, 0, _SIZE):
                middle = (float(x + dx), float(y + dy))
                if round_:
                    cv2.ellipse(cloth, (middle, (2 * axes[0], 2 * axes[1]), angle), color, -1, cv2.LINE_AA)
                else:
                    box = cv2.boxPoints((middle, (2 * axes[0], 2 * axes[1]), angle))
                    cv2.fillConvexPoly(cloth, np.round(box).astype(np.int32), color, cv2.LINE_AA)
    return cloth


def _dots(rng: np.random.Generator) -> np.ndarray:
    return _spots(rng, 0.015, 0.05, rng.uniform(0.15, 0.4))


def _prints(rng: np.random.Generator) -> np.ndarray:
    """As large as hands, bags and heads."""
    return _spots(rng, 0.05, 0.14, rng.uniform(0.15, 0.35))


def _photographed(rng: np.random.Generator) -> np.ndarray:
    """A piece of a photograph, mirrored so that it has no seam: light, shade and edges as real things have them."""
    names = (*photographs.panoramas(), *photographs.SURFACES)
    photograph = photographs.read(names[int(rng.integers(len(names)))])
    side = int(rng.integers(32, min(192, len(photograph))))
    top, left = (int(rng.integers(length - side + 1)) for length in photograph.shape[:2])
    half = cv2.resize(photograph[top : top + side, left : left + side], (_SIZE // 2,) * 2).astype(float) + 20
    half = np.concatenate([half, half[::-1]])
    return np.concatenate([half, half[:, ::-1]], axis=1) / half.mean((0, 1))


_PATTERNS = (
    _plain,
    _stripes,
    _plain,
    _checks,
    _plain,
    _dots,
    _prints,
    _prints,
    _photographed,
    _photographed,
    _photographed,
)
