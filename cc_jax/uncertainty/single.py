"""One network, one sample: S = 1. The baseline of the spectrum; its spread is zero."""

import dataclasses

import jax
from flax import linen as nn


@dataclasses.dataclass(frozen=True)
class Uncertainty:
    """No members."""

    def collections(self, key: jax.Array, model: nn.Module) -> dict:
        """Variables beside the parameters: none."""
        del key, model
        return {}

    def draw(self, model: nn.Module, variables: dict, image, roi, rng: jax.Array, *, train: bool) -> dict:
        """image [B, H, W, 3], roi [B, H, W, 1] -> {"density": [1, B, h, w, 1], "upside_down": [1, B, 2]}."""
        del rng, train
        features = model.apply(variables, image, roi, method="encode")
        return {
            "density": model.apply(variables, features, None, roi, method="decode")[None],
            "upside_down": model.apply(variables, features, roi, method="classify")[None],
        }
