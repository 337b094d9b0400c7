"""A packed counter: all that counting needs from a workdir, in two small files that can be handed on.

`counter.safetensors` holds the variables of the network, its parameters in half precision; `config.json` is that of the
run, without the paths in it. A `card.md` beside them tells people what the counter was trained on and how wrong it is.
"""

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.traverse_util
import jax
import ml_collections
import numpy as np
import safetensors
import safetensors.numpy

import cc_jax
from cc_jax.data.files import write_atomic
from cc_jax.errors import CheckpointError
from cc_jax.workdir.config import read_config, write_config
from cc_jax.workdir.layout import Layout

# The folder of the counter that is installed with the package.
SHIPPED = pathlib.Path(cc_jax.__file__).parent / "weights"


class Packed(NamedTuple):
    """A packed counter.

    Attributes:
      config: the run's config.
      variables: {"params": ..., and each collection}, nested dicts of arrays; the parameters are float32 again.
      step: how many steps have trained the counter.
      stage: the stage that the weights come from.
    """

    config: ml_collections.ConfigDict
    variables: dict[str, Any]
    step: int
    stage: str


def is_packed(folder: pathlib.Path) -> bool:
    """Whether `folder` holds a packed counter; a workdir of a run does not."""
    return Layout(folder).packed.is_file()


def write_packed(folder: pathlib.Path, counter: Packed) -> None:
    """Write the counter into `folder`, which is created if necessary.

    Parameters become float16. Paths in the config, which mean nothing elsewhere, become "" or the name of the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    flat: dict[str, Any] = flax.traverse_util.flatten_dict(jax.device_get(counter.variables), sep="/")
    halved = {name: _half(array) if name.startswith("params/") else array for name, array in flat.items()}
    tensors = {name: np.ascontiguousarray(array) for name, array in halved.items()}
    about = {"version": cc_jax.__version__, "step": str(counter.step), "stage": counter.stage}
    Layout(folder).config.unlink(missing_ok=True)
    config = counter.config.copy_and_resolve_references()
    config.data_dir = config.cache_dir = ""
    config.model.pretrained = pathlib.Path(config.model.pretrained).name
    write_config(folder, config)
    write_atomic(Layout(folder).packed, safetensors.numpy.save(tensors, about))


def read_packed(folder: pathlib.Path, abstract: Mapping[str, Any] | None = None) -> Packed:
    """Return the packed counter in `folder`.

    Args:
      folder: holds what `write_packed` has written.
      abstract: shapes and types that the variables must have, nested as they are.

    Raises:
      CheckpointError: a file is missing or damaged, or the variables do not fit.
    """
    path = Layout(folder).packed
    config = read_config(folder)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        step, stage = int(about["step"]), about["stage"]
    except (safetensors.SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({' '.join(str(error).split())}): install or copy it again"
        ) from error
    wide = {
        name: array.astype(np.float32) if name.startswith("params/") else array
        for name, array in tensors.items()
    }
    if abstract is not None:
        _check_fits(wide, flax.traverse_util.flatten_dict(dict(abstract), sep="/"), path)
    return Packed(config, flax.traverse_util.unflatten_dict(wide, sep="/"), step, stage)


def _half(array: np.ndarray) -> np.ndarray:
    """Return a float16 copy of an array. Raises CheckpointError if a value is too large for it."""
    with np.errstate(over="ignore"):  # said below
        halved = array.astype(np.float16)
    if not np.isfinite(halved).all():
        raise CheckpointError("a parameter is not finite in half precision: the counter cannot be packed")
    return halved


def _check_fits(found: Mapping[str, np.ndarray], wanted: Mapping[str, Any], path: pathlib.Path) -> None:
    for name in sorted(found.keys() | wanted.keys()):
        shapes = [tree[name].shape if name in tree else None for tree in (found, wanted)]
        if shapes[0] != shapes[1]:
            raise CheckpointError(
                f"{path} does not fit the network of its config: {name} is {shapes[0]} in the file and {shapes[1]} in the "
                "network"
            )
