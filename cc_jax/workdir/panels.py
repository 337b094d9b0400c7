"""The images that a report shows of a run: panels/<role>_<image>.npz in its workdir."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from cc_jax.data.images import safe_name
from cc_jax.errors import InputError
from cc_jax.workdir.arrays import read_arrays, write_arrays
from cc_jax.workdir.layout import Layout

BY_ERROR = ("best", "middle", "worst")  # by the absolute error: other images for every method
BY_COUNT = ("sparse", "typical", "dense")  # by the true count: the same images for every method
_ROLES = (*BY_ERROR, *BY_COUNT)


@dataclasses.dataclass(frozen=True)
class Panel:
    """A test image and what a counter says of it.

    Attributes:
      role: why it was chosen, one of `BY_ERROR` or `BY_COUNT`.
      id: the image's name in its dataset.
      image: uint8 [H, W, 3].
      estimate, uncertainty: people per cell, and the standard deviation over the samples, [h, w].
      true: people per cell according to the labels, [h, w]; None without labels.
    """

    role: str
    id: str
    image: np.ndarray
    estimate: np.ndarray
    uncertainty: np.ndarray
    true: np.ndarray | None


def write_panels(folder: pathlib.Path, panels: list[Panel]) -> None:
    """Write `panels` into `folder`/panels, instead of those that are there."""
    folder = Layout(folder).panels
    for old in folder.glob("*.npz"):
        old.unlink()
    for panel in panels:
        arrays: dict[str, Any] = {
            "id": panel.id,
            "image": panel.image,
            "estimate": panel.estimate,
            "uncertainty": panel.uncertainty,
        }
        if panel.true is not None:
            arrays["true"] = panel.true
        write_arrays(folder / f"{panel.role}_{safe_name(panel.id)}.npz", arrays, compressed=True)


def read_panels(folder: pathlib.Path) -> list[Panel]:
    """Return the panels of `folder`/panels, from best to worst and from sparse to dense.

    Raise InputError if there is none, or one is damaged.
    """
    folder = Layout(folder).panels
    paths = sorted(folder.glob("*.npz"), key=lambda path: (_order(path), path.name))
    if not paths:
        raise InputError(f"{folder}: has no images; run evaluate on {folder.parent} again")
    return [_read_panel(path) for path in paths]


def _order(path: pathlib.Path) -> int:
    role = path.stem.partition("_")[0]
    return _ROLES.index(role) if role in _ROLES else len(_ROLES)


def _read_panel(path: pathlib.Path) -> Panel:
    role, _, stem = path.stem.partition("_")

    def read(arrays) -> Panel:
        return Panel(
            role=role,
            id=str(arrays["id"]) if "id" in arrays else stem,
            image=arrays["image"],
            estimate=arrays["estimate"],
            uncertainty=arrays["uncertainty"],
            true=arrays.get("true"),
        )

    return read_arrays(path, read, f"run evaluate on {path.parent.parent} again", InputError)
