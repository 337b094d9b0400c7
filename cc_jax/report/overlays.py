"""Density and uncertainty maps as pictures, alone or over the photograph. NumPy and OpenCV only.

Density and uncertainty have different color maps, so that they cannot be confused: density goes from black over red to
yellow, uncertainty from navy over teal to pale green. In both, lightness grows steadily, so that they can be read in
black and white and by color-blind people.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

# Anchors (R, G, B) of the color maps, evenly spaced from the smallest to the largest value.
DENSITY = ((8, 6, 20), (74, 16, 84), (150, 38, 88), (221, 81, 58), (250, 155, 30), (250, 240, 140))
UNCERTAINTY = ((6, 16, 40), (14, 54, 88), (14, 104, 118), (42, 157, 135), (126, 206, 150), (228, 246, 206))
_HATCH = (205, 226, 255)
LARGEST = 4096  # pixels along the longer side of an overlay; larger ones take gigabytes of memory
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def color_map(anchors: tuple[tuple[int, int, int], ...]) -> UInt8[np.ndarray, "256 3"]:
    """Return a color map that passes through the anchors."""
    at = np.linspace(0, 255, len(anchors))
    return np.stack(
        [np.interp(np.arange(256), at, channel) for channel in zip(*anchors, strict=True)], 1
    ).astype(np.uint8)


def brightest(*maps_hxw: Float[np.ndarray, "h w"]) -> float:
    """Return the value that gets the last color: the 99.5th percentile of the cells that are not empty.

    The maximum would let a single cell darken all others. The result is positive even for empty maps.
    """
    values = np.concatenate([np.ravel(m) for m in maps_hxw])
    seen = values[np.isfinite(values) & (values > 1e-6)]
    return float(np.percentile(seen, 99.5)) if seen.size else 1.0


def heat(
    values_hxw: Float[np.ndarray, "h w"], size: tuple[int, int], top: float, anchors=DENSITY
) -> UInt8[np.ndarray, "H W 3"]:
    """Return a map of values per cell as a picture of `size` (height, width); `top` gets the last color."""
    return color_map(anchors)[(255 * _share(values_hxw, size, top)).round().astype(np.uint8)]


def overlay(
    image_HxWx3: UInt8[np.ndarray, "H W 3"],
    density_hxw: Float[np.ndarray, "h w"],
    text: str,
    untrusted_hxw: Bool[np.ndarray, "h w"] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """Return the dimmed photograph with the density over it and `text` in the upper left corner.

    Args:
      image_HxWx3: is shrunk to `LARGEST` pixels along its longer side if it is larger.
      density_hxw: people per cell.
      text: ASCII.
      untrusted_hxw: cells to hatch; see `uncertainty_metrics.untrusted`.
    """
    image_HxWx3 = shrink(image_HxWx3, LARGEST)
    size = image_HxWx3.shape[:2]
    top = brightest(density_hxw)
    share = _share(density_hxw, size, top)[..., None]
    opacity = 0.85 * np.minimum(1.0, 2.5 * share)
    grey = cv2.cvtColor(image_HxWx3, cv2.COLOR_RGB2GRAY)[..., None]
    quiet = 0.7 * (0.6 * image_HxWx3.astype(np.float32) + 0.4 * grey)
    mixed = (1 - opacity) * quiet + opacity * heat(density_hxw, size, top)
    picture = mixed.round().astype(np.uint8)
    return label(picture if untrusted_hxw is None else hatched(picture, untrusted_hxw), text)


def hatched(
    image_HxWx3: UInt8[np.ndarray, "H W 3"], where_hxw: Bool[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "H W 3"]:
    """Return a copy with pale diagonal lines over the cells of `where_hxw`, a 40th of the shorter side apart."""
    height, width = image_HxWx3.shape[:2]
    inside = _share(where_hxw, (height, width), 1.0) > 0.5
    step = max(8, min(height, width) // 40)
    y, x = np.ogrid[:height, :width]
    lines = inside & ((x + y) % step < max(1, step // 6))
    marked = image_HxWx3.copy()
    marked[lines] = 0.25 * marked[lines] + 0.75 * np.array(_HATCH, np.float32)
    return marked


def label(image_HxWx3: UInt8[np.ndarray, "H W 3"], text: str) -> UInt8[np.ndarray, "H W 3"]:
    """Return a copy with `text` (ASCII) in the upper left corner, in white on a dark box, scaled with the image."""
    height, width = image_HxWx3.shape[:2]
    scale = _text_scale(text, height, width)
    thick = max(1, round(1.6 * scale))
    (w, h), base = cv2.getTextSize(text, _FONT, scale, thick)
    pad = max(2, round(0.4 * h))
    marked = image_HxWx3.copy()
    cv2.rectangle(marked, (0, 0), (w + 2 * pad, h + base + 2 * pad), (16, 16, 20), cv2.FILLED)
    cv2.putText(marked, text, (pad, pad + h), _FONT, scale, (255, 255, 255), thick, cv2.LINE_AA)
    return marked


def shrink(image_HxWx3: UInt8[np.ndarray, "H W 3"], side: int) -> UInt8[np.ndarray, "H W 3"]:
    """Return the image, shrunk to `side` pixels along its longer side if it is larger."""
    height, width = image_HxWx3.shape[:2]
    factor = side / max(height, width)
    if factor >= 1:
        return image_HxWx3
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(image_HxWx3, size, interpolation=cv2.INTER_AREA)


def _share(values_hxw: np.ndarray, size: tuple[int, int], top: float) -> np.ndarray:
    """Return the map at the size of the image, as shares of `top` in [0, 1]. What the cells cover beyond it is cut off."""
    height, width = size
    rows, columns = values_hxw.shape
    cell = max(height / rows, width / columns)  # `units.CELL` if the network saw the image at this size
    if cell * rows > height + cell or cell * columns > width + cell:
        full = (width, height)  # the network saw it at another aspect ratio
    else:
        full = (max(width, round(columns * cell)), max(height, round(rows * cell)))
    share = np.clip(np.nan_to_num(values_hxw.astype(np.float32)) / top, 0, 1)
    return cv2.resize(share, full, interpolation=cv2.INTER_LINEAR)[:height, :width]


def _text_scale(text: str, height: int, width: int) -> float:
    """Return a scale for letters of 1/24 of the shorter side, at least 12 pixels, and text no wider than the image."""
    (unit_width, unit_height), _ = cv2.getTextSize(text, _FONT, 1.0, 1)
    wanted = max(12.0, min(height, width) / 24) / unit_height
    return min(wanted, 0.92 * width / unit_width)
