"""Intervals before anything was counted at a place: from a counter's errors on other kinds of images.

A counter misses by more at a place that it has never seen than on other images of a place that it knows. How much more, the
labelled images of K domains tell: kinds of images that the counter was not trained on. If the new place is one more domain,
drawn like these K (in any order), then the interval that takes one image of each domain for its errors holds with a
probability of at least `level`: conformal prediction with two layers, domains and images in them. Each image of domain k
weighs 1 / ((K + 1) n_k), and the new domain weighs 1 / (K + 1) at infinity. So a level of 90 % takes nine domains.

Errors are ratios of true counts and counts, because that is what carries over from sparse places to dense ones. They are
divided by a scale. It grows for small counts, where one person more or less is a large ratio, and with an image's
distance from the images of the training.

This promises less than counts at the place itself (conformal.py): it averages over places, and says nothing of one of them.

Source: Dunn, Wasserman and Ramdas, JASA 2023, and Lee, Barber and Willett, arXiv 2306.06342 (hierarchical conformal
prediction).
"""

import dataclasses
import math
import pathlib
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.cluster import vq

from cc_jax.data.examples import base_splits
from cc_jax.errors import ConfigError, InputError
from cc_jax.evaluation.camera_level import Values, log_ratios
from cc_jax.workdir.arrays import read_about_counter, write_about_counter
from cc_jax.workdir.layout import Layout

_SMALL = 20.0  # people; the scale of fewer grows like that of a Poisson count
# Distances below the first are taken to be equally near, and beyond the second equally far: counts there are not wrong
# without bounds.
_NEAREST, _FARTHEST = 0.5, 3.0
_SHRINKAGE = 0.1  # of the correlation of channels towards none


class Near(NamedTuple):
    """What the images look like that a counter was trained on: the mean and the covariance of their embeddings.

    Attributes:
      mean: float32 [C].
      whitening: takes embeddings without their mean to a covariance of 1, float32 [C, C].
    """

    mean: np.ndarray
    whitening: np.ndarray

    @classmethod
    def of(cls, embeddings: Float[np.ndarray, "n C"]) -> "Near":
        """Return that of n embeddings, n at least 2."""
        mean, spread = embeddings.mean(0), embeddings.std(0) + 1e-6
        correlation = np.cov((embeddings - mean).T / spread[:, None])
        # Few images leave directions without any spread.
        values, vectors = np.linalg.eigh(correlation + _SHRINKAGE * np.eye(len(mean)))
        whitening = (vectors / np.sqrt(values)).T / spread
        return cls(mean.astype(np.float32), whitening.astype(np.float32))

    def distance(self, embeddings: Float[np.ndarray, "*n C"]) -> Values:
        """Return how far images are from the middle of the training: the root mean square of whitened channels.

        It is between 0.5 and 3, and below 1 for most images of the training.
        """
        whitened = (embeddings - self.mean) @ self.whitening.T
        return np.clip(np.sqrt((whitened**2).mean(-1)), _NEAREST, _FARTHEST)


@dataclasses.dataclass(frozen=True)
class DomainErrors:
    """A counter's errors on domains that it was not trained on.

    Attributes:
      scores: of the images of all domains, float64 [n].
      domain: the domain of each image, 0 to K - 1, int64 [n].
      near: the images of the training; the intervals of other images grow with their distance from these.
      on: the names of the sets that the domains are of, for people.
      weights_sha256: the counter's.
    """

    scores: np.ndarray
    domain: np.ndarray
    near: Near
    on: tuple[str, ...]
    weights_sha256: str = ""

    @property
    def number(self) -> int:
        """Number of domains, K."""
        return int(self.domain.max()) + 1

    def at(self, embedding: Float[np.ndarray, "*n C"]) -> "AtDistance":
        """Return what gives the intervals of images with these embeddings."""
        return AtDistance(self, self.near.distance(embedding))

    def quantile(self, level: float) -> float:
        """Return the weighted quantile of the scores, infinity where the new domain's weight is needed to reach it."""
        if not 0 < level < 1:
            raise ConfigError(f"the level of an interval is {level}: it must lie between 0 and 1")
        images = np.bincount(self.domain)
        weights = 1 / ((self.number + 1) * images[self.domain])
        order = np.argsort(self.scores)
        # A hair of tolerance, because sums of weights such as 1/11 are not exact.
        reached = np.cumsum(weights[order]) >= level - 1e-9
        return float(self.scores[order][reached.argmax()]) if reached.any() else math.inf

    def describe(self, level: float) -> str:
        """Return what the intervals are based on, as text."""
        return (
            f"{level:.0%} intervals come from errors on {self.number} other kinds of images ({', '.join(self.on)}): "
            "they hold if this place is one more such kind; count ten images of it by hand for better ones (--calibrate_on)"
        )

    def has_seen(self, dataset: str, split: str) -> bool:
        """Return whether images of this split may be among those whose errors these are."""
        seen = (on.partition(":") for on in self.on)
        return any(name == dataset and base_splits(split) & base_splits(of) for name, _, of in seen)

    def save(self, workdir: pathlib.Path) -> None:
        """Write `workdir`/domains.npz."""
        about = {"on": self.on, "weights_sha256": self.weights_sha256}
        arrays = {"scores": self.scores.astype(np.float32), "domain": self.domain.astype(np.int16)}
        write_about_counter(Layout(workdir).domains, about, {**arrays, **self.near._asdict()})


