"""Reader of torch's .pth files without torch, through an unpickler that runs nothing.

A pickle can call any function that it names. This is the only module of the project that reads one. Its unpickler admits
the few names that a state dict consists of and refuses all others.
"""

import collections
import dataclasses
import io
import math
import pickle
import struct
import zipfile
from typing import Any

import numpy as np

from cc_jax.tools.convert_weights.limits import MAX_BYTES, read_member

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}


def read_legacy(file: io.BufferedIOBase) -> dict[str, np.ndarray]:
    """Read the format before torch 1.6: magic number, version, system, state dict, keys, then the raw storages.

    Returns:
      The arrays of the state dict by name, as float32.

    Raises:
      ValueError: The file is damaged, or contains something else than a state dict.
    """
    if _unpickle(file) != _MAGIC_NUMBER:
        raise ValueError("a pickle that torch did not write")
    # The version and the system.
    for _ in range(2):
        _unpickle(file)
    state, keys = _unpickle(file), _unpickle(file)
    tensors = _tensors(state)
    known = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    storages = {}
    for key in map(str, keys):
        if key not in known:
            raise ValueError(f"storage {key} belongs to no tensor")
        (size,) = struct.unpack("<q", file.read(8))
        dtype = np.dtype(known[key].dtype)
        data = file.read(size * dtype.itemsize) if 0 <= size * dtype.itemsize <= MAX_BYTES else b""
        storages[key] = _to_array(known[key], data)
    return _resolve(tensors, storages)


def read_zipped(archive: zipfile.ZipFile, pickled: str) -> dict[str, np.ndarray]:
    """Read the format since torch 1.6: data.pkl, and beside it data/KEY with the raw storages.

    Args:
      archive: The .pth file.
      pickled: Name of data.pkl in the archive.

    Returns:
      The arrays of the state dict by name, as float32.

    Raises:
      ValueError: The file is damaged, or contains something else than a state dict.
    """
    folder = pickled.removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
        raise ValueError("big-endian numbers")
    tensors = _tensors(_unpickle(io.BytesIO(read_member(archive, pickled))))
    known = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    storages = {
        key: _to_array(storage, read_member(archive, f"{folder}data/{key}")) for key, storage in known.items()
    }
    return _resolve(tensors, storages)


@dataclasses.dataclass(frozen=True)
class _Storage:
    """A block of numbers that tensors are views of."""

    key: str
    dtype: str
    size: int


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A view of a storage. The storage itself is read later."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def resolve(self, storages: dict[str, np.ndarray]) -> np.ndarray:
        """Return the tensor as an array.

        Raises:
          ValueError: The view is not inside its storage.
        """
        storage = storages[self.storage.key]
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        if min((self.offset, *self.shape, *self.strides), default=0) < 0 or last >= max(len(storage), 1):
            raise ValueError("a tensor reaches beyond its storage")
        if math.prod(self.shape) > len(storage):
            raise ValueError("a tensor is larger than its storage")
        strides = [s * storage.itemsize for s in self.strides]
        view = np.lib.stride_tricks.as_strided(storage[self.offset :], self.shape, strides)
        return view.astype(np.float32)


def _rebuild_tensor(storage, offset, shape, strides, *_) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(tensor, *_) -> _Tensor:
    return tensor


class _Unpickler(pickle.Unpickler):
    """Admits the names that a state dict consists of, and no others."""

    _ADMITTED = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
        **{("torch", name): name for name in _DTYPES},
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._ADMITTED[module, name]
        except KeyError:
            raise ValueError(f"it names {module}.{name}, which a file of weights does not need") from None

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, size, *_ = pid
        if kind != "storage" or dtype not in _DTYPES:
            raise ValueError("an unknown kind of storage")
        return _Storage(str(key), _DTYPES[dtype], int(size))


def _unpickle(file: io.BufferedIOBase) -> Any:
    """Read one pickle.

    Raises:
      ValueError: It is malformed, or names something that is not admitted. A malformed pickle can raise any error.
    """
    try:
        return _Unpickler(file).load()
    except ValueError:
        raise
    except Exception as error:  # noqa: BLE001 (see above)
        raise ValueError(f"a malformed pickle: {error}") from error


def _to_array(storage: _Storage, data: bytes) -> np.ndarray:
    if len(data) != storage.size * np.dtype(storage.dtype).itemsize:
        raise ValueError(f"storage {storage.key} is cut short")
    return np.frombuffer(data, storage.dtype)


def _tensors(state: Any) -> dict[str, _Tensor]:
    """Return the tensors of a state dict, which some training scripts wrap in {"state_dict": ...}."""
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict):
        raise ValueError("a pickled object that is not a state dict")
    return {str(name): value for name, value in state.items() if isinstance(value, _Tensor)}


def _resolve(tensors: dict[str, _Tensor], storages: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays by name, without the prefix that DataParallel adds."""
    return {name.removeprefix("module."): tensor.resolve(storages) for name, tensor in tensors.items()}
