"""Density maps, compared with SciPy on whole images."""

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from cc_jax.data import images
from cc_jax.data.density import Density, resize_density
from cc_jax.errors import ConfigError


def density_map(points, height, width, *, stride=8, **options):
    return Density(**options).map(np.asarray(points), height, width, stride=stride)


def slow_map(points, height, width, sigmas, *, radius=None, truncate=4.0):
    """An independent implementation at full size: SciPy filters each head alone, and the border's cut is restored."""
    total = np.zeros((height, width))
    for (x, y), sigma in zip(points, sigmas, strict=True):
        alone = np.zeros((height, width))
        alone[min(max(int(np.floor(y)), 0), height - 1), min(max(int(np.floor(x)), 0), width - 1)] = 1
        kernel = gaussian_filter(alone, sigma, mode="constant", radius=radius, truncate=truncate)
        total += kernel / kernel.sum()
    return total


def pooled(full, stride):
    """Sum over cells, by padding with zeros."""
    height, width = (-(-n // stride) * stride for n in full.shape)
    padded = np.zeros((height, width))
    padded[: full.shape[0], : full.shape[1]] = full
    return padded.reshape(height // stride, stride, width // stride, stride).sum((1, 3))


def slow_sigmas(points):
    """Return 0.3 x mean distance to the three nearest heads, from all pairs."""
    points = np.asarray(points, float)
    distances = np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1))
    nearest = np.sort(distances, axis=1)[:, 1:4]
    return np.clip(0.3 * nearest.mean(1), 1.0, 16.0)


heads = st.lists(st.tuples(st.floats(-5, 75, width=32), st.floats(-5, 55, width=32)), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(heads, st.integers(9, 50), st.integers(9, 70), st.sampled_from([1, 4, 8]))
def test_fixed_kernel_equals_scipy(points, height, width, stride):
    ours = density_map(np.array(points), height, width, stride=stride)
    expected = pooled(slow_map(points, height, width, [4.0] * len(points), radius=7), stride)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    assert ours.sum(dtype=np.float64) == pytest.approx(len(points), abs=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 69), st.floats(0, 49)), min_size=4, max_size=12), st.sampled_from([1, 8])
)
def test_adaptive_kernel_equals_scipy(points, stride):
    ours = density_map(np.array(points), 50, 70, stride=stride, kernel="adaptive")
    expected = pooled(slow_map(points, 50, 70, slow_sigmas(points)), stride)
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    assert ours.sum(dtype=np.float64) == pytest.approx(len(points), abs=1e-4)


def test_kernel_is_15x15_around_the_head():
    full = density_map(np.array([[30.7, 20.2]]), 48, 64, stride=1)
    rows, columns = np.nonzero(full)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (13, 27, 23, 37)
    assert np.unravel_index(full.argmax(), full.shape) == (20, 30)  # row y, column x
    assert full[20, 30] / full[20, 34] == pytest.approx(np.exp(0.5), rel=1e-5)  # sigma 4


def test_the_border_keeps_the_whole_head():
    for x, y in [(0, 0), (63.9, 47.9), (64, 48), (-3, 20), (700, -1)]:
        assert density_map(np.array([[x, y]]), 48, 64).sum() == pytest.approx(1, abs=1e-6)
    corner = density_map(np.array([[0.0, 0.0]]), 48, 64, stride=1)
    assert corner[8:, :].sum() == corner[:, 8:].sum() == 0  # nothing wraps around


def test_no_heads_and_odd_sizes():
    assert density_map(np.zeros((0, 2)), 17, 9).shape == (3, 2)
    assert not density_map(np.zeros((0, 2), np.float32), 17, 9).any()
    assert density_map([], 8, 8, kernel="adaptive").shape == (1, 1)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 50])
def test_adaptive_with_few_or_coincident_heads(number):
    spread = np.random.default_rng(number).uniform(0, 60, (number, 2))
    for points in (spread, np.full((number, 2), 20.0)):
        sigmas = Density(kernel="adaptive").sigmas(points)
        assert sigmas.shape == (number,) and (sigmas >= 1).all() and (sigmas <= 16).all()
        assert density_map(points, 64, 64, kernel="adaptive").sum() == pytest.approx(number, abs=1e-4)
    lone, coincident = Density(kernel="adaptive").sigmas(np.ones((1, 2))), Density(kernel="adaptive").sigmas
    assert lone == 16 and (coincident(np.ones((5, 2))) == 1).all()
    assert coincident(np.array([[0.0, 0], [10, 0], [0, 20]]))[0] == pytest.approx(0.3 * 15)


def test_given_sigmas_win():
    points = np.array([[20.0, 20.0], [40.0, 20.0]])
    drawn = Density(kernel="adaptive").map(points, 48, 64, stride=1, sigmas=np.array([2.0, 5.0]))
    np.testing.assert_allclose(drawn, slow_map(points, 48, 64, [2.0, 5.0]), atol=1e-6)


def test_wrong_points_are_refused():
    for points in (np.array([[1.0, np.nan]]), np.ones((3, 3)), np.ones(4)):
        with pytest.raises(ValueError, match="head points"):
            density_map(points, 16, 16)


@pytest.mark.parametrize(
    "fields", [{"kernel": "gauss"}, {"size": 14}, {"sigma": 0.0}, {"sigma_min": 5.0, "sigma_max": 4.0}]
)
def test_wrong_fields_are_refused(fields):
    with pytest.raises(ConfigError, match="config.density"):
        Density(**fields)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 5))
def test_resized_density_keeps_its_sum(height, width, seed):
    density = np.random.default_rng(seed).gamma(0.2, 1, (12, 17)).astype(np.float32)
    resized = resize_density(density, height, width)
    assert resized.shape == (height, width)
    assert resized.sum(dtype=np.float64) == pytest.approx(density.sum(dtype=np.float64), rel=1e-5)
    assert not resize_density(np.zeros((4, 4), np.float32), height, width).any()


@pytest.mark.parametrize("kernel", ["fixed", "adaptive"])
def test_real_heads_sum_to_the_count(real_data, kernel):
    folder = real_data / "shanghaitech" / "part_A" / "test_data"
    for number in (1, 2, 3, 50, 100):
        truth = scipy.io.loadmat(folder / "ground-truth" / f"GT_IMG_{number}.mat")
        points = truth["image_info"][0, 0][0, 0][0]
        size = images.read_size(folder / "images" / f"IMG_{number}.jpg")
        full = density_map(points, *size, stride=1, kernel=kernel)
        cells = density_map(points, *size, stride=8, kernel=kernel)
        assert full.sum(dtype=np.float64) == pytest.approx(len(points), abs=1e-4)
        assert cells.sum(dtype=np.float64) == pytest.approx(len(points), abs=1e-4)
        np.testing.assert_allclose(cells, pooled(full, 8), atol=1e-5)
