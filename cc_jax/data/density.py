"""Head points to density maps, drawn straight at the size of the network's cells.

A head's Gaussian is cut to a square window and to the frame and scaled to a sum of one. All three are separable, so
a head is one profile along y times one along x, and a map with cells of `stride` pixels is a product of two sparse
matrices that hold the profiles summed by cell: no full-size map, and a cost that grows with the heads alone.
"""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int
from scipy import sparse
from scipy.spatial import cKDTree

from cc_jax.errors import ConfigError
from cc_jax.units import CELL

_DENSE = 2**22  # heads x cells below which a dense product is faster than a sparse one


@dataclasses.dataclass(frozen=True)
class Density:
    """How heads are drawn (`config.density`). Pixel i covers [i, i + 1); a head is drawn at the pixel it lies in.

    Attributes:
      kernel: "fixed", the same Gaussian for every head (GCC family: 15x15, sigma 4), or "adaptive", sigma = beta x
        mean distance to the nearest heads (MCNN, CSRNet), which follows the perspective.
      sigma: of the fixed kernel, in pixels.
      size: side of the fixed kernel's window, odd, in pixels.
      beta, neighbours: of the adaptive kernel; MCNN's 0.3 and 3.
      truncate: half side of the adaptive kernel's window, in sigmas; 4 is scipy's, which CSRNet's script uses.
      sigma_min, sigma_max: bounds of the adaptive sigma, in pixels; ours. Without them coincident heads have sigma
        0 and a lone head one as wide as the frame.
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
            raise ConfigError(f"config.density.kernel={self.kernel!r}: it is 'fixed' or 'adaptive'")
        if self.size < 1 or self.size % 2 == 0:
            raise ConfigError(f"config.density.size={self.size}: a kernel's side is odd and positive")
        if min(self.sigma, self.beta, self.neighbours, self.truncate, self.sigma_min) <= 0:
            raise ConfigError(
                "config.density: sigma, beta, neighbours, truncate and sigma_min are all more than 0"
            )
        if self.sigma_max < self.sigma_min:
            raise ConfigError(
                f"config.density.sigma_max={self.sigma_max} is less than sigma_min={self.sigma_min}"
            )

    def sigmas(self, points_Nx2: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, " N"]:
        """Each head's sigma, in the points' pixels.

        The adaptive kernel takes the mean over as many neighbours as there are: with two or three heads that is one
        or two; a lone head has none and gets `sigma_max`.
        """
        number = len(points_Nx2)
        if self.kernel == "fixed" or number == 0:
            return np.full(number, self.sigma)
        if number == 1:
            return np.full(1, self.sigma_max)
        nearest = range(2, min(self.neighbours + 1, number) + 1)  # the first is the head itself
        distances_NxK, _ = cKDTree(points_Nx2).query(points_Nx2, k=nearest)
        return np.clip(self.beta * distances_NxK.mean(1), self.sigma_min, self.sigma_max)

    def map(
        self,
        points_Nx2: Float[np.ndarray, "N 2"],
        height: int,
        width: int,
        *,
        stride: int = CELL,
        sigmas: Float[np.ndarray, " N"] | None = None,
    ) -> Float32[np.ndarray, "h w"]:
        """The density map of one frame: people per cell of stride x stride pixels, summing to N.

        It equals the map at stride 1 summed over its cells; cells at the right and bottom may be cut by the frame.
        Heads on or over the border are moved to the nearest pixel inside and counted.

        Args:
          points_Nx2: heads as (x, y), in pixels of the frame.
          height, width: of the frame, in pixels.
          stride: side of a cell, in pixels.
          sigmas: one a head; default: `self.sigmas(points_Nx2)`. A crop passes those of the whole image, since
            a head does not change because its neighbours are cut off.

        Raises ValueError if the points are not finite or not [N, 2].
        """
        points_Nx2 = np.asarray(points_Nx2, np.float64).reshape(-1, 2) if len(points_Nx2) == 0 else points_Nx2
        if np.ndim(points_Nx2) != 2 or np.shape(points_Nx2)[1] != 2 or not np.isfinite(points_Nx2).all():
            raise ValueError(f"head points are finite and of shape [N, 2], not {np.shape(points_Nx2)}")
        shape = (-(-height // stride), -(-width // stride))
        if len(points_Nx2) == 0:
            return np.zeros(shape, np.float32)
        sigmas = self.sigmas(points_Nx2) if sigmas is None else np.asarray(sigmas, np.float64)
        number = len(points_Nx2)
        at = pixels(points_Nx2, height, width).T.ravel()  # all x, then all y
        length = np.repeat((width, height), number)
        matrix = _dense if number * shape[0] * shape[1] < _DENSE else _sparse
        profiles_2NxC = matrix(*self._profiles(at, np.tile(sigmas, 2), length), stride, max(shape))
        people_hxw = profiles_2NxC[number:, : shape[0]].T @ profiles_2NxC[:number, : shape[1]]
        return (people_hxw.toarray() if matrix is _sparse else people_hxw).astype(np.float32)

    def _profiles(
        self, at_M: Int[np.ndarray, " M"], sigmas_M: np.ndarray, length_M: Int[np.ndarray, " M"]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Each head's kernel along an axis, cut to [0, length), of sum one: (values, pixels, which of these are inside)."""
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
    """The kernels summed by cell, [M, cells]."""
    number = len(values_MxD)
    at = (np.arange(number)[:, None] * cells + pixel_MxD // stride)[inside_MxD]
    return np.bincount(at, values_MxD[inside_MxD], number * cells).reshape(number, cells)


def _sparse(values_MxD: np.ndarray, pixel_MxD: np.ndarray, inside_MxD: np.ndarray, stride: int, cells: int):
    """The same as a sparse matrix; entries of one cell are added where it is used."""
    starts = np.concatenate([[0], np.cumsum(inside_MxD.sum(1))])
    return sparse.csr_array(
        (values_MxD[inside_MxD], pixel_MxD[inside_MxD] // stride, starts), shape=(len(values_MxD), cells)
    )


def pixels(points_Nx2: Float[np.ndarray, "N 2"], height: int, width: int) -> Int[np.ndarray, "N 2"]:
    """The pixel (x, y) that each head lies in; heads on or over the border go to the nearest one inside."""
    return np.clip(np.floor(points_Nx2), 0, (width - 1, height - 1)).astype(np.int64)


def resize_density(
    density_hxw: Float32[np.ndarray, "h w"], height: int, width: int
) -> Float32[np.ndarray, "height width"]:
    """A density map on another grid of cells over the same frame, its sum restored."""
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
