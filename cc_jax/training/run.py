"""The parts of a run that stay the same from its first step to its last."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import ml_collections
from jax.sharding import Mesh

from cc_jax import build
from cc_jax.data.examples import Examples
from cc_jax.data.progress import progress_bar
from cc_jax.distributed import mesh as meshes
from cc_jax.evaluation.evaluate import batching_of, counter_variables
from cc_jax.inference.predict import Prediction, make_sampler, predict_examples
from cc_jax.methods import base
from cc_jax.optimization.train_state import TrainState
from cc_jax.training import profiling, translated_dataset
from cc_jax.training.batches import Batches
from cc_jax.training.datasets import Datasets, cached_examples
from cc_jax.workdir import config as config_file
from cc_jax.workdir.checkpoints import Checkpoints
from cc_jax.workdir.layout import Layout


@dataclasses.dataclass(frozen=True)
class Run:
    """What a config and a workdir stand for.

    Attributes:
      config: the config.
      layout: the files of the workdir.
      network: the counter.
      method: the method, as a list of stages.
      mesh: all devices of all processes.
      datasets: the prepared datasets.
      checkpoints: the checkpoints in the workdir.
      abstract: shapes, types and shardings of the state.
      sampler: counts images (`inference.predict.make_sampler`).
      test_sets: the images to evaluate on; those of the config's target come first.
    """

    config: ml_collections.ConfigDict
    layout: Layout
    network: build.CountingNetwork
    method: base.Method
    mesh: Mesh
    datasets: Datasets
    checkpoints: Checkpoints
    abstract: TrainState
    sampler: Callable
    test_sets: list[Examples]

    @classmethod
    def open(cls, config: ml_collections.ConfigDict, layout: Layout) -> "Run":
        """Open the datasets and checkpoints of a run, and build its parts.

        Raises ConfigError if a dataset is not prepared, or a field of the config is wrong.
        """
        network, method, mesh = build.counting_network(config), build.method(config), meshes.make_mesh()
        datasets = Datasets.open(config)
        fingerprints = datasets.fingerprints()
        return cls(
            config=config,
            layout=layout,
            network=network,
            method=method,
            mesh=mesh,
            datasets=datasets,
            checkpoints=Checkpoints(layout.root, keep=config.checkpoint.keep, datasets=fingerprints),
            abstract=build.abstract_state(config, network, mesh, method),
            sampler=make_sampler(network, config.evaluation.memory_gib, config.evaluation.empty_below),
            test_sets=datasets.test_sets(config),
        )

    @property
    def batches(self) -> Batches:
        """Makes the batches of the run's stages."""
        return Batches(self.config, self.mesh, replicated=self.network.uncertainty.shard)

    def start(self) -> TrainState:
        """Return the state of the newest checkpoint, or a fresh one if there is no checkpoint."""
        step = self.checkpoints.latest()
        if step is None:
            fresh = build.fresh_state(self.config, self.network, self.mesh, self.method)
            # Optimizers that compute the same but are other objects: the compiled steps know those of `abstract`.
            return fresh.replace(txs=self.abstract.txs)
        items = self.checkpoints.restore(step, self.abstract.checkpoint_items())
        if not self.config.checkpoint.any_data:
            self.checkpoints.check_datasets(step)
        print(f"resuming from step {step}", flush=True)
        return self.abstract.with_checkpoint_items(items)

    def stage_tools(self) -> base.StageTools:
        """Return what a stage may do on the host when it is entered."""
        batching, keep = batching_of(self.config), cached_examples(self.config)

        def bar(description: str) -> Callable:
            return functools.partial(progress_bar, description=description)

        def predict(state: TrainState, examples: Any) -> Iterator[Prediction]:
            return predict_examples(
                self.sampler, counter_variables(state), examples, batching, bar("labelling")
            )

        def rewrite(name: str, function: Callable, params: Any, examples: Any) -> Any:
            folder = self.layout.rewritten(name)
            return translated_dataset.rewrite(
                function, params, examples, folder, batching, keep, bar("translating")
            )

        def show(name: str, function: Callable, params: Any, examples: Any) -> None:
            translated_dataset.show(function, params, examples, self.layout.rewritten(name), batching)

        return base.StageTools(predict, rewrite, show)


def check_config(config: ml_collections.ConfigDict) -> None:
    """Raise ConfigError for what can be known to be wrong before anything is opened or written."""
    config_file.check_fields(config)
    if config.profile_steps:
        profiling.span_of(config.profile_steps)
    build.counting_network(config)
    build.method(config)


def name_of(config: ml_collections.ConfigDict) -> str:
    """Return the method, the variant and the seed of a run, for a person."""
    return " ".join(filter(None, (config.method.name, config.variant, f"seed {config.seed}")))
