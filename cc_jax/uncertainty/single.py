"""A single network: one sample, no spread. The cheap end of the spectrum from one network to an ensemble."""

import dataclasses

from cc_jax.uncertainty import base


@dataclasses.dataclass(frozen=True)
class Uncertainty(base.Uncertainty):
    """Draws one sample, without a mask."""

    display_name = "Single network"
    summary = "Answers once: its counts come without a measure of how sure it is."

    tileable = True

    def draw(self, model, variables, image, roi, rng, *, train):
        """See `base.Uncertainty.draw`. S = 1."""
        del rng, train
        features = model.apply(variables, image, roi, method="encode")
        return {
            "density": model.apply(variables, features, None, roi, method="decode")[None],
            **base.unmasked(model, variables, features, roi),
        }
