"""What every uncertainty is: a way to draw S samples, and how many networks it takes."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax
from flax import linen as nn


@dataclasses.dataclass(frozen=True)
class Uncertainty:
    """One network without variables of its own; each way of drawing is a file beside this one.

    Attributes:
      shard: whether the devices share out the networks, each seeing the whole batch, and not the batch.
      tileable: whether every sample is `encode`, one mask over the channels, `decode`, with nothing spatial before,
        between or after. Only then can large images be counted in tiles (inference/tiling.py); images that need tiles
        are refused otherwise. A sample that mirrors or resizes the image, for example, is not tileable.
    """

    tileable: ClassVar[bool] = False
    shard = False  # not annotated: a field here would come before those of the files beside this one

    def collections(self, key: jax.Array, model: nn.Module) -> dict[str, Any]:
        """Variables beside the parameters, drawn once from `key` and kept in the checkpoint: {collection: tree}."""
        del key, model
        return {}

    def keys(self, key: jax.Array) -> jax.Array:
        """What `each` is given to make parameters from: one key a network."""
        return key

    def each(self, function: Callable) -> Callable:
        """`function` of one network's parameters (and of what belongs to them) as one of all networks'."""
        return function

    def member(self, variables: dict, s: int) -> dict:
        """The variables of the network that sample `s` of an evaluation comes from."""
        del s
        return variables

    def draw(self, model: nn.Module, variables: dict, image, roi, rng: jax.Array, *, train: bool) -> dict:
        """Samples of what the network says of a batch.

        Args:
          image: [B, H, W, 3] RGB, 0-255.
          roi: [B, H, W, 1], above 0 inside.
          rng: a key; whether it is used is the uncertainty's matter. In evaluation all images are drawn with one key,
            so that an image has one count.
          train: one sample an image and network, each trained on; otherwise all.

        Returns {"density": [S, B, h, w, 1], "upside_down": [S', B, K], "embedding": [S', B, C], "features":
        [S', B, h, w, C]}, S' = 1 but where the networks are several. The features are those that a mask then touches.
        """
        raise TypeError(f"{type(self).__name__} defines no draw")


def unmasked(model: nn.Module, variables: dict, features, roi) -> dict[str, jax.Array]:
    """What one network says beside the density, from features that no mask has touched; S' = 1."""
    return {
        "upside_down": model.apply(variables, features, roi, method="classify")[None],
        "embedding": model.apply(variables, features, roi, method="embed")[None],
        "features": features[None],
    }
