"""Summary of a dataset's raw files, which is stored beside the prepared records as metadata.json."""

import hashlib

import numpy as np

from cc_jax.data.builders.raw import Raw


def summarize(raw: Raw) -> dict:
    """Return the content of metadata.json.

    Returns:
      {"splits": {split: {"images", "points", "moved", "unlabelled"}}, "notes": list of str, "fingerprint": str}, and
      "scenes": {split: rows of numbers in the order of the records} for datasets that describe their scenes.
    """
    splits = {
        split: {
            "images": len(raw_images),
            "points": int(sum(len(raw_image.points) for raw_image in raw_images)),
            "moved": int(sum(raw_image.moved for raw_image in raw_images)),
            "unlabelled": int(sum(not raw_image.labelled for raw_image in raw_images)),
        }
        for split, raw_images in raw.splits.items()
    }
    summary = {"splits": splits, "notes": list(raw.notes), "fingerprint": raw.digest or fingerprint(raw)}
    scenes = {split: [list(image.scene) for image in raw_images] for split, raw_images in raw.splits.items()}
    return {**summary, "scenes": scenes} if any(any(rows) for rows in scenes.values()) else summary


def fingerprint(raw: Raw) -> str:
    """Return a SHA-256 of ids, file sizes and points. It identifies the raw files without reading the images."""
    digest = hashlib.sha256()
    for split, raw_images in sorted(raw.splits.items()):
        for raw_image in sorted(raw_images, key=lambda raw_image: raw_image.id):
            image = raw_image.image
            size = len(image) if isinstance(image, bytes) else image.stat().st_size
            digest.update(f"{split}\n{raw_image.id}\n{size}\n{raw_image.labelled}\n".encode())
            digest.update(np.asarray(raw_image.points, "<f4").tobytes())
            digest.update(np.asarray(raw_image.roi, "<f4").tobytes())
    return digest.hexdigest()
