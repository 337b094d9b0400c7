"""MC-Dropout (Gal and Ghahramani, ICML 2016): random masks over the channels of one layer, in evaluation too.

Whole channels are dropped (Tompson et al., CVPR 2015), at the layer where Masksembles has its masks: a new random mask every
time instead of a few fixed ones. The encoder runs once.
"""

import dataclasses

import jax
import jax.numpy as jnp

from cc_jax.errors import ConfigError
from cc_jax.uncertainty import base


@dataclasses.dataclass(frozen=True)
class Uncertainty(base.Uncertainty):
    """Draws one sample for each random mask. Channels that stay are scaled by 1 / (1 - rate).

    Attributes:
      members: Number of masks in evaluation.
      rate: Probability that a channel is dropped. Masksembles with many masks tends to a rate of 1 - 1 / scale; the default
        costs less accuracy.
    """

    display_name = "MC-Dropout"
    summary = "Answers several times, each time with other features switched off at random."

    tileable = True

    members: int = 8
    rate: float = 0.1

    def __post_init__(self):
        if self.members < 1 or not 0 <= self.rate < 1:
            raise ConfigError(
                f"config.uncertainty.mc_dropout: members={self.members} and rate={self.rate}: members must be at least 1 "
                "and rate in [0, 1)"
            )

    def draw(self, model, variables, image, roi, rng, *, train):
        """See `base.Uncertainty.draw`.

        In training S = 1 and each image has a mask of its own. In evaluation S = members, and all images see the same masks,
        which depend on `rng` alone.
        """
        features = model.apply(variables, image, roi, method="encode")

        def decode(mask):
            return model.apply(variables, features, mask, roi, method="decode")

        if train:
            density = decode(self.masks(rng, image.shape[0], model.mask_channels))[None]
        else:
            density = jax.vmap(decode)(self.masks(rng, self.members, model.mask_channels))
        return {"density": density, **base.unmasked(model, variables, features, roi)}

    def masks(self, rng: jax.Array, number: int, channels: int) -> jax.Array:
        """Return random masks, float32 [number, channels], with a mean of 1."""
        keep = 1 - self.rate
        return jax.random.bernoulli(rng, keep, (number, channels)).astype(jnp.float32) / keep
