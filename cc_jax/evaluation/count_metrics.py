"""What a set of counts is worth: MAE, RMSE and the figures without which they mislead."""

import numpy as np
from jaxtyping import Float


def count_errors(true: Float[np.ndarray, " n"], count: Float[np.ndarray, " n"]) -> dict[str, float]:
    """Errors of counts over images, in people.

    Beside MAE and RMSE: `bias` (mean of count - true), `pearson` over images (nan where either is constant),
    `mae_scaled` after the one best scale factor, `mae_constant` of the best constant (the median of the truth).
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
    """The factor s >= 0 that minimises sum |s x count - true|: the median of true/count weighted by count."""
    seen = count > 0
    if not seen.any():
        return 1.0
    ratio, weight = true[seen] / count[seen], count[seen]
    order = np.argsort(ratio)
    half = np.searchsorted(np.cumsum(weight[order]), weight.sum() / 2)
    return float(ratio[order][min(half, len(order) - 1)])


def interval_errors(true: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, float]:
    """Share of images whose true count lies within [low, high], and the mean width in people."""
    return {
        "interval_coverage": float(((low <= true) & (true <= high)).mean()),
        "interval_width": float((high - low).mean()),
    }
