"""Images and records with known content, for several tests."""

import numpy as np

from cc_jax.data import images, resizing


def blobs(points, height=120, width=200):
    """Return a dark image with a bright blob at each head, uint8 [H, W, 3]."""
    y, x = np.mgrid[:height, :width] + 0.5
    image = np.zeros((height, width))
    for px, py in points:
        image += 200 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * 4.0**2))
    return np.repeat(np.clip(image, 0, 255).astype(np.uint8)[..., None], 3, 2)


def example_of(points, height=120, width=200, **fields):
    """Return the example of `blobs`. Points that do not count are left out."""
    roi = fields.pop("roi", np.ones((height, width), np.uint8))
    heads = resizing.points_in_roi(np.asarray(points, np.float32).reshape(-1, 2), roi)
    image = blobs(points, height, width)
    return {"id": "frame", "image": image, "points": heads, "roi": roi, "labelled": True, **fields}


def record_of(image, points=(), roi=(), *, id="frame", suffix=".png", **fields):
    """Return the record of an image, see data/sources.py."""
    return {
        "id": id,
        "image": images.encode_image(image, suffix),
        "points": np.asarray(points, np.float32).reshape(-1, 2),
        "roi": np.asarray(roi, np.float32).reshape(-1, 2),
        "labelled": True,
        "height": image.shape[0],
        "width": image.shape[1],
        **fields,
    }


class Records(list):
    """Records with the attributes of a Source."""

    def __init__(self, records, name="set", split="train", fingerprint="1"):
        super().__init__(records)
        self.name, self.split, self.scenes, self.fingerprint = name, split, "", fingerprint

    @property
    def sizes(self):
        return [(record["height"], record["width"]) for record in self]


def centroid(weights, size):
    """Return the center of mass (x, y) of a map whose cells are `size` pixels."""
    y, x = (np.mgrid[: weights.shape[0], : weights.shape[1]] + 0.5) * size
    return np.array([(x * weights).sum(), (y * weights).sum()]) / weights.sum()
