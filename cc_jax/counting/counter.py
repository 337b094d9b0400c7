"""`Counter.load(workdir).count(image)`: a trained counter for programs."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from cc_jax import build
from cc_jax.data import buckets, images
from cc_jax.data.resizing import ResizeRule
from cc_jax.distributed import mesh
from cc_jax.errors import CheckpointError
from cc_jax.evaluation import calibration, uncertainty_metrics
from cc_jax.evaluation.evaluate import batching_of, weights_sha256
from cc_jax.inference.predict import interval_from_samples, make_sampler, predict_examples
from cc_jax.units import cells_along
from cc_jax.workdir.checkpoints import Checkpoints
from cc_jax.workdir.config import check_fields, read_config

_UNTRUSTED_SHARE = 0.1  # of the count; less is not worth a warning


@dataclasses.dataclass(frozen=True)
class Count:
    """The people in one image.

    Attributes:
      count: the estimate, in people.
      low, high: the interval at `Counter.interval_level`: calibrated where `Counter.calibration` is there, else what the
        members' disagreement spans, which promises nothing.
      std: standard deviation of the members' counts.
      density: people per 8x8 cell of the image as the network saw it, float32 [h, w].
      uncertainty: standard deviation over the members, same units and shape.
      untrusted: where the members disagree too much for the density to be relied on, bool of the same shape; see
        `reliability.untrusted`.
      untrusted_share: share of the count that lies there.
      warnings: what a person should know before trusting the count.
    """

    count: float
    low: float
    high: float
    std: float
    density: np.ndarray
    uncertainty: np.ndarray
    untrusted: np.ndarray
    untrusted_share: float
    warnings: list[str]


class Counter:
    """A counter restored from a workdir; make it with `Counter.load`."""

    def __init__(self, config, network: build.CountingNetwork, variables: dict, step: int, stage: str):
        self.config = config
        self.variables = variables
        self.step = step
        self.stage = stage
        self.sampler = make_sampler(network, config.evaluation.memory_gib)
        self.resize_rule = self.trained = ResizeRule(**config.resize)
        self.interval_level: float = config.evaluation.interval_level
        self.weights_sha256 = weights_sha256(variables["params"])
        self.calibration: calibration.Calibrated | None = None
        self._shapes: list[tuple[int, int]] = []

    @classmethod
    def load(
        cls, workdir: str | os.PathLike, *, max_side: int | None = None, memory_gib: float | None = None
    ) -> "Counter":
        """Restores the newest whole checkpoint. Raises CheckpointError where there is none.

        Args:
          max_side: pixels of the long side that images are shown with at most, 0: as large as they are; None: as in
            training. More shows smaller people in large images, and is a scale that the counter has not learnt.
          memory_gib: GiB that the network may take on the way, see tiles.py; None: as in training.
        """
        workdir = pathlib.Path(workdir).absolute()
        config = read_config(workdir)
        trained = ResizeRule(**config.resize)
        if max_side is not None:
            config.resize.max_side = max_side
        if memory_gib is not None:
            config.evaluation.memory_gib = memory_gib
        check_fields(config)
        network = build.counting_network(config)
        checkpoints = Checkpoints(workdir)
        step = checkpoints.latest()
        if step is None:
            raise CheckpointError(
                f"no checkpoint in {workdir}: train first, or name the --workdir of a training run"
            )
        abstract = build.abstract_state(config, network, mesh.make_mesh(jax.local_devices()))
        wanted = {"counter": abstract.checkpoint_items()["counter"]}
        saved = checkpoints.restore(step, wanted)["counter"]
        checkpoints.close()
        variables = {"params": saved["params"], **saved["collections"]}
        counter = cls(config, network, variables, checkpoints.counted(step), checkpoints.stage(step))
        counter.trained = trained
        counter.calibration = calibration.load(workdir, counter.weights_sha256)
        return counter

    def calibrate(self, on: str, data_dir: str = "", progress: Callable = iter) -> calibration.Calibrated:
        """Calibrates the intervals on images that somebody has counted: at least ten for 90 %, better thirty.

        Args:
          on: a prepared set, "shanghaitech/part_a:train[:30]", or a CSV file with the columns `image` and `count`.
          data_dir: where prepared sets lie.
          progress: wraps the iterator over batches.

        Raises InputError or ConfigError where images or counts cannot be read. `Calibrated.save(workdir)` keeps it.
        """
        batching = batching_of(self.config)

        def predict(examples):
            return predict_examples(self.sampler, self.variables, examples, batching, progress)

        found = calibration.predictions(on, predict, self.resize_rule, data_dir or self.config.data_dir)
        self.calibration = calibration.calibrate(found, on, self.weights_sha256, self.interval_level)
        return self.calibration

    def plan(self, sizes: Iterable[tuple[int, int]]) -> None:
        """Chooses the padded shapes for images of these (height, width), so that few programs are compiled."""
        fitted = [self.resize_rule.fit(size) for size in sizes]
        limit = self.config.evaluation.max_buckets
        self._shapes = buckets.choose_buckets(fitted, max_buckets=limit) if fitted else []

    def count(self, image: str | os.PathLike | bytes | np.ndarray) -> Count:
        """Counts the people in a file, in an encoded image, or in an RGB array (uint8 [H, W, 3]).

        Raises InputError when the image cannot be read.
        """
        rgb = image if isinstance(image, np.ndarray) else images.read_image(image)
        batch = buckets.single(rgb, self._shape(rgb.shape[:2]), self.resize_rule)
        samples, embedding = map(np.asarray, self.sampler(self.variables, batch["image"], batch["roi"]))
        samples = samples[:, 0]
        height, width = map(cells_along, batch["size"][0])
        samples = samples[:, :height, :width]
        count, std, low, high = interval_from_samples(
            samples.sum((1, 2), dtype=np.float64), self.interval_level
        )
        warnings = self._warnings(rgb, batch["size"][0])
        if self.calibration is not None:
            low, high = (
                float(end) for end in self.calibration.errors.interval(count, std, self.interval_level)
            )
            if self.calibration.is_out_of_distribution(embedding[0]):
                warnings.append(
                    "the image is unlike those that the intervals were calibrated on: its own may not hold"
                )
        untrusted, share = uncertainty_metrics.untrusted(samples)
        if share > _UNTRUSTED_SHARE:
            warnings.append(
                f"{share:.0%} of the count lies where the members disagree (hatched in the overlay)"
            )
        return Count(count, low, high, std, samples.mean(0), samples.std(0), untrusted, share, warnings)

    def _shape(self, size: tuple[int, int]) -> tuple[int, int]:
        """The planned shape that fits, or one of a coarse grid of shapes."""
        fitted = self.resize_rule.fit(size)
        fitting = [s for s in self._shapes if s[0] >= fitted[0] and s[1] >= fitted[1]]
        return min(fitting, key=lambda s: s[0] * s[1]) if fitting else tuple(_coarse(side) for side in fitted)

    def _warnings(self, rgb: np.ndarray, seen: Any) -> list[str]:
        found = []
        height, width = rgb.shape[:2]
        if (height, width) != tuple(int(s) for s in seen):
            found.append(f"resized from {width}x{height} to {int(seen[1])}x{int(seen[0])}")
        if self.trained.fit((height, width)) != self.resize_rule.fit((height, width)):
            learnt = self.trained.fit((height, width))
            found.append(
                f"shown larger or smaller than in training ({learnt[1]}x{learnt[0]}): the scale is not what it learnt"
            )
        step = 1 + max(height, width) // 2048  # of a large image a part tells
        some = rgb[::step, ::step].astype(np.int16)
        if np.ptp(some, axis=2).max() <= 8:
            found.append("the image is grey; the counter was trained mostly on colour")
        if some.std() < 4:
            found.append("the image is nearly uniform; there may be nothing to count")
        return found


def _coarse(side: int) -> int:
    """The next of 256, 384, 512, 768, 1024, 1536, ...: at most half more than `side`."""
    size = 256
    while size < side:
        size = size * 3 // 2 if size % 3 else size * 4 // 3
    return size
