"""Masksembles (Durasov et al., CVPR 2021): a few fixed, overlapping masks over the channels of one layer.

The encoder runs once. Only what follows the mask runs for each sample, and the first convolution after it reads only the
channels that the sample's mask keeps.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import linen as nn

from cc_jax.uncertainty import base, masks, masksembles_layer


@dataclasses.dataclass(frozen=True)
class Uncertainty(base.Uncertainty):
    """Draws one sample for each mask. The defaults are those of the code of Liu et al. (CVPR 2022).

    Attributes:
      members: Number of masks.
      scale: How little the masks overlap: 1 makes them all equal, as in a single network; large values make them
        disjoint, as in an ensemble. At most 6.
    """

    display_name = "Masksembles"
    summary = "Answers several times, each time with another part of its features switched off."

    tileable = True

    members: int = 3
    scale: float = 2.0

    def collections(self, key: jax.Array, model: nn.Module) -> dict:
        """Return {"masks": {"masks": float32 [N, C]}}."""
        drawn = masks.masks(key, model.mask_channels, self.members, self.scale)
        return {"masks": {"masks": jnp.asarray(drawn, jnp.float32)}}

    def draw(self, model, variables, image, roi, rng, *, train):
        """See `base.Uncertainty.draw`.

        In training S = 1 and each image sees one mask. The masks are dealt out evenly, starting at a random one, so that any
        batch size works. In evaluation S = N, and each image is run through all masks.
        """
        masks_NxC = variables["masks"]["masks"]
        features = model.apply(variables, image, roi, method="encode")
        if train:
            masks_BxC = masksembles_layer.deal(masks_NxC, image.shape[0], rng)
            density = model.apply(variables, features, masks_BxC, roi, method="decode")[None]
        else:
            kept = masks.active(model.mask_channels, self.members, self.scale)
            # The channels that each mask keeps, in ascending order: of equal values `top_k` takes the first ones first.
            channels_Nxm = jax.lax.top_k(masks_NxC, kept)[1]
            density = model.apply(variables, features, channels_Nxm, roi, method="decode_members")
        return {"density": density, **base.unmasked(model, variables, features, roi)}
