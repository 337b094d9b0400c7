"""Uncertainty metrics: known values, best and worst cases, and blocks compared with a loop over the heads."""

import numpy as np
import pytest
from scipy import stats

from cc_jax.evaluation import conformal, uncertainty_metrics
from cc_jax.evaluation.intervals import estimate_counts
from cc_jax.inference.predict import Prediction


def normal(mean, std):
    """Return the bounds of Gaussian intervals."""
    return lambda level: (
        mean - std * stats.norm.ppf(0.5 + level / 2),
        mean + std * stats.norm.ppf(0.5 + level / 2),
    )


def measured(true, mean, std, floor=1e-6):
    return uncertainty_metrics.measure(true, mean, std, normal(mean, std), floor)


def test_a_true_gaussian_is_calibrated_and_a_confident_one_is_not():
    rng = np.random.default_rng(0)
    mean, std = rng.uniform(10, 100, 20_000), rng.uniform(1, 9, 20_000)
    true = mean + std * rng.normal(size=20_000)
    honest, bold = measured(true, mean, std), measured(true, mean, std / 3)
    np.testing.assert_allclose(honest["coverage"], uncertainty_metrics.LEVELS, atol=0.01)
    assert honest["calibration_error"] < 0.01 < 0.3 < bold["calibration_error"]
    assert bold["spearman"] == pytest.approx(honest["spearman"]) and honest["spearman"] > 0.3
    expected = np.log(std).mean() + 0.5 * np.log(2 * np.pi) + 0.5
    assert honest["nll"] == pytest.approx(expected, abs=0.02) and bold["nll"] > expected + 1
    assert honest["width"] == pytest.approx(
        [2 * stats.norm.ppf(0.5 + level / 2) * std.mean() for level in uncertainty_metrics.LEVELS]
    )


def test_sparsification_has_its_ends():
    rng = np.random.default_rng(0)
    error = rng.gamma(1, 10, 4000)
    zero = np.zeros(4000)
    best, chance, worst = (
        measured(error, zero, spread)["ause"]
        for spread in (error, rng.permutation(error), error.max() + 1 - error)
    )
    assert best == 0 < 0.4 < chance < worst
    curve = uncertainty_metrics.sparsification(np.array([4.0, 1.0, 3.0, 2.0]), np.array([4.0, 1.0, 3.0, 2.0]))
    assert curve[0] == 1 and curve[10] == pytest.approx(1.5 / 2.5) and curve[-1] == pytest.approx(1 / 2.5)


def test_without_a_spread_or_an_error_nothing_is_made_up():
    flat = measured(np.array([1.0, 2.0]), np.array([1.5, 1.5]), np.zeros(2))
    assert flat["spearman"] is flat["ause"] is flat["nll"] is flat["sparsification"] is None
    assert flat["coverage"] == [0, 0, 0, 0] and flat["oracle"][0] == 1
    right = measured(np.ones(3), np.ones(3), np.array([1.0, 2.0, 3.0]))
    assert right["spearman"] is right["ause"] is None and right["coverage"] == [1, 1, 1, 1]
    unbounded = uncertainty_metrics.measure(
        np.ones(2), np.ones(2), np.ones(2), lambda level: (np.zeros(2), np.full(2, np.inf)), 1
    )
    assert unbounded["width"] == [None] * 4


def predictions(rng, sizes, labelled=True):
    found = []
    for i, (height, width) in enumerate(sizes):
        points = (rng.uniform(0, 1, (5 + i, 2)) * [8 * width, 8 * height]).astype(np.float32)
        samples = rng.gamma(1, 0.2, (3, height, width)).astype(np.float32)
        true = float(len(points)) if labelled else float("nan")
        found.append(Prediction(f"{i}", i, samples, true, np.zeros(2), points))
    return found


def test_blocks_are_counted_where_the_heads_are():
    rng = np.random.default_rng(0)
    (one,) = predictions(rng, [(19, 26)])
    true, samples = uncertainty_metrics._blocks(one)
    assert true.shape == (3 * 4,) and samples.shape == (12, 3)
    expected = np.zeros((3, 4))
    for x, y in one.points:
        expected[int(y / 64), int(x / 64)] += 1
    np.testing.assert_array_equal(true, expected.ravel())
    np.testing.assert_allclose(samples.sum(0), one.counts, rtol=1e-6)
    np.testing.assert_allclose(samples[5], one.samples[:, 8:16, 8:16].sum((1, 2)), rtol=1e-6)


def test_images_have_the_intervals_that_are_shown():
    rng = np.random.default_rng(1)
    some = predictions(rng, [(10, 12)] * 9) + predictions(rng, [(4, 4)], labelled=False)
    found = uncertainty_metrics.of_predictions(some)
    assert found["images"]["n"] == 9 and found["blocks"]["n"] == 9 * 4
    ends = [estimate_counts(p.counts, 0.9)[2:] for p in some[:9]]
    covered = np.mean([low <= p.true <= high for p, (low, high) in zip(some[:9], ends, strict=True)])
    assert found["images"]["coverage"][2] == pytest.approx(covered)
    assert found["images"]["width"][2] == pytest.approx(np.mean([high - low for low, high in ends]))
    text = uncertainty_metrics.describe(found)
    assert "9 images" in text and "36 blocks of 64 pixels" in text
    assert uncertainty_metrics.of_predictions(some[9:]) == {}


def test_calibrated_bounds_take_the_place_of_the_members():
    rng = np.random.default_rng(1)
    some = predictions(rng, [(10, 12)] * 9)
    wide = conformal.Calibration("constant", np.full(30, 1000.0))
    found = uncertainty_metrics.of_predictions(some, lambda embeddings: wide)
    assert found["images"]["coverage"] == [1, 1, 1, 1] and found["blocks"]["coverage"] != [1, 1, 1, 1]


def test_where_members_disagree_is_not_trusted():
    """A block that one sample counts double, a block where all agree, noise on empty ground, a cut block at the border."""
    samples = np.zeros((3, 20, 18), np.float32)
    samples[:, :8, :8] = 10 / 64
    samples[2, :8, :8] *= 2
    samples[:, :8, 8:16] = 5 / 64
    samples[0, 8:16, :8] = 0.2 / 64
    samples[:, 16:, 16:] = np.float32([0, 4, 8])[:, None, None] / 8
    cells, share = uncertainty_metrics.untrusted(samples)
    expected = np.zeros((20, 18), bool)
    expected[:8, :8] = expected[16:, 16:] = True
    np.testing.assert_array_equal(cells, expected)
    counts = samples.mean(0)
    assert share == pytest.approx(counts[expected].sum() / counts.sum())
    assert not uncertainty_metrics.untrusted(samples, limit=5.0)[0].any()
    assert (
        not uncertainty_metrics.untrusted(samples[:1])[0].any()
        and uncertainty_metrics.untrusted(0 * samples)[1] == 0
    )
