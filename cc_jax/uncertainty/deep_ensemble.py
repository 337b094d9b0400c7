"""Deep Ensemble (Lakshminarayanan et al., NeurIPS 2017): networks trained side by side from starts of their own.

The upper end of the spectrum, at S times the cost of everything. The networks' variables are stacked along a leading axis;
all see the same batches.
"""

import dataclasses
from collections.abc import Callable

import jax

from cc_jax.errors import ConfigError
from cc_jax.uncertainty import base


@dataclasses.dataclass(frozen=True)
class Uncertainty(base.Uncertainty):
    """`members` networks. Pretrained encoders start alike, what follows them does not.

    With `shard` the devices share out the members, a multiple of their number; each sees the whole batch.
    """

    tileable = True

    members: int
    shard: bool = False

    def __post_init__(self):
        if self.members < 1:
            raise ConfigError(f"config.uncertainty.deep_ensemble.members={self.members}: at least 1")

    def keys(self, key: jax.Array) -> jax.Array:
        """A key a network."""
        return jax.random.split(key, self.members)

    def each(self, function: Callable) -> Callable:
        """Over the leading axis of all arguments."""
        return jax.vmap(function)

    def member(self, variables: dict, s: int) -> dict:
        """Those of network `s`."""
        return jax.tree.map(lambda x: x[s], variables)

    def draw(self, model, variables, image, roi, rng, *, train):
        """See `base.Uncertainty.draw`; S = S' = members, in training too."""
        del rng, train

        def member(own):
            features = model.apply(own, image, roi, method="encode")
            return {
                "density": model.apply(own, features, None, roi, method="decode"),
                "upside_down": model.apply(own, features, roi, method="classify"),
                "embedding": model.apply(own, features, roi, method="embed"),
                "features": features,
            }

        # Side by side a convolution with kernels of its own for each member is one with groups, which XLA computes ten
        # times slower on CPUs than one member after the other.
        if jax.default_backend() == "cpu" and not self.shard:
            return jax.lax.map(member, variables)
        return jax.vmap(member)(variables)
