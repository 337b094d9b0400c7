"""What every method of adaptation is: a list of stages, run by the one loop."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jax
import numpy as np
import optax

from cc_jax.errors import ConfigError
from cc_jax.optimization import losses
from cc_jax.optimization.train_state import TrainState
from cc_jax.units import people_per_cell

Batch = dict[str, dict[str, jax.Array]]  # {"source": {"image", "roi", "density", "weight"}, "target": {...}}
Draw = Callable[
    ..., dict[str, jax.Array]
]  # draw(variables, image, roi, rng, train=...) -> {name: [S, B, ...]}
PseudoLabels = dict[str, tuple[np.ndarray, np.ndarray]]  # id -> (people per cell [h, w], weight [h, w])


@dataclasses.dataclass(frozen=True)
class TrainSet:
    """Images to draw training crops from.

    Attributes:
      examples: the images (data/examples.py), with their head points where the method may see them.
      pseudo: labels that stand in for the head points; only images that have one are drawn.
    """

    examples: Sequence[dict[str, Any]]
    pseudo: PseudoLabels | None = None


Sets = dict[str, TrainSet]
Networks = dict[str, tuple[Any, dict[str, Any]]]  # {network: (parameters, {collection: tree})}


@dataclasses.dataclass(frozen=True)
class StageTools:
    """What a stage may have done on the host before it begins, or a method when its last has ended.

    Attributes:
      predict: `predict(state, examples)` yields an `inference.Prediction` for each image.
      rewrite: `rewrite(name, function, params, examples)`: the examples with `function(params, image)` in the place of
        each image; it takes and gives uint8 [B, H, W, 3]. Kept in the workdir's `stages/<name>`, a few of them beside
        the originals in `stages/<name>.jpg`.
      show: `show(name, function, params, examples)` makes and keeps those few alone.
    """

    predict: Callable[..., Any]
    rewrite: Callable[..., Any]
    show: Callable[..., None]


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of training with its own update and its own data.

    Attributes:
      name: unique in the method; names the stage's files and log rows.
      steps: how often `update` is called.
      update: pure `update(state, batch, rng, draw) -> (state, metrics)`, scalars, "loss" among them. A
        bound method of a frozen dataclass, so that equal ones are known for equal (see `program`).
      data: `data(state, sets, work) -> sets`, run on the host when the stage is entered, with the sets of the stage
        before and a `StageTools`. Its pseudo labels are saved, so a resume does not make them again with later weights. None
        ends the method here: it has converged.
      draws: the sets that its batches have crops of. One alone gives as many as config.source.batch_size: where methods
        learn from one domain's labels, they see equally many.
      clean: those of them whose crops also come as they are before photometric changes, as "clean" beside their "image".
      counter: whether its steps train the counter. Those of a translator alone are beside the number that all methods
        of a table have in common.
      batch_size: crops of each set in a global batch; 0: as many as its config says.
      plain: whether all crops are as the evaluation sees the image: at its scale, with its light and grain.
    """

    name: str
    steps: int
    update: Callable[..., tuple[TrainState, dict[str, jax.Array]]]
    data: Callable[..., Sets | None]
    draws: tuple[str, ...] = ("source", "target")
    clean: tuple[str, ...] = ()
    counter: bool = True
    batch_size: int = 0
    plain: bool = False

    @property
    def program(self) -> tuple:
        """What its compiled step depends on: stages of the same share one."""
        return self.update, self.draws, self.clean, self.batch_size


@dataclasses.dataclass(frozen=True)
class Method:
    """Fields that every method has; `steps` is the same for all, or a table of methods compares nothing."""

    steps: int
    label_scale: float
    uses_target_labels: ClassVar[bool] = (
        False  # without it the loop hides the target's head points from the method
    )

    def stages(self) -> tuple[Stage, ...]:
        """The stages in order; the steps of those that train the counter sum to `self.steps`."""
        raise TypeError(f"{type(self).__name__} defines no stages")

    def networks(self, model: Any, crop: int, key: jax.Array) -> Networks:
        """The networks beside the counter at the start, by pure functions of `key`.

        Args:
          model: the counter's.
          crop: side of the training crops in pixels.
        """
        del model, crop, key
        return {}

    def optimizers(self) -> dict[str, optax.GradientTransformation]:
        """An optimizer for each of `networks`."""
        return {}

    def finish(self, state: TrainState, sets: Sets, work: StageTools) -> None:
        """What there is to keep of a run beside its counter, made after the last stage; nothing here."""

    def labelled_source_and_target(self, state: TrainState, sets: Sets, work: StageTools) -> Sets:
        """A stage's `data`: labelled source and unlabelled target, as they come. Raises ConfigError without labels."""
        require_labels(sets["source"], "config.source")
        return sets

    def density_loss(self, draw: Draw, variables, batch: dict[str, jax.Array], rng: jax.Array) -> jax.Array:
        """Density loss of one set's crops, each seen through one sample of the network."""
        drawn = draw(variables, batch["image"], batch["roi"], rng, train=True)
        return self.density_error(drawn, batch)

    def drawn(self, variables, batch: Batch, rng: jax.Array, draw: Draw) -> dict[str, dict[str, jax.Array]]:
        """What training draws of the crops of both domains, {"source": ..., "target": ...}."""
        keys = zip(("source", "target"), jax.random.split(rng), strict=True)
        return {d: draw(variables, batch[d]["image"], batch[d]["roi"], key, train=True) for d, key in keys}

    def density_error(self, drawn: dict[str, jax.Array], batch: dict[str, jax.Array]) -> jax.Array:
        """Density loss of what was drawn of one set's crops."""
        return losses.density_mse(
            drawn["density"], batch["density"][None], batch["weight"][None], self.label_scale
        )

    def ema_predict(
        self, state: TrainState, crops: dict[str, jax.Array], rng: jax.Array, draw: Draw
    ) -> jax.Array:
        """Samples [S, B, h, w, 1] of people per cell of clean crops, by the counter's moving average: a teacher."""
        drawn = draw(state.variables(state.ema), crops["clean"], crops["roi"], rng, train=False)
        return people_per_cell(drawn["density"], self.label_scale)

    def count_update(self, key: str, state: TrainState, batch: Batch, rng: jax.Array, draw: Draw):
        """One step on the labelled crops of the set `key`: all that No Adapt and Supervised do."""

        def loss(params):
            return self.density_loss(draw, state.variables(params), batch[key], rng)

        value, grads = jax.value_and_grad(loss)(state.params["counter"])
        return state.descend("counter", grads), {"loss": value, "density_loss": value}


def require_labels(train_set: TrainSet, what: str) -> None:
    """Raises ConfigError when the images of `what` carry no head points."""
    if len(train_set.examples) == 0:
        raise ConfigError(f"{what} holds no image: name another dataset or split")
    if not train_set.examples[0]["labelled"]:
        raise ConfigError(f"{what} has no head points, and this method needs them: name a labelled dataset")
