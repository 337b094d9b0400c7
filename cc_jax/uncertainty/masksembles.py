"""Masksembles (Durasov et al., CVPR 2021): fixed overlapping masks over the channels of one layer.

The encoder runs once; only what follows the mask runs once a member, and of that the first convolution reads the member's
own channels alone.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import linen as nn

from cc_jax.uncertainty import base, masks


@dataclasses.dataclass(frozen=True)
class Uncertainty(base.Uncertainty):
    """Masksembles with `members` masks of overlap `scale` (1: all alike, a single model; large: disjoint, an ensemble)."""

    tileable = True

    members: int
    scale: float

    def collections(self, key: jax.Array, model: nn.Module) -> dict:
        """{"masks": {"masks": [N, C]}}."""
        drawn = masks.masks(key, model.mask_channels, self.members, self.scale)
        return {"masks": {"masks": jnp.asarray(drawn, jnp.float32)}}

    def draw(self, model, variables, image, roi, rng, *, train):
        """See `base.Uncertainty.draw`.

        In training S = 1 and each image sees one mask, the masks being dealt evenly from a random start, so that
        any batch size works. In evaluation S = N: each image is run through all masks.
        """
        masks_NxC = variables["masks"]["masks"]
        features = model.apply(variables, image, roi, method="encode")
        if train:
            start = jax.random.randint(rng, (), 0, self.members)
            dealt = masks_NxC[(start + jnp.arange(image.shape[0])) % self.members]
            density = model.apply(variables, features, dealt, roi, method="decode")[None]
        else:
            ones = masks.active(model.mask_channels, self.members, self.scale)
            channels_Nxm = jax.lax.top_k(masks_NxC, ones)[1]  # of equal values the first come first
            density = model.apply(variables, features, channels_Nxm, roi, method="decode_members")
        return {"density": density, **base.unmasked(model, variables, features, roi)}
