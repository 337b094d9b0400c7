"""The place where a crowd is: a street, a square or a park."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Place:
    """A street between two rows of houses, a square in front of houses, or a park in front of trees.

    Attributes:
      kind: "street", "square" or "park".
      half_width: Meters from the middle to the sides of the area where people stand.
      back: Meters to the houses or trees at the back.
    """

    kind: str
    half_width: float
    back: float


def draw_place(rng: np.random.Generator) -> Place:
    """Draw a place."""
    kind = rng.choice(["street", "square", "square", "park"])
    half_width = {"street": rng.uniform(6, 13), "square": rng.uniform(16, 40), "park": rng.uniform(25, 50)}[
        kind
    ]
    return Place(str(kind), float(half_width), float(rng.uniform(36, 75)))
