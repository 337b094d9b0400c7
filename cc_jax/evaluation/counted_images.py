"""What a counter's errors would be if a few images of the place had been counted by hand first.

The counts of a few images set the level of all others (`camera_level`). Which images are counted is chance, so the errors
are those of many draws, from the training split of the set that is tested on.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from cc_jax.data.examples import EvenlySpaced, Examples, base_splits
from cc_jax.evaluation import camera_level

NUMBERS = (0, 1, 2, 3, 5, 10, 20, 30)  # of counted images
TEN = "10"  # the entry of `errors_by_number` that tables show
_DRAWS = 200


def open_counted(config, tested: Examples) -> Examples | None:
    """Return labelled images of the training split of the set that `tested` is of, or None if there are none.

    They are `config.evaluation.counted_images` of the split, evenly spaced. It is the config's own split for the target, and
    "train" for other sets. Images that are tested as well may be among them; see `not_tested`.
    """
    if not config.evaluation.counted_images:
        return None
    from cc_jax.data import sources  # here, because counting alone is installed without TFDS

    own = tested.name == config.target.dataset
    split = config.target.split if own else "train"
    if not base_splits(split) <= {*sources.splits(tested.name, tested.data_dir)}:
        return None
    records = sources.open_source(tested.name, split, tested.data_dir)
    chosen = EvenlySpaced(records, config.evaluation.counted_images)
    return Examples(chosen, tested.resize_rule) if chosen[0]["labelled"] else None


def not_tested(
    counted: Examples, tested: Examples, ids: Sequence[str], tested_ids: Sequence[str]
) -> np.ndarray:
    """Return which counted images are not among the tested ones, bool [n]; names are only compared within one split."""
    same = base_splits(counted.split) & base_splits(tested.split)
    return np.array([not same or name not in set(tested_ids) for name in ids], bool)


def errors_by_number(
    true: Float[np.ndarray, " N"],
    count: Float[np.ndarray, " N"],
    counted_true: Float[np.ndarray, " n"],
    counted: Float[np.ndarray, " n"],
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Return {number of counted images: MAE over the tested images, in people, at the level that these set}.

    Args:
      true, count: of the N tested images.
      counted_true, counted: true counts and counts of the n images to draw from. Numbers larger than n are left out.
      seed: of the draws.

    Each entry has the `mean`, the `std` (n - 1), and the 10 % and 90 % quantiles `low` and `high` over the draws.
    """
    rng = np.random.default_rng(seed)
    ratios = camera_level.log_ratios(counted_true, counted)
    found = {}
    for number in NUMBERS:
        if number > len(ratios):
            break
        draws = np.stack([rng.choice(ratios, number, replace=False) for _ in range(_DRAWS)])
        factors, inverse = np.unique(camera_level.factor(draws), return_inverse=True)
        mae = np.abs(factors[:, None] * count - true).mean(1)[inverse]
        low, high = np.quantile(mae, (0.1, 0.9))
        found[str(number)] = dict(
            zip(
                ("mean", "std", "low", "high"),
                map(float, (mae.mean(), mae.std(ddof=1), low, high)),
                strict=True,
            )
        )
    return found
