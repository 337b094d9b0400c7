"""Deep Ensemble (Lakshminarayanan et al., NeurIPS 2017): several networks, trained side by side from different starts.

The expensive end of the spectrum: S networks cost S times as much in everything. Their variables are stacked along a leading
axis, and all networks see the same batches.
"""

import dataclasses
from collections.abc import Callable

import jax

from cc_jax.errors import ConfigError
from cc_jax.uncertainty import base


@dataclasses.dataclass(frozen=True)
class Uncertainty(base.Uncertainty):
    """Draws one sample from each network. Pretrained encoders start equal; the layers after them do not.

    Attributes:
      members: Number of networks.
      shard: Whether the devices share the networks among them instead of the batch. `members` must then be a multiple of the
        number of devices.
    """

    display_name = "Deep Ensemble"
    summary = "Answers several times, each time with a network of its own, trained from another start."

    tileable = True

    members: int = 3
    shard: bool = False

    def __post_init__(self):
        if self.members < 1:
            raise ConfigError(f"config.uncertainty.deep_ensemble.members={self.members}: must be at least 1")

    def keys(self, key: jax.Array) -> jax.Array:
        """Return one key for each network."""
        return jax.random.split(key, self.members)

    def each(self, function: Callable) -> Callable:
        """Map the function over the leading axis of all its arguments."""
        return jax.vmap(function)

    def member(self, variables: dict, s: int) -> dict:
        """Return the variables of network `s`."""
        return jax.tree.map(lambda x: x[s], variables)

    def draw(self, model, variables, image, roi, rng, *, train):
        """See `base.Uncertainty.draw`. S = S' = members, in training too."""
        del rng, train

        def draw_member(own):
            features = model.apply(own, image, roi, method="encode")
            return {
                "density": model.apply(own, features, None, roi, method="decode"),
                "upside_down": model.apply(own, features, roi, method="classify"),
                "embedding": model.apply(own, features, roi, method="embed"),
                "features": features,
            }

        # `vmap` turns a convolution with different kernels for each network into a grouped convolution, which XLA computes
        # much more slowly on CPUs than one network after the other.
        if jax.default_backend() == "cpu" and not self.shard:
            return jax.lax.map(draw_member, variables)
        return jax.vmap(draw_member)(variables)