@dataclasses.dataclass(frozen=True)
class AtDistance:
    """Intervals at a distance from the images of the training; stands where a `conformal.Calibration` can.

    Attributes:
      errors: those on other domains.
      distance: of the images, see `Near.distance`.
    """

    errors: DomainErrors
    distance: Values
    factor: ClassVar[float] = 1.0  # counts keep their level, as nothing was counted at the place

    def interval(self, count: Values, std: Values, level: float) -> tuple[Values, Values]:
        """Return (low, high) of each count, in people; `high` is infinite with too few domains for `level`.

        Args:
          count: people.
          std: not used.
          level: the share of the intervals that should contain the true count, in (0, 1).
        """
        del std
        count = np.asarray(count, np.float64)
        reach = self.errors.quantile(level) * scale(count, self.distance)
        with np.errstate(over="ignore"):  # infinite with too few domains
            return np.maximum(0.0, (count + 1) * np.exp(-reach) - 1), (count + 1) * np.exp(reach) - 1


def load(workdir: pathlib.Path, weights_sha256: str) -> DomainErrors | None:
    """Return what `DomainErrors.save` has written, or None if it has not.

    Raises CheckpointError if the file is damaged or belongs to other weights.
    """

    def read(about, arrays) -> DomainErrors:
        near = Near(arrays["mean"], arrays["whitening"])
        scores, domain = arrays["scores"].astype(np.float64), arrays["domain"].astype(np.int64)
        return DomainErrors(scores, domain, near, tuple(about["on"]), about["weights_sha256"])

    remedy = "remove it and measure the domains again"
    return read_about_counter(Layout(workdir).domains, weights_sha256, read, remedy)


def scale(count: Values, distance: Values) -> Values:
    """Return how large the logarithm of a ratio is expected to be, relative to a dense crowd in an image of the training."""
    return np.sqrt(1 + _SMALL / (count + 1)) * distance


def fewest(level: float) -> int:
    """Return the number of domains that a bounded interval at this level needs."""
    return math.ceil(round(level / (1 - level), 9))


class CountedSet(NamedTuple):
    """A labelled set that a counter has counted.

    Attributes:
      true, count: float64 [n].
      embeddings: float32 [n, C].
      domain: the domain of each image within the set, int [n].
    """

    true: np.ndarray
    count: np.ndarray
    embeddings: np.ndarray
    domain: np.ndarray


class LeftOut(NamedTuple):
    """How the intervals of the other sets serve a set that took no part in them.

    Attributes:
      images, kinds: numbers of images and of domains of the set.
      coverage: the share of its intervals that contain the true count.
      width: their median width, in people.
      ratio: their median of (high + 1) / (low + 1).
    """

    images: int
    kinds: int
    coverage: float
    width: float
    ratio: float


def measure(sets: dict[str, CountedSet], near: Near, weights_sha256: str = "") -> DomainErrors:
    """Return the errors on the domains of several sets.

    Args:
      sets: by name.
      near: the images of the training.
      weights_sha256: of the counter that has counted.

    Raises InputError without images, or if a number is not finite.
    """
    scores, domains, first = [], [], 0
    for name, one in sets.items():
        if not (np.isfinite(one.true).all() and np.isfinite(one.count).all()):
            raise InputError(f"{name}: a count is not a finite number: check the labels and the weights")
        kinds, own = np.unique(one.domain, return_inverse=True)
        error = np.abs(log_ratios(one.true, one.count))
        scores.append(error / scale(one.count, near.distance(one.embeddings)))
        domains.append(first + own)
        first += len(kinds)
    if not first:
        raise InputError("there is no labelled image to measure errors on: name sets that have some")
    return DomainErrors(np.concatenate(scores), np.concatenate(domains), near, tuple(sets), weights_sha256)


def leave_each_out(sets: dict[str, CountedSet], near: Near, level: float) -> dict[str, LeftOut]:
    """Return, for each of at least two sets, how the intervals that the others give serve it."""
    found = {}
    for name, one in sets.items():
        others = {other: values for other, values in sets.items() if other != name}
        if not others:
            continue
        low, high = measure(others, near).at(one.embeddings).interval(one.count, 0 * one.count, level)
        held = (low <= one.true) & (one.true <= high)
        width, ratio = np.median(high - low), np.median((high + 1) / (low + 1))
        kinds = len(np.unique(one.domain))
        found[name] = LeftOut(len(one.true), kinds, float(held.mean()), float(width), float(ratio))
    return found


def looks(embeddings: Float[np.ndarray, "n C"], number: int, seed: int = 0) -> Int[np.ndarray, " n"]:
    """Split the images of a set into kinds that look alike (k-means of their embeddings): 0 to `number` - 1 for each.

    A set without names for its places is taken for several domains in this way. Kinds without an image are left out.
    """
    spread = embeddings.std(0) + 1e-6
    _, labels = vq.kmeans2(embeddings / spread, min(number, len(embeddings)), seed=seed, minit="++")
    return np.unique(labels, return_inverse=True)[1]
