"""A pinhole camera over a ground plane, and a canvas that remembers which head each pixel shows."""

import dataclasses
import math

import cv2
import numpy as np
from jaxtyping import Float

Points = Float[np.ndarray, "N 2"]
Spot = tuple[float, float]
Colour = tuple[float, float, float]
_SHIFT = 4  # OpenCV takes fixed-point coordinates with this many fractional bits: sixteenths of a pixel
_LIMIT = 2**14  # pixels; what is farther outside is cut to this, OpenCV's fixed point overflows at 2**15 * 16


@dataclasses.dataclass(frozen=True)
class Camera:
    """At (0, height, 0), looking along z, pitched down by `tilt` and turned by `roll` (radians).

    World: x right, y up, z forward, metres. Canvas: u right, v down, pixels; `focal` is in the same pixels.
    """

    height: float
    tilt: float
    roll: float
    focal: float
    rows: int
    columns: int

    def project(self, xyz: Float[np.ndarray, "N 3"]) -> tuple[Points, Float[np.ndarray, " N"]]:
        """Canvas positions (u, v) and depths along the optical axis; depths are kept above 0.3 m."""
        x, down, z = xyz[:, 0], self.height - xyz[:, 1], xyz[:, 2]
        depth = np.maximum(z * math.cos(self.tilt) + down * math.sin(self.tilt), 0.3)
        a = self.focal * x / depth
        b = self.focal * (down * math.cos(self.tilt) - z * math.sin(self.tilt)) / depth
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        uv = np.stack([self.columns / 2 + a * cos - b * sin, self.rows / 2 + a * sin + b * cos], axis=1)
        return uv, depth

    def ground(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """World x and z, and depth, of the ground seen by every `step`-th pixel; depth is inf in the sky."""
        u = (np.arange(0, self.columns, step, np.float32) + step / 2 - self.columns / 2) / self.focal
        v = (np.arange(0, self.rows, step, np.float32) + step / 2 - self.rows / 2) / self.focal
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        a, b = u[None] * cos + v[:, None] * sin, v[:, None] * cos - u[None] * sin
        falling = b * math.cos(self.tilt) + math.sin(self.tilt)
        depth = np.where(falling > 1e-3, self.height / np.maximum(falling, 1e-3), np.inf).astype(np.float32)
        finite = np.minimum(depth, 1e3)
        return a * finite, (math.cos(self.tilt) - b * math.sin(self.tilt)) * finite, depth


class Canvas:
    """An RGB image to draw on from far to near, and the number of the head that each pixel shows (0: none).

    Single positions are (u, v) tuples and colours (r, g, b) tuples of plain floats: most shapes are small, and
    NumPy's cost per call would be most of the time.
    """

    def __init__(self, image: np.ndarray, haze: np.ndarray, haze_range: float):
        self.image = image
        self.heads = np.zeros(image.shape[:2], np.int32)
        self._haze, self._range = tuple(map(float, haze)), haze_range

    def hazed(self, colour: Colour, depth: float, shade: float = 1.0) -> Colour:
        """The colour as seen through the air between; `haze_range` metres take away two thirds of it."""
        clear = math.exp(-depth / self._range)
        (r, g, b), (x, y, z), air = colour, self._haze, 1 - clear
        lit = shade * clear
        return min(r * lit, 255.0) + x * air, min(g * lit, 255.0) + y * air, min(b * lit, 255.0) + z * air

    def polygon(self, points: Points, colour: Colour, *, solid: bool = False) -> None:
        """A convex polygon; `solid` ones also hide the heads behind them."""
        fixed = _fixed(points)
        cv2.fillConvexPoly(self.image, fixed, colour, cv2.LINE_AA, _SHIFT)
        if solid:
            cv2.fillConvexPoly(self.heads, fixed, 0, cv2.LINE_8, _SHIFT)

    def polygons(self, shapes: Float[np.ndarray, "N K 2"], colour: Colour) -> None:
        """Many polygons of one colour that do not overlap; they may reach far out of the picture."""
        if len(shapes):
            cut = np.clip(shapes, -_LIMIT, _LIMIT)
            cv2.fillPoly(self.image, list(_fixed(cut)), colour, cv2.LINE_AA, _SHIFT)

    def line(self, a: Spot, b: Spot, thickness: float, colour: Colour, *, solid: bool = False) -> None:
        """A stroke with round ends, at least one pixel thick."""
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
        """A filled ellipse or sector (degrees, clockwise from the right); `head` is what its pixels then show."""
        middle = _fixed_spot(centre)
        axes = max(8, round(radii[0] * 16)), max(8, round(radii[1] * 16))
        cv2.ellipse(self.image, middle, axes, 0, *arc, colour, -1, cv2.LINE_AA, _SHIFT)
        if head is not None:
            cv2.ellipse(self.heads, middle, axes, 0, *arc, head, -1, cv2.LINE_8, _SHIFT)


def _fixed(points: np.ndarray) -> np.ndarray:
    """Pixel positions as OpenCV's fixed-point integers; a pixel's centre is at a half."""
    return (points * 16.0 - 7.5).astype(np.int32)


def _fixed_spot(spot: Spot) -> tuple[int, int]:
    return int(spot[0] * 16 - 7.5), int(spot[1] * 16 - 7.5)


def noise(
    rng: np.random.Generator, size: int, finest: int, roughness: float = 0.6, *, coarsest: int = 4
) -> np.ndarray:
    """Smooth noise [size, size], mean 0, deviation 1, that tiles; octaves from `coarsest` to `finest` cells a side."""
    total, cells, weight = np.zeros((size, size), np.float32), coarsest, 1.0
    while cells <= finest:
        coarse = np.pad(rng.standard_normal((cells, cells), np.float32), 2, mode="wrap")
        edge = 2 * size // cells
        fine = cv2.resize(coarse, (size + 2 * edge,) * 2, interpolation=cv2.INTER_CUBIC)
        total += weight * fine[edge:-edge, edge:-edge]
        cells, weight = cells * 2, weight * roughness
    return (total - total.mean()) / max(float(total.std()), 1e-6)
