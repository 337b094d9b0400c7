"""A pinhole camera above a ground plane, and a canvas that records which head each pixel shows."""

import dataclasses
import math

import cv2
import numpy as np
from jaxtyping import Float

Points = Float[np.ndarray, "N 2"]
Spot = tuple[float, float]
Colour = tuple[float, float, float]
# OpenCV takes fixed-point coordinates with this many fractional bits.
_SHIFT = 4
# Coordinates are clipped to this many pixels, because OpenCV's fixed-point numbers overflow.
_LIMIT = 2**14


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

    def ground(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return world x and z and the depth of the ground that every `step`-th pixel shows. In the sky, depth is inf."""
        u = (np.arange(0, self.columns, step, dtype=np.float32) + step / 2 - self.columns / 2) / self.focal
        v = (np.arange(0, self.rows, step, dtype=np.float32) + step / 2 - self.rows / 2) / self.focal
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        a, b = u[None] * cos + v[:, None] * sin, v[:, None] * cos - u[None] * sin
        falling = b * math.cos(self.tilt) + math.sin(self.tilt)
        depth = np.where(falling > 1e-3, self.height / np.maximum(falling, 1e-3), np.inf).astype(np.float32)
        finite = np.minimum(depth, 1e3)
        return a * finite, (math.cos(self.tilt) - b * math.sin(self.tilt)) * finite, depth


@dataclasses.dataclass(frozen=True)
class LocalAxes:
    """The coordinate system of something upright on the canvas, in meters to the side and upwards.

    Attributes:
      foot: Canvas position of the origin, on the ground.
      up: Canvas vector of a meter upwards.
      side: Canvas vector of a meter to the side.
      scale: Canvas pixels per meter.
      depth: Depth along the optical axis, in meters.
      steep: Sine of the angle at which the camera looks down on it.
    """

    foot: Spot
    up: Spot
    side: Spot
    scale: float
    depth: float
    steep: float

    def spot(self, x: float, y: float) -> Spot:
        """Return the canvas position of a point."""
        return (
            self.foot[0] + x * self.side[0] + y * self.up[0],
            self.foot[1] + x * self.side[1] + y * self.up[1],
        )

    def outline(self, places: list[Spot]) -> np.ndarray:
        """Return the canvas positions of several points, [N, 2]."""
        return np.array([self.spot(x, y) for x, y in places])


class Canvas:
    """An RGB image that is drawn on from far to near, and the number of the head that each pixel shows (0 for none).

    Single positions are (u, v) tuples and colors are (r, g, b) tuples of plain floats. Most shapes are small, so NumPy's
    cost per call would dominate.
    """

    def __init__(self, image: np.ndarray, haze: np.ndarray, haze_range: float):
        self.image = image
        self.heads = np.zeros(image.shape[:2], np.int32)
        self._haze, self._range = tuple(map(float, haze)), haze_range

    def hazed(self, colour: Colour, depth: float, shade: float = 1.0) -> Colour:
        """Return the color as it looks through `depth` meters of air. `haze_range` meters remove two thirds of it."""
        clear = math.exp(-depth / self._range)
        (r, g, b), (x, y, z), air = colour, self._haze, 1 - clear
        lit = shade * clear
        return min(r * lit, 255.0) + x * air, min(g * lit, 255.0) + y * air, min(b * lit, 255.0) + z * air

    def polygon(self, points: Points, colour: Colour, *, solid: bool = False) -> None:
        """Draw a convex polygon. A `solid` one also hides the heads behind it."""
        fixed = _fixed(points)
        cv2.fillConvexPoly(self.image, fixed, colour, cv2.LINE_AA, _SHIFT)
        if solid:
            cv2.fillConvexPoly(self.heads, fixed, 0, cv2.LINE_8, _SHIFT)

    def polygons(self, shapes: Float[np.ndarray, "N K 2"], colour: Colour) -> None:
        """Draw polygons of one color that do not overlap. They may extend far beyond the canvas."""
        if len(shapes):
            cut = np.clip(shapes, -_LIMIT, _LIMIT)
            cv2.fillPoly(self.image, list(_fixed(cut)), colour, cv2.LINE_AA, _SHIFT)

    def line(self, a: Spot, b: Spot, thickness: float, colour: Colour, *, solid: bool = False) -> None:
        """Draw a line with round ends, at least one pixel thick."""
        start, end, width = _fixed_spot(a), _fixed_spot(b), max(1, round(thickness))
        cv2.line(self.image, start, end, colour, width, cv2.LINE_AA, _SHIFT)
        if solid:
            cv2.line(self.heads, start, end, 0, width, cv2.LINE_8, _SHIFT)

    def ellipse(
        self,
        centre: Spot,
        radii: tuple[float, float],
        colour: Colour,
        *,
        arc: tuple[float, float] = (0, 360),
        head: int | None = None,
    ) -> None:
        """Draw a filled ellipse or sector.

        Args:
          centre: Center (u, v).
          radii: Horizontal and vertical radius in pixels.
          colour: Color (r, g, b).
          arc: Start and end of the sector in degrees, clockwise from the right.
          head: Number of the head that its pixels then show. None leaves the numbers as they are.
        """
        middle = _fixed_spot(centre)
        axes = max(8, round(radii[0] * 16)), max(8, round(radii[1] * 16))
        cv2.ellipse(self.image, middle, axes, 0, *arc, colour, -1, cv2.LINE_AA, _SHIFT)
        if head is not None:
            cv2.ellipse(self.heads, middle, axes, 0, *arc, head, -1, cv2.LINE_8, _SHIFT)


def _fixed(points: np.ndarray) -> np.ndarray:
    """Convert positions to OpenCV's fixed-point integers. Here the center of the first pixel is 0.5, in OpenCV it is 0."""
    return (points * 16.0 - 7.5).astype(np.int32)


def _fixed_spot(spot: Spot) -> tuple[int, int]:
    return int(spot[0] * 16 - 7.5), int(spot[1] * 16 - 7.5)


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
