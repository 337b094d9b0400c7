"""GP: what the features of an unlabelled crop should be, by a Gaussian process on those of labelled ones.

Sindagi et al., "Learning to Count in the Crowd from Limited Labeled Data", ECCV 2020, section 3.2; the loss as in the same
group's released code for another task (methods.md). There a pass over the labelled images alternates with one over the
unlabelled ones; here each step does both, the labelled latents being those of the last steps.
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from cc_jax.errors import ConfigError
from cc_jax.methods import base
from cc_jax.methods.parts.gaussian_process import posterior
from cc_jax.models.parts.layers import adaptive_mean, roi_pyramid


@dataclasses.dataclass(frozen=True)
class Method(base.Method):
    """One stage. A latent is the mean of the features over one of grid x grid parts of a crop, each channel divided by its
    root mean square over the bank, or a tenth of all channels' if that is more. Fields, beside those of every method:

    unlabelled_weight: of the target's loss.
    neighbours: labelled latents that speak for an unlabelled one.
    bank: labelled latents that are remembered.
    grid: parts of a crop along each side.
    length: of the kernel, in root mean square differences of a channel.
    noise: standard deviation of the labelled latents, s in the paper.
    """

    display_name = "GP"
    summary = (
        "Features of unlabelled crops are drawn to what a Gaussian process predicts from those of "
        "labelled crops."
    )
    table_position = 50

    unlabelled_weight: float
    neighbours: int
    bank: int
    grid: int
    length: float
    noise: float

    def __post_init__(self):
        if not 1 <= self.neighbours <= self.bank:
            raise ConfigError(
                f"config.method.gp.neighbours={self.neighbours}: at least 1 and at most bank={self.bank}"
            )

    def stages(self) -> tuple[base.Stage, ...]:
        return (base.Stage("gp", self.steps, self.learn, self.labelled_source_and_target),)

    def networks(self, model, crop: int, key: jax.Array) -> base.Networks:
        """No network, but the bank of labelled latents."""
        bank = {"latents": jnp.zeros((self.bank, model.mask_channels)), "filled": jnp.int32(0)}
        return {"memory": ({}, {"bank": bank})}

    def optimizers(self) -> dict[str, optax.GradientTransformation]:
        """Nothing to optimise."""
        return {"memory": optax.identity()}

    def learn(self, state, batch, rng, draw):
        """A step on the source's density and on the target's distance to what the bank foretells."""
        bank = state.collections["memory"]["bank"]
        ready = bank["filled"] >= self.bank
        each = jnp.sqrt(jnp.mean(bank["latents"] ** 2, 0))
        # A channel that the bank hardly knows would outweigh all others.
        scale = jnp.where(ready, jnp.maximum(each, 0.1 * jnp.sqrt(jnp.mean(each**2))) + 1e-6, 1.0)

        def loss(params):
            seen = self.drawn(state.variables(params), batch, rng, draw)
            latents = {d: self.latents(seen[d]["features"], batch[d]["roi"]) for d in seen}
            density = self.density_error(seen["source"], batch["source"])
            distance, variance = self.distance(latents["target"] / scale, bank["latents"] / scale)
            total = density + self.unlabelled_weight * jnp.where(ready, distance, 0.0)
            return total, (
                latents["source"],
                {"density_loss": density, "gp_loss": distance, "gp_variance": variance},
            )

        (value, (latents, metrics)), grads = jax.value_and_grad(loss, has_aux=True)(state.params["counter"])
        state = state.descend("counter", grads)
        collections = {**state.collections, "memory": {"bank": remember(bank, latents)}}
        return state.replace(collections=collections), {"loss": value, **metrics}

    def latents(self, features, roi):
        """[parts of all crops, C] of features [S', B, h, w, C]."""
        members, batch, height, width, channels = features.shape
        roi = jnp.tile(roi_pyramid(roi)[8], (members, 1, 1, 1))
        x = features.reshape(-1, height, width, channels).astype(jnp.float32)
        return adaptive_mean(x, roi, self.grid, self.grid).reshape(-1, channels)

    def distance(self, latents, known):
        """(loss, mean variance): squared distance to the posterior mean over its variance, and the variance's own price."""
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
    """The bank with the latents in the place of its oldest."""
    size = len(bank["latents"])
    new = jax.lax.stop_gradient(latents)[-size:]
    kept = jnp.concatenate([bank["latents"][len(new) :], new])
    return {"latents": kept, "filled": jnp.minimum(bank["filled"] + len(new), size)}
