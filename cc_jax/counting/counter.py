"""The Python API for counting: `Counter.load(workdir).count(image)`."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator

import jax
import numpy as np

from cc_jax import build
from cc_jax.data import buckets, images
from cc_jax.data.resizing import ResizeRule
from cc_jax.distributed import mesh
from cc_jax.errors import CheckpointError
from cc_jax.evaluation import calibration, conformal, domains, not_here, uncertainty_metrics
from cc_jax.evaluation.evaluate import batching_of, weights_sha256
from cc_jax.evaluation.intervals import estimate_counts
from cc_jax.inference.predict import Prediction, make_embed, make_sampler, predict_examples
from cc_jax.units import cells_along
from cc_jax.workdir import packed
from cc_jax.workdir.checkpoints import Checkpoints
from cc_jax.workdir.config import check_fields, read_config

_UNTRUSTED_SHARE = 0.1  # of the count; a smaller untrusted part is not worth a warning
_GREY = 8  # an image is grey if no pixel's channels differ by more
_UNIFORM = 4  # an image is uniform if the standard deviation of its values is smaller
_CHECKED_SIDE = 2048  # pixels; larger images are checked for color on a coarser grid

Size = tuple[int, int]  # (height, width) in pixels


@dataclasses.dataclass(frozen=True)
class Count:
    """The people in one image.

    Attributes:
      count: the estimate, in people; at the level of the counted images if `Counter.calibration` is set.
      low, high: the interval at `Counter.interval_level`.
      interval_kind: what the interval is based on. "counts": images counted by hand, so that it holds for images like these.
        "domains": other kinds of images, so that it holds if this one is one more of the kind. "members": the samples'
        disagreement, which promises nothing.
      std: the standard deviation of the samples' counts.
      density: people per 8x8 cell of the (resized) image, float32 [h, w].
      uncertainty: the standard deviation over the samples, in the same unit and shape.
      untrusted: the cells where the samples disagree too much for the density to be relied on, bool of the same shape; see
        `uncertainty_metrics.untrusted`.
      untrusted_share: the share of the count that lies in these cells.
      p_typical: how often an image of a kind like those that the counter was tried on would look at least as unlike its
        training: a p-value, small for images that it is not meant for. None if it has not been measured.
      unusual: whether this p-value is small enough for a warning.
      warnings: what to know before trusting the count, a sentence each.
    """

    count: float
    low: float
    high: float
    interval_kind: str
    std: float
    density: np.ndarray
    uncertainty: np.ndarray
    untrusted: np.ndarray
    untrusted_share: float
    p_typical: float | None
    unusual: bool
    warnings: list[str]


class Counter:
    """A trained counter, restored by `Counter.load`.

    Attributes:
      config: the run's config.
      resize_rule: how images are resized before they are counted.
      interval_level: the level of the intervals.
      stage: the stage that the weights come from.
      step: how many steps have trained them.
      weights_sha256: a digest of the weights.
      calibration: of the counts' level and of the intervals, or None.
      domains: the errors on other kinds of images, from which intervals come without a calibration, or None.
      not_here: what tells images that the counter is not meant for, or None.
    """

    def __init__(self, config, network: build.CountingNetwork, variables: dict, step: int, stage: str):
        self.config = config
        self.variables = variables
        self.step = step
        self.stage = stage
        evaluation = config.evaluation
        self.sampler = make_sampler(network, evaluation.memory_gib, evaluation.empty_below)
        self.resize_rule = self.trained_resize_rule = ResizeRule(**config.resize)
        self.interval_level: float = config.evaluation.interval_level
        self.weights_sha256 = weights_sha256(variables["params"])
        self.calibration: calibration.Calibrated | None = None
        self.domains: domains.DomainErrors | None = None
        self.not_here: not_here.NotHere | None = None
        self._embed = make_embed(network)
        self._shapes: list[Size] = []

    @classmethod
    def load(
        cls,
        workdir: str | os.PathLike | None = None,
        *,
        max_side: int | None = None,
        memory_gib: float | None = None,
    ) -> "Counter":
        """Restore the counter that ships with the package, a packed one, or the newest intact checkpoint of a workdir.

        Args:
          workdir: of `cc_jax.train`, or the folder of a packed counter. None: the shipped counter.
          max_side: pixels; images with a longer side are shrunk to it. 0: no limit; None: the limit of training. A larger
            limit shows smaller people, at a scale that the counter may not have learned.
          memory_gib: GiB that the network's intermediate results may take; larger images are counted in tiles. None: as in
            training.

        Raises CheckpointError if there is no intact checkpoint, ConfigError if an argument is out of range.
        """
        if workdir is None and not packed.is_packed(packed.SHIPPED):
            raise CheckpointError(
                "this version of cc_jax is installed without a counter: name the --workdir of a training run"
            )
        workdir = packed.SHIPPED if workdir is None else pathlib.Path(workdir).absolute()
        config = read_config(workdir)
        trained_resize_rule = ResizeRule(**config.resize)
        if max_side is not None:
            config.resize.max_side = max_side
        if memory_gib is not None:
            config.evaluation.memory_gib = memory_gib
        check_fields(config)
        network = build.counting_network(config)
        restore = _unpack if packed.is_packed(workdir) else _restore_checkpoint
        counter = cls(config, network, *restore(workdir, config, network))
        counter.trained_resize_rule = trained_resize_rule
        counter.calibration = calibration.load(workdir, counter.weights_sha256)
        counter.domains = domains.load(workdir, counter.weights_sha256)
        counter.not_here = not_here.load(workdir, counter.weights_sha256)
        return counter

    def calibrate(
        self, on: str, data_dir: str = "", progress: Callable = iter, *, set_level: bool = True
    ) -> calibration.Calibrated:
        """Calibrate on images that somebody has counted: at least ten for intervals of 90 %, better thirty.

        Counts are multiplied by one factor from then on, which sets their level, and intervals hold for images like these.
        `Calibrated.save(workdir)` keeps the calibration for later.

        Args:
          on: a prepared set such as "shanghaitech/part_a:train[:30]", or a CSV file with the columns `image` and `count`.
          data_dir: where prepared sets are; by default, the config's.
          progress: wraps the iterator over batches.
          set_level: whether to multiply counts by a factor.

        Raises InputError or ConfigError if the images or their counts cannot be read.
        """
        predictions = self.predict_counted(on, data_dir, progress)
        self.calibration = calibration.calibrate(
            predictions, on, self.weights_sha256, self.interval_level, set_level=set_level
        )
        return self.calibration

    def predict_counted(self, on: str, data_dir: str = "", progress: Callable = iter) -> list[Prediction]:
        """Return predictions of images that somebody has counted, with these counts; see `calibrate` for the arguments."""
        predict = functools.partial(self.predict_examples, progress=progress)
        return calibration.predict_counted(on, predict, self.resize_rule, data_dir or self.config.data_dir)

    def predict_examples(self, examples, progress: Callable = iter) -> Iterator[Prediction]:
        """Yield predictions of `data.examples.Examples`, in any order; `progress` wraps the iterator over batches."""
        return predict_examples(self.sampler, self.variables, examples, batching_of(self.config), progress)

    @property
    def interval_kind(self) -> str:
        """What the intervals are based on; see `Count.interval_kind`."""
        return "counts" if self.calibration else "domains" if self.domains else "members"

    def intervals_at(self, embeddings: np.ndarray) -> conformal.Calibration | domains.AtDistance | None:
        """Return what gives the intervals of images with these embeddings, float32 [n, C] or [C]; None for members."""
        if self.calibration:
            return self.calibration.errors
        return self.domains.at(embeddings) if self.domains else None

    def describe_intervals(self) -> str:
        """Return what the intervals are based on, as text."""
        if found := self.calibration or self.domains:
            return found.describe(self.interval_level)
        return (
            "there are no intervals, because nothing tells how wrong this counter is here: count ten images by hand "
            "(--calibrate_on)"
        )

    def plan(self, sizes: Iterable[Size]) -> None:
        """Choose a few padded shapes for images of these (height, width), so that few programs are compiled."""
        fitted = [self.resize_rule.fit(size) for size in sizes]
        limit = self.config.evaluation.max_buckets
        self._shapes = buckets.choose_buckets(fitted, max_buckets=limit) if fitted else []

    def count(self, image: str | os.PathLike | bytes | np.ndarray) -> Count:
        """Count the people in an image.

        Args:
          image: a path, the bytes of an image file, or an RGB array (uint8 [H, W, 3]).

        Raises InputError if the image cannot be read.
        """
        rgb = image if isinstance(image, np.ndarray) else images.read_image(image)
        batch = buckets.single(rgb, self._padded_shape(rgb.shape[:2]), self.resize_rule)
        samples, embedding = map(np.asarray, self.sampler(self.variables, batch["image"], batch["roi"]))
        height, width = map(cells_along, batch["size"][0])
        samples = samples[:, 0, :height, :width]
        calibrated = self.calibration
        estimate = estimate_counts(
            samples.sum((1, 2), dtype=np.float64), self.interval_level, self.intervals_at(embedding[0])
        )
        untrusted, share = uncertainty_metrics.untrusted(samples)
        warnings = self._size_warnings(rgb.shape[:2]) + _content_warnings(rgb)
        p_typical, unusual = None, []
        if self.not_here:
            features = self.look(rgb)
            p_typical = self.not_here.p_value(float(self.not_here.classifier.score(features)))
            unusual = self.not_here.warnings(p_typical, features)
        if calibrated and calibrated.is_out_of_distribution(embedding[0]):
            warnings.append(
                "the image does not look like those that the intervals were calibrated on: do not rely on its interval"
            )
        if share > _UNTRUSTED_SHARE:
            warnings.append(
                f"{share:.0%} of the count lies where the samples disagree (hatched in the overlay)"
            )
        count, std, low, high = map(float, estimate)
        factor = calibrated.errors.factor if calibrated else 1.0
        density, deviation = factor * samples.mean(0), factor * samples.std(0)
        return Count(
            count,
            low,
            high,
            self.interval_kind,
            std,
            density,
            deviation,
            untrusted,
            share,
            p_typical,
            bool(unusual),
            warnings + unusual,
        )

    def look(self, rgb: np.ndarray) -> np.ndarray:
        """Return what the encoder makes of the thirds of an image, float32 [3 C]; see `not_here.look`."""
        return not_here.look(self._embed, self.variables, rgb)

    def _padded_shape(self, size: Size) -> Size:
        """Return the smallest planned shape that an image of this size fits into, or one from a coarse grid of shapes."""
        fitted = self.resize_rule.fit(size)
        fitting = [s for s in self._shapes if s[0] >= fitted[0] and s[1] >= fitted[1]]
        if fitting:
            return min(fitting, key=lambda shape: shape[0] * shape[1])
        return _coarse_side(fitted[0]), _coarse_side(fitted[1])

    def _size_warnings(self, size: Size) -> list[str]:
        """Return warnings on how an image of this size is resized."""
        warnings = []
        fitted, trained = self.resize_rule.fit(size), self.trained_resize_rule.fit(size)
        if fitted != tuple(size):
            warnings.append(f"resized from {size[1]}x{size[0]} to {fitted[1]}x{fitted[0]}")
        if fitted != trained:
            warnings.append(
                f"in training it would have been resized to {trained[1]}x{trained[0]}: the counter may not have learned "
                "people of this size"
            )
        return warnings


def _restore_checkpoint(
    workdir: pathlib.Path, config, network: build.CountingNetwork
) -> tuple[dict, int, str]:
    """Return (variables, step, stage) of the newest intact checkpoint of a workdir."""
    checkpoints = Checkpoints(workdir)
    step = checkpoints.latest()
    if step is None:
        raise CheckpointError(
            f"no checkpoint in {workdir}: train first, or name the --workdir of a training run"
        )
    saved = checkpoints.restore(step, {"counter": _abstract(config, network)})["counter"]
    checkpoints.close()
    variables = {"params": saved["params"], **saved["collections"]}
    return variables, checkpoints.counted(step), checkpoints.stage(step)


def _unpack(folder: pathlib.Path, config, network: build.CountingNetwork) -> tuple[dict, int, str]:
    """Return (variables, step, stage) of a packed counter."""
    abstract = _abstract(config, network)
    found = packed.read_packed(folder, {"params": abstract["params"], **abstract["collections"]})
    return found.variables, found.step, found.stage


def _abstract(config, network: build.CountingNetwork) -> dict:
    """Return the shapes, types and shardings of what a checkpoint holds of the counter."""
    state = build.abstract_state(config, network, mesh.make_mesh(jax.local_devices()))
    return state.checkpoint_items()["counter"]


def _content_warnings(rgb: np.ndarray) -> list[str]:
    """Return warnings on what the image shows."""
    warnings = []
    step = 1 + max(rgb.shape[:2]) // _CHECKED_SIDE
    pixels = rgb[::step, ::step].astype(np.int16)
    if np.ptp(pixels, axis=2).max() <= _GREY:
        warnings.append("the image is grey; the counter was trained mostly on color images")
    if pixels.std() < _UNIFORM:
        warnings.append("the image is nearly uniform; there may be nothing to count")
    return warnings


def _coarse_side(side: int) -> int:
    """Return the next of 256, 384, 512, 768, 1024, 1536, ...: at most half more than `side`."""
    size = 256
    while size < side:
        size = size * 3 // 2 if size % 3 else size * 4 // 3
    return size
