"""Weights of the cells of pseudo labels, computed on the host over images and on the device over a batch."""

import functools

import jax
import numpy as np
import pytest

from cc_jax.methods.parts import selection


def samples_of(mean, spread):
    """Samples [2, h, w] with the given mean and (population) standard deviation."""
    mean, spread = np.asarray(mean, np.float32), np.asarray(spread, np.float32)
    return np.stack([mean - spread, mean + spread])


# A crowd on the left, empty ground on the right. In both, the upper row is more certain.
MEAN = [[1.0, 1.0, 0.01, 0.01], [1.0, 1.0, 0.01, 0.01]]
SPREAD = [[0.2, 0.2, 0.001, 0.001], [0.3, 0.3, 0.009, 0.009]]


def choose(samples, rule, fraction=0.5, foreground=0.01):
    """The weights of each image. Those of the batch must be the same."""
    weights = selection.of_images(samples, rule=rule, fraction=fraction, foreground=foreground)
    chosen = functools.partial(selection.of_batch, rule=rule, fraction=fraction, foreground=foreground)
    np.testing.assert_allclose(jax.jit(chosen)(np.stack(samples, axis=1)), np.stack(weights), atol=1e-6)
    return weights


def kept(rule, fraction=0.5):
    return choose([samples_of(MEAN, SPREAD)], rule, fraction, 0.1)[0].tolist()


def test_absolute_keeps_the_background():
    assert kept("absolute") == [[0, 0, 1, 1], [0, 0, 1, 1]]


def test_balanced_keeps_both():
    assert kept("balanced") == [[1, 1, 1, 1], [0, 0, 0, 0]]


def test_stratified_compares_cells_of_like_density_over_all_images():
    # Two images with the same densities, one of them twice as uncertain. The kept cells come from the more certain image,
    # in the same share at every density. `balanced` would keep half of each image.
    mean = np.exp(np.linspace(np.log(0.02), np.log(2.0), 64)).reshape(8, 8)
    steady, shaky = samples_of(mean, 0.1 * mean), samples_of(mean, 0.2 * mean)
    densities = np.concatenate([mean.ravel(), mean.ravel()])
    first, second = choose([steady, shaky], "stratified")
    assert first.sum() > 6 * second.sum()
    assert np.isclose(np.concatenate([first, second]).ravel() @ densities, 0.5 * densities.sum(), rtol=0.15)
    background = np.concatenate(choose([steady, shaky], "absolute")).ravel()
    assert background @ densities < 0.15 * densities.sum()


def test_stratified_keeps_the_steadiest_background():
    assert kept("stratified") == [[1, 1, 1, 1], [0, 0, 0, 0]]


def test_relative_divides_by_the_mean():
    # Relative spreads: 0.2 and 0.3 in the crowd, 0.1 and 0.9 on the ground.
    assert kept("relative", 0.25) == [[0, 0, 1, 1], [0, 0, 0, 0]]
    assert kept("relative", 0.75) == [[1, 1, 1, 1], [1, 1, 0, 0]]


def test_none_keeps_all():
    assert kept("none", 0.1) == [[1] * 4] * 2


def test_image_keeps_the_steadiest_counts():
    sure, unsure = samples_of(MEAN, np.zeros((2, 4))), samples_of(MEAN, SPREAD)
    first, second = choose([unsure, sure], "image")
    assert first.max() == 0 and second.min() == 1


@pytest.mark.parametrize("rule", ["absolute", "relative"])
def test_the_kept_share_is_exact_even_with_ties(rule):
    flat = np.zeros((3, 5, 7), np.float32)
    assert choose([flat], rule, 0.3)[0].sum() == round(0.3 * 35)


def test_soft_weights_fall_with_the_variance_among_cells_of_like_density():
    mean = np.array([[1.0, 1.0, 1.0, 0.001, 0.001, 0.001]])
    spread = np.array([[0.1, 0.2, 0.6, 0.001, 0.0001, 0.003]])
    (weight,) = choose([samples_of(mean, spread)], "soft")
    np.testing.assert_allclose(weight, [[0.8, 0.5, 0.1, 0.5, 1 / 1.01, 0.1]], rtol=1e-3)
    assert (choose([samples_of(mean, 0 * spread)], "soft")[0] == 1).all()


def test_one_sample_has_no_spread_and_all_of_it_is_kept():
    for rule in selection.RULES:
        assert (choose([samples_of(MEAN, SPREAD)[:1]], rule)[0] == 1).all()


@pytest.mark.parametrize("rule", selection.RULES)
def test_host_and_device_choose_alike(rule):
    """`choose` compares the two. With gamma densities most cells are nearly empty and some crowded, as in images."""
    rng = np.random.default_rng(0)
    choose(list(rng.gamma(0.3, 0.3, (8, 3, 24, 24)).astype(np.float32)), rule, 0.37)


def test_relative_change_is_the_share_of_the_old_labels_that_moved():
    ones = {"a": (np.ones((2, 2), np.float32), None)}
    more = {"a": (np.full((2, 2), 1.5, np.float32), None)}
    assert selection.relative_change(ones, ones) == 0
    assert selection.relative_change(ones, more) == pytest.approx(0.5)
    assert selection.relative_change(ones, {**ones, "b": ones["a"]}) == pytest.approx(1.0)


def test_no_image():
    assert selection.of_images([], rule="stratified", fraction=0.5, foreground=0.01) == []
