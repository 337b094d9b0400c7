"""Detection of duplicate images: exact copies by a digest of their pixels, near-duplicates by a perceptual hash."""

import hashlib

import cv2
import numpy as np
from jaxtyping import Bool, Int, UInt8


def pixel_digest(image: UInt8[np.ndarray, "H W 3"]) -> str:
    """Return a SHA-256 of the image's shape and pixels. It does not depend on the file's format."""
    return hashlib.sha256(str(image.shape).encode() + np.ascontiguousarray(image).tobytes()).hexdigest()


def perceptual_hash(image: UInt8[np.ndarray, "H W 3"]) -> Bool[np.ndarray, "63"]:
    """Return the perceptual hash of an image, the common 64-bit "pHash" without the bit of the mean.

    The bits say which of the lowest cosine frequencies of the grey image, at 32x32 pixels, are above their median. They
    hardly change when the image is recolored or rescaled. Unrelated images differ in about 31 bits.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    waves = cv2.dct(small)[:8, :8].ravel()[1:]
    return waves > np.median(waves)


def distances(hashes: Bool[np.ndarray, "N K"]) -> Int[np.ndarray, "N N"]:
    """Return the number of bits in which each pair of hashes differs."""
    bits = hashes.astype(np.float32)
    return (bits @ (1 - bits.T) + (1 - bits) @ bits.T).astype(np.int64)


def link(hashes: Bool[np.ndarray, "N K"], near: int) -> list[int]:
    """Group hashes that are linked directly or through others. Two hashes are linked if at most `near` bits differ.

    Returns:
      The group of each hash: the index of the group's first hash.
    """
    group = np.arange(len(hashes))
    for i, j in np.argwhere(np.triu(distances(hashes) <= near, 1)):
        low, high = sorted((group[i], group[j]))
        group[group == high] = low
    return group.tolist()
