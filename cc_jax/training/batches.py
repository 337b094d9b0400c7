"""The global batches of a stage: which crops they hold, their shapes, and the batches themselves."""

import dataclasses
import functools
from collections.abc import Callable, Generator

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from cc_jax.data import density, pipeline, prefetch, transforms
from cc_jax.distributed import mesh as meshes
from cc_jax.methods import base
from cc_jax.training.spans import Span


@dataclasses.dataclass(frozen=True)
class Crops:
    """The crops of one set in a global batch.

    Attributes:
      number: how many there are.
      augment: how they are cut and changed.
    """

    number: int
    augment: transforms.Augment


@dataclasses.dataclass(frozen=True)
class Batches:
    """Makes the batches of a run's stages. Batch i is a function of (seed, i).

    Attributes:
      config: the run's config.
      mesh: the devices.
      replicated: whether every device gets the whole batch instead of its share. Then the devices share out the networks.
    """

    config: ml_collections.ConfigDict
    mesh: Mesh
    replicated: bool = False

    def crops(self, stage: base.Stage) -> dict[str, Crops]:
        """Return {set: its crops in a global batch} of the stage."""
        config, found = self.config, {}
        # A stage that draws from a single set takes the source's batch size, so that all methods that learn from
        # one domain's labels see equally many crops.
        sizes = {name: config["source" if len(stage.draws) == 1 else name].batch_size for name in stage.draws}
        for name in stage.draws:
            fields = ("scale_min", "scale_max", "unscaled_share", "photometric", "grey")
            own = {field: config[name][field] for field in fields}
            augment = transforms.Augment(**config.augment, **own, clean=name in stage.clean)
            found[name] = Crops(stage.batch_size or sizes[name], augment)
        return found

    def abstract(self, stage: base.Stage) -> dict[str, dict[str, jax.ShapeDtypeStruct]]:
        """Return the shapes, types and shardings of what `stream` yields."""
        sharding = meshes.replicated(self.mesh) if self.replicated else meshes.split(self.mesh)
        return {
            name: {
                field: jax.ShapeDtypeStruct((crops.number, *shape), dtype, sharding=sharding)
                for field, (shape, dtype) in crops.augment.shapes().items()
            }
            for name, crops in self.crops(stage).items()
        }

    def stream(self, span: Span, sets: base.Sets, first: int) -> Generator[base.Batch, None, None]:
        """Yield the batches of the steps from `first` to the end of the stage, prepared ahead on other threads.

        Args:
          span: the stage and its place in the run.
          sets: the images to draw crops from.
          first: the steps of the run that are done.

        Raises:
          ConfigError: a batch cannot be split over the devices.
        """
        every_crops = self.crops(span.stage)
        if not self.replicated:
            for name, crops in every_crops.items():
                what = f"the batch of {name} crops in {span.stage.name}"
                meshes.check_batch_size(what, crops.number, self.mesh, self.config.accumulate)
        make = self._maker(span, sets, every_crops)
        host = pipeline.batches(
            make, first, span.end, threads=self.config.threads, workers=self.config.workers
        )
        put = meshes.put_replicated if self.replicated else meshes.put_batch
        return prefetch.ahead((put(self.mesh, batch) for batch in host), 1)

    def _maker(self, span: Span, sets: base.Sets, every_crops: dict[str, Crops]) -> Callable[[int], dict]:
        """A function from a step to this process's part of its batch. Worker processes get it pickled."""
        config = self.config
        sizes = {name: crops.number for name, crops in every_crops.items()}
        before, end, end_from = {}, {}, {}
        for name, crops in every_crops.items():
            dataset = functools.partial(
                pipeline.train_dataset,
                sets[name].examples,
                density=density.Density(**config.density),
                seed=config.seed * 2 + (name == "target"),
                pseudo=sets[name].pseudo,
            )
            changes = config[name].end
            before[name] = dataset(augment=crops.augment.plain() if span.stage.plain else crops.augment)
            end[name] = dataset(
                augment=crops.augment.with_changes(
                    unscaled_share=changes.unscaled_share,
                    photometric=changes.photometric,
                    tone=max(changes.tone, changes.photometric),
                )
            )
            # The share is one of the steps that train the counter, so the others are added to the step it begins at.
            other_steps = span.begin - span.counted_before
            end_from[name] = np.inf if span.stage.plain else other_steps + config.steps * (1 - changes.share)
        # Computed here, because worker processes do not know which process of the run has started them.
        part = {}
        if not self.replicated:
            part = {"process_index": jax.process_index(), "process_count": jax.process_count()}

        def make(i: int) -> dict:
            datasets = {name: (end if i >= end_from[name] else before)[name] for name in sizes}
            return {
                name: pipeline.batch_at(dataset, i, batch_size=sizes[name], **part)
                for name, dataset in datasets.items()
            }

        return make
