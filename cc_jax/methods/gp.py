"""GP: a Gaussian process on the features of labelled crops predicts what features of unlabelled crops should be.

Sindagi et al., "Learning to Count in the Crowd from Limited Labeled Data", ECCV 2020, section 3.2, with the loss of the same
group's released code for another task. There, passes over the labelled and the unlabelled images alternate. Here each step
does both, with the labelled latents of the latest steps.
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from cc_jax.errors import ConfigError
from cc_jax.methods import base
from cc_jax.methods.parts.gaussian_process import posterior
from cc_jax.models.parts.layers import adaptive_mean, roi_pyramid
from cc_jax.units import CELL


@dataclasses.dataclass(frozen=True)
class Method(base.Method):
    """One stage.

    A latent is the mean of the features over one of grid x grid parts of a crop. Each of its channels is divided by the
    channel's root mean square over the bank, or by a tenth of that of all channels if this is more.

    Attributes:
      unlabelled_weight: Weight of the target's loss. The paper's 0.6 belongs to a loss of another scale.
      neighbours: Number of nearest labelled latents that predict an unlabelled one.
      bank: Number of labelled latents that are kept.
      grid: Parts of a crop along each side.
      length: Length scale of the kernel, in root mean square differences of a channel.
      noise: Standard deviation of the labelled latents; s in the paper.
    """

    display_name = "GP"
    summary = (
        "Features of unlabelled crops are drawn to what a Gaussian process predicts from those of "
        "labelled crops."
    )
    table_position = 50

    unlabelled_weight: float = 0.01
    neighbours: int = 64
    bank: int = 1024
    grid: int = 3
    length: float = 1.0
    noise: float = 0.1

    def __post_init__(self):
        if not 1 <= self.neighbours <= self.bank:
            raise ConfigError(
                f"config.method.gp.neighbours={self.neighbours}: must be at least 1 and at most bank={self.bank}"
            )

    def stages(self) -> tuple[base.Stage, ...]:
        return (base.Stage("gp", self.steps, self.learn, self.labelled_source_and_target),)

    def networks(self, model, crop: int, key: jax.Array) -> base.Networks:
        """Return a network without parameters that holds the bank of labelled latents."""
        bank = {"latents": jnp.zeros((self.bank, model.mask_channels)), "filled": jnp.int32(0)}
        return {"memory": ({}, {"bank": bank})}

    def optimizers(self) -> dict[str, optax.GradientTransformation]:
        """Return an optimizer that does nothing, because the bank has no parameters."""
        return {"memory": optax.identity()}

    def learn(self, state, batch, rng, draw):
        """Train the counter on source labels, and draw target latents to what the bank predicts."""
        bank = state.collections["memory"]["bank"]
        ready = bank["filled"] >= self.bank
        rms = jnp.sqrt(jnp.mean(bank["latents"] ** 2, 0))
        # Without the lower bound a channel that is nearly 0 in the bank would outweigh all others.
        scale = jnp.where(ready, jnp.maximum(rms, 0.1 * jnp.sqrt(jnp.mean(rms**2))) + 1e-6, 1.0)

        def loss(params):
            outputs = self.draw_both_domains(state.variables(params), batch, rng, draw)
            latents = {d: self.latents(outputs[d]["features"], batch[d]["roi"]) for d in outputs}
            density = self.density_loss_of(outputs["source"], batch["source"])
            distance, variance = self.distance(latents["target"] / scale, bank["latents"] / scale)
            total = density + self.unlabelled_weight * jnp.where(ready, distance, 0.0)
            metrics = {"density_loss": density, "gp_loss": distance, "gp_variance": variance}
            return total, (latents["source"], metrics)

        (value, (latents, metrics)), grads = jax.value_and_grad(loss, has_aux=True)(state.params["counter"])
        state = state.descend("counter", grads)
        collections = {**state.collections, "memory": {"bank": remember(bank, latents)}}
        return state.replace(collections=collections), {"loss": value, **metrics}

    def latents(self, features, roi):
        """Return the latents [parts of all crops, C] of features [S', B, h, w, C]."""
        members, _, height, width, channels = features.shape
        roi = jnp.tile(roi_pyramid(roi)[CELL], (members, 1, 1, 1))
        x = features.reshape(-1, height, width, channels).astype(jnp.float32)
        return adaptive_mean(x, roi, self.grid, self.grid).reshape(-1, channels)

    def distance(self, latents, known):
        """Return (loss, mean variance) of latents [N, C] under the process on the known ones.

        The squared distance to the posterior mean over its variance, plus a penalty on the variance itself.
        """
        mean, variance = posterior(
            latents,
            known,
            neighbours=self.neighbours,
            length=self.length * latents.shape[1] ** 0.5,
            noise=self.noise,
        )
        squared = jnp.mean((latents - jax.lax.stop_gradient(mean)) ** 2, 1)
        return jnp.mean(squared / variance + 0.33 * jnp.log(variance)), variance.mean()


def remember(bank, latents):
    """Return the bank with its oldest latents replaced by the new ones."""
    size = len(bank["latents"])
    new = jax.lax.stop_gradient(latents)[-size:]
    kept = jnp.concatenate([bank["latents"][len(new) :], new])
    return {"latents": kept, "filled": jnp.minimum(bank["filled"] + len(new), size)}
