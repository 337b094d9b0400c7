"""Facts about each image of a prepared split, for `tools/inspect_dataset`."""

import dataclasses
import os
from collections.abc import Sequence
from concurrent import futures
from typing import Any

import cv2
import numpy as np

from cc_jax.data import resizing, twins

# Hashes of near-duplicates differ in at most this many of 63 bits. Different photographs of one place differ in more.
NEAR = 12
# An image looks grey if its channels differ by less than this, in grey levels and on average.
_GREY = 0.5
# Long side of an image on a contact sheet, in pixels.
_SHEET_SIDE = 240


@dataclasses.dataclass(frozen=True)
class Look:
    """Facts about one image.

    Attributes:
      id: Id of the image.
      split: Split that it belongs to.
      height: Height in pixels.
      width: Width in pixels.
      people: Number of head points.
      outside: Number of head points outside the region of interest.
      labelled: Whether the image has been annotated.
      channels: Channels of the stored image: 1 grey, 3 color, 4 with transparency.
      looks_grey: Whether the image shows no color, however it is stored.
      digest: See `twins.pixel_digest`.
      hash: See `twins.perceptual_hash`.
      small: The image, reduced and with its heads marked, uint8 [h, w, 3].
    """

    id: str
    split: str
    height: int
    width: int
    people: int
    outside: int
    labelled: bool
    channels: int
    looks_grey: bool
    digest: str
    hash: np.ndarray
    small: np.ndarray


@dataclasses.dataclass(frozen=True)
class Twins:
    """Two images that show the same.

    Attributes:
      one: The first image.
      other: The second image.
      bits: Number of bits in which their perceptual hashes differ.
      exact: Whether all pixels are equal.
    """

    one: Look
    other: Look
    bits: int
    exact: bool

    @property
    def leak(self) -> bool:
        """Whether the images are in different splits, so that a test image is also a training image."""
        return self.one.split != self.other.split


def look(split: str, record: dict[str, Any]) -> Look:
    """Return the facts about one record (data/sources.py).

    Raises:
      InputError: The image is damaged.
    """
    example = resizing.decode(record)
    image, points = example["image"], record["points"]
    stored = cv2.imdecode(np.frombuffer(record["image"], np.uint8), cv2.IMREAD_UNCHANGED)
    red, green, blue = (image[..., channel].astype(np.int16) for channel in range(3))
    return Look(
        id=record["id"],
        split=split,
        height=image.shape[0],
        width=image.shape[1],
        people=len(points),
        outside=len(points) - len(example["points"]),
        labelled=example["labelled"],
        channels=1 if stored is None or stored.ndim == 2 else stored.shape[2],
        looks_grey=bool(max(np.abs(red - green).mean(), np.abs(blue - green).mean()) < _GREY),
        digest=twins.pixel_digest(image),
        hash=twins.perceptual_hash(image),
        small=marked(image, points),
    )


def look_at(split: str, records: Sequence[Any]) -> list[Look]:
    """Return the facts about every record, in order. Runs on all cores."""
    with futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return list(pool.map(lambda i: look(split, records[i]), range(len(records))))


def marked(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return a reduced image, uint8 [h, w, 3], with a dot on every head."""
    scale = min(1.0, _SHEET_SIDE / max(image.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    for x, y in np.asarray(points) * scale:
        cv2.circle(small, (int(x), int(y)), 1, (255, 40, 40), cv2.FILLED, cv2.LINE_AA)
    return small


def find_twins(looks: Sequence[Look]) -> list[Twins]:
    """Return the pairs of images that show the same: exact copies first, then by the number of different bits."""
    if len(looks) < 2:
        return []
    bits = twins.distances(np.stack([one.hash for one in looks]))
    exact = np.array([one.digest for one in looks])
    pairs = np.argwhere(np.triu((bits <= NEAR) | (exact[:, None] == exact[None]), 1))
    found = [Twins(looks[i], looks[j], int(bits[i, j]), bool(exact[i] == exact[j])) for i, j in pairs]
    return sorted(found, key=lambda pair: (not pair.exact, pair.bits))
