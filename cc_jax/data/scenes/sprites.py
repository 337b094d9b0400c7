"""The bank of rendered people from which scenes are composed. `cc_jax.tools.render_people` makes it."""

import dataclasses
import functools
import io
import math
import pathlib
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from cc_jax.errors import InputError

BANK = pathlib.Path(__file__).with_name("people.npz")
# What a pixel of a sprite shows.
NOTHING, OTHER, HEAD, UPPER, LOWER = range(5)
_QUALITY = 82  # of WebP
_LEVELS = 5  # sizes in which a sprite is kept
_STEP = 50  # between the grey levels in which regions are stored


@dataclasses.dataclass(frozen=True, eq=False)
class Sprite:
    """A person, seen from one side.

    Attributes:
      image: RGB (not multiplied by alpha) and alpha.
      regions: what each pixel shows: NOTHING, OTHER, HEAD, UPPER or LOWER.
      metre: pixels a metre.
      head: x and y of the middle of the head in pixels.
      foot: x and y of the point on the ground that the person stands or sits above.
      elevation: of the camera above the horizon, in degrees.
      azimuth: of the camera from the person's front around to their left, in degrees.
      sun: from the camera to the sun in degrees, positive to the right of the image; 0 under an overcast sky.
      activity: "stand", "walk" or "sit".
      holds: what the hands do, such as "umbrella" or "phone"; see `cc_jax.tools.people.poses`.
    """

    image: UInt8[np.ndarray, "H W 4"]
    regions: UInt8[np.ndarray, "H W"]
    metre: float
    head: Float[np.ndarray, "2"]
    foot: Float[np.ndarray, "2"]
    elevation: float
    azimuth: float
    sun: float
    activity: str
    holds: str


def write_bank(sprites: Sequence[Sprite], path: pathlib.Path) -> None:
    """Write sprites to one file: WebP images, and their regions as PNG."""
    images, regions = [], []
    for sprite in sprites:
        bgra = cv2.cvtColor(sprite.image, cv2.COLOR_RGBA2BGRA)
        images.append(cv2.imencode(".webp", bgra, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])[1])
        regions.append(cv2.imencode(".png", sprite.regions * _STEP, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1])
    buffer = io.BytesIO()
    np.savez(
        buffer,
        images=np.concatenate(images),
        image_sizes=np.array([len(i) for i in images], np.uint32),
        regions=np.concatenate(regions),
        region_sizes=np.array([len(r) for r in regions], np.uint32),
        numbers=np.array(
            [[s.metre, *s.head, *s.foot, s.elevation, s.azimuth, s.sun] for s in sprites], np.float32
        ),
        activities=np.array([s.activity for s in sprites]),
        holds=np.array([s.holds for s in sprites]),
    )
    path.write_bytes(buffer.getvalue())


@functools.cache
def read_bank(path: pathlib.Path = BANK) -> tuple[Sprite, ...]:
    """Read the sprites of a file that `write_bank` wrote."""
    with np.load(path) as stored:
        images = np.split(stored["images"], np.cumsum(stored["image_sizes"])[:-1])
        regions = np.split(stored["regions"], np.cumsum(stored["region_sizes"])[:-1])
        numbers, activities = stored["numbers"].astype(float), stored["activities"].tolist()
        holds = stored["holds"].tolist()
    sprites = []
    for image, region, row, activity, held in zip(images, regions, numbers, activities, holds, strict=True):
        rgba = cv2.cvtColor(_decoded(image, path), cv2.COLOR_BGRA2RGBA)
        shown = _decoded(region, path) // _STEP
        sprites.append(
            Sprite(rgba, shown, row[0], row[1:3], row[3:5], row[5], row[6], row[7], activity, held)
        )
    return tuple(sprites)


def _decoded(encoded: UInt8[np.ndarray, " N"], path: pathlib.Path) -> np.ndarray:
    image = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise InputError(f"{path} is damaged: an image of a person cannot be decoded; install cc_jax again")
    return image


def at_scale(
    sprite: Sprite, scale: float, mirrored: bool, angle: float
) -> tuple[UInt8[np.ndarray, "h w 4"], UInt8[np.ndarray, "h w"], Float[np.ndarray, "2"]]:
    """A sprite at another size.

    Args:
      sprite: the sprite.
      scale: size of its pixels in pixels of the result.
      mirrored: whether left and right are exchanged.
      angle: degrees clockwise by which it is rotated. Less than two degrees are left away.

    Returns:
      RGB multiplied by alpha, and alpha; the regions; x and y of the middle of the head.
    """
    level = min(math.floor(math.log2(1 / scale)), _LEVELS - 1) if scale < 1 else 0
    image, regions = _levels(sprite)[level]
    factor = scale * 2**level
    head = sprite.head * scale
    size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    image = cv2.resize(image, size, interpolation=way)
    regions = cv2.resize(regions, size, interpolation=cv2.INTER_NEAREST)
    if mirrored:
        image, regions = image[:, ::-1], regions[:, ::-1]
        head = np.array([size[0] - head[0], head[1]])
    if abs(angle) < 2:
        return image, regions, head
    matrix = cv2.getRotationMatrix2D(tuple(head.tolist()), -angle, 1.0)
    corners = (
        np.array([[0, 0], [size[0], 0], [size[0], size[1]], [0, size[1]]]) @ matrix[:, :2].T + matrix[:, 2]
    )
    low = np.floor(corners.min(0))
    matrix[:, 2] -= low
    turned = tuple(np.ceil(corners.max(0) - low).astype(int).tolist())
    image = cv2.warpAffine(np.ascontiguousarray(image), matrix, turned, flags=cv2.INTER_LINEAR)
    regions = cv2.warpAffine(np.ascontiguousarray(regions), matrix, turned, flags=cv2.INTER_NEAREST)
    return image, regions, head - low


@functools.lru_cache(maxsize=4096)
def _levels(sprite: Sprite) -> list[tuple[np.ndarray, np.ndarray]]:
    """A sprite, multiplied by its alpha, at its size and at halves of it."""
    alpha = sprite.image[..., 3:].astype(np.uint16)
    image = np.concatenate(
        [(sprite.image[..., :3] * alpha // 255).astype(np.uint8), sprite.image[..., 3:]], -1
    )
    levels: list[tuple[np.ndarray, np.ndarray]] = [(image, sprite.regions)]
    for _ in range(_LEVELS - 1):
        image, regions = levels[-1]
        size = max(1, image.shape[1] // 2), max(1, image.shape[0] // 2)
        smaller = cv2.resize(regions, size, interpolation=cv2.INTER_NEAREST)
        levels.append((cv2.resize(image, size, interpolation=cv2.INTER_AREA), smaller))
    return levels
