"""OURS (Liu, Durasov and Fua, CVPR 2022): upside-down self-supervision, then rounds of certain pseudo labels.

Stage 1 learns density on labelled source crops and perspective by telling upside-down target crops from upright
ones. Each round labels the target images with the network itself, keeps the labels that it is most certain of and
goes on training on source + pseudo-labelled target. What the paper leaves open is a field, its default stated in
configs/default.py. With a head of four classes the crops are turned by quarters instead (Gidaris et al., ICLR 2018), and
with `teacher="ema"` the labels are made crop by crop at every step (Tarvainen and Valpola, NeurIPS 2017).
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from cc_jax.errors import ConfigError
from cc_jax.methods import base
from cc_jax.methods.parts import selection
from cc_jax.optimization import losses

TEACHERS = ("rounds", "ema")


@dataclasses.dataclass(frozen=True)
class Method(base.Method):
    """Fields, beside those of every method:

    rounds: pseudo-label rounds after stage 1.
    round_share: share of all steps that the rounds take together.
    teacher: "rounds": each round labels whole images; "ema": one long round, in which the network's moving average
      (`config.optimizer.ema`) labels each crop when it comes, before its photometric changes.
    upside_down_weight: weight of the classification loss in stage 1; 0 leaves it out.
    pseudo_weight: weight of the density loss on pseudo labels.
    rule: which labels are kept, see selection.py.
    fraction: share of the cells (or, for `image`, of the images) that is kept.
    foreground: people per cell above which a cell is foreground, for `balanced` and `stratified`.
    tolerance: a round whose labels differ from the last round's by less, relative to their sum, ends the method.
    """

    display_name = "OURS"
    summary = (
        "Also learns from target images without labels: first to tell upside-down images from upright "
        "ones, then from its own most certain estimates, used as pseudo labels."
    )
    headline = "Adapted without labels (OURS)"
    table_position = 90

    rounds: int
    round_share: float
    teacher: str
    upside_down_weight: float
    pseudo_weight: float
    rule: str
    fraction: float
    foreground: float
    tolerance: float

    def __post_init__(self):
        for name, known in (("rule", selection.RULES), ("teacher", TEACHERS)):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"config.method.ours.{name}={getattr(self, name)!r}: there are {', '.join(known)}"
                )
        if not 0 < self.fraction <= 1:
            raise ConfigError(f"config.method.ours.fraction={self.fraction}: it lies in (0, 1]")
        if not 0 <= self.round_share < 1 or self.rounds < 0:
            raise ConfigError("config.method.ours: round_share lies in [0, 1) and rounds is not negative")

    def stages(self) -> tuple[base.Stage, ...]:
        share = int(self.steps * self.round_share)
        if self.teacher == "ema":
            rounds = [
                base.Stage("teacher", share, self.follow, self.labelled_source_and_target, clean=("target",))
            ]
        else:
            each = share // self.rounds if self.rounds else 0
            rounds = [
                base.Stage(f"round{r + 1}", each, self.refine, self.relabel) for r in range(self.rounds)
            ]
        update = self.learn if self.upside_down_weight else functools.partial(self.count_update, "source")
        first = base.Stage(
            "stage1",
            self.steps - sum(stage.steps for stage in rounds),
            update,
            self.labelled_source_and_target,
        )
        return (first, *(stage for stage in rounds if stage.steps))

    def learn(self, state, batch, rng, draw):
        """Stage 1: density on source crops, orientation on target crops (turned on the device, last)."""
        count_rng, turn_rng, class_rng = jax.random.split(rng, 3)
        target = batch["target"]

        def classify(params, image, roi):
            return draw(state.variables(params), image, roi, class_rng, train=True)["upside_down"]

        logits = jax.eval_shape(classify, state.params["counter"], target["image"], target["roi"])
        classes, crops = logits.shape[-1], target["image"].shape[0]
        dealt = jax.random.permutation(turn_rng, (jnp.arange(crops) + 1) % classes)
        image, roi = (turn(target[name], dealt, classes) for name in ("image", "roi"))

        def loss(params):
            density = self.density_loss(draw, state.variables(params), batch["source"], count_rng)
            upside_down, accuracy = losses.upside_down(classify(params, image, roi), dealt)
            total = density + self.upside_down_weight * upside_down
            return total, {
                "density_loss": density,
                "upside_down_loss": upside_down,
                "upside_down_accuracy": accuracy,
            }

        (value, metrics), grads = jax.value_and_grad(loss, has_aux=True)(state.params["counter"])
        return state.descend("counter", grads), {"loss": value, **metrics}

    def refine(self, state, batch, rng, draw):
        """A round: density on source crops and on pseudo-labelled target crops."""
        source_rng, target_rng = jax.random.split(rng)

        def loss(params):
            variables = state.variables(params)
            density = self.density_loss(draw, variables, batch["source"], source_rng)
            pseudo = self.density_loss(draw, variables, batch["target"], target_rng)
            return density + self.pseudo_weight * pseudo, {"density_loss": density, "pseudo_loss": pseudo}

        (value, metrics), grads = jax.value_and_grad(loss, has_aux=True)(state.params["counter"])
        return state.descend("counter", grads), {"loss": value, **metrics}

    def follow(self, state, batch, rng, draw):
        """`refine` on labels that the moving average makes for these crops, as they are before photometric changes."""
        label_rng, refine_rng = jax.random.split(rng)
        target = batch["target"]
        samples = self.ema_predict(state, target, label_rng, draw)
        weight = selection.of_batch(samples[..., 0], **self._choice())[..., None]
        labelled = {**target, "density": samples.mean(0), "weight": weight}
        return self.refine(state, {**batch, "target": labelled}, refine_rng, draw)

    def relabel(self, state, sets, work):
        """The target images, labelled by the network as it is now; None once the labels no longer move."""
        target = sets["target"]
        predictions = list(work.predict(state, target.examples))
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


def turn(image_BxHxHxC: jax.Array, dealt_B: jax.Array, classes: int) -> jax.Array:
    """Square images, each turned by its class: of two, upright and upside down (mirrored); of four, quarter turns.

    Where crops are mirrored left-right at random, as all of ours are, a half turn is as good as upside down.
    """
    if classes == 2:
        turned = [image_BxHxHxC, image_BxHxHxC[:, ::-1]]
    else:
        turned = [jnp.rot90(image_BxHxHxC, k, (1, 2)) for k in range(classes)]
    return jnp.select([(dealt_B == k)[:, None, None, None] for k in range(classes)], turned)
