"""The pseudo labels of a stage, made when the stage is entered and saved: a resumed run must not make them again with
later weights."""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np

from cc_jax.errors import CheckpointError
from cc_jax.methods import base
from cc_jax.optimization.train_state import TrainState
from cc_jax.workdir.arrays import read_arrays, write_arrays
from cc_jax.workdir.layout import Layout


def load_or_make_pseudo_labels(
    stage: base.Stage,
    state: TrainState,
    sets: base.Sets,
    tools: base.StageTools,
    layout: Layout,
    *,
    resumed: bool,
) -> base.Sets | None:
    """Return the sets that a stage trains on, or None if the method has converged and the stage is not run.

    The pseudo labels come from the workdir if they are there. Otherwise the stage makes them, and they are saved there.

    Args:
      stage: the stage to enter.
      state: the state when it is entered.
      sets: the sets of the stage before.
      tools: what the stage may do on the host.
      layout: the files of the workdir.
      resumed: whether steps of this stage are done.

    Raises:
      CheckpointError: the file of the labels is damaged, or it is missing and the stage is resumed.
    """
    path = layout.pseudo_labels(stage.name)
    if path.exists():
        saved = load(path)
        return None if saved is None else _with_labels(sets, saved)
    entered = stage.data(state, sets, tools)
    labels = None if entered is None else {n: s.pseudo for n, s in entered.items() if s.pseudo is not None}
    if labels == {}:
        return entered
    if resumed:
        raise CheckpointError(
            f"{path} is missing, and stage {stage.name} was trained on it: restore it from a copy, or use a new workdir"
        )
    if jax.process_index() == 0:
        save(path, labels)
    return entered


def _with_labels(sets: base.Sets, labels: dict[str, base.PseudoLabels]) -> base.Sets:
    return {n: dataclasses.replace(s, pseudo=labels.get(n, s.pseudo)) for n, s in sets.items()}


def save(path: pathlib.Path, labels: dict[str, base.PseudoLabels] | None) -> None:
    """Write the pseudo labels of a stage as one npz file.

    Args:
      path: the file.
      labels: {set: {id: (density, weight)}}; None if the method has converged.
    """
    arrays: dict[str, Any] = {"converged": np.bool_(labels is None)}
    for name, one_set in (labels or {}).items():
        arrays[f"{name}/ids"] = np.asarray(list(one_set))
        for i, (density, weight) in enumerate(one_set.values()):
            arrays[f"{name}/density/{i}"] = density.astype(np.float32)
            arrays[f"{name}/weight/{i}"] = weight.astype(np.float32)
    write_arrays(path, arrays)


def load(path: pathlib.Path) -> dict[str, base.PseudoLabels] | None:
    """Return what `save` wrote. Raises CheckpointError if the file is damaged (npz files carry checksums)."""

    def read(arrays) -> dict[str, base.PseudoLabels] | None:
        if arrays["converged"]:
            return None
        names = [key.split("/")[0] for key in arrays.files if key.endswith("/ids")]
        return {
            name: {
                str(i): (arrays[f"{name}/density/{k}"], arrays[f"{name}/weight/{k}"])
                for k, i in enumerate(arrays[f"{name}/ids"])
            }
            for name in names
        }

    return read_arrays(path, read, "restore it from a copy, or use a new workdir")
