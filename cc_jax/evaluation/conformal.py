"""Intervals with a stated coverage: split conformal prediction from a few counted images.

Take n images whose people were counted by hand. Sort their errors |true - count| / scale. The k-th smallest of them,
k = ceil((n + 1) * level), times a new image's scale is the half width of that image's interval. The interval contains the
true count with a probability of at least `level`, over the draw of the n images and of the new one, if these are
exchangeable (drawn alike, in any order). This holds for any counter, however wrong it is. It does not hold for images of
another kind, nor conditionally on a single image.

With `set_level`, the counts are first multiplied by a factor that the counted images ask for (`camera_level`). The factor is
then a part of what has to be exchangeable, so it is fitted anew with each number of people that the new image may have.

Source: Vovk et al., Algorithmic Learning in a Random World, 2005; Lei et al., JASA 2018, sections 2.2 and 5.2 (scaled
errors).
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from cc_jax.errors import ConfigError, InputError
from cc_jax.evaluation import camera_level
from cc_jax.evaluation.camera_level import Values

# The expected size of an image's error, in people, from the count and the samples' standard deviation. Adding one person
# keeps the scores of empty images finite.
SCALES = {
    "spread": lambda count, std: std + 1.0,
    "count": lambda count, std: np.maximum(count, 0.0) + 1.0,
    "constant": lambda count, std: np.ones_like(count),
}
_RATIOS = 257  # entries of the table of levels
_FEWEST_TO_CHOOSE = 24  # images; with fewer, all are used for the scores and none for choosing the scale


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A counter's errors on counted images, and the level that they ask for.

    Attributes:
      scale: a name in `SCALES`.
      scores: the errors divided by the scale, sorted, float64 [n].
      factor: what counts are to be multiplied by; see `camera_level`. 1 leaves them as they are.
      counted: true count, count and standard deviation of the images that gave the scores, float64 [3, n], if a factor was
        fitted. Otherwise None.
    """

    scale: str
    scores: np.ndarray
    factor: float = 1.0
    counted: np.ndarray | None = None

    def interval(self, count: Values, std: Values, level: float) -> tuple[Values, Values]:
        """Return (low, high) of each count, in people; `low` is at least 0.

        `high` is infinite when too few images were counted for `level`; see `fewest`.

        Args:
          count, std: the mean and the standard deviation over the samples, in people, before the factor.
          level: the share of the intervals that should contain the true count, in (0, 1).
        """
        count, std = np.asarray(count, np.float64), np.asarray(std, np.float64)
        if self.counted is not None:
            low, high = _refitted_interval(
                self.counted, SCALES[self.scale], count.ravel(), std.ravel(), level
            )
            return low.reshape(count.shape), high.reshape(count.shape)
        half = quantile(self.scores, level) * SCALES[self.scale](count, std)
        return np.maximum(0.0, count - half), count + half

    def without_factor(self) -> "Calibration":
        """Return the calibration of the same images for counts without the factor."""
        if self.counted is None:
            return self
        true, count, std = self.counted
        return Calibration(self.scale, np.sort(np.abs(true - count) / SCALES[self.scale](count, std)))


