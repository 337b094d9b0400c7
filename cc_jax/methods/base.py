"""The contract of adaptation methods: a method is a list of stages, which the training loop runs in order.

A method is a file `cc_jax/methods/NAME.py` (or `NAME.py` in the folder `methods` of $CC_JAX_PLUGINS) with a frozen
dataclass `Method`, a subclass of `Method` or of `Wrapper` below. `config.method.name=NAME` selects it, and
`config.method.NAME` holds its fields. `methods/no_adapt.py` is the smallest example.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cc_jax.errors import ConfigError
from cc_jax.optimization import losses
from cc_jax.optimization.train_state import TrainState
from cc_jax.units import people_per_cell

# Crops of one set: {"image": uint8 [B, H, W, 3], "roi": uint8 [B, H, W, 1], "density": people per cell [B, h, w, 1],
# "weight": how much each cell counts [B, h, w, 1]}, and "clean", as "image", where the stage asks for it.
Crops = dict[str, jax.Array]
# {"source": Crops, "target": Crops}, or the one of them that the stage draws crops from.
Batch = dict[str, Crops]
# What a draw of an uncertainty returns, {name: [S, B, ...]}; see `uncertainty.base.Uncertainty.draw`.
Outputs = dict[str, jax.Array]
# draw(variables, image, roi, rng, train=...) -> Outputs
Draw = Callable[..., Outputs]
Metrics = dict[str, jax.Array]
# update(state, batch, rng, draw) -> (state, metrics)
Update = Callable[[TrainState, Batch, jax.Array, Draw], tuple[TrainState, Metrics]]
# {id: (people per cell [h, w], weight [h, w])}
PseudoLabels = dict[str, tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class TrainSet:
    """Images that training crops are drawn from.

    Attributes:
      examples: the images (data/examples.py), with their head points if the method may see them.
      pseudo: labels that replace the head points. Only images that have one are drawn.
    """

    examples: Sequence[Any]
    pseudo: PseudoLabels | None = None


Sets = dict[str, TrainSet]
# {network: (parameters, {collection: tree})}
Networks = dict[str, tuple[Any, dict[str, Any]]]


@dataclasses.dataclass(frozen=True)
class StageTools:
    """What the training loop offers to a stage's `data` and to a method's `finish`, which run on the host.

    Attributes:
      predict: `predict(state, examples)` yields an `inference.predict.Prediction` for each image.
      rewrite: `rewrite(name, function, params, examples)` returns the examples with each image replaced by
        `function(params, image)`, which maps uint8 [B, H, W, 3] to the same. The new images are kept in the workdir's
        `stages/<name>`, and a few of them beside the originals in `stages/<name>.jpg`.
      show: `show(name, function, params, examples)` makes only that picture of a few images.
    """

    predict: Callable[..., Any]
    rewrite: Callable[..., Any]
    show: Callable[..., None]


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of training with its own update and its own data.

    Attributes:
      name: unique within the method; names the stage's files and log rows.
      steps: number of calls of `update`.
      update: pure function `update(state, batch, rng, draw) -> (state, metrics)`, compiled by the training loop. The
        metrics are scalars, and "loss" is one of them. Use a bound method or a `WrappedUpdate`, so that stages with the
        same update compare equal (see `program`).
      data: `data(state, sets, tools) -> sets`, called on the host when the stage is entered, with the sets of the
        previous stage and a `StageTools`. Its pseudo labels are saved, so that a resumed run does not make them again with
        later weights. None says that the method has converged, and training ends before this stage.
      draws: the sets that batches contain crops of. A stage that draws from a single set always gets
        `config.source.batch_size` crops, so that methods that learn from one domain see equally many crops.
      clean: the sets whose crops also come without photometric changes, as "clean" beside "image".
      counter: whether the stage trains the counter. Steps of other stages do not count towards `Method.steps`.
      batch_size: crops of each set in a global batch; 0 takes the batch sizes of the config.
      plain: whether all crops look as in the evaluation: at its scale, without photometric changes.
    """

    name: str
    steps: int
    update: Update
    data: Callable[[TrainState, Sets, StageTools], Sets | None]
    draws: tuple[str, ...] = ("source", "target")
    clean: tuple[str, ...] = ()
    counter: bool = True
    batch_size: int = 0
    plain: bool = False

    @property
    def program(self) -> tuple:
        """What the compiled step depends on. Stages with equal programs share one compiled step."""
        return self.update, self.draws, self.clean, self.batch_size


