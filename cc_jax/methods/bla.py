"""BLA's fine-grained feature alignment: discriminators align crowd features and background features separately.

Gong et al., "Bi-level Alignment for Cross-Domain Crowd Counting", CVPR 2022, section 3.3. Which target cells are crowd is
what the counter estimates. The paper's other level, a search for transformations of the source (section 3.2), is not
implemented: the photometric fields of `config.source` take its place. Weights and sizes are our choice.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from cc_jax.methods import base
from cc_jax.methods.parts import heads
from cc_jax.units import CELL, people_per_cell

PARTS = ("crowd", "background")


@dataclasses.dataclass(frozen=True)
class Method(base.Method):
    """One stage.

    Attributes:
      crowd_threshold: People in a cell above which it counts as crowd.
      adversarial_weight: Weight of the loss that makes target features look like source features; crowd and background
        share it equally.
      critic_rate: Learning rate of Adam for the discriminators.
    """

    display_name = "BLA (features)"
    summary = "Features of source and target are made alike, those of crowd and background separately."
    table_position = 60

    crowd_threshold: float = 0.01
    adversarial_weight: float = 0.01
    critic_rate: float = 1e-4

    def stages(self) -> tuple[base.Stage, ...]:
        return (base.Stage("align", self.steps, self.align, self.labelled_source_and_target),)

    def networks(self, model, crop: int, key: jax.Array) -> base.Networks:
        """Return a discriminator of crowd features and one of background features."""
        features = jnp.zeros((1, crop // CELL, crop // CELL, model.mask_channels))
        keys = zip(PARTS, jax.random.split(key), strict=True)
        return {"critic": ({part: heads.CellCritic().init(k, features)["params"] for part, k in keys}, {})}

    def optimizers(self) -> dict[str, optax.GradientTransformation]:
        """Return Adam with a momentum of 0.5, as is common for adversaries."""
        return {"critic": optax.adam(self.critic_rate, b1=0.5)}

    def align(self, state, batch, rng, draw):
        """Train the counter, then the discriminators on the features of this step."""

        def loss(params):
            outputs = self.draw_both_domains(state.variables(params), batch, rng, draw)
            density = self.density_loss_of(outputs["source"], batch["source"])
            features = {d: heads.merge_members(one["features"]) for d, one in outputs.items()}
            people = {
                "source": batch["source"]["density"],
                "target": self.estimated_people(outputs["target"]),
            }
            people = {d: jnp.tile(x, (len(features[d]) // len(x), 1, 1, 1)) for d, x in people.items()}
            crowd = {d: x >= self.crowd_threshold for d, x in people.items()}
            adversarial = self.domain_loss(state.params["critic"], features["target"], crowd["target"], 1.0)
            metrics = {"density_loss": density, "adversarial_loss": adversarial}
            return density + self.adversarial_weight * adversarial, (features, crowd, metrics)

        (value, (features, crowd, metrics)), grads = jax.value_and_grad(loss, has_aux=True)(
            state.params["counter"]
        )
        state = state.descend("counter", grads)

        def critic_loss(params):
            losses = (self.domain_loss(params, features[d], crowd[d], float(d == "source")) for d in features)
            return sum(losses) / 2

        critic, grads = jax.value_and_grad(critic_loss)(state.params["critic"])
        return state.descend("critic", grads), {"loss": value, **metrics, "critic_loss": critic}

    def estimated_people(self, outputs):
        """Return the counter's estimate of people in each cell, [B, h, w, 1], without a gradient."""
        return jax.lax.stop_gradient(people_per_cell(outputs["density"].mean(0), self.label_scale))

    def domain_loss(self, params, features, crowd, label: float):
        """Return the cross entropy of assigning all cells to the domain `label` (1 source, 0 target).

        The mean over crowd and background of the means over their cells.
        """
        total = 0.0
        for part, inside in zip(PARTS, (crowd, ~crowd), strict=True):
            logits: Any = heads.CellCritic().apply({"params": params[part]}, features.astype(jnp.float32))
            error = optax.sigmoid_binary_cross_entropy(logits, jnp.full_like(logits, label))
            total += jnp.sum(error * inside) / jnp.maximum(jnp.sum(inside), 1.0)
        return total / len(PARTS)
