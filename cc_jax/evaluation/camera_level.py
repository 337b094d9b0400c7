"""The level of a counter's counts at a camera: one factor, from a few images whose people were counted by hand.

Much of a counter's error at a new place is of one kind: it counts all crowds too high, or all too low. The median m of the
logarithms of true / count says by how much, as far as n images can say it: their scatter s leaves a variance of
d = pi / 2 * s^2 / n, that of the median of normal values. Before any image is counted, the level is taken to be right with
probability q = `_RIGHT`, and otherwise off by a factor whose logarithm has the standard deviation p = `_PRIOR`. The
logarithm of the factor is the mean of what is then believed (a spike and slab prior, Mitchell and Beauchamp, JASA 1988):

    log(factor) = P * p^2 / (p^2 + d) * m,    P / (1 - P) = (1 - q) * N(m; 0, p^2 + d) / (q * N(m; 0, d))

So a counter that is right already is left nearly as it is, where five images could easily make it worse. p and q were chosen
on simulated counts whose logarithms scatter by 0.3: with five images, the error of a counter at the right level grows by
2.6 %, and that of one that finds 0.7 of the people shrinks by 13 %.
"""

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import special

# Float [...]: an array, or NumPy's scalar for an array without an axis.
Values = Any

_PRIOR, _RIGHT = 0.25, 0.7
# A few logarithms can lie close together by chance. So many others with this standard deviation are added to their scatter.
_SCATTER, _IMAGES = 0.3, 3


def log_ratios(true: Values, count: Values) -> Values:
    """Return the logarithms of true / count; one person is added to each side, so that images without people have one."""
    return np.log((true + 1) / (count + 1))


def factor(ratios: Float[np.ndarray, "*batch n"]) -> Values:
    """Return the factor on all counts that n counted images ask for, float64 [*batch]; 1 without any.

    Args:
      ratios: their `log_ratios`; their order does not matter.
    """
    n = ratios.shape[-1]
    if n == 0:
        return np.ones(ratios.shape[:-1])
    middle = np.median(ratios, -1)
    scatter = 1.4826 * np.median(
        np.abs(ratios - middle[..., None]), -1
    )  # of normal values, the standard deviation
    doubt = np.pi / 2 * (n * scatter**2 + _IMAGES * _SCATTER**2) / (n + _IMAGES) / n
    both = _PRIOR**2 + doubt
    log_odds = middle**2 / 2 * (1 / doubt - 1 / both) + np.log(doubt / both) / 2 + np.log(1 / _RIGHT - 1)
    return np.exp(special.expit(log_odds) * _PRIOR**2 / both * middle)
