"""Records to examples, and examples to training crops or evaluation frames (NumPy and OpenCV only).

A record (data/sources.py) holds the file's bytes; an example is decoded:
  {"id": str, "image": uint8 [H, W, 3] RGB, "points": float32 [N, 2] heads as (x, y), "roi": uint8 [H, W] (1 inside),
   "labelled": bool, and, with pseudo labels, "density" and "weight": float32 [ceil(H/8), ceil(W/8)]}
Coordinates are continuous: pixel i covers [i, i + 1), so resizing by s maps x to s x and mirroring maps it to W - x.
"""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from cc_jax.data.density import Density, pixels, resize_density
from cc_jax.data.images import cv2, encode_image, read_image
from cc_jax.errors import ConfigError, InputError

CELL = 8  # pixels a side of one cell of the density map: the stride of the models
Example = dict[str, Any]


def decode(record: dict[str, Any]) -> Example:
    """A record as an example. Raises InputError if the image is unreadable or of another size."""
    image = record["image"]  # decoded already where it comes from a cache
    if not isinstance(image, np.ndarray):
        image = read_image(image, name=record["id"])
    size = (int(record["height"]), int(record["width"]))
    if image.shape[:2] != size:
        raise InputError(
            f"{record['id']}: is {image.shape[:2]}, its record says {size}; prepare the dataset anew"
        )
    points_Nx2 = np.asarray(record["points"], np.float32).reshape(-1, 2)
    return {
        "id": record["id"],
        "image": image,
        "points": points_Nx2,
        "roi": polygon_mask(record["roi"], *size),
        "labelled": bool(record["labelled"]),
    }


def polygon_mask(polygon_Mx2: np.ndarray, height: int, width: int) -> UInt8[np.ndarray, "H W"]:
    """1 where a pixel lies in the polygon of (x, y) corners or is touched by its edge; without corners 1 throughout."""
    if len(polygon_Mx2) == 0:
        return np.ones((height, width), np.uint8)
    mask = np.zeros((height, width), np.uint8)
    sixteenths = np.rint((np.asarray(polygon_Mx2, np.float64) - 0.5) * 16)  # OpenCV counts from pixel centres
    return cv2.fillPoly(mask, [sixteenths.astype(np.int32)], 1, shift=4)


def fit(size: tuple[int, int], min_side: int = 0, max_side: int = 0) -> tuple[int, int]:
    """(height, width) with the short side at least `min_side` and the long one at most `max_side`; 0 is no bound.

    The aspect is kept; where both cannot be met, `max_side` wins.
    """
    height, width = size
    scale = max(1.0, min_side / min(size))
    if max_side:
        scale = min(scale, max_side / max(size))
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize(image: UInt8[np.ndarray, "H W *C"], height: int, width: int) -> UInt8[np.ndarray, "h w *C"]:
    """The image at another size: averaged over areas when it shrinks, linear when it grows.

    It commutes exactly with turning the image upside down, so that no rounding tells the two apart: OpenCV's
    `INTER_AREA` alone differs by one grey level in a few pixels, which is a label a network could learn.
    """
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    shrinks = height < image.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    upright = cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=how)
    inverted = cv2.flip(cv2.resize(cv2.flip(image, 0), (width, height), interpolation=how), 0)
    return cv2.addWeighted(upright, 0.5, inverted, 0.5, 0.0).reshape(height, width, *image.shape[2:])


def evaluation_example(example: Example, *, min_side: int = 0, max_side: int = 0) -> Example:
    """The example at the size of `fit`; only heads inside the ROI stay."""
    size = example["image"].shape[:2]
    height, width = fit(size, min_side, max_side)
    points_Nx2 = _heads(example) * np.float32([width / size[1], height / size[0]])
    return {
        **example,
        "image": resize(example["image"], height, width),
        "points": points_Nx2.astype(np.float32),
        "roi": _resize_mask(example["roi"], height, width),
    }


