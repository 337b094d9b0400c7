"""Records to examples at the size that the network is shown (NumPy and OpenCV only).

A record (data/sources.py) holds the file's bytes; an example is decoded and brought to the frame:
  {"id": str, "image": uint8 [H, W, 3] RGB, "points": float32 [N, 2] the heads that count as (x, y), "roi": uint8 [H, W]
   (1 inside), "labelled": bool, and, with pseudo labels, "density" and "weight": float32 [ceil(H/8), ceil(W/8)]}
Coordinates are continuous: pixel i covers [i, i + 1), so resizing by s maps x to s x and mirroring maps it to W - x.
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
    """The size that images are brought to before anything else, the aspect kept (`config.resize`).

    The published rules for UCF-QNRF: the C-3 framework fits images into 1024x1024 and rounds the sides (max_side=1024,
    multiple=16); Bayesian Loss and its followers clamp the short side (min_side=512, max_short_side=2048).

    Attributes:
      min_side: pixels that the short side has at least; 0, here and below: no bound.
      max_short_side: pixels that the short side has at most.
      max_side: pixels that the long side has at most. Where not all bounds can be met, the upper ones win.
      multiple: both sides are rounded to the nearest multiple of this many pixels, the aspect then changing by as
        much. The bounds are multiples of it too.
    """

    min_side: int = 0
    max_short_side: int = 0
    max_side: int = 0
    multiple: int = 1

    def __post_init__(self):
        bounds = (self.min_side, self.max_short_side, self.max_side)
        if min(bounds) < 0 or self.multiple < 1 or any(bound % self.multiple for bound in bounds):
            raise ConfigError(
                f"config.resize: min_side, max_short_side and max_side are 0 or multiples of multiple={self.multiple} "
                f"pixels, not {', '.join(map(str, bounds))}"
            )

    def fit(self, size: Size) -> Size:
        """(height, width) of the frame of an image of that size; a frame's own size stays as it is."""
        scale = max(1.0, self.min_side / min(size))
        for bound, side in ((self.max_short_side, min(size)), (self.max_side, max(size))):
            scale = min(scale, bound / side) if bound else scale
        height, width = (self.multiple * max(1, round(side * scale / self.multiple)) for side in size)
        return height, width


WHOLE = ResizeRule()


def decode(record: dict[str, Any], resize_rule: ResizeRule = WHOLE) -> Example:
    """A record as an example of that frame. Raises InputError if the image is unreadable or of another size."""
    return {**labels(record, resize_rule), "image": pixels_of(record, resize_rule)}


def labels(record: dict[str, Any], resize_rule: ResizeRule = WHOLE) -> Example:
    """A record's example without its image: all that needs no decoding."""
    size = _size(record)
    roi = polygon_mask(record["roi"], *size)
    height, width = resize_rule.fit(size)
    heads_Nx2 = counting(record["points"], roi) * np.float32([width / size[1], height / size[0]])
    return {
        "id": record["id"],
        "points": heads_Nx2.astype(np.float32),
        "roi": resize_mask(roi, height, width),
        "labelled": bool(record["labelled"]),
    }


def pixels_of(record: dict[str, Any], resize_rule: ResizeRule = WHOLE) -> UInt8[np.ndarray, "H W 3"]:
    """A record's image in that frame; of a JPEG no more is decoded than it takes. Raises InputError as `decode`."""
    size = _size(record)
    image = read_image(record["image"], name=record["id"], enough=resize_rule.fit)
    possible = {tuple(-(-side // k) for side in size) for k in REDUCTIONS}
    if image.shape[:2] not in possible:
        raise InputError(
            f"{record['id']}: is {image.shape[:2]}, its record says {size}; prepare the dataset anew"
        )
    return resize(image, *resize_rule.fit(size))


def unlabelled(rgb: UInt8[np.ndarray, "H W 3"], resize_rule: ResizeRule = WHOLE) -> Example:
    """An RGB array as an example without a name and without heads."""
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
    """1 where a pixel lies in the polygon of (x, y) corners or is touched by its edge; without corners 1 throughout.

    The latter takes no memory and cannot be written to.
    """
    if len(polygon_Mx2) == 0:
        return np.broadcast_to(np.uint8(1), (height, width))
    mask = np.zeros((height, width), np.uint8)
    sixteenths = np.rint((np.asarray(polygon_Mx2, np.float64) - 0.5) * 16)  # OpenCV counts from pixel centres
    return cv2.fillPoly(mask, [sixteenths.astype(np.int32)], 1, shift=4)


def counting(points_Nx2: np.ndarray, roi: UInt8[np.ndarray, "H W"]) -> Float32[np.ndarray, "N 2"]:
    """The heads that count: moved into the frame when on or over its border, dropped when outside the ROI."""
    height, width = roi.shape
    last = np.nextafter(np.float32([width, height]), np.float32(0))
    points_Nx2 = np.clip(np.asarray(points_Nx2, np.float32).reshape(-1, 2), 0, last)
    x, y = pixels(points_Nx2, height, width).T
    return points_Nx2[roi[y, x] > 0]


def resize(image: UInt8[np.ndarray, "H W *C"], height: int, width: int) -> UInt8[np.ndarray, "h w *C"]:
    """The image at another size: averaged over areas when it shrinks by a third and more, else linear.

    It commutes exactly with turning the image upside down, so that no rounding tells the two apart: OpenCV's
    `INTER_AREA` alone differs by one grey level in a few pixels, which is a label a network could learn.
    """
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    upright = resample(image, height, width)
    inverted = cv2.flip(resample(cv2.flip(image, 0), height, width), 0)
    return cv2.addWeighted(upright, 0.5, inverted, 0.5, 0.0).reshape(height, width, *image.shape[2:])


def resample(image: UInt8[np.ndarray, "H W *C"], height: int, width: int) -> UInt8[np.ndarray, "h w *C"]:
    """`resize` in one pass, which does not commute with turning over to the last bit."""
    # Linear reads two pixels along each axis, which leaves none out until the step is near two, in a fifth of the time.
    how = cv2.INTER_AREA if 1.5 * height < image.shape[0] else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=how).reshape(height, width, *image.shape[2:])


def resize_mask(mask: UInt8[np.ndarray, "H W"], height: int, width: int) -> UInt8[np.ndarray, "h w"]:
    """A mask of 0 and 1 at another size: a pixel is inside if at least half of it is."""
    if (
        mask.strides == (0, 0) or mask.all()
    ):  # the former: see polygon_mask; looking at all costs as much as a crop
        return polygon_mask(np.zeros((0, 2)), height, width)
    return (resize(mask * np.uint8(255), height, width) >= 128).astype(np.uint8)
