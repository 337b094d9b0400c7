"""The size of a cell and the unit of the network's output, in one place. Plain arithmetic: works on NumPy and JAX arrays.

The network's output is `label_scale` times the density per pixel, averaged over a cell of 8x8 pixels. GCC-SFCN and NLT
train in this unit with a factor of 100, and a loss weight has a meaning only together with it.
"""

from typing import Any, SupportsInt, TypeVar

CELL = 8  # pixels along a side of a cell of the density map: the stride of the models
CELL_AREA = CELL * CELL

Numbers = TypeVar("Numbers", bound=Any)  # a number, or an array of NumPy or JAX


def cells_along(pixels: SupportsInt) -> int:
    """Number of cells that cover a side of `pixels` pixels."""
    return -(-int(pixels) // CELL)


def people_per_cell(output: Numbers, label_scale: float) -> Numbers:
    """People per cell from the network's output, any shape."""
    return output * (CELL_AREA / label_scale)


def output_from_people(people: Numbers, label_scale: float) -> Numbers:
    """The output that cells with so many people should have: the inverse of `people_per_cell`."""
    return people * (label_scale / CELL_AREA)
