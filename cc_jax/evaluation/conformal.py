"""Intervals with a stated coverage: split conformal prediction from a few counted images.

Take n images whose people were counted by hand. Sort their errors |true - count| / scale. The k-th smallest of them,
k = ceil((n + 1) * level), times a new image's scale is the half width of that image's interval. The interval contains the
true count with a probability of at least `level`, over the draw of the n images and of the new one, if these are
exchangeable (drawn alike, in any order). This holds for any counter, however wrong it is. It does not hold for images of
another kind, nor conditionally on a single image.

Source: Vovk et al., Algorithmic Learning in a Random World, 2005; Lei et al., JASA 2018, sections 2.2 and 5.2 (scaled
errors).
"""

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Float

from cc_jax.errors import ConfigError, InputError

# Float [...]: an array, or NumPy's scalar for an array without an axis.
Values = Any

# The expected size of an image's error, in people, from the count and the samples' standard deviation. Adding one person
# keeps the scores of empty images finite.
SCALES = {
    "spread": lambda count, std: std + 1.0,
    "count": lambda count, std: np.maximum(count, 0.0) + 1.0,
    "constant": lambda count, std: np.ones_like(count),
}
_FEWEST_TO_CHOOSE = 24  # images; with fewer, all are used for the scores and none for choosing the scale


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A counter's errors on counted images.

    Attributes:
      scale: a name in `SCALES`.
      scores: the errors divided by the scale, sorted, float64 [n].
    """

    scale: str
    scores: np.ndarray

    def interval(self, count: Values, std: Values, level: float) -> tuple[Values, Values]:
        """Return (low, high) of each count, in people; `low` is at least 0.

        `high` is infinite when too few images were counted for `level`; see `fewest`.

        Args:
          count, std: the mean and the standard deviation over the samples, in people.
          level: the share of the intervals that should contain the true count, in (0, 1).
        """
        count, std = np.asarray(count, np.float64), np.asarray(std, np.float64)
        half = quantile(self.scores, level) * SCALES[self.scale](count, std)
        return np.maximum(0.0, count - half), count + half


def quantile(scores: Float[np.ndarray, " n"], level: float) -> float:
    """Return the ceil((n + 1) * level)-th smallest score; infinity when there are fewer."""
    if not 0 < level < 1:
        raise ConfigError(f"the level of an interval is {level}: it must lie between 0 and 1")
    # Rounded before the ceiling, because a product such as 100 * 0.55 is 55.00000000000001 in binary.
    rank = math.ceil(round((len(scores) + 1) * level, 9))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


def fewest(level: float) -> int:
    """Return the number of counted images that a bounded interval at this level needs."""
    n = 1
    while math.ceil(round((n + 1) * level, 9)) > n:
        n += 1
    return n


def calibrate(
    true: Float[np.ndarray, " n"],
    count: Float[np.ndarray, " n"],
    std: Float[np.ndarray, " n"],
    *,
    seed: int = 0,
) -> Calibration:
    """Calibrate on n counted images.

    A third of the images decides which scale gives the narrowest intervals. These images do not contribute scores,
    because the coverage would not hold otherwise. With fewer than 24 images, all contribute scores and the scale is the
    count.

    Args:
      true: the people counted by hand.
      count, std: the mean and the standard deviation over the samples.
      seed: of the random third.

    Raises InputError without images, or if a number is not finite.
    """
    true, count, std = (np.asarray(values, np.float64) for values in (true, count, std))
    if len(true) == 0:
        raise InputError("there is no counted image to calibrate on: name a set or a CSV file that has some")
    if not all(np.isfinite(values).all() for values in (true, count, std)):
        raise InputError("a count to calibrate on is not a finite number: check the counts and the weights")
    error, scale, rest = np.abs(true - count), "count", np.arange(len(true))
    if len(true) >= _FEWEST_TO_CHOOSE:
        order = np.random.default_rng(seed).permutation(len(true))
        chosen_on, rest = order[: len(true) // 3], np.sort(order[len(true) // 3 :])
        names = ["spread", "count", "constant"] if (std > 0).any() else ["count", "constant"]
        scale = min(names, key=lambda name: _width(error[chosen_on], SCALES[name](count, std)[chosen_on]))
    return Calibration(scale, np.sort((error / SCALES[scale](count, std))[rest]))


def _width(error: np.ndarray, scale: np.ndarray) -> float:
    """Estimate the width of intervals with this scale. Uses the mean score, which varies less than a quantile."""
    return float((error / scale).mean() * scale.mean())
