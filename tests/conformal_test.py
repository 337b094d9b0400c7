"""Conformal intervals: coverage on exchangeable data and on other data, and a comparison with the package crepes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cc_jax.errors import ConfigError, InputError
from cc_jax.evaluation import conformal


def counted(rng, number, bias=1.0):
    """(true, count, std) of images whose errors grow with the crowd, as their standard deviations do."""
    true = np.exp(rng.uniform(2, 7, number))
    std = true * np.exp(rng.normal(-2, 0.5, number))
    return true, np.maximum(0, bias * true + std * rng.standard_t(3, number)), std


def coverage(calibration, true, count, std, level):
    low, high = calibration.interval(count, std, level)
    return ((low <= true) & (true <= high)).mean()


@pytest.mark.parametrize("number", [10, 30, 60])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_exchangeable_images_are_covered_as_often_as_promised(number, level):
    """The mean coverage over 400 calibration sets. Its standard error follows from the coverage's beta distribution."""
    rng, found = np.random.default_rng(0), []
    for seed in range(400):
        calibration = conformal.calibrate(*counted(rng, number), seed=seed)
        found.append(coverage(calibration, *counted(rng, 200), level))
        n = len(calibration.scores)
    promised = math.ceil(round((n + 1) * level, 9)) / (n + 1)
    error = math.sqrt(promised * (1 - promised) * (1 / (n + 2) + 1 / 200) / 400)
    assert abs(np.mean(found) - promised) < 4 * error
    assert promised >= level


def test_a_biased_counter_is_covered_all_the_same_with_wider_intervals():
    rng = np.random.default_rng(0)
    fair, biased = (conformal.calibrate(*counted(np.random.default_rng(1), 300, bias)) for bias in (1.0, 0.5))
    assert coverage(biased, *counted(rng, 5000, 0.5), 0.9) == pytest.approx(0.9, abs=0.03)
    widths = [
        np.subtract(*c.interval(np.full(1, 100.0), np.full(1, 14.0), 0.9)[::-1])[0] for c in (fair, biased)
    ]
    assert widths[1] > 1.3 * widths[0]


def test_images_of_another_kind_are_not_covered():
    """The counter misses more than half of the people in the new images, but not in the counted ones."""
    rng = np.random.default_rng(0)
    calibration = conformal.calibrate(*counted(rng, 300))
    assert coverage(calibration, *counted(rng, 5000, 0.4), 0.9) < 0.5


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.sampled_from([0.5, 0.8, 0.9, 0.95]), st.integers(0, 10**6))
def test_as_crepes(number, level, seed):
    crepes = pytest.importorskip("crepes", reason="the package crepes is not installed")
    rng = np.random.default_rng(seed)
    true, count, std = counted(rng, number)
    new_true, new_count, new_std = counted(rng, 20)
    scale = conformal.SCALES["spread"]
    ours = conformal.Calibration("spread", np.sort(np.abs(true - count) / scale(count, std)))
    low, high = ours.interval(new_count, new_std, level)
    theirs = crepes.ConformalRegressor().fit(residuals=true - count, sigmas=scale(count, std))
    if number < conformal.fewest(level):
        assert np.isinf(high).all() and not low.any()
        return
    # A little below the level, because crepes does not round a rank such as 2.9999999999999996.
    expected = theirs.predict_int(
        y_hat=new_count, sigmas=scale(new_count, new_std), confidence=level - 1e-9, y_min=0
    )
    np.testing.assert_allclose(low, expected[:, 0], rtol=1e-9)
    np.testing.assert_allclose(high, expected[:, 1], rtol=1e-9)


def test_the_narrower_scale_is_chosen():
    rng = np.random.default_rng(0)
    count = rng.uniform(10, 1000, 90)
    std = rng.permutation(count)  # independent of the error
    by_count = conformal.calibrate(count + 0.2 * count * rng.normal(size=90), count, std)
    by_spread = conformal.calibrate(count + std * rng.normal(size=90), count, std)
    neither = conformal.calibrate(count + 30 * rng.normal(size=90), count, std)
    assert [c.scale for c in (by_count, by_spread, neither)] == ["count", "spread", "constant"]
    assert len(by_count.scores) == 60  # without those that the scale was chosen on
    few = conformal.calibrate(count[:23] + std[:23], count[:23], std[:23])
    assert few.scale == "count" and len(few.scores) == 23
    assert conformal.calibrate(count + 30, count, np.zeros(90)).scale == "constant"


def test_ranks():
    scores = np.arange(1.0, 10.0)
    assert conformal.quantile(scores, 0.9) == 9 and conformal.quantile(scores[:8], 0.9) == math.inf
    assert conformal.quantile(np.arange(1.0, 30.0), 0.9) == 27  # 30 x 0.9
    assert conformal.quantile(scores[::-1], 0.5) == 5
    assert [conformal.fewest(level) for level in (0.5, 0.8, 0.9, 0.95)] == [1, 4, 9, 19]


def test_what_cannot_be_calibrated_on():
    nothing = np.zeros(0)
    with pytest.raises(InputError, match="no counted image"):
        conformal.calibrate(nothing, nothing, nothing)
    with pytest.raises(InputError, match="not a finite"):
        conformal.calibrate(np.array([1.0, np.nan]), np.ones(2), np.ones(2))
    with pytest.raises(ConfigError, match="between 0 and 1"):
        conformal.quantile(np.ones(3), 90)
