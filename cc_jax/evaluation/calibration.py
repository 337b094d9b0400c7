"""Calibrate a counter on images that somebody has counted: its level and its intervals. Tell images that look otherwise."""

import dataclasses
import math
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32

from cc_jax.data import images
from cc_jax.data.examples import Examples
from cc_jax.data.resizing import ResizeRule
from cc_jax.errors import ConfigError, InputError
from cc_jax.evaluation import conformal
from cc_jax.evaluation.counts_file import SUFFIXES, read_counts
from cc_jax.evaluation.intervals import mean_and_std
from cc_jax.inference.predict import Prediction
from cc_jax.workdir.arrays import read_about_counter, write_about_counter
from cc_jax.workdir.layout import Layout


@dataclasses.dataclass(frozen=True)
class Calibrated:
    """A counter's calibration on counted images.

    Attributes:
      errors: the counter's errors on them; see conformal.py.
      embeddings: the encoder's embedding of each image, float32 [n, C].
      on: the name of the set, for people.
      weights_sha256: the counter's.
    """

    errors: conformal.Calibration
    embeddings: np.ndarray
    on: str
    weights_sha256: str

    def is_out_of_distribution(self, embedding: Float32[np.ndarray, " C"]) -> bool:
        """Return whether an image is farther from its nearest counted image than any counted image is from its own.

        Distances are between embeddings whose channels are divided by their standard deviation over the counted images.
        An image drawn like the counted ones is out of distribution with a probability of about 1 / (n + 1). With fewer
        than two counted images there is nothing to compare with, and the answer is False.
        """
        if len(self.embeddings) < 2:
            return False
        scale = self.embeddings.std(0) + 1e-6
        known = self.embeddings / scale
        distances = np.linalg.norm(known[:, None] - known[None], axis=2)
        np.fill_diagonal(distances, np.inf)
        return bool(np.linalg.norm(known - embedding / scale, axis=1).min() > distances.min(1).max())

    def describe_shift(self, predictions: list[Prediction]) -> str:
        """Return how many images do not look like the counted ones, and what follows from that, as text."""
        outside = sum(self.is_out_of_distribution(p.embedding) for p in predictions)
        text = f"{outside} of {len(predictions)} images do not look like them"
        expected = len(predictions) / (len(self.embeddings) + 1)
        # Three standard deviations above what chance gives.
        if outside > expected + 3 * math.sqrt(expected) and outside > 1:
            return f"{text} (by chance it would be {expected:.0f}): do not rely on the intervals' level here"
        return text

    def describe(self, level: float) -> str:
        """Return what the intervals are based on, as text."""
        widths = {
            "spread": "with a width proportional to the samples' spread",
            "count": "with a width proportional to the count",
            "constant": "with one width for all images",
        }
        factor = (
            f"; counts are multiplied by {self.errors.factor:.2f}" if self.errors.counted is not None else ""
        )
        return (
            f"{level:.0%} intervals are calibrated on {len(self.embeddings)} images of {self.on}, "
            f"{widths[self.errors.scale]}; they hold only for images like these{factor}"
        )

    def without_factor(self) -> "Calibrated":
        """Return the same calibration for counts that are left at the counter's own level."""
        return dataclasses.replace(self, errors=self.errors.without_factor())

    def save(self, workdir: str | os.PathLike) -> None:
        """Write `workdir`/calibration.npz."""
        about = {
            "scale": self.errors.scale,
            "factor": self.errors.factor,
            "on": self.on,
            "weights_sha256": self.weights_sha256,
        }
        arrays: dict[str, Any] = {"scores": self.errors.scores, "embeddings": self.embeddings}
        if self.errors.counted is not None:
            arrays["counted"] = self.errors.counted
        write_about_counter(Layout(pathlib.Path(workdir)).calibration, about, arrays)


def load(workdir: pathlib.Path, weights_sha256: str) -> Calibrated | None:
    """Return the workdir's calibration, or None if it has none.

    Raises CheckpointError if the file is damaged or belongs to other weights.
    """

    def read(about, arrays) -> Calibrated:
        counted = arrays.get("counted")  # absent before 0.3, or without a factor
        errors = conformal.Calibration(about["scale"], arrays["scores"], about.get("factor", 1.0), counted)
        return Calibrated(errors, arrays["embeddings"], about["on"], about["weights_sha256"])

    remedy = "remove it and calibrate again"
    return read_about_counter(Layout(workdir).calibration, weights_sha256, read, remedy)


def calibrate(
    predictions: list[Prediction], on: str, weights_sha256: str, level: float, *, set_level: bool = True
) -> Calibrated:
    """Calibrate on predictions whose `true` is known; others are left out.

    A picture that is there twice counts once: a second copy tells nothing new, and intervals would hold less often than they
    promise.

    Args:
      on: the name of the set, for people.
      weights_sha256: the counter's.
      level: the level that the intervals must be able to reach.
      set_level: whether to correct the counts by one factor as well; see `camera_level`.

    Raises InputError if there are too few labelled predictions for `level`.
    """
    known = [p for p in predictions if not math.isnan(p.true)]
    first: dict[bytes, Prediction] = {}
    for p in known:
        first.setdefault(p.embedding.tobytes() + p.counts.tobytes(), p)
    if copies := len(known) - len(first):
        known, on = list(first.values()), f"{on} ({copies} more show a picture again)"
    if len(known) < conformal.fewest(level):
        raise InputError(
            f"{on}: only {len(known)} counted images; intervals of {level:.0%} need at least {conformal.fewest(level)}"
        )
    count, std = mean_and_std(np.stack([p.counts for p in known]))
    errors = conformal.calibrate(np.array([p.true for p in known]), count, std, set_level=set_level)
    return Calibrated(errors, np.stack([p.embedding for p in known]), on, weights_sha256)


def predict_counted(
    on: str, predict: Callable[[Any], Iterator[Prediction]], resize_rule: ResizeRule, data_dir: str
) -> list[Prediction]:
    """Predict the images that `on` names and attach the counts as their `true`.

    Args:
      on: a prepared set such as "shanghaitech/part_a:train[:30]", or a table of counts (see counts_file.py).
      predict: examples -> predictions.
      data_dir: where prepared sets are.
    """
    if on.lower().endswith(SUFFIXES):
        counted = read_counts(pathlib.Path(on).expanduser())
        found = predict(Examples(_ImageFiles([path for path, _ in counted]), resize_rule))
        return [dataclasses.replace(p, true=counted[p.index][1]) for p in found]
    # Imported here because counting alone is installed without TFDS.
    from cc_jax.data import sources

    dataset, _, split = on.partition(":")
    if not split:
        raise ConfigError(f"--calibrate_on={on}: write DATASET:SPLIT, or the name of a .csv file")
    return list(predict(Examples(sources.open_source(dataset, split, data_dir), resize_rule)))


class _ImageFiles(Sequence):
    """Image files as records without labels; see data/sources.py."""

    def __init__(self, paths: list[pathlib.Path]):
        self.paths = paths
        self.sizes = [images.read_size(path) for path in paths]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> dict[str, Any]:
        height, width = self.sizes[i]
        none = np.zeros((0, 2), np.float32)
        return {
            "id": str(self.paths[i]),
            "image": self.paths[i].read_bytes(),
            "points": none,
            "roi": none,
            "labelled": False,
            "height": height,
            "width": width,
        }
