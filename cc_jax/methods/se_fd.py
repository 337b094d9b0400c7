"""SE+FD: a discriminator aligns the crowd features of both domains, which a semantic extractor cuts out.

Han et al., "Focus on Semantic Consistency for Cross-Domain Crowd Understanding", ICASSP 2020. Only the abstract was
available: an extractor separates crowd from background on labelled crops, and an adversarial loss acts on the deep features
under its mask. Sizes and weights are our choice.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from cc_jax.methods import base
from cc_jax.methods.parts import heads
from cc_jax.units import CELL


@dataclasses.dataclass(frozen=True)
class Method(base.Method):
    """One stage.

    Attributes:
      mask_weight: Weight of the extractor's loss on source crops. Not published, like the other three.
      mask_threshold: People in a cell above which it is labelled as crowd.
      adversarial_weight: Weight of the loss that makes target crowds look like source crowds to the discriminator.
      critic_rate: Learning rate of Adam for extractor and discriminator.
    """

    display_name = "SE+FD"
    summary = (
        "An adversary tries to tell crowd features of the source from those of the target; the counter "
        "learns to make them alike."
    )
    table_position = 40

    mask_weight: float = 0.1
    mask_threshold: float = 0.01
    adversarial_weight: float = 0.01
    critic_rate: float = 1e-4

    def stages(self) -> tuple[base.Stage, ...]:
        return (base.Stage("align", self.steps, self.align, self.labelled_source_and_target),)

    def networks(self, model, crop: int, key: jax.Array) -> base.Networks:
        """Return the extractor and the discriminator, both on the counter's features."""
        features = jnp.zeros((1, crop // CELL, crop // CELL, model.mask_channels))
        extractor_key, critic_key = jax.random.split(key)
        return {
            "extractor": (heads.CrowdMask().init(extractor_key, features)["params"], {}),
            "critic": (heads.FeatureCritic().init(critic_key, features)["params"], {}),
        }

    def optimizers(self) -> dict[str, optax.GradientTransformation]:
        """Return Adam for both; the discriminator's momentum is 0.5, as is common for adversaries."""
        return {"extractor": optax.adam(self.critic_rate), "critic": optax.adam(self.critic_rate, b1=0.5)}

    def align(self, state, batch, rng, draw):
        """Train counter and extractor, then the discriminator on the features of this step."""

        def loss(params):
            outputs = self.draw_both_domains(state.variables(params["counter"]), batch, rng, draw)
            features = {d: heads.merge_members(one["features"]) for d, one in outputs.items()}
            crowd = {d: crowd_logits(params["extractor"], one) for d, one in features.items()}
            masked = {d: features[d] * jax.nn.sigmoid(crowd[d]) for d in features}
            density = self.density_loss_of(outputs["source"], batch["source"])
            mask = self.mask_loss(crowd["source"], batch["source"])
            adversarial = cross_entropy(domain_logits(state.params["critic"], masked["target"]), 1.0)
            total = density + self.mask_weight * mask + self.adversarial_weight * adversarial
            metrics = {"density_loss": density, "mask_loss": mask, "adversarial_loss": adversarial}
            return total, (masked, metrics)

        own = {name: state.params[name] for name in ("counter", "extractor")}
        (value, (masked, metrics)), grads = jax.value_and_grad(loss, has_aux=True)(own)
        for name in own:
            state = state.descend(name, grads[name])
        state, critic = self.critic_step(state, masked)
        return state, {"loss": value, **metrics, "critic_loss": critic}

    def mask_loss(self, crowd_logits, source):
        """Return the cross entropy of the extractor's mask, a mean over the labelled cells."""
        members = crowd_logits.shape[0] // source["density"].shape[0]
        truth, weight = (
            jnp.tile(x, (members, 1, 1, 1))
            for x in (source["density"] >= self.mask_threshold, source["weight"])
        )
        error = optax.sigmoid_binary_cross_entropy(crowd_logits, truth.astype(jnp.float32))
        return jnp.sum(weight * error) / jnp.maximum(jnp.sum(weight), 1.0)

    def critic_step(self, state, masked):
        """Train the discriminator for one step (source is 1, target is 0); return (state, loss)."""

        def loss(params):
            return (
                cross_entropy(domain_logits(params, masked["source"]), 1.0)
                + cross_entropy(domain_logits(params, masked["target"]), 0.0)
            ) / 2

        value, grads = jax.value_and_grad(loss)(state.params["critic"])
        return state.descend("critic", grads), value


def crowd_logits(params, features) -> Any:
    """Return the extractor's logits."""
    return heads.CrowdMask().apply({"params": params}, features.astype(jnp.float32))


def domain_logits(params, features):
    """Return the discriminator's logits."""
    return heads.FeatureCritic().apply({"params": params}, features.astype(jnp.float32))


def cross_entropy(logits, label: float):
    """Return the mean cross entropy of logits that should all predict `label`."""
    return optax.sigmoid_binary_cross_entropy(logits, jnp.full_like(logits, label)).mean()
