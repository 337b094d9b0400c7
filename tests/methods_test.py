"""Which pseudo labels are kept, the upside-down flip, and stages that add up."""

import jax.numpy as jnp
import numpy as np
import pytest

from cc_jax.errors import ConfigError
from cc_jax.inference import Prediction
from cc_jax.methods import no_adapt, ours, supervised
from cc_jax.methods.base import TrainSet

NEITHER = np.zeros(0), np.zeros((0, 2))  # embedding, heads
FIELDS = {
    "rounds": 2,
    "round_share": 0.5,
    "upside_down_weight": 0.1,
    "pseudo_weight": 1.0,
    "rule": "absolute",
    "fraction": 0.5,
    "foreground": 0.1,
    "tolerance": 0.0,
}


def samples_of(mean, spread):
    """Samples [2, h, w] with the given mean and (population) standard deviation."""
    mean, spread = np.asarray(mean, np.float32), np.asarray(spread, np.float32)
    return np.stack([mean - spread, mean + spread])


# A crowd at the left, empty ground at the right; within each the upper row is the more certain one.
MEAN = [[1.0, 1.0, 0.01, 0.01], [1.0, 1.0, 0.01, 0.01]]
SPREAD = [[0.2, 0.2, 0.001, 0.001], [0.3, 0.3, 0.009, 0.009]]


def kept(rule, fraction=0.5):
    labels = ours.select([("a", samples_of(MEAN, SPREAD))], rule=rule, fraction=fraction, foreground=0.1)
    density, weight = labels["a"]
    np.testing.assert_allclose(density, MEAN, rtol=1e-6)
    return weight.tolist()


def test_absolute_keeps_the_background():
    assert kept("absolute") == [[0, 0, 1, 1], [0, 0, 1, 1]]


def test_balanced_keeps_both():
    assert kept("balanced") == [[1, 1, 1, 1], [0, 0, 0, 0]]


def test_stratified_compares_cells_of_like_density_over_all_images():
    # Two images with the same densities, one of them twice as uncertain: all that is kept comes from the steadier one,
    # at every density in the same share, where `balanced` keeps half of each image.
    mean = np.exp(np.linspace(np.log(0.02), np.log(2.0), 64)).reshape(8, 8)
    steady, shaky = samples_of(mean, 0.1 * mean), samples_of(mean, 0.2 * mean)
    densities = np.concatenate([mean.ravel(), mean.ravel()])
    labels = ours.select(
        [("steady", steady), ("shaky", shaky)], rule="stratified", fraction=0.5, foreground=0.01
    )
    weights = np.concatenate([labels[name][1].ravel() for name in ("steady", "shaky")])
    assert labels["steady"][1].sum() > 6 * labels["shaky"][1].sum()
    assert np.isclose(weights @ densities, 0.5 * densities.sum(), rtol=0.15)
    absolute = ours.select(
        [("steady", steady), ("shaky", shaky)], rule="absolute", fraction=0.5, foreground=0.01
    )
    weights = np.concatenate([absolute[name][1].ravel() for name in ("steady", "shaky")])
    assert weights @ densities < 0.15 * densities.sum()


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
    labels = ours.select([("unsure", unsure), ("sure", sure)], rule="image", fraction=0.5, foreground=0.1)
    assert list(labels) == ["sure"]
    assert labels["sure"][1].min() == 1


@pytest.mark.parametrize("rule", ["absolute", "relative"])
def test_the_kept_share_is_exact_even_with_ties(rule):
    flat = np.zeros((3, 5, 7), np.float32)
    labels = ours.select([("a", flat)], rule=rule, fraction=0.3, foreground=0.1)
    assert labels["a"][1].sum() == round(0.3 * 35)


def test_moved():
    ones = {"a": (np.ones((2, 2), np.float32), None)}
    more = {"a": (np.full((2, 2), 1.5, np.float32), None)}
    assert ours.moved(ones, ones) == 0
    assert ours.moved(ones, more) == pytest.approx(0.5)
    assert ours.moved(ones, {**ones, "b": ones["a"]}) == pytest.approx(1.0)


def test_soft_weights_fall_with_the_variance_among_cells_of_like_density():
    mean = np.array([[1.0, 1.0, 1.0, 0.001, 0.001, 0.001]])
    spread = np.array([[0.1, 0.2, 0.6, 0.001, 0.0001, 0.003]])
    (weight,) = (
        w
        for _, w in ours.select(
            [("a", samples_of(mean, spread))], rule="soft", fraction=0.5, foreground=0.01
        ).values()
    )
    np.testing.assert_allclose(weight, [[0.8, 0.5, 0.1, 0.5, 1 / 1.01, 0.1]], rtol=1e-3)
    (same,) = (
        w
        for _, w in ours.select(
            [("a", samples_of(mean, 0 * spread))], rule="soft", fraction=0.5, foreground=0.01
        ).values()
    )
    assert (same == 1).all()


def test_one_sample_has_no_spread_and_all_of_it_is_kept():
    for rule in ours.RULES:
        labels = ours.select([("a", samples_of(MEAN, SPREAD)[:1])], rule=rule, fraction=0.5, foreground=0.1)
        assert (labels["a"][1] == 1).all()


def test_flip_rows_turns_the_flagged_images_upside_down():
    image = np.arange(2 * 3 * 2 * 1).reshape(2, 3, 2, 1)
    flipped = np.asarray(ours.flip_rows(jnp.asarray(image), jnp.array([False, True])))
    np.testing.assert_array_equal(flipped[0], image[0])
    np.testing.assert_array_equal(flipped[1], image[1][::-1])


@pytest.mark.parametrize("steps", [8, 101, 400])
@pytest.mark.parametrize("method", [no_adapt, supervised, ours])
def test_every_method_takes_the_same_steps(method, steps):
    fields = FIELDS if method is ours else {}
    stages = method.Method(steps=steps, label_scale=100.0, **fields).stages()
    assert sum(stage.steps for stage in stages) == steps
    assert len({stage.name for stage in stages}) == len(stages)


def test_rounds_share_one_compiled_update():
    stages = ours.Method(steps=8, label_scale=100.0, **FIELDS).stages()
    assert stages[1].update == stages[2].update and hash(stages[1].update) == hash(stages[2].update)


@pytest.mark.parametrize(
    "wrong", [{"rule": "certain"}, {"fraction": 0.0}, {"round_share": 1.0}, {"rounds": -1}]
)
def test_wrong_fields_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ours.Method(steps=8, label_scale=100.0, **{**FIELDS, **wrong})


def test_convergence_ends_the_rounds():
    method = ours.Method(steps=8, label_scale=100.0, **{**FIELDS, "tolerance": 0.01})
    sets = {"target": TrainSet([{}], 1)}
    guesses = [Prediction("a", 0, samples_of(MEAN, SPREAD), float("nan"), *NEITHER)]
    first = method.relabel(None, sets, lambda state, records: guesses)
    assert first["target"].pseudo["a"][1].sum() == 4
    assert method.relabel(None, first, lambda state, records: guesses) is None
    other = [Prediction("a", 0, samples_of(MEAN, SPREAD) * 1.1, float("nan"), *NEITHER)]
    assert method.relabel(None, first, lambda state, records: other) is not None
