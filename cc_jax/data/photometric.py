"""Photometric changes of training crops: what a camera, the light and a codec make of a scene. Nothing moves."""

import functools

import numpy as np
from jaxtyping import UInt8

from cc_jax.data.images import cv2

# Luma and the two colour axes of NTSC (ITU-R BT.601 weights): saturation and hue act on the latter two.
_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_RGB = np.linalg.inv(_YIQ)
_GREY = np.tile(_YIQ[:1], (3, 1))
_LEVELS = np.linspace(0, 1, 256)[None]


def photometric(
    image: UInt8[np.ndarray, "H W 3"], rng: np.random.Generator, strength: float, grey: float = 0.0
) -> UInt8[np.ndarray, "H W 3"]:
    """The changes in the order in which they happen; the image itself is not written to.

    Ranges at strength 1, shrinking in proportion (all ours; a synthetic source needs them most):
      blur: Gaussian, sigma up to 1.5 pixels, every second time.
      tone: gamma from e^-0.5 to e^0.5, contrast 0.6 to 1.4, brightness +-15 % of the range.
      colour: each channel's gain +-15 % (white balance), saturation 0.4 to 1.6, hue turned by up to 0.3 rad; a share
        `grey` loses its colour altogether.
      noise: Gaussian, up to 12 grey levels, every second time.
      JPEG: quality down to 30, every second time.
    """
    if strength > 0:
        if rng.random() < 0.5:
            image = cv2.GaussianBlur(image, (0, 0), 0.01 + 1.5 * strength * rng.random())
        image = cv2.LUT(image, _tone(rng, strength))
        image = cv2.transform(image, _colour(rng, strength))
    if grey > 0 and rng.random() < grey:
        image = cv2.transform(image, _GREY)
    if strength > 0:
        if rng.random() < 0.5:
            image = _noisy(image, rng, 12 * strength * rng.random())
        if rng.random() < 0.5:
            image = _through_jpeg(image, round(100 - 70 * strength * rng.random()))
    return image


def _tone(rng: np.random.Generator, strength: float) -> UInt8[np.ndarray, "1 256"]:
    """Gamma, contrast and brightness as one table."""
    gamma, contrast, brightness = strength * rng.uniform(-1, 1, 3)
    level = (_LEVELS ** np.exp(0.5 * gamma) - 0.5) * (1 + 0.4 * contrast) + 0.5 + 0.15 * brightness
    return np.rint(np.clip(level, 0, 1) * 255).astype(np.uint8)


def _colour(rng: np.random.Generator, strength: float) -> np.ndarray:
    """The channels' gains, saturation and hue as one 3x3 matrix."""
    saturation, hue, *gains = strength * rng.uniform(-1, 1, 5)
    cos, sin = (1 + 0.6 * saturation) * np.array([np.cos(0.3 * hue), np.sin(0.3 * hue)])
    turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    return _RGB @ turn @ _YIQ * (1 + 0.15 * np.array(gains))


def _noisy(
    image: UInt8[np.ndarray, "H W 3"], rng: np.random.Generator, deviation: float
) -> UInt8[np.ndarray, "H W 3"]:
    """With Gaussian noise, read from a random place of one long list: drawing it costs as much as all the rest."""
    normals = _normals(max(2**20, 2 * image.size))
    start = int(rng.integers(len(normals) - image.size))
    flat = (image.shape[0], -1)
    noise = normals[start : start + image.size].reshape(flat)
    return cv2.addWeighted(image.reshape(flat), 1.0, noise, deviation, 0.0, dtype=cv2.CV_8U).reshape(
        image.shape
    )


@functools.lru_cache(maxsize=1)
def _normals(number: int) -> np.ndarray:
    """Standard normal numbers, the same in every process."""
    return np.random.default_rng(0).standard_normal(number, np.float32)


def _through_jpeg(image: UInt8[np.ndarray, "H W 3"], quality: int) -> UInt8[np.ndarray, "H W 3"]:
    """Encoded and decoded in memory; of our own making, so without the checks of `images.read_image`."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
