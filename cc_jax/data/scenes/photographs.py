"""Photographs without people: panoramas of places, and surfaces seen straight on.

They stand in the distance of scenes, and teach a counter what real places look like when nobody is there. The panoramas come
from Poly Haven, the surfaces (brick, grass, gravel) from scikit-image; all are in the public domain (CC0).
`cc_jax.tools.convert_photographs` makes the files.
"""

import functools
import math
import pathlib

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from cc_jax.data import images
from cc_jax.data.scenes.canvas import Camera

FOLDER = pathlib.Path(__file__).with_name("photographs")
SURFACES = ("surface_brick", "surface_grass", "surface_gravel")
# Panoramas with a horizon under a daylight sky.
_OPEN = ("bpy_city", "bpy_forest", "bpy_sunrise", "pmndrs_city", "pmndrs_dawn", "pmndrs_park")
# Panoramas of places where a crowd can stand around the camera.
_ROOMY = (
    "bpy_city", "bpy_forest", "bpy_sunrise", "pmndrs_city", "pmndrs_esplanade", "pmndrs_forest",
    "pmndrs_warehouse",
)  # fmt: skip

Image = Float32[np.ndarray, "H W 3"]


@functools.cache
def panoramas() -> tuple[str, ...]:
    """The names of all panoramas."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.webp") if path.stem not in SURFACES))


@functools.cache
def read(name: str) -> UInt8[np.ndarray, "h w 3"]:
    """Read a photograph: RGB. A panorama has longitudes from left to right, latitudes from the zenith to the nadir."""
    return images.read_image(FOLDER / f"{name}.webp")


def view(rng: np.random.Generator, rows: int, columns: int) -> Image:
    """A piece of a panorama: at most all of its height, at least a third of it."""
    panorama = read(str(rng.choice(panoramas())))
    high = panorama.shape[0]
    shown = high * rng.uniform(1 / 3, 1)
    return _cut(rng, panorama, rng.uniform(0, high - shown), rows, columns, rows / shown)


def surface(rng: np.random.Generator, rows: int, columns: int, zoom: float) -> Image:
    """A surface at `zoom` pixels for each of its own, mirrored where it ends."""
    photograph = read(str(rng.choice(SURFACES)))
    return _cut(rng, photograph, rng.uniform(0, photograph.shape[0]), rows, columns, zoom, endless=True)


def beyond(rng: np.random.Generator, camera: Camera) -> Image:
    """What stands at the horizon, and the sky above it.

    Things there appear smaller than through the camera's lens: the panoramas have too few pixels.
    """
    panorama = read(str(rng.choice(_OPEN)))
    zoom = rng.uniform(0.9, 2.2) * 512 / panorama.shape[0]
    top = panorama.shape[0] / 2 + 1 - camera.horizon / zoom
    return _cut(rng, panorama, top, camera.rows, camera.columns, zoom)


def around(rng: np.random.Generator, camera: Camera) -> Image:
    """What a camera sees that is turned anywhere in the middle of a panorama of a place with room for a crowd."""
    panorama = read(str(rng.choice(_ROOMY)))
    high, wide = panorama.shape[:2]
    right, lower = camera.rays()
    down = lower * math.cos(camera.tilt) + math.sin(camera.tilt)
    ahead = math.cos(camera.tilt) - lower * math.sin(camera.tilt)
    x = (rng.uniform(0, 1) + np.arctan2(right, ahead) / (2 * np.pi)) * wide
    y = (0.5 + np.arctan2(down, np.hypot(right, ahead)) / np.pi) * high
    return _taken(panorama, np.mod(x, wide) - 0.5, y - 0.5, cv2.BORDER_WRAP)


def _cut(
    rng: np.random.Generator,
    photograph: np.ndarray,
    top: float,
    rows: int,
    columns: int,
    zoom: float,
    *,
    endless: bool = False,
) -> Image:
    """A rectangle of a photograph from row `top` on, enlarged, mirrored to the left and right where it ends.

    Below and above, `endless` mirrors it too. Otherwise its outermost rows go on.
    """
    high, wide = photograph.shape[:2]
    x = rng.uniform(0, wide) + (np.arange(columns) + 0.5) / zoom
    y = top + (np.arange(rows) + 0.5) / zoom
    if rng.random() < 0.5:
        x = x[::-1]
    x = _mirrored(x, wide)
    y = _mirrored(y, high) if endless else np.clip(y, 0, high - 1)
    across, down = np.broadcast_arrays(x[None], y[:, None])
    return _taken(photograph, across, down, cv2.BORDER_CONSTANT)


def _taken(photograph: np.ndarray, x: np.ndarray, y: np.ndarray, border: int) -> Image:
    """The colors of a photograph at these positions; `border` is OpenCV's way to go on beside its edges."""
    across, down = (np.ascontiguousarray(places, np.float32) for places in (x, y))
    seen = cv2.remap(photograph, across, down, cv2.INTER_CUBIC, borderMode=border)
    return seen.astype(np.float32)


def _mirrored(position: np.ndarray, length: int) -> np.ndarray:
    """Positions between 0 and `length` - 1: forwards, then backwards, and so on."""
    return np.abs(np.mod(position, 2 * (length - 1)) - (length - 1))
