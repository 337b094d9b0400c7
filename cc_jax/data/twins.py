"""Images that show the same: exact copies by their pixels, near ones by a perceptual hash."""

import hashlib

import cv2
import numpy as np
from jaxtyping import Bool, Int, UInt8


def pixel_digest(image: UInt8[np.ndarray, "H W 3"]) -> str:
    """Equal exactly when all pixels are, whatever the files' formats."""
    return hashlib.sha256(str(image.shape).encode() + np.ascontiguousarray(image).tobytes()).hexdigest()


def perceptual_hash(image: UInt8[np.ndarray, "H W 3"]) -> Bool[np.ndarray, "63"]:
    """Signs, about their median, of the lowest cosine frequencies of the grey image at 32x32, without the mean.

    The usual 64-bit "pHash"; survives recolouring and rescaling. Unrelated images differ in about 31 bits.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    waves = cv2.dct(small)[:8, :8].ravel()[1:]
    return waves > np.median(waves)


def distances(hashes: Bool[np.ndarray, "N K"]) -> Int[np.ndarray, "N N"]:
    """In how many bits each two hashes differ."""
    bits = hashes.astype(np.float32)
    return (bits @ (1 - bits.T) + (1 - bits) @ bits.T).astype(np.int64)


def link(hashes: Bool[np.ndarray, "N K"], near: int) -> list[int]:
    """The group of every hash (the number of its first member), hashes at most `near` bits apart being linked."""
    group = np.arange(len(hashes))
    for i, j in np.argwhere(np.triu(distances(hashes) <= near, 1)):
        low, high = sorted((group[i], group[j]))
        group[group == high] = low
    return group.tolist()
