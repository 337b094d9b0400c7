"""Sky and ground of a scene, with paving, wear, road markings and shadows."""

import cv2
import numpy as np

from cc_jax.data.scenes.canvas import Camera, noise
from cc_jax.data.scenes.looks import Look
from cc_jax.data.scenes.places import Place

# The ground is computed at every second pixel of the canvas, which has twice the size of the image.
_STEP = 2


def backdrop(
    rng: np.random.Generator, camera: Camera, place: Place, look: Look, shade: np.ndarray
) -> np.ndarray:
    """Return sky and ground as uint8 RGB [rows, columns, 3]. `shade` is that of `people.shadow_mask`."""
    x, z, depth = camera.ground(_STEP)
    ground = _ground(rng, camera, place, look, x, z, depth)
    clear = np.exp(-np.minimum(depth, 1e4) / look.haze_range)
    lit = clear * (1 - look.shadow * _shade(place, look, shade, x, depth))
    ground = ground * lit[..., None] + look.haze.astype(np.float32) * (1 - clear)[..., None]
    rgb = np.where((depth < 1e3)[..., None], ground, _sky(rng, camera, look, depth.shape))
    return cv2.resize(np.clip(rgb, 0, 255).astype(np.uint8), (camera.columns, camera.rows))


def _sky(rng: np.random.Generator, camera: Camera, look: Look, shape: tuple[int, int]) -> np.ndarray:
    """Return the sky, from `sky_low` at the horizon to `sky_top`, with clouds if surfaces are worn."""
    horizon = camera.horizon / _STEP
    rise = np.clip((horizon - np.arange(shape[0])) / (0.35 * camera.focal / _STEP), 0, 1)[:, None, None]
    sky = np.broadcast_to(look.sky_low * (1 - rise) + look.sky_top * rise, (*shape, 3)).astype(np.float32)
    if look.texture > 0 and horizon > 4:
        clouds = cv2.resize(noise(rng, 128, 16), (shape[1], shape[0] * 2))[: shape[0], :, None]
        sky += np.clip(clouds, 0, 1.5) * 0.3 * (look.sky_low.astype(np.float32) + 14 - sky)
    return sky


def _ground(rng, camera: Camera, place: Place, look: Look, x, z, depth) -> np.ndarray:
    """Return the ground with paving, wear and markings, float32 [H, W, 3]."""
    lawn = place.kind == "park" or (place.kind == "square" and rng.random() < 0.15)
    base = look.lawn if lawn else look.ground
    # Meters along z that a pixel covers.
    footprint = np.minimum(depth, 1e3) ** 2 / (camera.height * camera.focal) * _STEP
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
    """Return slabs, rows of bricks, or plain asphalt. The pattern fades out where it is finer than a pixel."""
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
        # A hash of the slab's position.
        slab = np.mod(np.sin(row * 12.9898 + column * 78.233) * 43758.55, 1.0) - 0.5
        return fade * (0.16 * slab * look.texture - 0.22 * joint)
    checker = np.mod(row + column, 2) - 0.5
    return fade * (0.1 * checker * rng.integers(2) - 0.12 * joint)


def _wear(rng: np.random.Generator, x, z, footprint) -> np.ndarray:
    """Return stains of several meters and grain of centimeters."""
    texture = noise(rng, 256, 128, 0.8)
    value = np.zeros_like(x)
    for metres, strength in ((24.0, 0.05), (5.0, 0.04), (0.9, 0.05)):
        u, v = ((c - np.floor(c)) * 256 for c in (x / metres, z / metres))
        fade = np.clip(metres / np.maximum(footprint, 1e-3) / 12, 0, 1)
        value += strength * fade * cv2.remap(texture, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return value


def _markings(rng, look: Look, ground, x, z, footprint, place: Place) -> np.ndarray:
    """Add a dashed line, curbs, and sometimes a crosswalk."""
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
    """Return the shadows of people and, in sunlight, of the houses on one side, 0 to 1."""
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
