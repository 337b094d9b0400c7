"""MIC: the estimate for a masked target crop must match a teacher's estimate for the whole crop.

Hoyer et al., "MIC: Masked Image Consistency for Context-Enhanced Domain Adaptation", CVPR 2023, section 3.2, for
segmentation and detection. Masked consistency of counters with a teacher: Qian et al., "Semi-Supervised Crowd Counting with
Contextual Modeling", IEEE TCSVT 2024. The teacher is the network's moving average (Tarvainen and Valpola, NeurIPS 2017).
"""

import dataclasses

import jax
import jax.numpy as jnp

from cc_jax.errors import ConfigError
from cc_jax.methods import base

_GREY = 115  # of masked pixels: the mean of natural images, which the networks normalize to about 0


@dataclasses.dataclass(frozen=True)
class Method(base.Method):
    """One stage.

    Attributes:
      consistency_weight: Weight of the target's density loss once its ramp has ended; our choice.
      ramp: Share of the steps in which that weight rises, as exp(-5 (1 - t)^2); our choice.
      patch: Side of a masked square in pixels; the paper's.
      ratio: Share of the squares that are masked; the paper's.
    """

    display_name = "MIC"
    summary = (
        "The network's estimate for a target image with masked patches must match its moving average's "
        "estimate for the whole image."
    )
    table_position = 70

    consistency_weight: float = 1.0
    ramp: float = 0.5
    patch: int = 64
    ratio: float = 0.7

    def __post_init__(self):
        if not 0 <= self.ratio < 1 or self.patch < 1 or not 0 <= self.ramp <= 1:
            raise ConfigError(
                "config.method.mic: ratio must be in [0, 1), ramp in [0, 1], and patch at least 1"
            )

    def stages(self) -> tuple[base.Stage, ...]:
        return (
            base.Stage("masked", self.steps, self.learn, self.labelled_source_and_target, clean=("target",)),
        )

    def learn(self, state, batch, rng, draw):
        """Train the counter on source labels, and on the teacher's estimate for target crops that it sees masked."""
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
            density = self.density_loss(variables, batch["source"], source_rng, draw)
            consistency = self.density_loss(variables, seen, target_rng, draw)
            return density + weight * consistency, {"density_loss": density, "consistency_loss": consistency}

        (value, metrics), grads = jax.value_and_grad(loss, has_aux=True)(state.params["counter"])
        return state.descend("counter", grads), {"loss": value, **metrics}


def masked(image: jax.Array, rng: jax.Array, patch: int, ratio: float) -> jax.Array:
    """Turn squares of `patch` pixels of images [B, H, W, 3] grey, each with probability `ratio`."""
    batch, height, width, _ = image.shape
    rows, columns = -(-height // patch), -(-width // patch)
    hidden = jax.random.bernoulli(rng, ratio, (batch, rows, columns))
    hidden = hidden.repeat(patch, 1).repeat(patch, 2)[:, :height, :width, None]
    return jnp.where(hidden, jnp.asarray(_GREY, image.dtype), image)
