"""Measure what a few counted images give: how well intervals cover other images, and errors at their level, over many draws.

usage: python -m cc_jax.tools.coverage --counted=predictions.csv --test=predictions.csv [--images=30] [--draws=20]

`cc_jax.evaluate` writes both files: one for a labelled split that the counted images are drawn from, one for the images that
the intervals should cover.
"""

import math
import pathlib
from collections.abc import Iterator

import numpy as np
from absl import flags

from cc_jax import app
from cc_jax.errors import ConfigError, InputError
from cc_jax.evaluation import conformal
from cc_jax.workdir import results

_COUNTED = flags.DEFINE_string(
    "counted", None, "predictions.csv of the images that the counted ones are drawn from."
)
_TEST = flags.DEFINE_string("test", None, "predictions.csv of the images that the intervals should cover.")
_IMAGES = flags.DEFINE_integer("images", 30, "Number of counted images in a draw.")
_DRAWS = flags.DEFINE_integer("draws", 20, "Number of draws. Their seeds are 0, 1, ...", lower_bound=1)
_LEVELS = flags.DEFINE_multi_float("level", [0.5, 0.8, 0.9, 0.95], "Level of the intervals. May be repeated.")
_SET_LEVEL = app.define_set_level()


def main(args: list[str]) -> None:
    """Print the error of the counts, and a row for each level."""
    del args
    counted, test = (_read(pathlib.Path(app.required(flag))) for flag in (_COUNTED, _TEST))
    if not 0 < _IMAGES.value <= len(counted[0]):
        raise ConfigError(f"--images={_IMAGES.value}: {_COUNTED.value} has {len(counted[0])} labelled images")
    print(
        f"{len(test[0])} images, {_DRAWS.value} draws of {_IMAGES.value} out of {len(counted[0])} counted ones"
    )
    calibrations = list(_calibrations(counted))
    if _SET_LEVEL.value:
        print(_error_text(calibrations, test))
    print("level  coverage: mean  least  most  sd   mean width (people)  scales chosen")
    for level in _LEVELS.value:
        print(_row(level, calibrations, test))


def _calibrations(counted: np.ndarray) -> Iterator[conformal.Calibration]:
    """Yield the calibration of each draw."""
    for seed in range(_DRAWS.value):
        drawn = np.random.default_rng(seed).choice(counted.shape[1], _IMAGES.value, replace=False)
        yield conformal.calibrate(*counted[:, drawn], set_level=_SET_LEVEL.value, seed=seed)


def _error_text(calibrations: list[conformal.Calibration], test: np.ndarray) -> str:
    """Return the MAE without and with the factor of each draw."""
    true, count, _ = test
    factors = np.array([calibration.factor for calibration in calibrations])
    errors = np.abs(factors[:, None] * count - true).mean(1)
    return (
        f"MAE {np.abs(count - true).mean():.1f} as counted; at the level of the counted images {errors.mean():.1f} "
        f"({errors.min():.1f} to {errors.max():.1f}), factors {factors.min():.2f} to {factors.max():.2f}"
    )


def _row(level: float, calibrations: list[conformal.Calibration], test: np.ndarray) -> str:
    """Return the coverage of the intervals of a level, over all draws. `test` is that of `_read`."""
    covered, widths, scales = [], [], []
    for calibration in calibrations:
        low, high = calibration.interval(test[1], test[2], level)
        covered.append(float(((low <= test[0]) & (test[0] <= high)).mean()))
        widths.append(float((high - low).mean()))
        scales.append(calibration.scale)
    chosen = ", ".join(f"{name} {scales.count(name)}" for name in conformal.SCALES if name in scales)
    width = f"{np.mean(widths):.0f}" if math.isfinite(np.mean(widths)) else "unbounded: too few images"
    return (
        f"{level:5.0%}  {np.mean(covered):14.1%}  {min(covered):5.0%}  {max(covered):4.0%}  {np.std(covered):3.0%}  "
        f"{width:>19}  {chosen}"
    )


def _read(path: pathlib.Path) -> np.ndarray:
    """Return true count, count and standard deviation of the labelled images, [3, N].

    Raises:
      InputError: The file cannot be read or has no labelled image.
    """
    rows = [row for row in results.read_predictions(path) if row.true is not None]
    if not rows:
        raise InputError(f"{path}: has no labelled image")
    return np.array([(row.true, row.count, row.std) for row in rows]).T


if __name__ == "__main__":
    app.run(main)
