"""MC-Dropout (Gal and Ghahramani, ICML 2016): random masks over the channels of one layer, in evaluation too.

Whole channels are dropped (Tompson et al., CVPR 2015), at the layer where Masksembles has its masks, of which this is the
other end: a new mask every time instead of a few fixed ones. The encoder runs once.
"""

import dataclasses

import jax
import jax.numpy as jnp

from cc_jax.errors import ConfigError
from cc_jax.uncertainty import base


@dataclasses.dataclass(frozen=True)
class Uncertainty(base.Uncertainty):
    """`members` masks in evaluation; a channel is dropped with probability `rate`, else scaled by 1 / (1 - rate)."""

    tileable = True

    members: int
    rate: float

    def __post_init__(self):
        if self.members < 1 or not 0 <= self.rate < 1:
            raise ConfigError(
                f"config.uncertainty.mc_dropout: members={self.members} and rate={self.rate}: members is at least 1, and "
                "rate lies in [0, 1)"
            )

    def draw(self, model, variables, image, roi, rng, *, train):
        """See `base.Uncertainty.draw`. In training S = 1 and each image has a mask of its own; in evaluation S = members,
        and all images see the same masks, those of `rng`."""
        features = model.apply(variables, image, roi, method="encode")

        def decode(mask):
            return model.apply(variables, features, mask, roi, method="decode")

        if train:
            density = decode(self._masks(rng, image.shape[0], model.mask_channels))[None]
        else:
            density = jax.vmap(decode)(self._masks(rng, self.members, model.mask_channels))
        return {"density": density, **base.unmasked(model, variables, features, roi)}

    def _masks(self, rng: jax.Array, number: int, channels: int) -> jax.Array:
        keep = 1 - self.rate
        return jax.random.bernoulli(rng, keep, (number, channels)).astype(jnp.float32) / keep
