"""Weights of the cells of pseudo labels: rules that select by the spread of the samples.

The same arithmetic serves labels made on the host, over all images of a round (NumPy), and labels made on the device, over
the crops of a batch (jax.numpy).
"""

from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

RULES = ("absolute", "relative", "balanced", "stratified", "soft", "image", "none")


def of_images(
    samples: list[np.ndarray], *, rule: str, fraction: float, foreground: float
) -> list[Float[np.ndarray, "h w"]]:
    """Return weights from 0 to 1 for the cells of each image.

    The spread is the standard deviation over the samples. The rules:
      absolute: keeps, in each image, the `fraction` of the cells with the smallest spread. Nearly all of them are empty
        background.
      relative: the same with spread / mean.
      balanced: keeps the `fraction` with the smallest spread among the cells above `foreground`, and the same among the
        others.
      stratified: keeps the `fraction` with the smallest spread among cells of similar density, over all images together.
        The strata are the background and half octaves above `foreground`. The spread grows with the density: without
        strata, sparse cells are kept and dense ones dropped, and counts fall from round to round. Our rule, not the paper's.
      soft: keeps all cells, with weights that fall with the variance relative to that of the stratum:
        1 / (1 + (spread / median spread of the stratum)^2).
      image: keeps the `fraction` of the images whose count has the smallest relative spread.
      none: keeps everything. So do all rules if there is only one sample, which has no spread.

    Args:
      samples: people per cell [S, h, w] of each image.
      rule: one of `RULES`.
      fraction: share that is kept, in (0, 1].
      foreground: people in a cell above which it is not background.
    """
    if not samples:
        return []
    counts_SxI = np.stack([s.sum((1, 2)) for s in samples], axis=1)
    cells_SxN = np.concatenate([s.reshape(len(s), -1) for s in samples], axis=1)
    image_N = np.repeat(np.arange(len(samples)), [s[0].size for s in samples])
    weight_N = _weights(cells_SxN, image_N, counts_SxI, rule, fraction, foreground, np)
    ends = np.cumsum([s[0].size for s in samples])[:-1]
    return [part.reshape(s.shape[1:]) for part, s in zip(np.split(weight_N, ends), samples, strict=True)]


def of_batch(
    samples: Float[Array, "s b h w"], *, rule: str, fraction: float, foreground: float
) -> Float[Array, "b h w"]:
    """Return the weights of `of_images` for the crops of a batch. Can be traced by JAX."""
    number, batch, height, width = samples.shape
    image_N = jnp.repeat(jnp.arange(batch), height * width)
    counts_SxB = samples.sum((2, 3))
    weight_N = _weights(samples.reshape(number, -1), image_N, counts_SxB, rule, fraction, foreground, jnp)
    return weight_N.reshape(batch, height, width)


def _weights(
    samples_SxN: Any,
    image_N: Any,
    counts_SxI: Any,
    rule: str,
    fraction: float,
    foreground: float,
    xp: ModuleType,
) -> Any:
    mean, spread = samples_SxN.mean(0), samples_SxN.std(0)
    if rule == "none" or len(samples_SxN) == 1:
        return xp.ones(mean.shape, np.float32)
    if rule == "image":
        relative = _relative(counts_SxI.std(0), counts_SxI.mean(0), xp)
        kept = _smallest(relative, xp.zeros(relative.shape, np.int32), fraction, xp)
        return kept[image_N].astype(np.float32)
    # 0 is the background.
    half_octaves = xp.ceil(2 * xp.log2(xp.maximum(mean / foreground, 1))).astype(np.int32)
    if rule == "soft":
        return _inverse_variance(spread, half_octaves, xp)
    key, group = {
        "absolute": (spread, image_N),
        "relative": (_relative(spread, mean, xp), image_N),
        "balanced": (spread, 2 * image_N + (mean > foreground)),
        "stratified": (spread, half_octaves),
    }[rule]
    return _smallest(key, group, fraction, xp).astype(np.float32)


def _relative(spread, mean, xp: ModuleType):
    """Spread over mean. The lower bound on the mean, far less than a person has in a cell, keeps empty cells finite."""
    return spread / xp.maximum(mean, 1e-4)


def _smallest(key_N, group_N, fraction: float, xp: ModuleType):
    """True for the round(fraction x n) smallest keys of each group of n. Ties go by position, so the share is exact."""
    order, start, end = _sorted(key_N, group_N, xp)
    kept = xp.arange(len(key_N)) - start < xp.round(fraction * (end - start))
    return kept[xp.argsort(order)]


def _inverse_variance(spread_N, group_N, xp: ModuleType):
    """1 / (1 + (spread / median of the group)^2): 1/2 at the median, at most 1."""
    order, start, end = _sorted(spread_N, group_N, xp)
    ordered = spread_N[order]
    median = (ordered[(start + end - 1) // 2] + ordered[(start + end) // 2]) / 2
    weight = 1 / (1 + (ordered / xp.maximum(median, 1e-9)) ** 2)
    return weight[xp.argsort(order)].astype(np.float32)


def _sorted(key_N, group_N, xp: ModuleType):
    """(order, start, end): the order by group and then key, and for each place in it the bounds of its group."""
    order = xp.lexsort((key_N, group_N))
    groups = group_N[order]
    return order, *(xp.searchsorted(groups, groups, side=side) for side in ("left", "right"))


def relative_change(old: dict, new: dict) -> float:
    """Return the difference between the labels of two rounds: sum of absolute differences over the sum of the old ones.

    An image that only one of the rounds kept contributes its whole label.

    Args:
      old, new: {id: (people per cell, weight)}.
    """
    difference = total = 0.0
    for i in {*old, *new}:
        a, b = (labels[i][0] if i in labels else np.float32(0) for labels in (old, new))
        difference += float(np.abs(a - b).sum())
        total += float(np.sum(a))
    return difference / max(total, 1e-9)