def _refitted_interval(
    counted: Float[np.ndarray, "3 n"],
    scale: Callable[[Values, Values], Values],
    count: Float[np.ndarray, " N"],
    std: Float[np.ndarray, " N"],
    level: float,
) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Return the intervals of N images around counts at the level of the n counted ones.

    A factor that is fitted to the images whose errors are the scores makes these errors too small, and no promise holds.
    So the factor is fitted again to the n images and the new one, for each number of people that the new one may have. That
    number belongs to the interval if its score is among the smaller ones, as ever (full conformal prediction: Vovk et al.,
    section 2.2). The factor depends on the new image by its ratio alone, so a table over ratios serves for all images.
    """
    true, counts, stds = counted
    ratios = camera_level.log_ratios(true, counts)
    # Beyond a span on either side, another ratio is an outlier like all others there, and the factor stays as it is.
    span = max(float(np.ptp(ratios)), 0.1)
    new_G = np.linspace(ratios.min() - span, ratios.max() + span, _RATIOS)
    with_new = np.column_stack([np.broadcast_to(ratios, (_RATIOS, len(ratios))), new_G])
    factor_G = camera_level.factor(with_new)
    at_level, stds_at_level = factor_G[:, None] * counts, factor_G[:, None] * stds
    scores_Gxn = np.abs(true - at_level) / scale(at_level, stds_at_level)
    limit_G = _quantiles(scores_Gxn, level)
    count, std = count[:, None], std[:, None]
    middle_NxG = factor_G * count
    half_NxG = limit_G * scale(middle_NxG, factor_G * std)
    people_NxG = (count + 1) * np.exp(new_G) - 1
    # Negative where a number of people belongs to the interval.
    beyond_NxG = np.abs(people_NxG - middle_NxG) - half_NxG
    low, high = (_first_inside(people_NxG[:, ::way], beyond_NxG[:, ::way]) for way in (1, -1))
    # Beyond the table's ends the factor is that of the end.
    low = np.where(beyond_NxG[:, 0] <= 0, middle_NxG[:, 0] - half_NxG[:, 0], low)
    high = np.where(beyond_NxG[:, -1] <= 0, middle_NxG[:, -1] + half_NxG[:, -1], high)
    # An interval between two entries holds at least the count at its level.
    at = camera_level.factor(ratios) * count[:, 0]
    return np.maximum(0.0, np.fmin(low, at)), np.fmax(high, at)


def _first_inside(
    people: Float[np.ndarray, "N G"], beyond: Float[np.ndarray, "N G"]
) -> Float[np.ndarray, " N"]:
    """Return where `beyond` first falls to 0 along each row, by linear interpolation between entries; nan for nowhere."""
    rows, inside = np.arange(len(people)), beyond <= 0
    at = inside.argmax(1)
    before = np.maximum(at - 1, 0)
    with np.errstate(invalid="ignore"):  # infinite where too few images were counted
        fall = beyond[rows, before] - beyond[rows, at]
    share = np.divide(-beyond[rows, at], fall, out=np.zeros(len(people)), where=fall > 0)
    end = people[rows, at] + share * (people[rows, before] - people[rows, at])
    return np.where(inside.any(1), end, np.nan)


def quantile(scores: Float[np.ndarray, " n"], level: float) -> float:
    """Return the ceil((n + 1) * level)-th smallest score; infinity when there are fewer."""
    return float(_quantiles(scores[None], level)[0])


def _quantiles(scores: Float[np.ndarray, "G n"], level: float) -> Float[np.ndarray, " G"]:
    """Return `quantile` of each row."""
    if not 0 < level < 1:
        raise ConfigError(f"the level of an interval is {level}: it must lie between 0 and 1")
    n = scores.shape[1]
    # Rounded before the ceiling, because a product such as 100 * 0.55 is 55.00000000000001 in binary.
    rank = math.ceil(round((n + 1) * level, 9))
    return np.partition(scores, rank - 1, 1)[:, rank - 1] if rank <= n else np.full(len(scores), math.inf)


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
    set_level: bool = True,
    seed: int = 0,
) -> Calibration:
    """Calibrate on n counted images.

    A third of the images decides which scale gives the narrowest intervals. These images do not contribute scores,
    because the coverage would not hold otherwise. With fewer than 24 images, all contribute scores and the scale is the
    count.

    Args:
      true: the people counted by hand.
      count, std: the mean and the standard deviation over the samples.
      set_level: whether to fit a factor on the counts to these images, all of them; see `camera_level`.
      seed: of the random third.

    Raises InputError without images, or if a number is not finite.
    """
    true, count, std = (np.asarray(values, np.float64) for values in (true, count, std))
    if len(true) == 0:
        raise InputError("there is no counted image to calibrate on: name a set or a CSV file that has some")
    if not all(np.isfinite(values).all() for values in (true, count, std)):
        raise InputError("a count to calibrate on is not a finite number: check the counts and the weights")
    scale, rest = "count", np.arange(len(true))
    if len(true) >= _FEWEST_TO_CHOOSE:
        order = np.random.default_rng(seed).permutation(len(true))
        chosen_on, rest = order[: len(true) // 3], np.sort(order[len(true) // 3 :])
        names = ["spread", "count", "constant"] if (std > 0).any() else ["count", "constant"]
        third = true[chosen_on], count[chosen_on], std[chosen_on]
        scale = min(names, key=lambda name: _width(*_errors(name, *third, set_level)))
    error, width = _errors(scale, true[rest], count[rest], std[rest], set_level)
    scores = np.sort(error / width)
    if not set_level:
        return Calibration(scale, scores)
    factor = float(camera_level.factor(camera_level.log_ratios(true, count)))
    return Calibration(scale, scores, factor, np.stack([true, count, std])[:, rest])


def _errors(
    scale: str, true: np.ndarray, count: np.ndarray, std: np.ndarray, set_level: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the images' errors and their scales, at these images' own level if it is to be set."""
    factor = camera_level.factor(camera_level.log_ratios(true, count)) if set_level else 1.0
    return np.abs(true - factor * count), SCALES[scale](factor * count, factor * std)


def _width(error: np.ndarray, scale: np.ndarray) -> float:
    """Estimate the width of intervals with this scale. Uses the mean score, which varies less than a quantile."""
    return float((error / scale).mean() * scale.mean())