@dataclasses.dataclass(frozen=True)
class Method:
    """Base class of methods: a subclass defines `stages` and the updates that these run.

    A subclass may define networks beside the counter (`networks` and `optimizers`) and keep files at the end (`finish`).
    Its annotated fields are set by `config.method.NAME`: each one has a literal default and a line under "Attributes:" in
    the class docstring. It should also assign the constants that `registry.About` lists, without annotations: tables and
    reports show them.

    What a method must hold to (`tests/plugins_test.py` runs every file):

    - `stages()` depends only on the fields, and the steps of its counter stages add up to `steps`.
    - Updates are pure. All randomness comes from `rng`, a key that depends only on the seed and the step, so that a resumed
      run ends with the same bits. What must survive a step is part of the state.
    - The state that an update returns has the structure, shapes and types of the one that it gets.
    - The counter is run only through `draw`, so that the method works with every model and uncertainty.
    - Target labels are hidden from the method unless `uses_target_labels` is set.

    Attributes:
      steps: training steps of the counter, over all stages. The same for every method of a table.
      label_scale: unit of the network's output, see units.py.
    """

    steps: int
    label_scale: float
    # Without it the training loop removes the target's head points.
    uses_target_labels: ClassVar[bool] = False

    def stages(self) -> tuple[Stage, ...]:
        """Return the stages in order."""
        raise TypeError(f"{type(self).__name__} defines no stages")

    def networks(self, model: Any, crop: int, key: jax.Array) -> Networks:
        """Return the initial networks beside the counter, as pure functions of `key`.

        Args:
          model: the counter's model.
          crop: side of the training crops in pixels.
          key: random key of these networks.
        """
        del model, crop, key
        return {}

    def optimizers(self) -> dict[str, optax.GradientTransformation]:
        """Return an optimizer for each of `networks`."""
        return {}

    def finish(self, state: TrainState, sets: Sets, tools: StageTools) -> None:
        """Keep what a run leaves behind beside its counter. Called after the last stage; does nothing by default."""

    def labelled_source_and_target(self, state: TrainState, sets: Sets, tools: StageTools) -> Sets:
        """Return the sets unchanged: a stage's `data`. Raises ConfigError if the source has no labels."""
        del state, tools
        require_labels(sets["source"], "config.source")
        return sets

    def density_loss(self, variables: Any, crops: Crops, rng: jax.Array, draw: Draw) -> jax.Array:
        """Draw one sample of the crops of a set and return its density loss."""
        return self.density_loss_of(draw(variables, crops["image"], crops["roi"], rng, train=True), crops)

    def density_loss_of(self, outputs: Outputs, crops: Crops) -> jax.Array:
        """Return the density loss of what has been drawn of the crops of a set."""
        return losses.density_mse(
            outputs["density"], crops["density"][None], crops["weight"][None], self.label_scale
        )

    def draw_both_domains(
        self, variables: Any, batch: Batch, rng: jax.Array, draw: Draw
    ) -> dict[str, Outputs]:
        """Draw one sample of the crops of each domain: {"source": outputs, "target": outputs}."""
        keys = zip(("source", "target"), jax.random.split(rng), strict=True)
        return {d: draw(variables, batch[d]["image"], batch[d]["roi"], key, train=True) for d, key in keys}

    def ema_predict(self, state: TrainState, crops: Crops, rng: jax.Array, draw: Draw) -> jax.Array:
        """Return samples [S, B, h, w, 1] of people per cell of the clean crops, drawn by the counter's moving average."""
        outputs = draw(state.variables(state.ema), crops["clean"], crops["roi"], rng, train=False)
        return people_per_cell(outputs["density"], self.label_scale)

    def labelled_update(
        self, name: str, state: TrainState, batch: Batch, rng: jax.Array, draw: Draw
    ) -> tuple[TrainState, Metrics]:
        """Train the counter for one step on the labelled crops of the set `name`."""

        def loss(params):
            return self.density_loss(state.variables(params), batch[name], rng, draw)

        value, grads = jax.value_and_grad(loss)(state.params["counter"])
        return state.descend("counter", grads), {"loss": value, "density_loss": value}


