"""Random training crops of examples (data/resizing.py), with their densities (NumPy and OpenCV only)."""

import dataclasses

import numpy as np
from jaxtyping import Float32, UInt8

from cc_jax.data import resizing
from cc_jax.data.density import Density, resize_density
from cc_jax.data.images import cv2
from cc_jax.data.photometric import photometric
from cc_jax.data.resizing import Example
from cc_jax.errors import ConfigError, InputError
from cc_jax.units import CELL, cells_along


@dataclasses.dataclass(frozen=True)
class Augment:
    """Random training crops (`config.augment` and the set's own fields).

    A crop is a function of the example and the generator alone.

    Attributes:
      crop: side of the square crop in pixels, a multiple of 8.
      scale_min, scale_max: bounds of the random scale, log-uniform. An image that is then smaller than the crop is
        scaled up until it covers it.
      unscaled_share: share of the crops that keep the evaluation's scale, and the grain that resampling takes away. One
        network (seed 0) counted 13 % too many in unscaled crops of its own training images with 0 and with 0.5, 4 % with 1;
        on other images the bias fell from +16 over +12 to +4 people.
      flip: mirror left-right half of the crops; never top-bottom, which is the upside-down task's label.
      photometric: strength of the changes of photometric.py, from 0 (none) to 1 (strong).
      grey: share of the crops that turn grey.
      clean: whether a crop also has "clean", its image before the photometric changes and the turning grey.
    """

    crop: int = 256
    scale_min: float = 1.0
    scale_max: float = 1.0
    unscaled_share: float = 0.0
    flip: bool = True
    photometric: float = 0.0
    grey: float = 0.0
    clean: bool = False

    def __post_init__(self):
        if self.crop < CELL or self.crop % CELL:
            raise ConfigError(f"config.augment.crop={self.crop}: it is a positive multiple of {CELL}")
        if not 0 < self.scale_min <= self.scale_max:
            raise ConfigError(
                f"config.source or .target: 0 < scale_min <= scale_max, not {self.scale_min} and {self.scale_max}"
            )
        for name in ("unscaled_share", "photometric", "grey"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(
                    f"config.source or .target: {name}={getattr(self, name)}: it lies between 0 and 1"
                )

    def shapes(self) -> dict[str, tuple[tuple[int, int, int], type]]:
        """{name: (shape, number type)} of what a crop is made of."""
        side, cells = self.crop, self.crop // CELL
        images = ("image", "clean") if self.clean else ("image",)
        return {
            **{name: ((side, side, 3), np.uint8) for name in images},
            "roi": ((side, side, 1), np.uint8),
            **{name: ((cells, cells, 1), np.float32) for name in ("density", "weight")},
        }

    def plain(self) -> "Augment":
        """Crops as the evaluation sees the image: at its scale, its light and grain as they are."""
        return dataclasses.replace(self, unscaled_share=1.0, photometric=0.0)

    def __call__(self, example: Example, rng: np.random.Generator, density: Density) -> dict[str, np.ndarray]:
        """A crop: {"image": uint8 [c, c, 3], "roi": uint8 [c, c, 1], "density", "weight": float32 [c/8, c/8, 1]}.

        The density is drawn from the heads in the crop and sums to their number. With pseudo labels it is cut from
        the example's map, cell by cell, and its sum restored after resizing; "weight" is theirs, else 1 for a
        labelled image and 0 for one without labels.
        """
        window = self._window(example, rng)
        top, left, side = window
        cut = (slice(top, top + side), slice(left, left + side))
        image = self._resampled(example["image"][cut], rng)
        roi = resizing.resize_mask(example["roi"][cut], self.crop, self.crop)
        target, weight = self._target(example, window, density)
        if self.flip and rng.random() < 0.5:
            image = cv2.flip(image, 1)
            roi, target, weight = (array[:, ::-1] for array in (roi, target, weight))
        changed = photometric(image, rng, self.photometric, self.grey)
        maps = (np.ascontiguousarray(array)[..., None] for array in (roi, target, weight))
        crop = (np.ascontiguousarray(changed), *maps)
        clean = {"clean": np.ascontiguousarray(image)} if self.clean else {}
        return {**dict(zip(("image", "roi", "density", "weight"), crop, strict=True)), **clean}

    def _resampled(self, image: UInt8[np.ndarray, "s s 3"], rng: np.random.Generator) -> np.ndarray:
        """The window at the crop's size, resampled upright or upside down, as it comes.

        The two differ by a grey level here and there, which is a label that a network could learn: crops of an image
        and of the same image turned over must be equally likely to be either. (`resizing.resize` takes the mean of both,
        at twice the cost, where there is no chance to rely on.)
        """
        if image.shape[0] == self.crop:
            return image
        if rng.random() < 0.5:
            return resizing.resample(image, self.crop, self.crop)
        return cv2.flip(resizing.resample(cv2.flip(image, 0), self.crop, self.crop), 0)

    def _window(self, example: Example, rng: np.random.Generator) -> tuple[int, int, int]:
        """(top, left, side) of the square of the image that becomes the crop: only that much is resampled.

        Whole pixels, so the scale is exactly crop / side along both axes; whole cells with pseudo labels.
        """
        height, width = example["image"].shape[:2]
        grid = CELL if "density" in example else 1
        random_scale = np.exp(rng.uniform(np.log(self.scale_min), np.log(self.scale_max)))
        scale = 1.0 if rng.random() < self.unscaled_share else random_scale
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
            _check_cells(example)
            cut = tuple(slice(start // CELL, (start + side) // CELL) for start in (top, left))
            weight = cv2.resize(
                np.ascontiguousarray(example["weight"][cut], np.float32),
                (cells, cells),
                interpolation=cv2.INTER_AREA if side > self.crop else cv2.INTER_LINEAR,
            )
            return resize_density(example["density"][cut].astype(np.float32), cells, cells), weight
        scale = self.crop / side
        heads_Nx2 = example["points"]
        x, y = heads_Nx2.T
        inside = (x >= left) & (x < left + side) & (y >= top) & (y < top + side)
        target = density.map(
            (heads_Nx2[inside] - np.float32([left, top])) * scale,
            self.crop,
            self.crop,
            stride=CELL,
            sigmas=density.sigmas(heads_Nx2 * scale)[inside],
        )
        return target, np.full((cells, cells), float(example.get("labelled", True)), np.float32)


def _check_cells(example: Example) -> None:
    """Raises ValueError where a pseudo label was made on another frame than the example's."""
    grid = tuple(cells_along(side) for side in example["image"].shape[:2])
    if example["density"].shape != grid or example["weight"].shape != grid:
        raise ValueError(
            f"{example['id']}: pseudo label of {example['density'].shape} cells on a frame of {grid} cells; training "
            "and prediction must use the same frame"
        )
