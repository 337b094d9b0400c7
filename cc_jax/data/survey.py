"""What a prepared split holds, image by image: the facts that `tools/inspect_dataset` shows."""

import dataclasses
import os
from collections.abc import Sequence
from concurrent import futures
from typing import Any

import cv2
import numpy as np

from cc_jax.data import resizing, twins

# Bits of 63 in which the hashes of near-duplicates differ at most. On ShanghaiTech A the 8 pairs below it are the same
# photograph (0 to 2 bits) and the next ones, at 14, are other photographs of one place.
NEAR = 12
_GREY = 0.5  # mean difference of the channels, in grey levels, below which an image looks grey
_SHEET_SIDE = 240  # pixels; the longer side of an image on a contact sheet


@dataclasses.dataclass(frozen=True)
class Look:
    """What is known of one image.

    Attributes:
      id, split: its name and where it stands.
      height, width: in pixels.
      people: head points; outside: of these, outside the region of interest.
      labelled: whether anybody has counted.
      channels: as stored: 1 grey, 3 colour, 4 with transparency.
      looks_grey: no colour in it, however it is stored.
      digest, hash: see data/twins.py.
      small: the image with its heads marked, uint8 [h, w, 3].
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
    """Two images that show the same; `bits` apart, 0 and `exact` when every pixel is equal."""

    one: Look
    other: Look
    bits: int
    exact: bool

    @property
    def leak(self) -> bool:
        """Whether they stand in different splits: what is tested on was trained on."""
        return self.one.split != self.other.split


def look(split: str, record: dict[str, Any]) -> Look:
    """The facts of one record (data/sources.py). Raises InputError for a damaged image."""
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
        channels=1 if stored.ndim == 2 else stored.shape[2],
        looks_grey=max(np.abs(red - green).mean(), np.abs(blue - green).mean()) < _GREY,
        digest=twins.pixel_digest(image),
        hash=twins.perceptual_hash(image),
        small=marked(image, points),
    )


def look_at(split: str, records: Sequence[dict[str, Any]]) -> list[Look]:
    """`look` at every record, on all cores, in order."""
    with futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return list(pool.map(lambda i: look(split, records[i]), range(len(records))))


def marked(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The image, small, with a dot on every head: uint8 [h, w, 3]."""
    scale = min(1.0, _SHEET_SIDE / max(image.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    for x, y in np.asarray(points) * scale:
        cv2.circle(small, (int(x), int(y)), 1, (255, 40, 40), cv2.FILLED, cv2.LINE_AA)
    return small


def find_twins(looks: Sequence[Look]) -> list[Twins]:
    """Pairs of images that show the same, the closest first."""
    if len(looks) < 2:
        return []
    bits = twins.distances(np.stack([one.hash for one in looks]))
    exact = np.array([one.digest for one in looks])
    pairs = np.argwhere(np.triu((bits <= NEAR) | (exact[:, None] == exact[None]), 1))
    found = [Twins(looks[i], looks[j], int(bits[i, j]), bool(exact[i] == exact[j])) for i, j in pairs]
    return sorted(found, key=lambda pair: (not pair.exact, pair.bits))
