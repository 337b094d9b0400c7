"""Examples from records: images decoded and resized to the size that the network sees.

A record (data/sources.py) contains the bytes of an image file. An example is a dict:
  id: str.
  image: uint8 [H, W, 3], RGB.
  points: float32 [N, 2], head points (x, y) inside the region of interest.
  roi: uint8 [H, W], 1 inside the region of interest.
  labelled: bool, whether the image has been annotated.
  density, weight: float32 [ceil(H / CELL), ceil(W / CELL)], with pseudo labels only.
Coordinates are continuous: pixel i covers [i, i + 1). Resizing by s maps x to s * x, and mirroring maps x to W - x.
"""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from cc_jax.data.density import pixels
from cc_jax.data.images import REDUCTIONS, cv2, read_image
from cc_jax.errors import ConfigError, InputError

Example = dict[str, Any]
Size = tuple[int, int]  # (height, width) in pixels


@dataclasses.dataclass(frozen=True)
class ResizeRule:
    """The size that images are resized to before anything else (`config.resize`). The aspect ratio is kept.

    Published rules for UCF-QNRF: the C-3 framework fits images into 1024x1024 and rounds the sides (max_side=1024,
    multiple=16). Bayesian Loss and its successors clamp the short side (min_side=512, max_short_side=2048).

    Attributes:
      min_side: Smallest short side in pixels, or 0 for no bound.
      max_short_side: Largest short side in pixels, or 0 for no bound.
      max_side: Largest long side in pixels, or 0 for no bound. If the bounds contradict each other, the upper ones win.
      multiple: Both sides are rounded to the nearest multiple of this many pixels, which changes the aspect ratio
        slightly. The bounds must be multiples of it.
    """

    min_side: int = 0
    max_short_side: int = 0
    max_side: int = 0
    multiple: int = 1

    def __post_init__(self):
        bounds = (self.min_side, self.max_short_side, self.max_side)
        if min(bounds) < 0 or self.multiple < 1 or any(bound % self.multiple for bound in bounds):
            raise ConfigError(
                "config.resize: min_side, max_short_side and max_side must be 0 or multiples of "
                f"multiple={self.multiple} pixels, not {', '.join(map(str, bounds))}"
            )

    def fit(self, size: Size) -> Size:
        """Return the (height, width) that an image of `size` is resized to. A size that fits already is kept."""
        scale = max(1.0, self.min_side / min(size))
        for bound, side in ((self.max_short_side, min(size)), (self.max_side, max(size))):
            scale = min(scale, bound / side) if bound else scale
        height, width = (self.multiple * max(1, round(side * scale / self.multiple)) for side in size)
        return height, width


KEEP_SIZE = ResizeRule()


def decode(record: dict[str, Any], resize_rule: ResizeRule = KEEP_SIZE) -> Example:
    """Return the example of a record.

    Raises:
      InputError: The image is damaged, or has another size than the record states.
    """
    return {**decode_labels(record, resize_rule), "image": decode_image(record, resize_rule)}


def decode_labels(record: dict[str, Any], resize_rule: ResizeRule = KEEP_SIZE) -> Example:
    """Return the example of a record without its image, for which nothing has to be decoded."""
    size = _size(record)
    roi = polygon_mask(record["roi"], *size)
    height, width = resize_rule.fit(size)
    heads_Nx2 = points_in_roi(record["points"], roi) * np.array(
        [width / size[1], height / size[0]], np.float32
    )
    return {
        "id": record["id"],
        "points": heads_Nx2.astype(np.float32),
        "roi": resize_mask(roi, height, width),
        "labelled": bool(record["labelled"]),
    }


