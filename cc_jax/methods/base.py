"""What every method of adaptation is: a list of stages, run by the one loop."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jax
import numpy as np

from cc_jax import losses
from cc_jax.errors import ConfigError
from cc_jax.state import TrainState

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
      batch_size: crops of a global batch.
      pseudo: labels that stand in for the head points; only images that have one are drawn.
      clean: whether each crop also comes as it is before photometric changes, as "clean" beside its "image".
    """

    examples: Sequence[dict[str, Any]]
    batch_size: int
    pseudo: PseudoLabels | None = None
    clean: bool = False


Sets = dict[str, TrainSet]


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of training with its own update and its own data.

    Attributes:
      name: unique in the method; names the stage's files and log rows.
      steps: counter steps.
      update: pure `update(state, batch, rng, draw) -> (state, metrics)`, scalars, "loss" among them. A
        bound method of a frozen dataclass: equal stages share one compiled step.
      data: `data(state, sets, predict) -> sets`, run on the host when the stage is entered, with the sets of the
        stage before. `predict(state, examples)` yields `inference.Prediction`s. Its pseudo labels are saved, so a
        resume does not make them again with later weights. None ends the method here: it has converged.
    """

    name: str
    steps: int
    update: Callable[..., tuple[TrainState, dict[str, jax.Array]]]
    data: Callable[..., Sets | None]


@dataclasses.dataclass(frozen=True)
class Method:
    """Fields that every method has; `steps` is the same for all, or a table of methods compares nothing."""

    steps: int
    label_scale: float
    uses_target_labels: ClassVar[bool] = (
        False  # without it the loop hides the target's head points from the method
    )

    def stages(self) -> tuple[Stage, ...]:
        """The stages in order; their steps sum to `self.steps`."""
        raise TypeError(f"{type(self).__name__} defines no stages")

    def density_loss(self, draw: Draw, variables, batch: dict[str, jax.Array], rng: jax.Array) -> jax.Array:
        """Density loss of one set's crops, each seen through one sample of the network."""
        output_SxBxhxwx1 = draw(variables, batch["image"], batch["roi"], rng, train=True)["density"]
        return losses.density_mse(
            output_SxBxhxwx1, batch["density"][None], batch["weight"][None], self.label_scale
        )

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
