"""What scenes are drawn with: a pinhole camera above a ground plane, colors, and smooth noise."""

import dataclasses
import math

import cv2
import numpy as np
from jaxtyping import Float

Points = Float[np.ndarray, "N 2"]


@dataclasses.dataclass(frozen=True)
class Camera:
    """A camera at (0, height, 0) that looks along z.

    World coordinates are meters: x to the right, y up, z forward. Canvas coordinates are pixels: u to the right, v down.

    Attributes:
      height: Height above the ground in meters.
      tilt: Angle by which the camera looks down, in radians.
      roll: Rotation around the optical axis, in radians.
      focal: Focal length in canvas pixels.
      rows: Height of the canvas in pixels.
      columns: Width of the canvas in pixels.
    """

    height: float
    tilt: float
    roll: float
    focal: float
    rows: int
    columns: int

    @property
    def horizon(self) -> float:
        """The canvas row of the horizon in the middle of the image. It may lie outside."""
        return self.rows / 2 - self.focal * math.tan(self.tilt)

    def project(self, xyz: Float[np.ndarray, "N 3"]) -> tuple[Points, Float[np.ndarray, " N"]]:
        """Return canvas positions (u, v) and depths along the optical axis. Depths are at least 0.3 m."""
        x, down, z = xyz[:, 0], self.height - xyz[:, 1], xyz[:, 2]
        depth = np.maximum(z * math.cos(self.tilt) + down * math.sin(self.tilt), 0.3)
        a = self.focal * x / depth
        b = self.focal * (down * math.cos(self.tilt) - z * math.sin(self.tilt)) / depth
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        uv = np.stack([self.columns / 2 + a * cos - b * sin, self.rows / 2 + a * sin + b * cos], axis=1)
        return uv, depth

    def rays(self, step: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Return how far the rays of every `step`-th pixel go to the right and down, per unit along the optical axis."""
        u = (np.arange(0, self.columns, step, dtype=np.float32) + step / 2 - self.columns / 2) / self.focal
        v = (np.arange(0, self.rows, step, dtype=np.float32) + step / 2 - self.rows / 2) / self.focal
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        return u[None] * cos + v[:, None] * sin, v[:, None] * cos - u[None] * sin

    def ground(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return world x and z and the depth of the ground that every `step`-th pixel shows. In the sky, depth is inf."""
        a, b = self.rays(step)
        falling = b * math.cos(self.tilt) + math.sin(self.tilt)
        depth = np.where(falling > 1e-3, self.height / np.maximum(falling, 1e-3), np.inf).astype(np.float32)
        finite = np.minimum(depth, 1e3)
        return a * finite, (math.cos(self.tilt) - b * math.sin(self.tilt)) * finite, depth


def pure_color(hue: float) -> Float[np.ndarray, "3"]:
    """Return red, green and blue between 0 and 1 of a hue: 0 is red, 1/3 green, 2/3 blue, 1 red again."""
    return np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)


def noise(
    rng: np.random.Generator, size: int, finest: int, roughness: float = 0.6, *, coarsest: int = 4
) -> np.ndarray:
    """Return smooth noise [size, size] with mean 0 and deviation 1 that can be tiled without seams.

    Args:
      rng: Random generator.
      size: Side of the noise in pixels.
      finest: Cells along a side of the finest octave.
      roughness: Amplitude of an octave relative to the next coarser one.
      coarsest: Cells along a side of the coarsest octave.
    """
    total, cells, weight = np.zeros((size, size), np.float32), coarsest, 1.0
    while cells <= finest:
        coarse = np.pad(rng.standard_normal((cells, cells), np.float32), 2, mode="wrap")
        edge = 2 * size // cells
        fine = cv2.resize(coarse, (size + 2 * edge,) * 2, interpolation=cv2.INTER_CUBIC)
        total += weight * fine[edge:-edge, edge:-edge]
        cells, weight = cells * 2, weight * roughness
    return (total - total.mean()) / max(float(total.std()), 1e-6)
