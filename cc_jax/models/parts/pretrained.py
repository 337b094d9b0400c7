"""Encoder weights in one safetensors file: tensors named as in the model, and what they were trained with."""

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
    """What an encoder file holds.

    Fields:
      name: "vgg16" or "efficientnet_lite0".
      source: where the weights come from, in words.
      tensors: float32 arrays by flax name under params["encoder"] ("conv0/kernel").
      mean, std: of the pixels, in (x / 255 - mean) / std, RGB.
    """

    name: str
    source: str
    tensors: dict[str, np.ndarray]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def digest(self) -> str:
        """SHA-256 over name, normalisation, and every tensor's name, shape and bytes in the order of the names."""
        sha = hashlib.sha256(json.dumps([self.name, self.mean, self.std]).encode())
        for name in sorted(self.tensors):
            tensor = np.ascontiguousarray(self.tensors[name], "<f4")
            sha.update(json.dumps([name, tensor.shape]).encode())
            sha.update(tensor.tobytes())
        return sha.hexdigest()


def write_encoder(path: str | os.PathLike, encoder: Encoder) -> None:
    """Writes the file under a temporary name first: what stands under `path` is always whole."""
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
    """The file's content, its digest checked. Raises ConfigError when it is missing, foreign or damaged."""
    path = pathlib.Path(path)
    how = _HOW.format(path=path)
    if not path.is_file():
        raise ConfigError(f"no pretrained weights at {path}: {how}, or start from noise without them")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (safetensors.SafetensorError, OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{path} is no readable safetensors file ({error}): {how}") from error
    missing = {"encoder", "source", "mean", "std", "sha256"} - metadata.keys()
    if missing:
        raise ConfigError(
            f"{path} was not made for cc_jax (its metadata lacks {', '.join(sorted(missing))}): {how}"
        )
    mean, std = (tuple(json.loads(metadata[key])) for key in ("mean", "std"))
    encoder = Encoder(metadata["encoder"], metadata["source"], tensors, mean, std)
    if encoder.digest() != metadata["sha256"]:
        raise ConfigError(f"{path} is damaged (its digest is not the one it was written with): {how}")
    return encoder


def load_encoder(path: str | os.PathLike, params: dict[str, Any], norm: dict[str, Any]) -> tuple[dict, dict]:
    """`params` with the encoder's weights and `norm` with the mean and std they were trained with.

    Args:
      path: a file written by tools/convert_weights.
      params: the parameters of a model of ours, from `init`; only params["encoder"] is replaced.
      norm: the model's collection "norm".

    Raises ConfigError when the file is missing or damaged, or when its tensors are not those of the encoder.
    """
    encoder = read_encoder(path)
    wanted = flax.traverse_util.flatten_dict(params["encoder"], sep="/")
    for name, value in wanted.items():
        found = encoder.tensors.get(name)
        if found is None or found.shape != value.shape:
            has = "has no such tensor" if found is None else f"has {found.shape}"
            raise ConfigError(
                f"{path} holds {encoder.name}, which does not fit the model: encoder/{name} is {value.shape}, "
                f"the file {has}; take the weights of the model's own encoder, at model.width=1"
            )
    extra = encoder.tensors.keys() - wanted.keys()
    if extra:
        raise ConfigError(
            f"{path} holds {encoder.name}, which does not fit the model: it has no {min(extra)}"
        )
    loaded = {name: jnp.asarray(encoder.tensors[name], value.dtype) for name, value in wanted.items()}
    params = {**params, "encoder": flax.traverse_util.unflatten_dict(loaded, sep="/")}
    return params, {**norm, "mean": jnp.float32(encoder.mean), "std": jnp.float32(encoder.std)}
