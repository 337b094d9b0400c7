"""SE+FD: features of the crowd, cut out by a semantic extractor, are made alike in both domains by a discriminator.

Han et al., "Focus on Semantic Consistency for Cross-Domain Crowd Understanding", ICASSP 2020. Read in the abstract alone
(methods.md): an extractor that tells crowd from background on labelled crops, and an adversarial loss on the deep features
under its mask. Sizes and weights are ours.
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from cc_jax.methods import base
from cc_jax.methods.parts import heads
from cc_jax.units import CELL


@dataclasses.dataclass(frozen=True)
class Method(base.Method):
    """One stage. Fields, beside those of every method:

    mask_weight: of telling crowd from background on source crops.
    mask_threshold: people in a cell from which on it is crowd.
    adversarial_weight: of making the target's crowd look like the source's to the discriminator.
    critic_rate: Adam's learning rate of extractor and discriminator.
    """

    display_name = "SE+FD"
    summary = (
        "An adversary tries to tell crowd features of the source from those of the target; the counter "
        "learns to make them alike."
    )
    table_position = 40

    mask_weight: float
    mask_threshold: float
    adversarial_weight: float
    critic_rate: float

    def stages(self) -> tuple[base.Stage, ...]:
        return (base.Stage("align", self.steps, self.align, self.labelled_source_and_target),)

    def networks(self, model, crop: int, key: jax.Array) -> base.Networks:
        """The extractor and the discriminator on the counter's features."""
        features = jnp.zeros((1, crop // CELL, crop // CELL, model.mask_channels))
        extractor_key, critic_key = jax.random.split(key)
        return {
            "extractor": (heads.CrowdMask().init(extractor_key, features)["params"], {}),
            "critic": (heads.FeatureCritic().init(critic_key, features)["params"], {}),
        }

    def optimizers(self) -> dict[str, optax.GradientTransformation]:
        """Adam for both, of the discriminator with the momentum that adversaries take (0.5)."""
        return {"extractor": optax.adam(self.critic_rate), "critic": optax.adam(self.critic_rate, b1=0.5)}

    def align(self, state, batch, rng, draw):
        """A step of counter and extractor, then of the discriminator on the features that they gave."""

        def loss(params):
            seen = self.drawn(state.variables(params["counter"]), batch, rng, draw)
            features = {d: one["features"].reshape(-1, *one["features"].shape[2:]) for d, one in seen.items()}
            crowd = {d: extract(params["extractor"], one) for d, one in features.items()}
            masked = {d: features[d] * jax.nn.sigmoid(crowd[d]) for d in features}
            density = self.density_error(seen["source"], batch["source"])
            mask = self.mask_error(crowd["source"], batch["source"])
            adversarial = cross_entropy(judge(state.params["critic"], masked["target"]), 1.0)
            total = density + self.mask_weight * mask + self.adversarial_weight * adversarial
            metrics = {"density_loss": density, "mask_loss": mask, "adversarial_loss": adversarial}
            return total, (masked, metrics)

        own = {name: state.params[name] for name in ("counter", "extractor")}
        (value, (masked, metrics)), grads = jax.value_and_grad(loss, has_aux=True)(own)
        for name in own:
            state = state.descend(name, grads[name])
        state, critic = self.descend_critic(state, masked)
        return state, {"loss": value, **metrics, "critic_loss": critic}

    def mask_error(self, crowd, source):
        """Cross entropy of the extractor's mask on labelled cells, mean over them."""
        members = crowd.shape[0] // source["density"].shape[0]
        truth, weight = (
            jnp.tile(x, (members, 1, 1, 1))
            for x in (source["density"] >= self.mask_threshold, source["weight"])
        )
        error = optax.sigmoid_binary_cross_entropy(crowd, truth.astype(jnp.float32))
        return jnp.sum(weight * error) / jnp.maximum(jnp.sum(weight), 1.0)

    def descend_critic(self, state, masked):
        """(state, loss) after a step of the discriminator: source 1, target 0."""

        def loss(params):
            return (
                cross_entropy(judge(params, masked["source"]), 1.0)
                + cross_entropy(judge(params, masked["target"]), 0.0)
            ) / 2

        value, grads = jax.value_and_grad(loss)(state.params["critic"])
        return state.descend("critic", grads), value


def extract(params, features):
    """The extractor's logits."""
    return heads.CrowdMask().apply({"params": params}, features.astype(jnp.float32))


def judge(params, features):
    """The discriminator's logits."""
    return heads.FeatureCritic().apply({"params": params}, features.astype(jnp.float32))


def cross_entropy(logits, label: float):
    """Mean cross entropy of logits that all should say `label`."""
    return optax.sigmoid_binary_cross_entropy(logits, jnp.full_like(logits, label)).mean()
