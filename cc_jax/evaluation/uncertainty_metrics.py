"""Measure an uncertainty: does it rank the errors, does it have their size, do its intervals keep what they promise?"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from cc_jax.evaluation.conformal import Calibration
from cc_jax.evaluation.domains import AtDistance
from cc_jax.evaluation.intervals import IntervalsAt, estimate_counts, mean_and_std, members_alone
from cc_jax.units import CELL

LEVELS = (0.5, 0.8, 0.9, 0.95)
BLOCK = 8  # cells along a side of the blocks that are measured beside whole images
BLOCK_PIXELS = BLOCK * CELL
# The standard deviation over the samples, as a share of a block's count, above which the block's density is not to be
# relied on.
UNTRUSTED = 0.3
_KEPT = np.linspace(1.0, 0.05, 20)  # the shares of items along a sparsification curve
_FLOOR = {"images": 1.0, "blocks": 0.1}  # people; the smallest standard deviation in the likelihood

Bounds = Callable[[float], tuple[np.ndarray, np.ndarray]]


def measure(
    true: Float[np.ndarray, " n"],
    estimate: Float[np.ndarray, " n"],
    std: Float[np.ndarray, " n"],
    bounds: Bounds,
    floor: float,
) -> dict[str, Any]:
    """Measure n estimates with standard deviations and intervals.

    Args:
      true, estimate, std: the true number of people, the estimate, and the standard deviation over the samples.
      bounds: returns (low, high) of all n for a level.
      floor: people; the likelihood replaces smaller standard deviations by this.

    Returns:
      A dict with these figures, of which those that do not exist are None (the first, and the curves, need an
      uncertainty above 0):
        n: the number of items.
        spearman: the rank correlation of the standard deviation and the absolute error.
        sparsification: the mean absolute error of the items that remain when the most uncertain are removed, relative to
          that of all, with 100, 95, ..., 5 % remaining.
        oracle: the same curve when the items with the largest errors are removed.
        ause: the mean distance between these two curves; 0 is best (Ilg et al., ECCV 2018, section 5.1).
        nll: the mean negative log-likelihood of the truth under a Gaussian, in nats.
        levels, coverage, width: of the intervals; the width in people.
        calibration_error: the mean distance between coverage and level.
    """
    true, estimate, std = (np.asarray(values, np.float64) for values in (true, estimate, std))
    error = np.abs(true - estimate)
    ends = [bounds(level) for level in LEVELS]
    coverage = [float(((low <= true) & (true <= high)).mean()) for low, high in ends]
    found = {
        "n": len(true),
        "spearman": None,
        "sparsification": None,
        "oracle": sparsification(error, error) if error.any() else None,
        "ause": None,
        "nll": None,
        "levels": list(LEVELS),
        "coverage": coverage,
        "width": [float(w) if math.isfinite(w := (high - low).mean()) else None for low, high in ends],
        "calibration_error": float(np.abs(np.subtract(coverage, LEVELS)).mean()),
    }
    if not std.any():
        return found
    found["nll"] = float(-stats.norm.logpdf(true, estimate, np.maximum(std, floor)).mean())
    if error.any():
        found["sparsification"] = sparsification(error, std)
        found["ause"] = float(np.subtract(found["sparsification"], found["oracle"]).mean())
        rank = stats.spearmanr(std, error).statistic if np.ptp(std) and np.ptp(error) else math.nan
        found["spearman"] = None if math.isnan(rank) else float(rank)
    return found


def sparsification(error: np.ndarray, by: np.ndarray) -> list[float]:
    """Return the mean error of the items that remain when those largest in `by` are removed, relative to that of all."""
    ascending = error[np.argsort(by, kind="stable")]
    remaining = [max(1, round(share * len(error))) for share in _KEPT]
    return [float(ascending[:number].mean() / error.mean()) for number in remaining]


def of_predictions(
    predictions: Sequence[Any], intervals_at: IntervalsAt = members_alone
) -> dict[str, dict[str, Any]]:
    """Measure the uncertainty of predictions over whole images and over blocks of 64 pixels.

    Args:
      predictions: `inference.predict.Prediction`s; those without labels are left out.
      intervals_at: says what the images' intervals are based on; those of blocks, on the samples' disagreement.

    Returns {"images": ..., "blocks": ...}, each as `measure` returns it, or {} without labelled images.
    """
    labelled = [p for p in predictions if not math.isnan(p.true)]
    if not labelled:
        return {}
    true = np.array([p.true for p in labelled])
    counts_nxS = np.stack([p.counts for p in labelled])
    blocks = [_blocks(p) for p in labelled]
    true_blocks = np.concatenate([true_of_one for true_of_one, _ in blocks])
    blocks_nxS = np.concatenate([samples for _, samples in blocks])
    based_on = intervals_at(np.stack([p.embedding for p in labelled]))
    return {
        "images": _measure_samples(true, counts_nxS, _FLOOR["images"], based_on),
        "blocks": _measure_samples(true_blocks, blocks_nxS, _FLOOR["blocks"], None),
    }


def _measure_samples(
    true: np.ndarray, samples_nxS: np.ndarray, floor: float, based_on: Calibration | AtDistance | None
) -> dict[str, Any]:
    def bounds(level: float) -> tuple[np.ndarray, np.ndarray]:
        estimates = estimate_counts(samples_nxS, level, based_on)
        return estimates.low, estimates.high

    return measure(true, *mean_and_std(samples_nxS), bounds, floor)


def _blocks(prediction: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return (true counts [n], samples [n, S]) of an image's blocks; those at its right and lower border may be cut."""
    summed = _block_sums(prediction.samples)
    size, *grid = summed.shape
    true = np.zeros(grid)
    at = (np.asarray(prediction.points) // BLOCK_PIXELS).astype(int)
    np.add.at(true, (at[:, 1], at[:, 0]), 1)
    return true.ravel(), summed.reshape(size, -1).T


def _block_sums(samples_SxHxW: np.ndarray) -> np.ndarray:
    """Return the people in each block, float64 [S, ceil(h / BLOCK), ceil(w / BLOCK)]."""
    size, height, width = samples_SxHxW.shape
    padded = np.pad(samples_SxHxW, ((0, 0), (0, -height % BLOCK), (0, -width % BLOCK)))
    rows, columns = (side // BLOCK for side in padded.shape[1:])
    return padded.reshape(size, rows, BLOCK, columns, BLOCK).sum((2, 4), dtype=np.float64)


def untrusted(
    samples_SxHxW: Float[np.ndarray, "S h w"], limit: float = UNTRUSTED
) -> tuple[Bool[np.ndarray, "h w"], float]:
    """Find where the samples disagree too much for the density to be relied on.

    These are the blocks whose standard deviation over the samples exceeds `limit` times their count. A count below one
    person is taken as one, so that noise on empty ground is not marked. A single sample is trusted everywhere.

    Returns (marked cells, the share of the count that lies in them).
    """
    size, height, width = samples_SxHxW.shape
    if size < 2:
        return np.zeros((height, width), bool), 0.0
    summed_SxRxC = _block_sums(samples_SxHxW)
    count = summed_SxRxC.mean(0)
    marked_RxC = summed_SxRxC.std(0, ddof=1) > limit * np.maximum(count, 1.0)
    cells = np.kron(marked_RxC, np.ones((BLOCK, BLOCK), bool))[:height, :width]
    total = count.sum()
    return cells, float(count[marked_RxC].sum() / total) if total > 0 else 0.0


def describe(found: dict[str, dict[str, Any]]) -> str:
    """Return what `of_predictions` returns as text: a line for images and one for blocks, where there is an uncertainty."""
    lines = []
    for name, what in (("images", "images"), ("blocks", f"blocks of {BLOCK_PIXELS} pixels")):
        one = found[name]
        if one["spearman"] is None:
            continue
        coverage = "  ".join(
            f"{level:.0%}: {share:.0%}" for level, share in zip(one["levels"], one["coverage"], strict=True)
        )
        lines.append(
            f"uncertainty over {one['n']} {what}: Spearman {one['spearman']:.2f}  AUSE {one['ause']:.2f}  "
            f"NLL {one['nll']:.2f}  coverage {coverage}"
        )
    return "\n".join(lines) or "uncertainty: none, all samples agree"
