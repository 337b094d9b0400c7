"""OURS (Liu, Durasov and Fua, CVPR 2022): upside-down self-supervision, then learning from certain pseudo labels.

Stage 1 learns density on labelled source crops and perspective by telling upside-down target crops from upright ones. Then
the network labels the target images itself, keeps the labels that it is most certain of, and goes on learning from the
source and from these pseudo labels. What the paper leaves open is a field.

Two variants beyond the paper: with a head of four classes the crops are turned by quarters (Gidaris et al., ICLR 2018), and
with `teacher="ema"` each crop is labelled when it is used (Tarvainen and Valpola, NeurIPS 2017).
"""

import dataclasses

import jax
import jax.numpy as jnp

from cc_jax.errors import ConfigError
from cc_jax.methods import base
from cc_jax.methods.parts import selection
from cc_jax.optimization import losses

TEACHERS = ("rounds", "ema")


@dataclasses.dataclass(frozen=True)
class Method(base.Method):
    """Stage 1, then rounds of pseudo labels or one long stage with a teacher.

    Attributes:
      teacher: What makes the pseudo labels. "rounds", as in the paper: at the start of each round the network labels all
        target images. "ema": its moving average (config.optimizer.ema) labels each crop when it is used, without
        photometric changes.
      round_share: Share of all steps that also learn from pseudo labels; our choice.
      rounds: Number of rounds, for the teacher "rounds"; not stated in the paper.
      upside_down_weight: Weight of the orientation loss in stage 1, 0 leaves it out. Not stated in the paper; the default
        brings both losses to one size at label_scale 100.
      pseudo_weight: Weight of the density loss on pseudo labels; not stated in the paper.
      rule: Which pseudo labels are kept: "absolute" reads the paper literally; "relative", "balanced", "stratified", "soft",
        "image" and "none" are described in methods/parts/selection.py.
      fraction: Share of the cells (of the images, for the rule "image") that is kept; not stated in the paper.
      foreground: People in a cell above which it counts as foreground, for the rules "balanced", "stratified" and "soft".
      tolerance: The rounds end once the labels change by less than this, relative to their sum; 0 never ends them early.
    """

    display_name = "OURS"
    summary = (
        "Also learns from target images without labels: first to tell upside-down images from upright "
        "ones, then from its own most certain estimates, used as pseudo labels."
    )
    headline = "Adapted without labels (OURS)"
    table_position = 90

    teacher: str = "ema"
    round_share: float = 0.5
    rounds: int = 2
    upside_down_weight: float = 0.1
    pseudo_weight: float = 1.0
    rule: str = "stratified"
    fraction: float = 0.5
    foreground: float = 0.01
    tolerance: float = 0.0

    def __post_init__(self):
        for name, known in (("rule", selection.RULES), ("teacher", TEACHERS)):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"config.method.ours.{name}={getattr(self, name)!r}: must be one of {', '.join(known)}"
                )
        if not 0 < self.fraction <= 1:
            raise ConfigError(f"config.method.ours.fraction={self.fraction}: must be in (0, 1]")
        if not 0 <= self.round_share < 1 or self.rounds < 0:
            raise ConfigError(
                "config.method.ours: round_share must be in [0, 1) and rounds must not be negative"
            )

    def stages(self) -> tuple[base.Stage, ...]:
        data, share = self.labelled_source_and_target, int(self.steps * self.round_share)
        if self.teacher == "ema":
            later = [base.Stage("teacher", share, self.teacher_update, data, clean=("target",))]
        else:
            steps = share // self.rounds if self.rounds else 0
            later = [
                base.Stage(f"round{r + 1}", steps, self.round_update, self.relabel)
                for r in range(self.rounds)
            ]
        update = self.stage1_update if self.upside_down_weight else self.source_update
        first = base.Stage("stage1", self.steps - sum(stage.steps for stage in later), update, data)
        return (first, *(stage for stage in later if stage.steps))

    def source_update(self, state, batch, rng, draw):
        """Stage 1 without the orientation loss: train on labelled source crops."""
        return self.labelled_update("source", state, batch, rng, draw)

    def stage1_update(self, state, batch, rng, draw):
        """Stage 1: train density on source crops and orientation on target crops.

        The target crops are turned here, after all other changes.
        """
        count_rng, turn_rng, class_rng = jax.random.split(rng, 3)
        target = batch["target"]

        def classify(params, image, roi):
            return draw(state.variables(params), image, roi, class_rng, train=True)["upside_down"]

        logits = jax.eval_shape(classify, state.params["counter"], target["image"], target["roi"])
        classes, crops = logits.shape[-1], target["image"].shape[0]
        orientation = jax.random.permutation(turn_rng, (jnp.arange(crops) + 1) % classes)
        image, roi = (turn(target[name], orientation, classes) for name in ("image", "roi"))

        def loss(params):
            density = self.density_loss(state.variables(params), batch["source"], count_rng, draw)
            upside_down, accuracy = losses.upside_down(classify(params, image, roi), orientation)
            total = density + self.upside_down_weight * upside_down
            return total, {
                "density_loss": density,
                "upside_down_loss": upside_down,
                "upside_down_accuracy": accuracy,
            }

        (value, metrics), grads = jax.value_and_grad(loss, has_aux=True)(state.params["counter"])
        return state.descend("counter", grads), {"loss": value, **metrics}

    def round_update(self, state, batch, rng, draw):
        """A round: train density on source crops and on pseudo-labelled target crops."""
        source_rng, target_rng = jax.random.split(rng)

        def loss(params):
            variables = state.variables(params)
            density = self.density_loss(variables, batch["source"], source_rng, draw)
            pseudo = self.density_loss(variables, batch["target"], target_rng, draw)
            return density + self.pseudo_weight * pseudo, {"density_loss": density, "pseudo_loss": pseudo}

        (value, metrics), grads = jax.value_and_grad(loss, has_aux=True)(state.params["counter"])
        return state.descend("counter", grads), {"loss": value, **metrics}

    def teacher_update(self, state, batch, rng, draw):
        """The step of `round_update`, on labels that the moving average makes of the clean target crops."""
        label_rng, round_rng = jax.random.split(rng)
        target = batch["target"]
        samples = self.ema_predict(state, target, label_rng, draw)
        weight = selection.of_batch(samples[..., 0], **self._choice())[..., None]
        labelled = {**target, "density": samples.mean(0), "weight": weight}
        return self.round_update(state, {**batch, "target": labelled}, round_rng, draw)

    def relabel(self, state, sets, tools):
        """Return the sets with target labels made by the current network; None once these labels no longer change."""
        target = sets["target"]
        predictions = list(tools.predict(state, target.examples))
        weights = selection.of_images([p.samples for p in predictions], **self._choice())
        labels = {
            p.id: (p.samples.mean(0), weight)
            for p, weight in zip(predictions, weights, strict=True)
            if weight.any()
        }
        if target.pseudo is not None and selection.relative_change(target.pseudo, labels) < self.tolerance:
            return None
        return {**sets, "target": dataclasses.replace(target, pseudo=labels)}

    def _choice(self) -> dict:
        return {"rule": self.rule, "fraction": self.fraction, "foreground": self.foreground}


def turn(image_BxHxHxC: jax.Array, class_B: jax.Array, classes: int) -> jax.Array:
    """Turn square images by their class: of two, upright or upside down; of four, quarter turns.

    Upside down means mirrored top to bottom. It differs from a half turn by a left-right mirroring, which the training crops
    have at random anyway.
    """
    if classes == 2:
        turned = [image_BxHxHxC, image_BxHxHxC[:, ::-1]]
    else:
        turned = [jnp.rot90(image_BxHxHxC, k, (1, 2)) for k in range(classes)]
    return jnp.select([(class_B == k)[:, None, None, None] for k in range(classes)], turned)
