"""Errors of a set of counts: MAE and RMSE, and the figures without which they mislead."""

import numpy as np
from jaxtyping import Float


def count_errors(true: Float[np.ndarray, " n"], count: Float[np.ndarray, " n"]) -> dict[str, float]:
    """Return the errors of counts over images, in people.

    Args:
      true: the labelled counts.
      count: the estimates.

    Returns:
      A dict with these figures:
        mae, rmse: the mean absolute error and the root mean squared error.
        bias: the mean of count - true.
        pearson: the correlation over images; nan if either side is constant.
        mae_scaled: the MAE after multiplying all counts by the one factor that minimizes it.
        mae_constant: the MAE of the best constant, which is the median of the truth.
    """
    true, count = np.asarray(true, np.float64), np.asarray(count, np.float64)
    error = count - true
    varies = len(true) > 1 and true.std() > 0 and count.std() > 0
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "bias": float(error.mean()),
        "pearson": float(np.corrcoef(true, count)[0, 1]) if varies else float("nan"),
        "mae_scaled": float(np.abs(best_scale(true, count) * count - true).mean()),
        "mae_constant": float(np.abs(np.median(true) - true).mean()),
    }


def best_scale(true: np.ndarray, count: np.ndarray) -> float:
    """Return the factor s >= 0 that minimizes sum |s * count - true|: the median of true / count, weighted by count."""
    positive = count > 0
    if not positive.any():
        return 1.0
    ratio, weight = true[positive] / count[positive], count[positive]
    order = np.argsort(ratio)
    half = np.searchsorted(np.cumsum(weight[order]), weight.sum() / 2)
    return float(ratio[order][min(half, len(order) - 1)])


def interval_errors(true: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, float]:
    """Return the share of images whose true count lies within [low, high], and the mean width in people."""
    return {
        "interval_coverage": float(((low <= true) & (true <= high)).mean()),
        "interval_width": float((high - low).mean()),
    }
