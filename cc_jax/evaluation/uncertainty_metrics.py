"""How good an uncertainty is: does it rank the errors, is it of their size, do intervals hold what they promise?"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from cc_jax.units import CELL

LEVELS = (0.5, 0.8, 0.9, 0.95)
BLOCK = 8  # cells a side of the blocks that are compared beside whole images: 64 pixels
# Standard deviation over the members, as a share of a block's count, from which on the block is not to be trusted. Of 16
# training images of ShanghaiTech A (No Adapt from B) errors were 0.4 of the true count in blocks below 0.2, 0.6 up to 0.3,
# 1.0 up to 0.5, and 6 and more above; on synthetic/validation 0.6 below 0.05, 0.9 up to 0.1 and 1.5 up to 0.2.
UNTRUSTED = 0.3
_KEPT = np.linspace(1.0, 0.05, 20)  # shares of the items that are left on a sparsification curve
_FLOOR = {"images": 1.0, "blocks": 0.1}  # people; spreads below it count as this in the likelihood

Bounds = Callable[[float], tuple[np.ndarray, np.ndarray]]


def measure(
    true: Float[np.ndarray, " n"],
    estimate: Float[np.ndarray, " n"],
    std: Float[np.ndarray, " n"],
    bounds: Bounds,
    floor: float,
) -> dict[str, Any]:
    """What n spreads and intervals are worth.

    Args:
      true, estimate, std: people counted, estimated, and the standard deviation over the members, of images or blocks.
      bounds: level -> (low, high) of all n.
      floor: people; the least standard deviation that the likelihood is computed with.

    Returns:
      "n"; "spearman": rank correlation of the spread and the absolute error; "sparsification": mean absolute error of what
      is left when the items with the largest spread are taken away, as a share of that of all, for 100, 95, ... 5 % left;
      "oracle": the same in the order of the errors themselves; "ause": mean distance of the two curves (Ilg et al., ECCV
      2018, section 5.1), 0 is the best; "nll": mean negative log-likelihood of the truth under a Gaussian, in nats;
      "levels", "coverage", "width" (people): of intervals; "calibration_error": mean distance of coverage and level.
      None where a figure does not exist, as the first four without any spread.
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
    """The mean of `error` over what is left when the items largest in `by` are taken away, as a share of the mean of all."""
    ascending = error[np.argsort(by, kind="stable")]
    left = [max(1, round(share * len(error))) for share in _KEPT]
    return [float(ascending[:number].mean() / error.mean()) for number in left]


def of_predictions(predictions: Sequence[Any], bounds: Bounds | None = None) -> dict[str, dict[str, Any]]:
    """{"images": ..., "blocks": ...}, each as `measure` gives it; without labelled images nothing.

    Args:
      predictions: `inference.Prediction`s; those without labels are left out.
      bounds: of the labelled images' counts, where they are calibrated; else those of the members' disagreement.
    """
    known = [p for p in predictions if not math.isnan(p.true)]
    if not known:
        return {}
    counts_nxS = np.stack([p.counts for p in known])
    blocks = [_blocks(p) for p in known]
    true_blocks = np.concatenate([true for true, _ in blocks])
    blocks_nxS = np.concatenate([samples for _, samples in blocks])
    true = np.array([p.true for p in known])
    return {
        "images": _of_samples(true, counts_nxS, _FLOOR["images"], bounds),
        "blocks": _of_samples(true_blocks, blocks_nxS, _FLOOR["blocks"], None),
    }


def _of_samples(true: np.ndarray, samples_nxS: np.ndarray, floor: float, bounds: Bounds | None) -> dict:
    size = samples_nxS.shape[1]
    mean = samples_nxS.mean(1)
    std = samples_nxS.std(1, ddof=1) if size > 1 else np.zeros(len(mean))

    def student(level: float) -> tuple[np.ndarray, np.ndarray]:  # as inference.interval
        half = std * stats.t.ppf(0.5 + level / 2, size - 1) * math.sqrt(1 + 1 / size) if size > 1 else std
        return np.maximum(0.0, mean - half), mean + half

    return measure(true, mean, std, bounds or student, floor)


def _blocks(p: Any) -> tuple[np.ndarray, np.ndarray]:
    """(people counted [n], samples [n, S]) of the blocks of an image; those at its right and bottom may be smaller."""
    summed = _block_sums(p.samples)
    size, *grid = summed.shape
    true = np.zeros(grid)
    at = (np.asarray(p.points) // (8 * BLOCK)).astype(int)
    np.add.at(true, (at[:, 1], at[:, 0]), 1)
    return true.ravel(), summed.reshape(size, -1).T


def _block_sums(samples_SxHxW: np.ndarray) -> np.ndarray:
    """People of each block, float64 [S, ceil(h / BLOCK), ceil(w / BLOCK)]."""
    size, height, width = samples_SxHxW.shape
    padded = np.pad(samples_SxHxW, ((0, 0), (0, -height % BLOCK), (0, -width % BLOCK)))
    rows, columns = (side // BLOCK for side in padded.shape[1:])
    return padded.reshape(size, rows, BLOCK, columns, BLOCK).sum((2, 4), dtype=np.float64)


def untrusted(
    samples_SxHxW: Float[np.ndarray, "S h w"], limit: float = UNTRUSTED
) -> tuple[Bool[np.ndarray, "h w"], float]:
    """(cells, share of the count): where the members disagree too much for the density to be relied on.

    Those of the blocks whose standard deviation over the members is more than `limit` times their count; a count below one
    person is taken for one, so that empty ground is not told apart by its noise. One sample is never untrusted.
    """
    size, height, width = samples_SxHxW.shape
    if size < 2:
        return np.zeros((height, width), bool), 0.0
    summed_SxRxC = _block_sums(samples_SxHxW)
    count = summed_SxRxC.mean(0)
    bad_RxC = summed_SxRxC.std(0, ddof=1) > limit * np.maximum(count, 1.0)
    cells = np.kron(bad_RxC, np.ones((BLOCK, BLOCK), bool))[:height, :width]
    total = count.sum()
    return cells, float(count[bad_RxC].sum() / total) if total > 0 else 0.0


def describe(found: dict[str, dict[str, Any]]) -> str:
    """Two lines for a person; one where there is no spread."""
    lines = []
    for name, what in (("images", "images"), ("blocks", f"blocks of {CELL * BLOCK} pixels")):
        one = found[name]
        if one["spearman"] is None:
            continue
        held = "  ".join(
            f"{level:.0%}: {share:.0%}" for level, share in zip(one["levels"], one["coverage"], strict=True)
        )
        lines.append(
            f"uncertainty over {one['n']} {what}: Spearman {one['spearman']:.2f}  AUSE {one['ause']:.2f}  "
            f"NLL {one['nll']:.2f}  coverage {held}"
        )
    return "\n".join(lines) or "uncertainty: the members do not disagree"