@dataclasses.dataclass(frozen=True)
class WrappedUpdate:
    """An update run by the `wrap_update` of a `Wrapper`.

    A dataclass and no `functools.partial`, because equal ones must compare equal (see `Stage.program`).
    """

    wrapper: "Wrapper"
    update: Update

    def __call__(
        self, state: TrainState, batch: Batch, rng: jax.Array, draw: Draw
    ) -> tuple[TrainState, Metrics]:
        """Run the wrapped update; has the signature of `Stage.update`."""
        return self.wrapper.wrap_update(self.update, state, batch, rng, draw)


@dataclasses.dataclass(frozen=True)
class Wrapper(Method):
    """Base class of methods that change another method from outside: mixup, cutout or a consistency term around OURS.

    A subclass defines `wrap_update`. It may extend `wrap_stage` to change a stage's data or crops as well. Everything else
    is the inner method's: its stages, networks, optimizers, files, and whether it sees target labels. Wrappers can be
    wrapped. After vmoe's `wrap_train_step`.

    `config.method.NAME.inner` names the inner method, whose fields come from its own section of the config:
    `--config.method.name=mixup --config.method.mixup.inner=gp --config.method.gp.bank=512`.

    Attributes:
      inner: Method that is wrapped. A name in the config; `build.method` puts the method itself in its place.
    """

    inner: Any = "ours"

    def wrap_update(
        self, update: Update, state: TrainState, batch: Batch, rng: jax.Array, draw: Draw
    ) -> tuple[TrainState, Metrics]:
        """Run one step around `update`, the inner method's. Pure.

        Give `update` a key of its own where the wrapper uses randomness too: `own_rng, rng = jax.random.split(rng)`.
        """
        raise TypeError(f"{type(self).__name__} defines no wrap_update")

    def wrap_stage(self, stage: Stage) -> Stage:
        """Return the stage of the inner method with its update wrapped, unless it does not train the counter."""
        return (
            dataclasses.replace(stage, update=WrappedUpdate(self, stage.update)) if stage.counter else stage
        )

    def stages(self) -> tuple[Stage, ...]:
        """Return the inner method's stages, each changed by `wrap_stage`."""
        return tuple(self.wrap_stage(stage) for stage in self.inner.stages())

    def networks(self, model: Any, crop: int, key: jax.Array) -> Networks:
        """Return the inner method's networks."""
        return self.inner.networks(model, crop, key)

    def optimizers(self) -> dict[str, optax.GradientTransformation]:
        """Return the inner method's optimizers."""
        return self.inner.optimizers()

    def finish(self, state: TrainState, sets: Sets, tools: StageTools) -> None:
        """Keep what the inner method keeps."""
        self.inner.finish(state, sets, tools)

    @property
    def uses_target_labels(self) -> bool:
        """Whether the inner method sees the target's labels."""
        return self.inner.uses_target_labels


def add_loss(
    update: Update,
    extra_loss: Callable[[Any], tuple[jax.Array, Metrics]],
    state: TrainState,
    batch: Batch,
    rng: jax.Array,
    draw: Draw,
) -> tuple[TrainState, Metrics]:
    """Run one step of `update` with a further term in the counter's loss, for the `wrap_update` of a `Wrapper`.

    The gradient of the term is added to that of the update's own loss before the optimizer sees it, so that the step is
    that of their sum. `update` must move the counter exactly once, as all updates of this package do.

    Args:
      update, state, batch, rng, draw: those that `wrap_update` gets.
      extra_loss: function from the counter's parameters to (value, metrics of the term).
    """
    (value, extra_metrics), extra_grads = jax.value_and_grad(extra_loss, has_aux=True)(
        state.params["counter"]
    )
    optimizer = state.txs["counter"]

    def update_with_both(grads, opt_state, params=None):
        return optimizer.update(jax.tree.map(jnp.add, grads, extra_grads), opt_state, params)

    with_both = optax.GradientTransformation(optimizer.init, update_with_both)
    after, metrics = update(state.replace(txs={**state.txs, "counter": with_both}), batch, rng, draw)
    return after.replace(txs=state.txs), {**metrics, **extra_metrics, "loss": metrics["loss"] + value}


def require_labels(train_set: TrainSet, name: str) -> None:
    """Raise ConfigError if the images of the config section `name` have no head points."""
    if len(train_set.examples) == 0:
        raise ConfigError(f"{name} holds no image: name another dataset or split")
    if not train_set.examples[0]["labelled"]:
        raise ConfigError(f"{name} has no head points, and this method needs them: name a labelled dataset")
