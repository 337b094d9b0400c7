"""No Adapt, Supervised and OURS: stages that add up, pseudo labels, orientation, and what the moving average teaches."""

import dataclasses

import cv2
import jax
import jax.numpy as jnp
import mutations
import numpy as np
import optax
import pytest
import small_methods

from cc_jax.errors import ConfigError
from cc_jax.inference.predict import Prediction
from cc_jax.methods import no_adapt, ours, supervised
from cc_jax.methods.base import StageTools, TrainSet
from cc_jax.optimization import train_state as states

NEITHER = np.zeros(0), np.zeros((0, 2))  # embedding, heads
FIELDS = {"steps": 8, "label_scale": 100.0, "teacher": "rounds", "rule": "absolute", "foreground": 0.1}


def samples_of(mean, spread):
    """Samples [2, h, w] with the given mean and (population) standard deviation."""
    mean, spread = np.asarray(mean, np.float32), np.asarray(spread, np.float32)
    return np.stack([mean - spread, mean + spread])


# A crowd on the left, empty ground on the right. In both, the upper row is more certain.
MEAN = [[1.0, 1.0, 0.01, 0.01], [1.0, 1.0, 0.01, 0.01]]
SPREAD = [[0.2, 0.2, 0.001, 0.001], [0.3, 0.3, 0.009, 0.009]]


def test_turn_of_two_classes_is_upside_down_and_of_four_a_quarter_each():
    image = np.arange(4 * 3 * 3 * 2).reshape(4, 3, 3, 2)
    two = np.asarray(ours.turn(jnp.asarray(image), jnp.array([0, 1, 1, 0]), 2))
    for i, flipped in enumerate((False, True, True, False)):
        np.testing.assert_array_equal(two[i], cv2.flip(image[i], 0) if flipped else image[i])
    four = np.asarray(ours.turn(jnp.asarray(image), jnp.array([3, 0, 1, 2]), 4))
    for i, code in enumerate((cv2.ROTATE_90_CLOCKWISE, None, cv2.ROTATE_90_COUNTERCLOCKWISE, cv2.ROTATE_180)):
        np.testing.assert_array_equal(four[i], image[i] if code is None else cv2.rotate(image[i], code))


@pytest.mark.parametrize("method, own", [(no_adapt, "source"), (supervised, "target")])
def test_no_adapt_and_supervised_learn_the_labels_of_one_domain(method, own):
    method = method.Method(steps=8, label_scale=100.0)
    sets = {name: TrainSet([{"labelled": True, "name": name}]) for name in ("source", "target")}
    (stage,) = method.stages()
    shown = stage.data(None, sets, None)
    assert stage.draws == (own,) and shown[own].examples[0]["name"] == own
    state = small_methods.state_of(method, rate=1e-3)
    batch = {own: small_methods.BATCH[own]}
    _, metrics = stage.update(state, batch, small_methods.KEY, small_methods.draw)
    estimate = 0.01 * batch[own]["image"][:, ::8, ::8, :1].astype(np.float32)
    expected = float(np.mean((estimate - batch[own]["density"] * 100 / 64) ** 2))
    assert float(metrics["loss"]) == pytest.approx(expected, rel=1e-4)


def test_rounds_share_one_compiled_step():
    stage1, *rounds = ours.Method(**FIELDS).stages()
    assert len(rounds) > 1 and len({stage.program for stage in rounds}) == 1
    assert stage1.program != rounds[0].program


@pytest.mark.parametrize(
    "wrong",
    [{"rule": "certain"}, {"teacher": "none"}, {"fraction": 0.0}, {"round_share": 1.0}, {"rounds": -1}],
)
def test_wrong_fields_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ours.Method(**{**FIELDS, **wrong})


def test_convergence_ends_the_rounds():
    method = ours.Method(**{**FIELDS, "tolerance": 0.01})
    sets = {"target": TrainSet([{}])}
    guesses = [Prediction("a", 0, samples_of(MEAN, SPREAD), float("nan"), *NEITHER)]
    first = method.relabel(
        None, sets, StageTools(lambda state, records: guesses, small_methods.unused, small_methods.unused)
    )
    assert first["target"].pseudo["a"][1].sum() == 4
    assert (
        method.relabel(
            None,
            first,
            StageTools(lambda state, records: guesses, small_methods.unused, small_methods.unused),
        )
        is None
    )
    other = [Prediction("a", 0, samples_of(MEAN, SPREAD) * 1.1, float("nan"), *NEITHER)]
    assert (
        method.relabel(
            None, first, StageTools(lambda state, records: other, small_methods.unused, small_methods.unused)
        )
        is not None
    )


