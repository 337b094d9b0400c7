"""BLA's fine-grained feature alignment: crowd and background are each made alike in both domains by a discriminator.

Gong et al., "Bi-level Alignment for Cross-Domain Crowd Counting", CVPR 2022, section 3.3. Which cells of the target are
crowd is what the counter says of them. The other level, a search for the source's transformations (section 3.2), is not
here: `config.source.photometric` and its neighbours stand for it. Weights and sizes are ours.
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from cc_jax.methods import base
from cc_jax.methods.parts import heads
from cc_jax.units import CELL, people_per_cell

PARTS = ("crowd", "background")


@dataclasses.dataclass(frozen=True)
class Method(base.Method):
    """One stage. Fields, beside those of every method:

    crowd_threshold: people in a cell from which on it is crowd.
    adversarial_weight: of making the target's features look like the source's, each part weighing the same.
    critic_rate: Adam's learning rate of the discriminators.
    """

    display_name = "BLA (features)"
    summary = "Features of source and target are made alike, those of crowd and background separately."
    table_position = 60

    crowd_threshold: float
    adversarial_weight: float
    critic_rate: float

    def stages(self) -> tuple[base.Stage, ...]:
        return (base.Stage("align", self.steps, self.align, self.labelled_source_and_target),)

    def networks(self, model, crop: int, key: jax.Array) -> base.Networks:
        """A discriminator of crowd features and one of background features."""
        features = jnp.zeros((1, crop // CELL, crop // CELL, model.mask_channels))
        keys = zip(PARTS, jax.random.split(key), strict=True)
        return {"critic": ({part: heads.CellCritic().init(k, features)["params"] for part, k in keys}, {})}

    def optimizers(self) -> dict[str, optax.GradientTransformation]:
        """Adam with the momentum that adversaries take."""
        return {"critic": optax.adam(self.critic_rate, b1=0.5)}

    def align(self, state, batch, rng, draw):
        """A step of the counter, then of the discriminators on the features that it gave."""

        def loss(params):
            seen = self.drawn(state.variables(params), batch, rng, draw)
            density = self.density_error(seen["source"], batch["source"])
            features = {d: one["features"].reshape(-1, *one["features"].shape[2:]) for d, one in seen.items()}
            crowd = {"source": batch["source"]["density"], "target": self.guess(seen["target"])}
            crowd = {d: jnp.tile(x, (len(features[d]) // len(x), 1, 1, 1)) for d, x in crowd.items()}
            crowd = {d: x >= self.crowd_threshold for d, x in crowd.items()}
            fooled = self.judged(state.params["critic"], features["target"], crowd["target"], 1.0)
            metrics = {"density_loss": density, "adversarial_loss": fooled}
            return density + self.adversarial_weight * fooled, (features, crowd, metrics)

        (value, (features, crowd, metrics)), grads = jax.value_and_grad(loss, has_aux=True)(
            state.params["counter"]
        )
        state = state.descend("counter", grads)

        def critic_loss(params):
            told = ((d, self.judged(params, features[d], crowd[d], float(d == "source"))) for d in features)
            return sum(value for _, value in told) / 2

        critic, grads = jax.value_and_grad(critic_loss)(state.params["critic"])
        return state.descend("critic", grads), {"loss": value, **metrics, "critic_loss": critic}

    def guess(self, drawn):
        """People in each cell of the target as the counter has it, [B, h, w, 1], not to be learnt from."""
        return jax.lax.stop_gradient(people_per_cell(drawn["density"].mean(0), self.label_scale))

    def judged(self, params, features, crowd, label: float):
        """Cross entropy of calling each cell's domain `label`, the mean over the parts of the means over their cells."""
        total = 0.0
        for part, inside in zip(PARTS, (crowd, ~crowd), strict=True):
            logits = heads.CellCritic().apply({"params": params[part]}, features.astype(jnp.float32))
            error = optax.sigmoid_binary_cross_entropy(logits, jnp.full_like(logits, label))
            total += jnp.sum(error * inside) / jnp.maximum(jnp.sum(inside), 1.0)
        return total / len(PARTS)
