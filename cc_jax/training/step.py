"""The train step of a stage, compiled ahead of time, and its metrics, summed on the device."""

import dataclasses
from collections.abc import Callable
from concurrent import futures

import flax.struct
import jax
import jax.numpy as jnp

from cc_jax.build import CountingNetwork
from cc_jax.methods import base
from cc_jax.optimization import gradient_accumulation, rngs
from cc_jax.optimization.train_state import TrainState
from cc_jax.training import profiling
from cc_jax.training.batches import Batches


@flax.struct.dataclass
class Means:
    """Sums of scalar metrics, which are merged over the steps and divided once.

    Attributes:
      total: {metric: its sum}.
      steps: how many steps the sums are of.
    """

    total: dict[str, jax.Array]
    steps: jax.Array

    @classmethod
    def of(cls, metrics: dict[str, jax.Array]) -> "Means":
        """Return the sums of one step."""
        return cls(total=jax.tree.map(jnp.float32, metrics), steps=jnp.int32(1))

    def merge(self, other: "Means") -> "Means":
        """Return the sums of both."""
        return jax.tree.map(jnp.add, self, other)

    def compute(self) -> dict[str, float]:
        """Return the means over the steps as floats. Waits for the device."""
        total, steps = jax.device_get((self.total, self.steps))
        return {name: float(value) / float(steps) for name, value in total.items()}


@dataclasses.dataclass(frozen=True)
class Step:
    """A compiled train step.

    Attributes:
      run: `run(state, batch) -> (state, Means)`. It donates the state that it is given.
      operations: additions and multiplications in one step, all devices together.
    """

    run: Callable[[TrainState, base.Batch], tuple[TrainState, Means]]
    operations: int


def make_train_step(update: Callable, draw: base.Draw, root: jax.Array) -> Callable:
    """Return the pure `train_step(state, batch) -> (state, Means)` of a stage's `update`.

    Args:
      update: see `methods.base.Stage`.
      draw: see `CountingNetwork`.
      root: the root key. The randomness of a step is a function of the root key and `state.step`.
    """

    def train_step(state: TrainState, batch: base.Batch) -> tuple[TrainState, Means]:
        state, metrics = update(state, batch, rngs.stream(root, "update", state.step), draw)
        return state.replace(step=state.step + 1), Means.of(metrics)

    return train_step


class StepCompiler:
    """Compiles train steps on a thread, before there is a state or a batch.

    Stages with the same `Stage.program` share one compiled step.

    Args:
      network: the counter.
      abstract: shapes, types and shardings of the state.
      batches: knows the shapes of the batches.
    """

    def __init__(self, network: CountingNetwork, abstract: TrainState, batches: Batches):
        self._network, self._abstract, self._batches = network, abstract, batches
        self._thread = futures.ThreadPoolExecutor(1)
        self._begun: dict[tuple, futures.Future] = {}

    def begin(self, stage: base.Stage) -> "futures.Future[Step]":
        """Begin to compile the step of `stage`, unless that has begun, and return the `Step` to come."""
        if stage.program not in self._begun:
            self._begun[stage.program] = self._thread.submit(self._compile, stage)
        return self._begun[stage.program]

    def _compile(self, stage: base.Stage) -> Step:
        config = self._batches.config
        update = gradient_accumulation.in_parts(stage.update, config.accumulate)
        train_step = make_train_step(update, self._network.draw, rngs.root(config.seed))
        # The state that comes out is what the next step takes, so it has the same shardings.
        shardings = jax.tree.map(lambda x: x.sharding, self._abstract)
        jitted = jax.jit(train_step, donate_argnums=0, out_shardings=(shardings, None))
        traced = jitted.trace(self._abstract, self._batches.abstract(stage))
        return Step(traced.lower().compile(), profiling.operations(traced.jaxpr))
