"""Random training crops of examples, with their density maps."""

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
    """Random training crops (`config.augment`, and fields of `config.source` and `config.target`).

    A crop is a function of the example and the random generator alone.

    Attributes:
      crop: Side of the square crop in pixels, a multiple of the cell size.
      scale_min: Smallest random scale. Scales are log-uniform. An image that is then smaller than the crop is scaled up
        until it covers the crop.
      scale_max: Largest random scale.
      unscaled_share: Share of the crops that are not scaled, so that they have the scale of the evaluation and the fine
        texture that resampling removes. Without them, a network counts too many people in unscaled images.
      flip: Mirror half of the crops from left to right. Crops are never turned upside down, because that is the label of
        the auxiliary task.
      photometric: Strength of the changes in photometric.py, from 0 (none) to 1 (strong).
      tone: Strength of the changes of tone and color among them. None stands for `photometric`.
      grey: Share of the crops that become grey.
      clean: Whether a crop also has "clean", its image before the photometric changes.
    """

    crop: int = 256
    scale_min: float = 1.0
    scale_max: float = 1.0
    unscaled_share: float = 0.0
    flip: bool = True
    photometric: float = 0.0
    tone: float | None = None
    grey: float = 0.0
    clean: bool = False

    def __post_init__(self):
        if self.crop < CELL or self.crop % CELL:
            raise ConfigError(f"config.augment.crop={self.crop}: it must be a positive multiple of {CELL}")
        if not 0 < self.scale_min <= self.scale_max:
            raise ConfigError(
                "config.source or config.target: it must be 0 < scale_min <= scale_max, not "
                f"{self.scale_min} and {self.scale_max}"
            )
        for name in ("unscaled_share", "photometric", "grey"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(
                    f"config.source or config.target: {name}={getattr(self, name)}: it must be between 0 and 1"
                )

    def shapes(self) -> dict[str, tuple[tuple[int, int, int], type]]:
        """Return {name: (shape, dtype)} of the arrays of a crop."""
        side, cells = self.crop, self.crop // CELL
        images = ("image", "clean") if self.clean else ("image",)
        return {
            **{name: ((side, side, 3), np.uint8) for name in images},
            "roi": ((side, side, 1), np.uint8),
            **{name: ((cells, cells, 1), np.float32) for name in ("density", "weight")},
        }

    def plain(self) -> "Augment":
        """Return the same crops without random scales and photometric changes, as the evaluation sees images."""
        return self.with_changes(unscaled_share=1.0, photometric=0.0)

    def with_changes(
        self, *, unscaled_share: float, photometric: float, tone: float | None = None
    ) -> "Augment":
        """Return the same crops with other shares of scaled ones and other photometric changes."""
        return dataclasses.replace(self, unscaled_share=unscaled_share, photometric=photometric, tone=tone)

    def __call__(self, example: Example, rng: np.random.Generator, density: Density) -> dict[str, np.ndarray]:
        """Return a random crop.

        Args:
          example: See data/resizing.py.
          rng: Random generator.
          density: Makes the density map.

        Returns:
          A dict:
            image: uint8 [crop, crop, 3], RGB.
            roi: uint8 [crop, crop, 1].
            density: float32 [crop / CELL, crop / CELL, 1], people per cell. It is made from the heads in the crop and
              sums to their number. With pseudo labels it is cut from the example's map along cells, and its sum is
              restored after resizing.
            weight: float32 like density. That of the pseudo labels if there are any, else 1 for a labelled image and 0
              for an unlabelled one.
            clean: uint8 like image, if asked for.
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
        changed = photometric(image, rng, self.photometric, self.grey, self.tone)
        maps = (np.ascontiguousarray(array)[..., None] for array in (roi, target, weight))
        crop = (np.ascontiguousarray(changed), *maps)
        clean = {"clean": np.ascontiguousarray(image)} if self.clean else {}
        return {**dict(zip(("image", "roi", "density", "weight"), crop, strict=True)), **clean}

    def _resampled(self, image: UInt8[np.ndarray, "s s 3"], rng: np.random.Generator) -> np.ndarray:
        """Resample the window to the size of the crop, either upright or upside down at random.

        The two results differ by a grey level in a few pixels. If all windows were resampled upright, a network could
        learn from these pixels which crops are upside down. `resizing.resize` is not random and takes the mean of both,
        at twice the cost.
        """
        if image.shape[0] == self.crop:
            return image
        if rng.random() < 0.5:
            return resizing.resample(image, self.crop, self.crop)
        return cv2.flip(resizing.resample(cv2.flip(image, 0), self.crop, self.crop), 0)

    def _window(self, example: Example, rng: np.random.Generator) -> tuple[int, int, int]:
        """Return (top, left, side) of the square of the image that becomes the crop.

        They are whole pixels, so that the scale is exactly crop / side along both axes. With pseudo labels they are whole
        cells.
        """
        height, width = example["image"].shape[:2]
        grid = CELL if "density" in example else 1
        random_scale = np.exp(rng.uniform(np.log(self.scale_min), np.log(self.scale_max)))
        scale = 1.0 if rng.random() < self.unscaled_share else random_scale
        limit = min(height, width) // grid * grid
        if limit == 0:
            raise InputError(
                f"{example['id']}: {width}x{height} pixels are less than a cell of {CELL}x{CELL}"
            )
        side = min(max(grid, round(self.crop / scale / grid) * grid), limit)
        top, left = (int(rng.integers((length - side) // grid + 1)) * grid for length in (height, width))
        return top, left, side

    def _target(
        self, example: Example, window: tuple[int, int, int], density: Density
    ) -> tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]:
        """Return the density and the weight of the crop, before mirroring."""
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
            (heads_Nx2[inside] - np.array([left, top], np.float32)) * scale,
            self.crop,
            self.crop,
            stride=CELL,
            sigmas=density.sigmas(heads_Nx2 * scale)[inside],
        )
        return target, np.full((cells, cells), float(example.get("labelled", True)), np.float32)


def _check_cells(example: Example) -> None:
    """Raise ValueError if a pseudo label was made for an image of another size."""
    grid = tuple(cells_along(side) for side in example["image"].shape[:2])
    if example["density"].shape != grid or example["weight"].shape != grid:
        raise ValueError(
            f"{example['id']}: a pseudo label of {example['density'].shape} cells for an image of {grid} cells; training "
            "and prediction must resize images by the same rule"
        )