@dataclasses.dataclass(frozen=True)
class Augment:
    """Random training crops (`config.augment`, `.frame` and the set's own fields).

    A crop is a function of the example and the generator alone.

    Attributes:
      crop: side of the square crop in pixels, a multiple of 8.
      scale_min, scale_max: bounds of the random scale, log-uniform. An image that is then smaller than the crop is
        scaled up until it covers it.
      native: share of the crops that keep the evaluation's scale, and the grain that resampling takes away. One network
        (seed 0) counted 13 % too many in unscaled crops of its own training images with 0 and with 0.5, 4 % with 1;
        on other images the bias fell from +16 over +12 to +4 people.
      flip: mirror left-right half of the crops; never top-bottom, which is the upside-down task's label.
      photometric: strength of the changes of `photometric` below, from 0 (none) to 1 (strong).
      grey: share of the crops that turn grey.
      min_side, max_side: bounds on the image's sides before the random scale, as in `fit`: those of the evaluation,
        so that heads have the size that they have there.
    """

    crop: int = 256
    scale_min: float = 1.0
    scale_max: float = 1.0
    native: float = 0.0
    flip: bool = True
    photometric: float = 0.0
    grey: float = 0.0
    min_side: int = 0
    max_side: int = 0

    def __post_init__(self):
        if self.crop < CELL or self.crop % CELL:
            raise ConfigError(f"config.augment.crop={self.crop}: it is a positive multiple of {CELL}")
        if not 0 < self.scale_min <= self.scale_max:
            raise ConfigError(
                f"config.source or .target: 0 < scale_min <= scale_max, not {self.scale_min} and {self.scale_max}"
            )
        for name in ("native", "photometric", "grey"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(
                    f"config.source or .target: {name}={getattr(self, name)}: it lies between 0 and 1"
                )

    def plain(self) -> "Augment":
        """Crops as the evaluation sees the image: at its scale, its light and grain as they are."""
        return dataclasses.replace(self, native=1.0, photometric=0.0)

    def __call__(self, example: Example, rng: np.random.Generator, density: Density) -> dict[str, np.ndarray]:
        """A crop: {"image": uint8 [c, c, 3], "roi": uint8 [c, c, 1], "density", "weight": float32 [c/8, c/8, 1]}.

        The density is drawn from the heads in the crop and sums to their number. With pseudo labels it is cut from
        the example's map, cell by cell, and its sum restored after resizing; "weight" is theirs, else 1 for a
        labelled image and 0 for one without labels.
        """
        example = self._framed(example)
        window = self._window(example, rng)
        top, left, side = window
        cut = (slice(top, top + side), slice(left, left + side))
        image = resize(example["image"][cut], self.crop, self.crop)
        roi = _resize_mask(example["roi"][cut], self.crop, self.crop)
        target, weight = self._target(example, window, density)
        if self.flip and rng.random() < 0.5:
            image, roi, target, weight = (array[:, ::-1] for array in (image, roi, target, weight))
        image = photometric(np.ascontiguousarray(image), rng, self.photometric, self.grey)
        last_axis = (np.ascontiguousarray(array)[..., None] for array in (roi, target, weight))
        return dict(zip(("image", "roi", "density", "weight"), (image, *last_axis), strict=True))

    def _framed(self, example: Example) -> Example:
        """Pseudo labels are maps of the evaluation frame: the image is brought to it, so that cells match pixels."""
        if "density" not in example:
            return example
        framed = evaluation_example(example, min_side=self.min_side, max_side=self.max_side)
        grid = tuple(-(-side // CELL) for side in framed["image"].shape[:2])
        if example["density"].shape != grid or example["weight"].shape != grid:
            raise ValueError(
                f"{example['id']}: pseudo label of {example['density'].shape} cells on a frame of {grid} cells; "
                "training and prediction must use the same min_side and max_side"
            )
        return framed

    def _window(self, example: Example, rng: np.random.Generator) -> tuple[int, int, int]:
        """(top, left, side) of the square of the image that becomes the crop: only that much is ever resized.

        Whole pixels, so the scale is exactly crop / side along both axes; whole cells with pseudo labels.
        """
        height, width = example["image"].shape[:2]
        grid = CELL if "density" in example else 1
        frame = max(fit((height, width), self.min_side, self.max_side)) / max(height, width)
        random_scale = np.exp(rng.uniform(np.log(self.scale_min), np.log(self.scale_max)))
        scale = frame * (1.0 if rng.random() < self.native else random_scale)
        limit = min(height, width) // grid * grid
        if limit == 0:
            raise InputError(f"{example['id']}: {width}x{height} pixels are less than one cell of {CELL}")
        side = min(max(grid, round(self.crop / scale / grid) * grid), limit)
        top, left = (int(rng.integers((length - side) // grid + 1)) * grid for length in (height, width))
        return top, left, side

    def _target(
        self, example: Example, window: tuple[int, int, int], density: Density
    ) -> tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]:
        """(density, weight) of the crop, before mirroring."""
        top, left, side = window
        cells = self.crop // CELL
        if "density" in example:
            cut = tuple(slice(start // CELL, (start + side) // CELL) for start in (top, left))
            weight = cv2.resize(
                np.ascontiguousarray(example["weight"][cut], np.float32),
                (cells, cells),
                interpolation=cv2.INTER_AREA if side > self.crop else cv2.INTER_LINEAR,
            )
            return resize_density(example["density"][cut].astype(np.float32), cells, cells), weight
        scale = self.crop / side
        heads_Nx2 = _heads(example)
        inside = ((heads_Nx2 >= (left, top)) & (heads_Nx2 < (left + side, top + side))).all(1)
        target = density.map(
            (heads_Nx2[inside] - np.float32([left, top])) * scale,
            self.crop,
            self.crop,
            stride=CELL,
            sigmas=density.sigmas(heads_Nx2 * scale)[inside],
        )
        return target, np.full((cells, cells), float(example.get("labelled", True)), np.float32)


def photometric(
    image: UInt8[np.ndarray, "H W 3"], rng: np.random.Generator, strength: float, grey: float = 0.0
) -> UInt8[np.ndarray, "H W 3"]:
    """Changes that a camera, the light and a codec make, in the order in which they happen. Nothing moves.

    Ranges at strength 1, shrinking in proportion (all ours; a synthetic source needs them most):
      blur: Gaussian, sigma up to 1.5 pixels, every second time.
      tone: gamma from e^-0.5 to e^0.5, contrast 0.6 to 1.4, brightness +-15 % of the range, each channel's gain
        +-15 % (white balance).
      colour: saturation 0.4 to 1.6, hue turned by up to 0.3 rad; a share `grey` loses its colour altogether.
      noise: Gaussian, up to 12 grey levels, every second time.
      JPEG: quality down to 30, every second time.
    """
    if strength > 0:
        if rng.random() < 0.5:
            image = cv2.GaussianBlur(image, (0, 0), 0.01 + 1.5 * strength * rng.random())
        image = cv2.LUT(image, _tone(rng, strength))
        image = cv2.transform(image, _colour(rng, strength))
    if grey > 0 and rng.random() < grey:
        image = cv2.transform(image, np.tile(_YIQ[:1], (3, 1)))
    if strength > 0:
        if rng.random() < 0.5:
            deviation = np.float32(12 * strength * rng.random())
            noise = rng.standard_normal(image.shape, np.float32) * deviation
            image = np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)
        if rng.random() < 0.5:
            quality = round(100 - 70 * strength * rng.random())
            image = read_image(encode_image(image, ".jpg", quality))
    return image


# Luma and the two colour axes of NTSC (ITU-R BT.601 weights): saturation and hue act on the latter two.
_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


def _tone(rng: np.random.Generator, strength: float) -> UInt8[np.ndarray, "1 256 3"]:
    """Gamma, gains, contrast and brightness as one table."""
    gamma, contrast, brightness, *gains = strength * rng.uniform(-1, 1, 6)
    level = np.linspace(0, 1, 256)[:, None] ** np.exp(0.5 * gamma) * (1 + 0.15 * np.array(gains))
    level = (level - 0.5) * (1 + 0.4 * contrast) + 0.5 + 0.15 * brightness
    return np.rint(np.clip(level, 0, 1) * 255).astype(np.uint8)[None]


def _colour(rng: np.random.Generator, strength: float) -> np.ndarray:
    """Saturation and hue as one 3x3 matrix."""
    saturation, hue = strength * rng.uniform(-1, 1, 2)
    cos, sin = (1 + 0.6 * saturation) * np.array([np.cos(0.3 * hue), np.sin(0.3 * hue)])
    turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    return np.linalg.inv(_YIQ) @ turn @ _YIQ


def _heads(example: Example) -> Float32[np.ndarray, "N 2"]:
    """The heads that count: moved into the frame when on or over its border, dropped when outside the ROI."""
    height, width = example["image"].shape[:2]
    last = np.nextafter(np.float32([width, height]), np.float32(0))
    points_Nx2 = np.clip(np.asarray(example["points"], np.float32).reshape(-1, 2), 0, last)
    x, y = pixels(points_Nx2, height, width).T
    return points_Nx2[example["roi"][y, x] > 0]


def _resize_mask(mask: UInt8[np.ndarray, "H W"], height: int, width: int) -> UInt8[np.ndarray, "h w"]:
    """A mask of 0 and 1 at another size: a pixel is inside if at least half of it is."""
    if mask.all():
        return np.ones((height, width), np.uint8)
    return (resize(mask * np.uint8(255), height, width) >= 128).astype(np.uint8)
