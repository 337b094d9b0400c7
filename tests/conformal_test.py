"""Conformal intervals: coverage on exchangeable data and on other data, and a comparison with the package crepes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cc_jax.errors import ConfigError, InputError
from cc_jax.evaluation import camera_level, conformal


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
@pytest.mark.parametrize("set_level", [False, True])
def test_exchangeable_images_are_covered_as_often_as_promised(number, level, set_level):
    """The mean coverage over 400 calibration sets. Its standard error follows from the coverage's beta distribution."""
    rng, found = np.random.default_rng(0), []
    for seed in range(400):
        calibration = conformal.calibrate(*counted(rng, number, 1.4), set_level=set_level, seed=seed)
        found.append(coverage(calibration, *counted(rng, 200, 1.4), level))
        n = len(calibration.scores)
    promised = math.ceil(round((n + 1) * level, 9)) / (n + 1)
    error = math.sqrt(promised * (1 - promised) * (1 / (n + 2) + 1 / 200) / 400)
    # With a level, an interval also holds what lies between two parts of the set.
    assert -4 * error < np.mean(found) - promised < 4 * error + (0.015 if set_level else 0)
    assert promised >= level


def test_a_biased_counter_is_covered_all_the_same_with_wider_intervals():
    rng = np.random.default_rng(0)
    fair, biased = (
        conformal.calibrate(*counted(np.random.default_rng(1), 300, bias), set_level=False)
        for bias in (1.0, 0.5)
    )
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


@pytest.mark.parametrize("number, level", [(11, 0.9), (10, 0.8), (40, 0.9), (57, 0.95)])
def test_as_mapie(number, level):
    regression = pytest.importorskip("mapie.regression", reason="the package mapie is not installed")
    base = pytest.importorskip("sklearn.base")

    class Given(base.RegressorMixin, base.BaseEstimator):
        """Predicts its input."""

        def fit(self, X, y):
            self.is_fitted_ = True
            return self

        def predict(self, X):
            return np.asarray(X)[:, 0]

    rng = np.random.default_rng(number)
    true, count, _ = counted(rng, number)
    new = counted(rng, 20)[1]
    ours = conformal.Calibration("constant", np.sort(np.abs(true - count)))
    low, high = ours.interval(new, 0 * new, level)
    given = Given().fit(count[:, None], true)
    theirs = regression.SplitConformalRegressor(given, confidence_level=level, prefit=True)
    _, expected = theirs.conformalize(count[:, None], true).predict_interval(new[:, None])
    np.testing.assert_allclose(low, np.maximum(0, expected[:, 0, 0]))
    np.testing.assert_allclose(high, expected[:, 1, 0])


@pytest.mark.parametrize("number", [10, 15, 20])
def test_images_counted_twice_are_worth_one(number):
    """Exactly: of 2 n scores in pairs, the k-th is the ceil(k / 2)-th of n, which k' / (n + 1) of new scores lie below."""
    rank = math.ceil(round((2 * number + 1) * 0.9, 9))
    promised = math.ceil(rank / 2) / (number + 1)
    rng, found = np.random.default_rng(0), []
    for _ in range(600):
        twice = [np.repeat(column, 2) for column in counted(rng, number)]
        calibration = conformal.Calibration("constant", np.sort(np.abs(twice[0] - twice[1])))
        found.append(coverage(calibration, *counted(rng, 100), 0.9))
    error = math.sqrt(promised * (1 - promised) * (1 / (number + 2) + 1 / 100) / 600)
    assert abs(np.mean(found) - promised) < 4 * error


def test_the_narrower_scale_is_chosen():
    rng = np.random.default_rng(0)
    count = rng.uniform(10, 1000, 90)
    std = rng.permutation(count)  # independent of the error
    by_count = conformal.calibrate(count + 0.2 * count * rng.normal(size=90), count, std, set_level=False)
    by_spread = conformal.calibrate(count + std * rng.normal(size=90), count, std, set_level=False)
    neither = conformal.calibrate(count + 30 * rng.normal(size=90), count, std, set_level=False)
    assert [c.scale for c in (by_count, by_spread, neither)] == ["count", "spread", "constant"]
    assert len(by_count.scores) == 60  # without those that the scale was chosen on
    few = conformal.calibrate(count[:23] + std[:23], count[:23], std[:23], set_level=False)
    assert few.scale == "count" and len(few.scores) == 23
    assert conformal.calibrate(count + 30, count, np.zeros(90), set_level=False).scale == "constant"


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


# With the level of the counted images


