"""Count errors compared with values computed by hand and with brute force."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cc_jax.evaluation import count_metrics
from cc_jax.training.step import Means


def test_known_values():
    found = count_metrics.count_errors(np.array([10.0, 20.0, 60.0]), np.array([13.0, 16.0, 60.0]))
    assert found["mae"] == pytest.approx(7 / 3)
    assert found["rmse"] == pytest.approx((25 / 3) ** 0.5)
    assert found["bias"] == pytest.approx(-1 / 3)
    assert found["mae_constant"] == pytest.approx(50 / 3)
    assert found["pearson"] == pytest.approx(np.corrcoef([10, 20, 60], [13, 16, 60])[0, 1])


def test_scaled_counts_have_no_scaled_error():
    true = np.array([10.0, 20.0, 60.0])
    found = count_metrics.count_errors(true, true * 0.25)
    assert found["mae_scaled"] == pytest.approx(0.0, abs=1e-9)
    assert found["mae"] > 20


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 500), st.floats(0.1, 500)), min_size=1, max_size=12))
def test_best_scale_beats_a_grid(pairs):
    true, count = (np.array(x) for x in zip(*pairs, strict=True))
    best = np.abs(count_metrics.best_scale(true, count) * count - true).sum()
    grid = np.linspace(0, 1.2 * (true / count).max() + 0.1, 400)
    assert best <= np.abs(grid[:, None] * count - true).sum(1).min() + 1e-6 * (1 + true.sum())


def test_no_spread_no_pearson():
    assert np.isnan(count_metrics.count_errors(np.array([3.0, 3.0]), np.array([1.0, 2.0]))["pearson"])
    assert np.isnan(count_metrics.count_errors(np.array([3.0]), np.array([1.0]))["pearson"])


def test_intervals():
    found = count_metrics.interval_errors(np.array([5.0, 9.0]), np.array([5.0, 0.0]), np.array([6.0, 8.0]))
    assert found == {"interval_coverage": 0.5, "interval_width": 4.5}


def test_means_merge():
    merged = Means.of({"loss": jnp.float32(2)}).merge(Means.of({"loss": jnp.float32(5)}))
    assert merged.compute() == {"loss": 3.5}
