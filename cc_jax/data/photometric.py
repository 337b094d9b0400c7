"""Photometric augmentation of training crops: blur, tone, color, noise and compression. No pixel moves."""

import functools

import numpy as np
from jaxtyping import UInt8

from cc_jax.data.images import cv2

# Luma and the two color axes of NTSC (ITU-R BT.601 weights). Saturation and hue act on the color axes.
_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_RGB = np.linalg.inv(_YIQ)
_GREY = np.tile(_YIQ[:1], (3, 1))
_LEVELS = np.linspace(0, 1, 256)[None]


def photometric(
    image: UInt8[np.ndarray, "H W 3"],
    rng: np.random.Generator,
    strength: float,
    grey: float = 0.0,
    tone: float | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """Return the image with random photometric changes. The image itself is not modified.

    The changes are applied in the order in which a camera makes them. At strength 1, and in proportion below:
      blur: Gaussian with a sigma of up to 1.5 pixels, with probability 0.5.
      tone: gamma from e^-0.5 to e^0.5, contrast 0.6 to 1.4, brightness +-15 % of the range.
      color: gain of each channel +-15 % (white balance), saturation 0.4 to 1.6, hue rotated by up to 0.3 rad.
      grey: no color at all, with probability `grey`.
      noise: Gaussian with a deviation of up to 12 grey levels, with probability 0.5.
      JPEG: quality down to 30, with probability 0.5.

    Args:
      image: RGB image.
      rng: Random generator.
      strength: Strength of all changes except grey, from 0 (none) to 1.
      grey: Probability of a grey image.
      tone: Strength of the changes of tone and color. None stands for `strength`.
    """
    tone = strength if tone is None else tone
    if strength > 0 and rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), 0.01 + 1.5 * strength * rng.random())
    if tone > 0:
        image = cv2.LUT(image, _tone(rng, tone))
        image = cv2.transform(image, _color(rng, tone))
    if grey > 0 and rng.random() < grey:
        image = cv2.transform(image, _GREY)
    if strength > 0:
        if rng.random() < 0.5:
            image = _noisy(image, rng, 12 * strength * rng.random())
        if rng.random() < 0.5:
            image = _through_jpeg(image, round(100 - 70 * strength * rng.random()))
    return image


def _tone(rng: np.random.Generator, strength: float) -> UInt8[np.ndarray, "1 256"]:
    """Return gamma, contrast and brightness as one lookup table."""
    gamma, contrast, brightness = strength * rng.uniform(-1, 1, 3)
    level = (_LEVELS ** np.exp(0.5 * gamma) - 0.5) * (1 + 0.4 * contrast) + 0.5 + 0.15 * brightness
    return np.rint(np.clip(level, 0, 1) * 255).astype(np.uint8)


def _color(rng: np.random.Generator, strength: float) -> np.ndarray:
    """Return the gains of the channels, saturation and hue as one 3x3 matrix."""
    saturation, hue, *gains = strength * rng.uniform(-1, 1, 5)
    cos, sin = (1 + 0.6 * saturation) * np.array([np.cos(0.3 * hue), np.sin(0.3 * hue)])
    turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    return _RGB @ turn @ _YIQ * (1 + 0.15 * np.array(gains))


def _noisy(
    image: UInt8[np.ndarray, "H W 3"], rng: np.random.Generator, deviation: float
) -> UInt8[np.ndarray, "H W 3"]:
    """Add Gaussian noise from a random position of one long array. Drawing it anew would double the cost of a crop."""
    normals = _normals(max(2**20, 2 * image.size))
    start = int(rng.integers(len(normals) - image.size))
    flat = (image.shape[0], -1)
    noise = normals[start : start + image.size].reshape(flat)
    return cv2.addWeighted(image.reshape(flat), 1.0, noise, deviation, 0.0, dtype=cv2.CV_8U).reshape(
        image.shape
    )


@functools.lru_cache(maxsize=1)
def _normals(number: int) -> np.ndarray:
    """Return standard normal numbers, the same in every process."""
    return np.random.default_rng(0).standard_normal(number, np.float32)


def _through_jpeg(image: UInt8[np.ndarray, "H W 3"], quality: int) -> UInt8[np.ndarray, "H W 3"]:
    """Encode as JPEG and decode, in memory. The data is trusted, so the checks of `images.read_image` are not needed."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    assert decoded is not None
    return decoded
