"""Files of named arrays (npz) in a workdir."""

import io
import json
import pathlib
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from cc_jax.data.files import write_atomic
from cc_jax.errors import CheckpointError

Read = TypeVar("Read")


def write_arrays(path: pathlib.Path, arrays: Mapping[str, Any], *, compressed: bool = False) -> None:
    """Write arrays by name, completely or not at all."""
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    write_atomic(path, buffer.getvalue())


def read_arrays(
    path: pathlib.Path, read: Callable[[Any], Read], remedy: str, error: type[Exception] = CheckpointError
) -> Read:
    """Return what `read` makes of the open file, a mapping from names to arrays.

    Args:
      remedy: what the user can do about a damaged file.
      error: what is raised if the file is missing or damaged, or lacks an array; npz files carry checksums.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return read(arrays)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as cause:
        raise error(f"{path} is damaged ({' '.join(str(cause).split())}): {remedy}") from cause


def write_about_counter(path: pathlib.Path, about: dict[str, Any], arrays: Mapping[str, Any]) -> None:
    """Write what was found out about a counter: arrays, and `about` as JSON, which has the counter's weights_sha256."""
    write_arrays(path, {"about": json.dumps(about), **arrays}, compressed=True)


def read_about_counter(
    path: pathlib.Path, weights_sha256: str, read: Callable[[dict[str, Any], Any], Read], remedy: str
) -> Read | None:
    """Return what `read` makes of (about, arrays) that `write_about_counter` wrote, or None if there is no such file.

    Raises CheckpointError if the file is damaged or is about other weights.
    """
    if not path.exists():
        return None

    def read_both(arrays) -> tuple[str, Read]:
        about = json.loads(str(arrays["about"]))
        return about["weights_sha256"], read(about, arrays)

    of, found = read_arrays(path, read_both, remedy)
    if of != weights_sha256:
        raise CheckpointError(f"{path} belongs to other weights: {remedy}")
    return found
