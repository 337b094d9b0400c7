""".mat files of both generations as plain Python: up to version 7 through SciPy, version 7.3 (HDF5) through h5py.

A struct becomes a dict, a cell array a list of its cells, numbers an array with MATLAB's own rows and columns.
"""

import pathlib
from typing import Any

import h5py
import numpy as np
import scipy.io

from cc_jax.errors import InputError

_LARGEST = 2**28  # bytes of one array; a label file holds thousands of points, not millions
_DEEPEST = 8  # cells and structs within each other; a file whose references go round has no end


def read(path: pathlib.Path) -> dict[str, Any]:
    """The file's variables by name.

    Raises InputError naming the file if it is missing, damaged, or points at other files (an HDF5 file can).
    """
    try:
        if h5py.is_hdf5(path):
            return _read_new(path)
        content = scipy.io.loadmat(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: is missing") from error
    except InputError:
        raise
    except Exception as error:  # SciPy and h5py raise a dozen kinds for a damaged file, some of them bare
        raise InputError(f"{path}: is no .mat file or is damaged ({_first_line(error)})") from error
    return {name: _plain(value) for name, value in content.items() if not name.startswith("__")}


def find(node: Any, name: str) -> Any:
    """The field `name` of a struct, through cells and structs that hold a single one; None if there is none."""
    if isinstance(node, dict):
        return node.get(name)
    if isinstance(node, list) and len(node) == 1:
        return find(node[0], name)
    return None


def _plain(value: Any) -> Any:
    """SciPy's nested arrays of objects and records."""
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.names:
        structs = [{name: _plain(one[name]) for name in value.dtype.names} for one in value.ravel()]
        return structs[0] if len(structs) == 1 else structs
    return [_plain(cell) for cell in value.ravel()] if value.dtype == object else value


def _read_new(path: pathlib.Path) -> dict[str, Any]:
    with h5py.File(path, "r") as file:
        return {name: _node(file, file, name, path, 0) for name in file if not name.startswith("#")}


def _node(file: h5py.File, group: h5py.Group, name: str, path: pathlib.Path, depth: int) -> Any:
    """What a name in a group stands for. Links are not followed: they can lead to any file of this machine."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise InputError(f"{path}: {name} is a link to elsewhere, which is not followed")
    return _value(file, group[name], path, depth)


def _value(file: h5py.File, node: h5py.Group | h5py.Dataset, path: pathlib.Path, depth: int) -> Any:
    if depth > _DEEPEST:
        raise InputError(f"{path}: its cells lie deeper than {_DEEPEST} within each other")
    if isinstance(node, h5py.Group):
        return {name: _node(file, node, name, path, depth + 1) for name in node}
    if node.external or node.is_virtual:
        raise InputError(f"{path}: {node.name} is stored in another file, which is not read")
    if node.size * node.dtype.itemsize > _LARGEST:
        raise InputError(f"{path}: {node.name} is larger than any label file, {_LARGEST:,} bytes")
    if "MATLAB_empty" in node.attrs:  # the data are the lengths of the empty array's sides
        return np.zeros(tuple(int(side) for side in np.ravel(node[()])))
    if h5py.check_ref_dtype(node.dtype) is not None:
        return [_value(file, file[reference], path, depth + 1) for reference in np.ravel(node[()])]
    return node[()].T  # MATLAB writes by columns


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:100]