def decode_image(record: dict[str, Any], resize_rule: ResizeRule = KEEP_SIZE) -> UInt8[np.ndarray, "H W 3"]:
    """Return the resized image of a record. A JPEG is decoded at a lower resolution if that suffices.

    Raises:
      InputError: The image is damaged, or has another size than the record states.
    """
    size = _size(record)
    image = read_image(record["image"], name=record["id"], enough=resize_rule.fit)
    possible = {tuple(-(-side // k) for side in size) for k in REDUCTIONS}
    if image.shape[:2] not in possible:
        raise InputError(
            f"{record['id']}: is {image.shape[:2]}, but its record says {size}; prepare the dataset again"
        )
    return resize(image, *resize_rule.fit(size))


def unlabelled(rgb: UInt8[np.ndarray, "H W 3"], resize_rule: ResizeRule = KEEP_SIZE) -> Example:
    """Return an RGB array as an example without an id and without head points."""
    height, width = resize_rule.fit(rgb.shape[:2])
    return {
        "id": "",
        "image": resize(rgb, height, width),
        "points": np.zeros((0, 2), np.float32),
        "roi": polygon_mask(np.zeros((0, 2)), height, width),
        "labelled": False,
    }


def _size(record: dict[str, Any]) -> Size:
    return int(record["height"]), int(record["width"])


def polygon_mask(polygon_Mx2: np.ndarray, height: int, width: int) -> UInt8[np.ndarray, "H W"]:
    """Return a mask that is 1 on pixels inside a polygon of (x, y) corners and on those that its edge touches.

    Without corners the mask is 1 everywhere. It then takes no memory and is read-only.
    """
    if len(polygon_Mx2) == 0:
        return np.broadcast_to(np.uint8(1), (height, width))
    mask = np.zeros((height, width), np.uint8)
    # OpenCV's coordinates are those of pixel centers, here in fixed point with four fractional bits.
    sixteenths = np.rint((np.asarray(polygon_Mx2, np.float64) - 0.5) * 16)
    return cv2.fillPoly(mask, [sixteenths.astype(np.int32)], 1, shift=4)


def points_in_roi(points_Nx2: np.ndarray, roi: UInt8[np.ndarray, "H W"]) -> Float32[np.ndarray, "M 2"]:
    """Return the head points that count: those outside the image are moved into it, those outside the ROI dropped."""
    height, width = roi.shape
    last = np.nextafter(np.array([width, height], np.float32), np.float32(0))
    points_Nx2 = np.clip(np.asarray(points_Nx2, np.float32).reshape(-1, 2), 0, last)
    x, y = pixels(points_Nx2, height, width).T
    return points_Nx2[roi[y, x] > 0]


def resize(image: UInt8[np.ndarray, "H W *C"], height: int, width: int) -> UInt8[np.ndarray, "h w *C"]:
    """Resize an image: by area averaging if it shrinks to less than two thirds, else linearly.

    Resizing commutes exactly with turning the image upside down. OpenCV's `INTER_AREA` alone does not: a few pixels differ
    by one grey level. A network could learn from these which images are upside down, and that is what the auxiliary task
    asks.
    """
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    upright = resample(image, height, width)
    inverted = cv2.flip(resample(cv2.flip(image, 0), height, width), 0)
    return cv2.addWeighted(upright, 0.5, inverted, 0.5, 0.0).reshape(height, width, *image.shape[2:])


def resample(image: UInt8[np.ndarray, "H W *C"], height: int, width: int) -> UInt8[np.ndarray, "h w *C"]:
    """Resize in one pass. In contrast to `resize`, this does not commute exactly with turning the image upside down."""
    # Linear interpolation is much faster. It reads two pixels along each axis, so it skips none until the image shrinks
    # to nearly half.
    how = cv2.INTER_AREA if 1.5 * height < image.shape[0] else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=how).reshape(height, width, *image.shape[2:])


def resize_mask(mask: UInt8[np.ndarray, "H W"], height: int, width: int) -> UInt8[np.ndarray, "h w"]:
    """Resize a mask of 0 and 1. A pixel is 1 if at least half of it is inside."""
    # Zero strides are those of `polygon_mask` without corners. Checking them is much faster than reading all pixels.
    if mask.strides == (0, 0) or mask.all():
        return polygon_mask(np.zeros((0, 2)), height, width)
    return (resize(mask * np.uint8(255), height, width) >= 128).astype(np.uint8)
