"""Checks of raw images and head points, run before a dataset is written.

A point outside `0 <= x < width, 0 <= y < height` is moved to the nearest pixel of the image and still counts as one
person. `prepare` reports how many points were moved.
"""

import dataclasses
import os
from collections.abc import Sequence
from concurrent import futures

import numpy as np
from jaxtyping import Float32

from cc_jax.data import images
from cc_jax.data.builders.raw import RawImage
from cc_jax.errors import InputError


def check_image(raw_image: RawImage) -> RawImage:
    """Decode the image and move its points inside it.

    Returns:
      A copy with `height`, `width`, `points` and `moved` set.

    Raises:
      InputError: The image cannot be read, or a coordinate is not a finite number.
    """
    name = raw_image.id if isinstance(raw_image.image, bytes) else ""
    height, width = images.read_image(raw_image.image, name=name).shape[:2]
    points, moved = clamp_points(raw_image.points, height, width, name=raw_image.id)
    return dataclasses.replace(raw_image, points=points, height=height, width=width, moved=moved)


def check_images(raw_images: Sequence[RawImage]) -> tuple[list[RawImage], list[str]]:
    """Run `check_image` on every image, on all cores.

    Returns:
      The images that passed, and a line for each problem: images that cannot be read, and ids that occur twice.
    """
    with futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        results = list(pool.map(_check_or_error, raw_images))
    good = [result for result in results if isinstance(result, RawImage)]
    return good, _duplicate_ids(good) + [str(result) for result in results if isinstance(result, InputError)]


def clamp_points(
    points: np.ndarray, height: int, width: int, *, name: str = ""
) -> tuple[Float32[np.ndarray, "N 2"], int]:
    """Move points outside `0 <= x < width, 0 <= y < height` to the nearest pixel.

    Args:
      points: Head positions (x, y), [N, 2]. May be empty of any shape.
      height: Height of the image in pixels.
      width: Width of the image in pixels.
      name: What to call the image in an error.

    Returns:
      The points, and how many of them were moved.

    Raises:
      InputError: A coordinate is not a finite number.
    """
    points = np.asarray(points, np.float32).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise InputError(f"{name}: a head point is not a finite number")
    outside = np.any((points < 0) | (points >= (width, height)), axis=1)
    inside = np.clip(points, 0, np.array([width - 1, height - 1], np.float32))
    return np.where(outside[:, None], inside, points), int(outside.sum())


def _check_or_error(raw_image: RawImage) -> RawImage | InputError:
    try:
        return check_image(raw_image)
    except InputError as error:
        return error


def _duplicate_ids(raw_images: Sequence[RawImage]) -> list[str]:
    problems, seen = [], set()
    for raw_image in raw_images:
        if raw_image.id in seen:
            problems.append(
                f"{raw_image.image}: the id {raw_image.id!r} is taken by another image; rename one of the two files"
            )
        seen.add(raw_image.id)
    return problems