def test_the_counts_of_a_biased_counter_get_the_level_of_the_counted_images():
    """Neither their error nor the width of their intervals is much above that of a counter at the right level."""
    rng = np.random.default_rng(0)
    true = np.exp(rng.uniform(2, 7, 2020))
    count, std = 0.5 * true * np.exp(rng.normal(0, 0.15, 2020)), np.zeros(2020)
    found = conformal.calibrate(true[:20], count[:20], std[:20])
    assert 1.7 < found.factor < 2.2
    assert np.abs(found.factor * count - true).mean() < 0.6 * np.abs(count - true).mean()
    left = found.without_factor()
    width, before = (np.subtract(*one.interval(count, std, 0.9)[::-1]).mean() for one in (found, left))
    assert width < 0.7 * before


def test_an_interval_holds_the_numbers_whose_score_is_among_the_smaller_ones():
    """Each number of people tried by itself, with the factor of all eleven images."""
    rng, level = np.random.default_rng(3), 0.8
    true, count, std = counted(rng, 10, 0.7)
    found = conformal.calibrate(true, count, std)
    for new_count, new_std in ((0.0, 0.0), (7.0, 3.0), (80.0, 9.0), (900.0, 90.0)):
        inside = []
        for people in np.linspace(0, 4 * new_count + 60, 3000):
            factor = camera_level.factor(
                camera_level.log_ratios(np.append(true, people), np.append(count, new_count))
            )
            errors = np.abs(np.append(true, people) - factor * np.append(count, new_count))
            scores = errors / (factor * np.append(count, new_count) + 1)
            if (scores[:-1] < scores[-1]).sum() < 9:  # ceil(11 * 0.8)
                inside.append(people)
        low, high = found.interval(np.array(new_count), np.array(new_std), level)
        assert low.shape == () and low <= inside[0] and high >= inside[-1]
        slack = 0.02 * (new_count + 1) + 0.05
        assert low > inside[0] - slack and high < inside[-1] + slack


def test_without_the_factor_it_is_the_calibration_of_the_counts_as_they_are():
    numbers = counted(np.random.default_rng(0), 20, 0.5)
    plain, found = (
        conformal.calibrate(*numbers, set_level=False),
        conformal.calibrate(*numbers).without_factor(),
    )
    assert plain.scale == found.scale and plain.factor == found.factor == 1.0 and found.counted is None
    np.testing.assert_array_equal(plain.scores, found.scores)
    assert found.without_factor() is found


def test_too_few_images_for_a_level_give_no_upper_end():
    found = conformal.calibrate(*counted(np.random.default_rng(0), 8, 0.5))
    low, high = found.interval(np.array([0.0, 50.0]), np.ones(2), 0.9)
    assert np.isinf(high).all() and not low.any()


def test_five_counts_cost_a_counter_at_the_right_level_little():
    """At most 3 % of the error, where single images are wrong by 30 %; a factor of 0.7 is partly mended."""
    rng, worse, better = np.random.default_rng(0), [], []
    for _ in range(1000):
        true = np.exp(rng.uniform(3, 7, 205))
        count = true * np.exp(rng.normal(0, 0.3, 205))
        for scale, found in ((1.0, worse), (0.7, better)):
            factor = camera_level.factor(camera_level.log_ratios(true[:5], scale * count[:5]))
            before, after = (np.abs(f * scale * count[5:] - true[5:]).mean() for f in (1.0, factor))
            found.append(after / before)
    assert np.mean(worse) < 1.03 and np.mean(better) < 0.92


def test_factors():
    ratios = np.log([2.0, 2.0, 2.0])
    one, three, many = (float(camera_level.factor(ratios[:1].repeat(n))) for n in (1, 3, 1000))
    assert 1 < one < three < many == pytest.approx(2.0, rel=1e-2)
    assert camera_level.factor(np.zeros(0)) == 1.0
    # p = 0.25, q = 0.7; five images without scatter, and three with 0.3: a variance of 3 / 8 * 0.09 each.
    doubt, middle = math.pi / 2 * 3 / 8 * 0.09 / 5, math.log(2)
    off, right = (stats.norm.pdf(middle, 0, math.sqrt(v)) for v in (0.25**2 + doubt, doubt))
    believed = 0.3 * off / (0.3 * off + 0.7 * right)
    expected = math.exp(believed * 0.25**2 / (0.25**2 + doubt) * middle)
    assert camera_level.factor(ratios[:1].repeat(5)) == pytest.approx(expected)
    mixed = np.array([0.1, 0.3, 0.2, 5.0, -0.1])
    assert camera_level.factor(mixed) == camera_level.factor(mixed[::-1])
    assert camera_level.factor(np.stack([mixed, -mixed])) == pytest.approx(
        [camera_level.factor(mixed), 1 / camera_level.factor(mixed)]
    )
    assert float(camera_level.factor(mixed)) < 1.3  # an outlier does not decide
    assert camera_level.log_ratios(np.array([0.0, 9.0]), np.array([0.0, 4.0])) == pytest.approx(
        [0, math.log(2)]
    )
