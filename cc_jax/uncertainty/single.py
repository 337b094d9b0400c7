"""One network, one sample: S = 1. The lower end of the spectrum; its spread is zero."""

import dataclasses

from cc_jax.uncertainty import base


@dataclasses.dataclass(frozen=True)
class Uncertainty(base.Uncertainty):
    """No members."""

    tileable = True

    def draw(self, model, variables, image, roi, rng, *, train):
        """See `base.Uncertainty.draw`; S = 1."""
        del rng, train
        features = model.apply(variables, image, roi, method="encode")
        return {
            "density": model.apply(variables, features, None, roi, method="decode")[None],
            **base.unmasked(model, variables, features, roi),
        }
