"""A simulated camera: exposure, blur, vignette, noise and compression."""

import cv2
import numpy as np
from jaxtyping import UInt8

from cc_jax.data.scenes.canvas import noise

Image = UInt8[np.ndarray, "H W 3"]


def photograph(rng: np.random.Generator, image: Image) -> Image:
    """Return the image as a cheap camera would have taken it. No pixel moves."""
    light = expose(rng, material(rng, image.astype(np.float32) / 255))
    light = blur(rng, light)
    light = vignette(rng, light)
    light = grain(rng, light)
    pixels = np.rint(np.clip(light, 0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.06:
        pixels = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return compress(pixels, int(rng.integers(45, 94)))


def material(rng: np.random.Generator, light: np.ndarray) -> np.ndarray:
    """Add the fine texture of cloth, leaves and plaster to flat colors."""
    h, w = light.shape[:2]
    tile = np.roll(noise(rng, 256, 128, 0.9, coarsest=32), rng.integers(256, size=2), axis=(0, 1))
    uneven = np.tile(tile, (-(-h // 256), -(-w // 256)))[:h, :w]
    return light * (1 + rng.uniform(0.02, 0.045) * uneven)[..., None]


def expose(rng: np.random.Generator, light: np.ndarray) -> np.ndarray:
    """Apply automatic exposure, white balance, contrast and saturation. One image in twelve is taken at dusk."""
    dusk = rng.random() < 0.08
    gain = (rng.uniform(0.26, 0.34) if dusk else rng.uniform(0.42, 0.58)) / float(light.mean())
    balance = 1 + rng.normal(0, 0.04) * np.array([1, 0, -1]) + (np.array([0.05, 0, -0.06]) if dusk else 0)
    light = light * (gain * balance).astype(np.float32)
    grey = light.mean(axis=2, keepdims=True)
    light = grey + (light - grey) * np.float32(rng.uniform(0.75, 1.15))
    contrast = rng.uniform(0.95, 1.3)
    return np.float32(0.45) + (light - np.float32(0.45)) * np.float32(contrast)


def blur(rng: np.random.Generator, light: np.ndarray) -> np.ndarray:
    """Apply a slight defocus, and sometimes motion blur. Sigmas are in pixels."""
    light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.5, 1.3))
    if rng.random() < 0.12:
        length, angle = int(rng.integers(3, 5)), rng.uniform(0, np.pi)
        kernel = np.zeros((7, 7), np.float32)
        reach = length / 2 * np.array([np.cos(angle), np.sin(angle)])
        ends = np.rint((np.array([[3, 3]]) + np.stack([-reach, reach])) * 16).astype(int)
        cv2.line(kernel, ends[0].tolist(), ends[1].tolist(), 1.0, 1, cv2.LINE_8, 4)
        light = cv2.filter2D(light, -1, kernel / kernel.sum())
    return light


def vignette(rng: np.random.Generator, light: np.ndarray) -> np.ndarray:
    """Darken the corners by up to a third."""
    h, w = light.shape[:2]
    v, u = np.ogrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    return light * (1 - rng.uniform(0, 0.33) * (u * u + v * v) / 2).astype(np.float32)[..., None]


def grain(rng: np.random.Generator, light: np.ndarray) -> np.ndarray:
    """Add photon noise, which grows with the square root of the light, and constant read noise."""
    shot, read = rng.uniform(0.005, 0.03), rng.uniform(0.002, 0.01)
    sigma = np.sqrt(shot**2 * np.clip(light, 0, 1) + read**2).astype(np.float32)
    return light + sigma * rng.standard_normal(light.shape, np.float32)


def compress(image: Image, quality: int) -> Image:
    """Encode as JPEG and decode."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.ascontiguousarray(decoded[..., ::-1])
