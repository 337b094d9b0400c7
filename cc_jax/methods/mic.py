"""MIC: what the target shows in a masked crop must be what a teacher sees in the whole one.

Hoyer et al., "MIC: Masked Image Consistency for Context-Enhanced Domain Adaptation", CVPR 2023, section 3.2, there for
segmentation and detection; masked consistency of counters with a teacher: Qian et al., "Semi-Supervised Crowd Counting with
Contextual Modeling", IEEE TCSVT 2024. The teacher is the network's moving average (Tarvainen and Valpola, NeurIPS 2017).
"""

import dataclasses

import jax
import jax.numpy as jnp

from cc_jax.errors import ConfigError
from cc_jax.methods import base

_GREY = 115  # of masked pixels: what pictures are on average, 0 to the network


@dataclasses.dataclass(frozen=True)
class Method(base.Method):
    """One stage. Fields, beside those of every method:

    consistency_weight: of the target's density loss at the end of its ramp.
    ramp: share of the steps in which that weight grows, as exp(-5 (1 - t)^2).
    patch: side of a masked square, in pixels.
    ratio: share of the squares that are masked.
    """

    display_name = "MIC"
    summary = (
        "The network's estimate for a target image with masked patches must match its moving average's "
        "estimate for the whole image."
    )
    table_position = 70

    consistency_weight: float
    ramp: float
    patch: int
    ratio: float

    def __post_init__(self):
        if not 0 <= self.ratio < 1 or self.patch < 1 or not 0 <= self.ramp <= 1:
            raise ConfigError(
                "config.method.mic: ratio lies in [0, 1), ramp in [0, 1], and patch is at least 1"
            )

    def stages(self) -> tuple[base.Stage, ...]:
        return (
            base.Stage("masked", self.steps, self.learn, self.labelled_source_and_target, clean=("target",)),
        )

    def learn(self, state, batch, rng, draw):
        """A step on the source's density and on the target's, as the teacher has it, seen through holes."""
        source_rng, target_rng, label_rng, mask_rng = jax.random.split(rng, 4)
        target = batch["target"]
        seen = {
            **target,
            "image": masked(target["image"], mask_rng, self.patch, self.ratio),
            "density": self.ema_predict(state, target, label_rng, draw).mean(0),
            "weight": jnp.ones_like(target["weight"]),
        }
        done = jnp.clip((state.step + 1) / max(self.ramp * self.steps, 1), 0, 1)
        weight = self.consistency_weight * jnp.exp(-5 * (1 - done) ** 2)

        def loss(params):
            variables = state.variables(params)
            density = self.density_loss(draw, variables, batch["source"], source_rng)
            consistency = self.density_loss(draw, variables, seen, target_rng)
            return density + weight * consistency, {"density_loss": density, "consistency_loss": consistency}

        (value, metrics), grads = jax.value_and_grad(loss, has_aux=True)(state.params["counter"])
        return state.descend("counter", grads), {"loss": value, **metrics}


def masked(image: jax.Array, rng: jax.Array, patch: int, ratio: float) -> jax.Array:
    """Images [B, H, W, 3] with squares of `patch` pixels turned grey, each with the probability `ratio`."""
    batch, height, width, _ = image.shape
    rows, columns = -(-height // patch), -(-width // patch)
    hidden = jax.random.bernoulli(rng, ratio, (batch, rows, columns))
    hidden = hidden.repeat(patch, 1).repeat(patch, 2)[:, :height, :width, None]
    return jnp.where(hidden, jnp.asarray(_GREY, image.dtype), image)