def test_the_moving_average_labels_clean_crops_and_the_network_learns_on_changed_ones():
    """A network that multiplies grey by its one parameter: 2 for the student, 3 for its moving average."""
    method = ours.Method(**{**FIELDS, "teacher": "ema", "rule": "none"})
    stage = method.stages()[-1]
    assert (stage.name, stage.steps) == ("teacher", 4)
    assert stage.clean == ("target",)

    def draw(variables, image, roi, rng, train):
        cells = image[:, ::8, ::8, :1].astype(jnp.float32)
        samples = 1 if train else 3
        return {"density": variables["params"]["a"] * jnp.stack([cells] * samples)}

    state = states.create(
        {"counter": {"a": jnp.float32(2)}}, {"counter": {}}, {"counter": optax.sgd(0.0)}, 0.5
    )
    state = state.replace(ema={"a": jnp.float32(3)})
    crop = {**small_methods.crops(size=16), "weight": jnp.zeros((2, 2, 2, 1))}
    _, metrics = stage.update(state, {"source": crop, "target": crop}, jax.random.key(0), draw)
    student, teacher = (
        factor * crop[name][:, ::8, ::8, :1].astype(float) for factor, name in ((2, "image"), (3, "clean"))
    )
    assert float(metrics["pseudo_loss"]) == pytest.approx(float(np.mean((student - teacher) ** 2)), rel=1e-5)
    assert float(metrics["density_loss"]) == 0  # the source's weight is 0
    twice = dataclasses.replace(method, pseudo_weight=2.0).teacher_update
    again = twice(state, {"source": crop, "target": crop}, jax.random.key(0), draw)[1]
    assert float(again["loss"]) == pytest.approx(2 * float(metrics["pseudo_loss"]), rel=1e-5)


def test_the_moving_averages_labels_are_chosen_by_how_certain_they_are():
    """The samples differ only in the left half, so the right half is kept."""
    method = ours.Method(**{**FIELDS, "teacher": "ema", "rule": "absolute"})

    def draw(variables, image, roi, rng, train):
        cells = image[:, ::8, ::8, :1].astype(jnp.float32)
        spread = (
            jnp.array([1.0, 0.0]).reshape(1, 1, 2, 1)
            * jnp.linspace(-1, 1, 1 if train else 3)[:, None, None, None, None]
        )
        return {"density": variables["params"]["a"] * (cells + spread * (not train))}

    state = small_methods.state_of(method, {"a": jnp.float32(2)}).replace(ema={"a": jnp.float32(3)})
    crop = {**small_methods.crops(size=16), "weight": jnp.zeros((2, 2, 2, 1))}
    _, metrics = method.teacher_update(state, {"source": crop, "target": crop}, jax.random.key(0), draw)
    student, teacher = (
        factor * crop[name][:, ::8, 8::8, :1].astype(float) for factor, name in ((2, "image"), (3, "clean"))
    )
    assert float(metrics["pseudo_loss"]) == pytest.approx(float(np.mean((student - teacher) ** 2)), rel=1e-5)


def test_stage_1_learns_which_way_up_the_target_is():
    """A network of one parameter that compares the upper half with the lower half. The weight of the source is 0."""
    method = ours.Method(**{**FIELDS, "upside_down_weight": 0.5})

    def draw(variables, image, roi, rng, train):
        rows = image.astype(jnp.float32).mean((2, 3)) / 255
        height = rows.shape[1]
        score = variables["params"]["a"] * (rows[:, height // 2 :].mean(1) - rows[:, : height // 2].mean(1))
        return {
            "density": jnp.zeros((1, len(image), 2, 2, 1)),
            "upside_down": jnp.stack([0 * score, score], 1)[None],
        }

    image = np.zeros((8, 16, 16, 3), np.uint8)
    image[:, :8] = 255  # bright above: where it is bright below, the image is upside down
    crop = {
        "image": jnp.asarray(image),
        "roi": jnp.ones((8, 16, 16, 1)),
        "density": jnp.zeros((8, 2, 2, 1)),
        "weight": jnp.zeros((8, 2, 2, 1)),
    }
    state = states.create(
        {"counter": {"a": jnp.float32(0)}}, {"counter": {}}, {"counter": optax.sgd(4.0)}, 0.5
    )
    losses = []
    for step in range(5):
        state, metrics = method.stage1_update(
            state, {"source": crop, "target": crop}, jax.random.key(step), draw
        )
        losses.append(float(metrics["loss"]))
    assert losses[0] == pytest.approx(0.5 * np.log(2), rel=1e-5) and losses == sorted(losses, reverse=True)
    assert float(metrics["upside_down_accuracy"]) == 1 and float(state.params["counter"]["a"]) > 2


def test_without_its_weight_stage_1_sees_no_target():
    method = ours.Method(**{**FIELDS, "upside_down_weight": 0.0})
    assert method.stages()[0].update == method.source_update


@pytest.mark.parametrize(
    "mutation", mutations.MUTATIONS, ids=lambda mutation: f"{mutation.method}, {mutation.term}"
)
def test_what_a_mutation_replaces_still_stands_in_the_method(mutation):
    """`python tests/mutations.py` shows which test notices each mutation, which takes too long for this suite."""
    assert mutations.source(mutation).read_text().count(mutation.old) == 1
