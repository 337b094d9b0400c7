"""Intervals around counts: from the samples' disagreement alone, or calibrated on counted images.

Every interval that the program shows is computed here.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from cc_jax.evaluation.conformal import Calibration, Values
from cc_jax.evaluation.domains import AtDistance

# What an interval is based on.
KINDS = {
    "members": "the samples of the counter, which agree far more than they are right",
    "domains": "other kinds of images than those of the training, with labels",
    "counts": "images of the same place, counted by hand",
}

# What images' embeddings, [n, C] or [C], are turned into: what gives their intervals, or None for the samples' disagreement.
IntervalsAt = Callable[[Any], Calibration | AtDistance | None]


def members_alone(embeddings: Any) -> None:
    """The `IntervalsAt` of a counter that knows no errors of its own."""
    del embeddings


class CountEstimate(NamedTuple):
    """Counts with intervals, in people; the fields are arrays of one shape.

    Attributes:
      count: the mean over the samples.
      std: the standard deviation over the samples; 0 for a single sample.
      low, high: the interval's ends; `low` is not negative.
    """

    count: Values
    std: Values
    low: Values
    high: Values


def mean_and_std(
    samples: Float[np.ndarray, "... S"],
) -> tuple[Values, Values]:
    """Return the mean and the standard deviation (n - 1) over the last axis; a single sample has a deviation of 0."""
    mean = samples.mean(-1)
    return mean, samples.std(-1, ddof=1) if samples.shape[-1] > 1 else np.zeros_like(mean)


def estimate_counts(
    samples: Float[np.ndarray, "... S"], level: float, calibration: Calibration | AtDistance | None = None
) -> CountEstimate:
    """Return the counts that S samples stand for, with intervals at `level`.

    A calibration sets their level as well: it multiplies counts and deviations by its factor.

    Without a calibration, the interval is Student's prediction interval for one more sample,
    `count ± t * std * sqrt(1 + 1/S)`. It expresses the samples' disagreement only and promises no coverage of the true
    count. A single sample has an interval of width 0.

    Args:
      samples: counts, in people.
      level: the share of true counts that the intervals are meant to cover, in (0, 1).
      calibration: of the counter on counted images, see conformal.py, or on other domains, see domains.py.
    """
    count, std = mean_and_std(samples)
    if calibration is not None:
        at_level = calibration.factor * count, calibration.factor * std
        return CountEstimate(*at_level, *calibration.interval(count, std, level))
    size = samples.shape[-1]
    quantile = float(stats.t.ppf(0.5 + level / 2, size - 1)) if size > 1 else 0.0
    half = quantile * std * (1 + 1 / size) ** 0.5
    return CountEstimate(count, std, np.maximum(0.0, count - half), count + half)
