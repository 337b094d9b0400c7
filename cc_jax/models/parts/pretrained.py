"""Pretrained encoder weights in a safetensors file: tensors named as in the model, and the normalisation of the pixels."""

import dataclasses
import hashlib
import json
import os
import pathlib
from typing import Any

import flax.traverse_util
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from cc_jax.errors import ConfigError

_HOW = "make one with `python -m cc_jax.tools.convert_weights --source=FILE --output={path}`"


@dataclasses.dataclass(frozen=True)
class Encoder:
    """The content of an encoder file.

    Attributes:
      name: "vgg16" or "efficientnet_lite0".
      source: where the weights come from, in words.
      tensors: float32 arrays by their flax name below params["encoder"], such as "conv0/kernel".
      mean, std: normalisation of the pixels, (x / 255 - mean) / std, RGB.
    """

    name: str
    source: str
    tensors: dict[str, np.ndarray]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def digest(self) -> str:
        """Return the SHA-256 of name, normalisation, and every tensor's name, shape and bytes, in the order of the names."""
        sha = hashlib.sha256(json.dumps([self.name, self.mean, self.std]).encode())
        for name in sorted(self.tensors):
            tensor = np.ascontiguousarray(self.tensors[name], "<f4")
            sha.update(json.dumps([name, tensor.shape]).encode())
            sha.update(tensor.tobytes())
        return sha.hexdigest()


def write_encoder(path: str | os.PathLike, encoder: Encoder) -> None:
    """Write the file, under a temporary name first, so that `path` never holds half a file."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {
        "encoder": encoder.name,
        "source": encoder.source,
        "mean": json.dumps(encoder.mean),
        "std": json.dumps(encoder.std),
        "sha256": encoder.digest(),
    }
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        tensors = {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in encoder.tensors.items()}
        partial.write_bytes(safetensors.numpy.save(tensors, metadata))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_encoder(path: str | os.PathLike) -> Encoder:
    """Read the file and check its digest. Raises ConfigError if it is missing, damaged, or not an encoder file."""
    path = pathlib.Path(path)
    how = _HOW.format(path=path)
    if not path.is_file():
        raise ConfigError(
            f"no pretrained weights at {path}: {how}, or set config.model.pretrained='' to start from noise"
        )
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{path} is not a readable safetensors file ({error}): {how}") from error
    missing = {"encoder", "source", "mean", "std", "sha256"} - metadata.keys()
    if missing:
        raise ConfigError(
            f"{path} is not an encoder file of cc_jax (its metadata lacks {', '.join(sorted(missing))}): {how}"
        )
    mean, std = (tuple(json.loads(metadata[key])) for key in ("mean", "std"))
    encoder = Encoder(metadata["encoder"], metadata["source"], tensors, mean, std)
    if encoder.digest() != metadata["sha256"]:
        raise ConfigError(f"{path} is damaged (its digest does not match its content): {how}")
    return encoder


def load_encoder(path: str | os.PathLike, params: dict[str, Any], norm: dict[str, Any]) -> tuple[dict, dict]:
    """Return `params` with the weights of an encoder file, and `norm` with the normalisation that these were trained with.

    Args:
      path: a file written by tools/convert_weights.
      params: initial parameters of a model; only params["encoder"] is replaced.
      norm: the model's collection "norm".

    Raises:
      ConfigError: if the file is missing or damaged, or if its tensors do not fit the model's encoder.
    """
    encoder = read_encoder(path)
    wanted: dict[str, Any] = flax.traverse_util.flatten_dict(params["encoder"], sep="/")
    for name, value in wanted.items():
        found = encoder.tensors.get(name)
        if found is None or found.shape != value.shape:
            has = "has no such tensor" if found is None else f"has {found.shape}"
            raise ConfigError(
                f"{path} holds {encoder.name}, which does not fit the model: encoder/{name} is {value.shape}, "
                f"the file {has}; use the weights of the model's own encoder, with a width of 1"
            )
    extra = encoder.tensors.keys() - wanted.keys()
    if extra:
        raise ConfigError(
            f"{path} holds {encoder.name}, which does not fit the model: it has no {min(extra)}"
        )
    loaded = {name: jnp.asarray(encoder.tensors[name], value.dtype) for name, value in wanted.items()}
    params = {**params, "encoder": flax.traverse_util.unflatten_dict(loaded, sep="/")}
    return params, {**norm, "mean": jnp.float32(encoder.mean), "std": jnp.float32(encoder.std)}
