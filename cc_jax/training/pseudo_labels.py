"""A stage's sets, with its pseudo labels saved when it is entered: a resume must not label again with later weights."""

import dataclasses
import io
import pathlib
import zipfile

import jax
import numpy as np

from cc_jax.data.files import write_atomic
from cc_jax.errors import CheckpointError
from cc_jax.methods import base


def load_or_make_pseudo_labels(
    stage: base.Stage, state, sets: base.Sets, work: base.StageTools, folder: pathlib.Path, *, resumed: bool
) -> base.Sets | None:
    """The stage's sets: its pseudo labels from `folder/<stage>.npz` if that exists, else made and saved there.

    Args:
      sets: those of the stage before.
      resumed: whether steps of this stage are already done; then its labels must be there.
    Returns None when the method has converged and the stage is not run.
    """
    path = folder / f"{stage.name}.npz"
    if path.exists():
        labels = load(path)
        if labels is None:
            return None
        return _with_labels(sets, labels)
    entered = stage.data(state, sets, work)
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
    """Writes {set: {id: (density, weight)}} as one npz; None (converged) as an npz without a set."""
    arrays = {"converged": np.bool_(labels is None)}
    for name, one_set in (labels or {}).items():
        arrays[f"{name}/ids"] = np.asarray(list(one_set))
        for i, (density, weight) in enumerate(one_set.values()):
            arrays[f"{name}/density/{i}"] = density.astype(np.float32)
            arrays[f"{name}/weight/{i}"] = weight.astype(np.float32)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomic(path, buffer.getvalue())


def load(path: pathlib.Path) -> dict[str, base.PseudoLabels] | None:
    """The inverse of `save`. Raises CheckpointError when the file is damaged (npz carries checksums)."""
    try:
        with np.load(path) as arrays:
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
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f"{path} is damaged ({error}): restore it from a copy, or use a new workdir"
        ) from error
