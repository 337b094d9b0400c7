"""What the conversions of all architectures share."""

from collections.abc import Sequence

import numpy as np

from cc_jax.models.parts.pretrained import Encoder


class UnknownWeights(Exception):
    """The file was read, but its weights are not accepted. The text completes "FILE contains ..."."""


def make_encoder(name: str, source: str, tensors: dict[str, np.ndarray], mean, std) -> Encoder:
    """Return an encoder with float32 tensors.

    Args:
      name: The architecture, "vgg16" or "efficientnet_lite0".
      source: Where the weights are from, in words.
      tensors: The weights by name, see `models/parts/pretrained.py`.
      mean: Mean of the RGB channels, 0 to 1, that the network subtracts from its input.
      std: Standard deviation of the RGB channels that it then divides by.

    Raises:
      UnknownWeights: A weight is not a finite number.
    """
    tensors = {key: np.ascontiguousarray(value, np.float32) for key, value in tensors.items()}
    broken = [key for key, value in tensors.items() if not np.isfinite(value).all()]
    if broken:
        raise UnknownWeights(f"numbers that are not finite ({broken[0]})")
    return Encoder(name, source, tensors, _rgb(mean), _rgb(std))


def _rgb(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue
