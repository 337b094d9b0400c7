"""Intervals around counts whose coverage can be stated: split conformal prediction from a few counted images.

Of n images whose people were counted, the errors |true - count| / scale are sorted; the k-th smallest, k = ceil((n + 1) x
level), times a new image's scale is the half width of its interval. It covers the truth with a probability of at least
`level`, over the draw of the n images and of the new one, if these are exchangeable (drawn alike, in any order): no matter
how wrong the counter is, or in what way. Nothing is promised for images of another kind, or for each image by itself.
(Vovk et al., Algorithmic Learning in a Random World, 2005; Lei et al., JASA 2018, sections 2.2 and 5.2: scaled errors.)
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from cc_jax.errors import ConfigError, InputError

# How wide an error may be from image to image, in people, from the count and the members' standard deviation. The one
# person keeps empty images from scores without bounds.
SCALES = {
    "spread": lambda count, std: std + 1.0,
    "count": lambda count, std: np.maximum(count, 0.0) + 1.0,
    "constant": lambda count, std: np.ones_like(count),
}
_FEWEST_TO_CHOOSE = 24  # images; with fewer, none is spared for choosing among the scales


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What a set of counted images says of a counter's errors.

    Attributes:
      scale: a name in SCALES.
      scores: the errors over the scale, sorted, float64 [n].
    """

    scale: str
    scores: np.ndarray

    def interval(
        self, count: Float[np.ndarray, " m"], std: Float[np.ndarray, " m"], level: float
    ) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
        """(low, high) of each count, in people, cut at 0; unbounded above when too few images were counted.

        Args:
          count, std: mean and standard deviation over the members, in people.
          level: what share of the intervals is to cover the truth, in (0, 1).
        """
        count, std = np.asarray(count, np.float64), np.asarray(std, np.float64)
        half = quantile(self.scores, level) * SCALES[self.scale](count, std)
        return np.maximum(0.0, count - half), count + half


def quantile(scores: Float[np.ndarray, " n"], level: float) -> float:
    """The ceil((n + 1) x level)-th smallest score; infinite when there are fewer."""
    if not 0 < level < 1:
        raise ConfigError(f"the level of an interval is {level}: it lies between 0 and 1")
    # Rounded first: 0.9 x 30 is 27.000000000000004 or the like, and would skip a score.
    rank = math.ceil(round((len(scores) + 1) * level, 9))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


def fewest(level: float) -> int:
    """How many counted images a bounded interval of that level takes."""
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
    """A calibration from n counted images.

    The scale that gives the narrower intervals is chosen on a third of the images, which then do not enter the scores, or
    the promise would not hold. With less than 24 images all are used, and errors are taken relative to the count.

    Args:
      true: people counted by hand.
      count, std: mean and standard deviation over the members.
      seed: of the choice of that third.

    Raises InputError without an image or where a number is not finite.
    """
    true, count, std = (np.asarray(values, np.float64) for values in (true, count, std))
    if len(true) == 0:
        raise InputError("there is no counted image to calibrate on")
    if not all(np.isfinite(values).all() for values in (true, count, std)):
        raise InputError("a count to calibrate on is not a finite number")
    error, scale, rest = np.abs(true - count), "count", np.arange(len(true))
    if len(true) >= _FEWEST_TO_CHOOSE:
        order = np.random.default_rng(seed).permutation(len(true))
        chosen_on, rest = order[: len(true) // 3], np.sort(order[len(true) // 3 :])
        names = ["spread", "count", "constant"] if (std > 0).any() else ["count", "constant"]
        scale = min(names, key=lambda name: _width(error[chosen_on], SCALES[name](count, std)[chosen_on]))
    return Calibration(scale, np.sort((error / SCALES[scale](count, std))[rest]))


def _width(error: np.ndarray, scale: np.ndarray) -> float:
    """How wide intervals of that scale are, as far as a few images tell: the mean score, steadier than a quantile of it."""
    return float((error / scale).mean() * scale.mean())
