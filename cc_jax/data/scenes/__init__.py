"""Scenes that are made from a seed: crowds (`crowds`), and images without people (`clutter`)."""

import dataclasses

import numpy as np
from jaxtyping import Float32, UInt8


@dataclasses.dataclass(frozen=True)
class Scene:
    """A rendered scene.

    Attributes:
      image: RGB image.
      points: Heads (x, y) in pixels, inside the image, far ones first.
    """

    image: UInt8[np.ndarray, "H W 3"]
    points: Float32[np.ndarray, "N 2"]
