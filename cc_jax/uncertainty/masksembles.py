"""Masksembles (Durasov et al., CVPR 2021): fixed overlapping masks over the channels of one layer.

The encoder runs once; only what follows the mask runs once a member.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import linen as nn

from cc_jax.uncertainty import masks


@dataclasses.dataclass(frozen=True)
class Uncertainty:
    """Masksembles with `members` masks of overlap `scale` (1: all alike, a single model; large: disjoint, an ensemble)."""

    members: int
    scale: float

    def collections(self, key: jax.Array, model: nn.Module) -> dict:
        """{"masks": {"masks": [N, C]}}: drawn once from `key`, kept in the checkpoint."""
        drawn = masks.masks(key, model.mask_channels, self.members, self.scale)
        return {"masks": {"masks": jnp.asarray(drawn, jnp.float32)}}

    def draw(self, model: nn.Module, variables: dict, image, roi, rng: jax.Array, *, train: bool) -> dict:
        """image [B, H, W, 3], roi [B, H, W, 1] -> {"density": [S, B, h, w, 1], "upside_down": [1, B, 2]}.

        In training S = 1 and each image sees one mask, the masks being dealt evenly from a random start, so that
        any batch size works. In evaluation S = N: each image is run through all masks.
        """
        masks_NxC = variables["masks"]["masks"]
        features = model.apply(variables, image, roi, method="encode")

        def decode(mask):
            return model.apply(variables, features, mask, roi, method="decode")

        if train:
            start = jax.random.randint(rng, (), 0, self.members)
            dealt = masks_NxC[(start + jnp.arange(image.shape[0])) % self.members]
            density = decode(dealt)[None]
        else:
            density = jax.vmap(decode)(masks_NxC)
        return {
            "density": density,
            "upside_down": model.apply(variables, features, roi, method="classify")[None],
        }
