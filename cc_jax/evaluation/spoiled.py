"""Images that no counter is meant for, made from images that it is: upside down, turned, negative, blurred, drawn, ...

What tells them from the images of the training also tells other images that do not belong (see not_here.py).

Source of the idea: outlier exposure, Hendrycks, Mazeika and Dietterich, ICLR 2019. The first kind is the own task of Liu
et al., CVPR 2022, section 3.2.
"""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import UInt8

Image = UInt8[np.ndarray, "h w 3"]
Spoiled = UInt8[np.ndarray, "rows columns 3"]
Spoil = Callable[[np.random.Generator, Image], Spoiled]

_SIDE = 512  # pixels; spoiled images need no more


def upside_down(rng: np.random.Generator, image: Image) -> Spoiled:
    """Return the image upside down, mirrored or not."""
    return image[::-1, :: rng.choice((-1, 1))]


def turned(rng: np.random.Generator, image: Image) -> Spoiled:
    """Return the image turned by 90 degrees, to either side."""
    return np.rot90(image, rng.choice((1, 3)))


def negative(rng: np.random.Generator, image: Image) -> Spoiled:
    """Return the negative."""
    del rng
    return 255 - image


def blurred(rng: np.random.Generator, image: Image) -> Spoiled:
    """Return the image so blurred that nobody can be told in it."""
    return cv2.GaussianBlur(image, (0, 0), max(image.shape[:2]) * rng.uniform(0.015, 0.04))


def noisy(rng: np.random.Generator, image: Image) -> Spoiled:
    """Return the image under strong noise."""
    noise = rng.normal(0, rng.uniform(45, 90), image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def sketched(rng: np.random.Generator, image: Image) -> Spoiled:
    """Return the edges of the image, as lines on paper or on a board."""
    low = rng.uniform(40, 100)
    edges = cv2.Canny(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), low, 2 * low)
    lines = edges if rng.random() < 0.3 else 255 - edges
    return np.repeat(lines[..., None], 3, axis=2)


def shuffled(rng: np.random.Generator, image: Image) -> Spoiled:
    """Return the image cut into tiles that lie in another order."""
    number = int(rng.choice((3, 4, 6)))
    height, width = (side // number for side in image.shape[:2])
    tiles = image[: number * height, : number * width].reshape(number, height, number, width, 3)
    tiles = tiles.transpose(0, 2, 1, 3, 4).reshape(-1, height, width, 3)[rng.permutation(number**2)]
    tiles = tiles.reshape(number, number, height, width, 3).transpose(0, 2, 1, 3, 4)
    return tiles.reshape(number * height, number * width, 3)


def pixelated(rng: np.random.Generator, image: Image) -> Spoiled:
    """Return the image in large pixels of few colors."""
    height, width = image.shape[:2]
    columns = int(rng.integers(16, 33))
    small = cv2.resize(image, (columns, max(1, columns * height // width)), interpolation=cv2.INTER_AREA)
    levels = int(rng.choice((4, 6, 256)))
    small = (small // (256 // levels) * (256 // levels)).astype(np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)


def screen(rng: np.random.Generator, image: Image) -> Spoiled:
    """Return windows with text and tables, as on a computer's screen."""
    height, width = image.shape[:2]
    dark = rng.random() < 0.3
    page = np.full((height, width, 3), rng.integers(20, 60) if dark else rng.integers(225, 256), np.uint8)
    for _ in range(rng.integers(2, 8)):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        size = int(rng.integers(40, width)), int(rng.integers(20, height))
        color = tuple(int(v) for v in rng.integers(0, 256, 3))
        cv2.rectangle(page, (x, y), (x + size[0], y + size[1]), color, -1 if rng.random() < 0.4 else 1)
    ink = tuple([230 if dark else 30] * 3)
    step = int(rng.integers(9, 22))
    left = int(rng.integers(0, width // 2))
    for y in range(step, height, step):
        if rng.random() < 0.8:
            words = "".join(rng.choice(list("abcdefghiklmnoprstu    .,0123"), int(rng.integers(8, 70))))
            cv2.putText(page, words, (left, y), cv2.FONT_HERSHEY_SIMPLEX, step / 34, ink, 1, cv2.LINE_AA)
    return page


def blobs(rng: np.random.Generator, image: Image) -> Spoiled:
    """Return round things on an even ground, as cells, coins, bubbles or stars are."""
    height, width = image.shape[:2]
    ground, color = rng.integers(0, 256, 3), rng.integers(0, 256, 3)
    picture = np.tile(ground.astype(np.float32), (height, width, 1))
    largest = rng.uniform(4, 40)
    for _ in range(int(rng.integers(20, 300))):
        center = int(rng.integers(width)), int(rng.integers(height))
        axes = tuple(int(v) for v in np.maximum(1, rng.uniform(0.3, 1, 2) * largest))
        shade = tuple(float(v) for v in np.clip(color + rng.normal(0, 25, 3), 0, 255))
        angle, fill = float(rng.uniform(0, 180)), -1 if rng.random() < 0.7 else 2
        cv2.ellipse(picture, center, axes, angle, 0, 360, shade, fill, cv2.LINE_AA)
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 3))
    return np.clip(picture + rng.normal(0, rng.uniform(1, 10), picture.shape), 0, 255).astype(np.uint8)


def plain(rng: np.random.Generator, image: Image) -> Spoiled:
    """Return one color, or a soft change from one to another."""
    one, other = rng.integers(0, 256, (2, 3)).astype(np.float32)
    share = rng.choice((0.0, 1.0)) * np.linspace(0, 1, image.shape[0], dtype=np.float32)[:, None, None]
    ground = np.broadcast_to((1 - share) * one + share * other, image.shape)
    return np.clip(ground + rng.normal(0, rng.uniform(0, 6), image.shape), 0, 255).astype(np.uint8)


KINDS: dict[str, Spoil] = {
    kind.__name__: kind
    for kind in (
        upside_down, turned, negative, blurred, noisy, sketched, shuffled, pixelated, screen, blobs, plain,
    )
}  # fmt: skip


def spoil(rng: np.random.Generator, image: Image, kind: str) -> Spoiled:
    """Return a spoiled copy of an image, at most 512 pixels wide and high.

    Args:
      kind: one of `KINDS`.
    """
    factor = _SIDE / max(*image.shape[:2], _SIDE)
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(KINDS[kind](rng, small))
