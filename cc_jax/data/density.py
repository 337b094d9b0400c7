"""Density maps from head points, computed directly at the resolution of the network's cells.

Each head is a Gaussian, cut to a square window and to the image, and scaled to a sum of one. All of this is separable: a
head is the product of a profile along y and a profile along x. A map with cells of `stride` pixels is therefore a product
of two matrices that hold the profiles, summed over each cell. No full-size map is made, and the cost grows only with the
number of heads.
"""

import dataclasses
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int, Num
from scipy import sparse
from scipy.spatial import cKDTree

from cc_jax.errors import ConfigError
from cc_jax.units import CELL

# With fewer heads times cells than this, a dense product is faster than a sparse one.
_DENSE_LIMIT = 2**22


@dataclasses.dataclass(frozen=True)
class Density:
    """How a density map is made (`config.density`).

    Pixel i covers [i, i + 1), and a head is drawn at the pixel that contains it.

    Attributes:
      kernel: "fixed" is the same Gaussian for every head (15x15 and sigma 4 in GCC and its successors). "adaptive" is a
        Gaussian whose sigma is beta times the mean distance to the nearest heads (MCNN, CSRNet), which follows the
        perspective.
      sigma: Sigma of the fixed kernel in pixels.
      size: Side of the fixed kernel's window in pixels, an odd number.
      beta: Sigma of the adaptive kernel, relative to the mean distance. MCNN uses 0.3.
      neighbours: Number of nearest heads of the adaptive kernel. MCNN uses 3.
      truncate: Half side of the adaptive kernel's window in sigmas. 4 is SciPy's default, which CSRNet's script uses.
      sigma_min: Smallest sigma of the adaptive kernel in pixels. Not in MCNN, where heads at one position have sigma 0.
      sigma_max: Largest sigma of the adaptive kernel in pixels. Not in MCNN, where a few scattered heads can have a
        sigma as large as the image.
    """

    kernel: str = "fixed"
    sigma: float = 4.0
    size: int = 15
    beta: float = 0.3
    neighbours: int = 3
    truncate: float = 4.0
    sigma_min: float = 1.0
    sigma_max: float = 16.0

    def __post_init__(self):
        if self.kernel not in ("fixed", "adaptive"):
            raise ConfigError(f"config.density.kernel={self.kernel!r}: it must be 'fixed' or 'adaptive'")
        if self.size < 1 or self.size % 2 == 0:
            raise ConfigError(f"config.density.size={self.size}: it must be odd and positive")
        if min(self.sigma, self.beta, self.neighbours, self.truncate, self.sigma_min) <= 0:
            raise ConfigError(
                "config.density: sigma, beta, neighbours, truncate and sigma_min must be more than 0"
            )
        if self.sigma_max < self.sigma_min:
            raise ConfigError(
                f"config.density.sigma_max={self.sigma_max} is less than sigma_min={self.sigma_min}"
            )

    def sigmas(self, points_Nx2: Num[np.ndarray, "N 2"]) -> Float[np.ndarray, " N"]:
        """Return the sigma of each head, in the points' pixels.

        With fewer heads than `neighbours`, the adaptive kernel takes the mean over those that exist. A single head has
        no neighbor and gets `sigma_max`.
        """
        number = len(points_Nx2)
        if self.kernel == "fixed" or number == 0:
            return np.full(number, self.sigma)
        if number == 1:
            return np.full(1, self.sigma_max)
        nearest = range(2, min(self.neighbours + 1, number) + 1)  # the nearest is the head itself
        distances_NxK, _ = cKDTree(points_Nx2).query(points_Nx2, k=nearest)
        return np.clip(self.beta * distances_NxK.mean(1), self.sigma_min, self.sigma_max)

    def map(
        self,
        points_Nx2: np.ndarray,
        height: int,
        width: int,
        *,
        stride: int = CELL,
        sigmas: Float[np.ndarray, " N"] | None = None,
    ) -> Float32[np.ndarray, "h w"]:
        """Return the density map of an image: people per cell of stride x stride pixels, with a sum of N.

        It equals the map at stride 1, summed over the cells. Heads outside the image are moved to the nearest pixel and
        counted.

        Args:
          points_Nx2: Head points (x, y) in pixels.
          height: Height of the image in pixels.
          width: Width of the image in pixels.
          stride: Side of a cell in pixels. The last cells may extend beyond the image.
          sigmas: Sigma of each head. Default: `self.sigmas(points_Nx2)`. For a crop, pass the sigmas of the whole image,
            because a head does not change when its neighbors are cut off.

        Returns:
          float32 [ceil(height / stride), ceil(width / stride)].

        Raises:
          ValueError: The points are not finite or not of shape [N, 2].
        """
        points_Nx2 = np.asarray(points_Nx2, np.float64).reshape(-1, 2) if len(points_Nx2) == 0 else points_Nx2
        if np.ndim(points_Nx2) != 2 or np.shape(points_Nx2)[1] != 2 or not np.isfinite(points_Nx2).all():
            raise ValueError(f"head points must be finite and of shape [N, 2], not {np.shape(points_Nx2)}")
        shape = (-(-height // stride), -(-width // stride))
        if len(points_Nx2) == 0:
            return np.zeros(shape, np.float32)
        sigmas = self.sigmas(points_Nx2) if sigmas is None else np.asarray(sigmas, np.float64)
        number = len(points_Nx2)
        at = pixels(points_Nx2, height, width).T.ravel()  # all x, then all y
        length = np.repeat((width, height), number)
        matrix = _dense if number * shape[0] * shape[1] < _DENSE_LIMIT else _sparse
        profiles_2NxC = matrix(*self._profiles(at, np.tile(sigmas, 2), length), stride, max(shape))
        people_hxw: Any = profiles_2NxC[number:, : shape[0]].T @ profiles_2NxC[:number, : shape[1]]
        return (people_hxw.toarray() if matrix is _sparse else people_hxw).astype(np.float32)

    def _profiles(
        self, at_M: Int[np.ndarray, " M"], sigmas_M: np.ndarray, length_M: Int[np.ndarray, " M"]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return each head's profile along an axis, cut to [0, length) and scaled to a sum of one.

        Returns:
          The values, the pixels that they belong to, and whether these are inside. All are [M, D].
        """
        if self.kernel == "fixed":
            radius_M = np.full(len(at_M), self.size // 2)
        else:
            radius_M = (self.truncate * sigmas_M + 0.5).astype(np.int64)  # scipy.ndimage's rounding
        offset_D = np.arange(-radius_M.max(), radius_M.max() + 1)
        pixel_MxD = at_M[:, None] + offset_D
        inside_MxD = (
            (np.abs(offset_D) <= radius_M[:, None]) & (pixel_MxD >= 0) & (pixel_MxD < length_M[:, None])
        )
        values_MxD = np.exp(-0.5 * (offset_D / sigmas_M[:, None]) ** 2) * inside_MxD
        values_MxD /= values_MxD.sum(1, keepdims=True)
        return values_MxD, pixel_MxD, inside_MxD


def _dense(values_MxD: np.ndarray, pixel_MxD: np.ndarray, inside_MxD: np.ndarray, stride: int, cells: int):
    """Return the profiles summed over each cell, [M, cells]."""
    number = len(values_MxD)
    at = (np.arange(number)[:, None] * cells + pixel_MxD // stride)[inside_MxD]
    return np.bincount(at, values_MxD[inside_MxD], number * cells).reshape(number, cells)


def _sparse(values_MxD: np.ndarray, pixel_MxD: np.ndarray, inside_MxD: np.ndarray, stride: int, cells: int):
    """Return the same as a sparse matrix. Entries of one cell are added by the product."""
    starts = np.concatenate([[0], np.cumsum(inside_MxD.sum(1))])
    return sparse.csr_array(
        (values_MxD[inside_MxD], pixel_MxD[inside_MxD] // stride, starts), shape=(len(values_MxD), cells)
    )


def pixels(points_Nx2: Num[np.ndarray, "N 2"], height: int, width: int) -> Int[np.ndarray, "N 2"]:
    """Return the pixel (x, y) that contains each head, or the nearest pixel for heads outside the image."""
    return np.clip(np.floor(points_Nx2), 0, (width - 1, height - 1)).astype(np.int64)


def resize_density(
    density_hxw: Float32[np.ndarray, "h w"], height: int, width: int
) -> Float32[np.ndarray, "height width"]:
    """Resample a density map to another grid of cells over the same image, and restore its sum."""
    if density_hxw.shape == (height, width):
        return density_hxw
    shrinks = height * width < density_hxw.size
    resized = cv2.resize(
        np.ascontiguousarray(density_hxw, np.float32),
        (width, height),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
    )
    before, after = density_hxw.sum(dtype=np.float64), resized.sum(dtype=np.float64)
    return resized * np.float32(before / after) if after else resized
