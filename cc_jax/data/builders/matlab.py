"""Reader of .mat files: up to version 7 through SciPy, version 7.3 (HDF5) through h5py.

A struct becomes a dict, a cell array a list of its cells, and a numeric array an array with MATLAB's rows and columns.
"""

import pathlib
from typing import Any

import h5py
import numpy as np
import scipy.io

from cc_jax.errors import InputError

# Largest array in bytes. A label file contains thousands of points, not millions.
_MAX_BYTES = 2**28
# Deepest nesting of cells and structs. References of a malicious file can form a cycle.
_MAX_DEPTH = 8


def read(path: pathlib.Path) -> dict[str, Any]:
    """Return the variables of a .mat file by name.

    Raises:
      InputError: The file is missing or damaged, or refers to other files, as HDF5 files can.
    """
    try:
        if h5py.is_hdf5(path):
            return _read_hdf5(path)
        content = scipy.io.loadmat(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: is missing") from error
    except InputError:
        raise
    except Exception as error:  # SciPy and h5py raise many types for damaged files
        raise InputError(f"{path}: is not a .mat file, or is damaged ({_first_line(error)})") from error
    return {name: _plain(value) for name, value in content.items() if not name.startswith("__")}


def find(node: Any, name: str) -> Any:
    """Return the field `name` of a struct, or None. A cell array of a single struct stands for that struct."""
    if isinstance(node, dict):
        return node.get(name)
    if isinstance(node, list) and len(node) == 1:
        return find(node[0], name)
    return None


def _plain(value: Any) -> Any:
    """Convert SciPy's nested arrays of objects and records."""
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.names:
        structs = [{name: _plain(one[name]) for name in value.dtype.names} for one in value.ravel()]
        return structs[0] if len(structs) == 1 else structs
    return [_plain(cell) for cell in value.ravel()] if value.dtype == object else value


def _read_hdf5(path: pathlib.Path) -> dict[str, Any]:
    with h5py.File(path, "r") as file:
        return {name: _node(file, file, name, path, 0) for name in file if not name.startswith("#")}


def _node(file: h5py.File, group: h5py.Group, name: str, path: pathlib.Path, depth: int) -> Any:
    """Return the value of `name` in a group. Links are refused, because they can lead to any file on this machine."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise InputError(f"{path}: {name} is a link; links are not followed")
    return _value(file, group[name], path, depth)


def _value(file: h5py.File, node: h5py.Group | h5py.Dataset, path: pathlib.Path, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise InputError(f"{path}: its cells are nested more than {_MAX_DEPTH} deep")
    if isinstance(node, h5py.Group):
        return {name: _node(file, node, name, path, depth + 1) for name in node}
    if node.external or node.is_virtual:
        raise InputError(f"{path}: {node.name} is stored in another file, which is not read")
    if node.size * node.dtype.itemsize > _MAX_BYTES:
        raise InputError(f"{path}: {node.name} is larger than {_MAX_BYTES:,} bytes, too large for a label")
    if "MATLAB_empty" in node.attrs:  # the data is the shape of the empty array
        return np.zeros(tuple(int(side) for side in np.ravel(node[()])))
    if h5py.check_ref_dtype(node.dtype) is not None:
        return [_value(file, file[reference], path, depth + 1) for reference in np.ravel(node[()])]
    return node[()].T  # MATLAB stores arrays by columns


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:100]
