"""The moving average of the parameters: its formula, and that it counts and labels, not the parameters themselves."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from frames_of import Records, record_of

from cc_jax import Counter, build
from cc_jax.data.examples import Examples
from cc_jax.distributed import mesh
from cc_jax.evaluation.evaluate import TrainedCounter, count_examples, counter_variables
from cc_jax.inference.predict import make_sampler
from cc_jax.optimization import train_state as states
from cc_jax.training.datasets import Datasets
from cc_jax.training.run import Run
from cc_jax.workdir.checkpoints import Checkpoints
from cc_jax.workdir.config import write_config
from cc_jax.workdir.layout import Layout
from configs import default

IMAGE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.98])
def test_its_formula(decay):
    """Plain descent along known gradients, beside a loop over Python's numbers."""
    state = states.create(
        {"counter": {"a": jnp.float32(2.0)}}, {"counter": {}}, {"counter": optax.sgd(0.5)}, decay
    )
    parameter = average = 2.0
    for step, gradient in enumerate(np.random.default_rng(0).normal(size=60).astype(np.float32)):
        state = state.descend("counter", {"a": jnp.float32(gradient)})
        state = state.replace(step=state.step + 1)
        parameter -= 0.5 * float(gradient)
        weight = min(decay, (1 + step) / (10 + step))
        average = weight * average + (1 - weight) * parameter
        assert float(state.params["counter"]["a"]) == pytest.approx(parameter, rel=1e-5, abs=1e-5)
        assert float(state.ema["a"]) == pytest.approx(average, rel=1e-5, abs=1e-5)


def test_other_networks_do_not_move_it():
    params = {"counter": {"a": jnp.float32(2.0)}, "critic": {"a": jnp.float32(1.0)}}
    txs = dict.fromkeys(params, optax.sgd(0.5))
    state = states.create(params, dict.fromkeys(params, {}), txs, 0.9).descend(
        "critic", {"a": jnp.float32(1)}
    )
    assert float(state.ema["a"]) == 2.0 and float(state.params["critic"]["a"]) == 0.5


@pytest.fixture(scope="module")
def setting():
    """(config, counting network, a state whose average is far from its parameters, what each of them counts)."""
    config = default.get_config()
    config.model.tiny.update({"spatial_kernel_size": 0})
    config.uncertainty.name = "single"
    network = build.counting_network(config)
    state = build.fresh_state(config, network, mesh.make_mesh())
    state = state.replace(ema=jax.tree.map(lambda x: 1.5 * x, state.params["counter"]))
    image, roi = IMAGE[None], np.ones((1, 64, 64, 1), np.uint8)
    draw = jax.jit(lambda v: network.draw(v, image, roi, jax.random.key(0), train=False)["density"].sum())
    of_average, of_parameters = (
        float(draw(state.variables(params))) * 64 / 100 for params in (state.ema, state.params["counter"])
    )
    assert of_average > 0 and of_average != pytest.approx(of_parameters, rel=0.1)
    return config, network, state, of_average


def test_it_counts_when_a_run_is_evaluated(setting):
    config, network, state, expected = setting
    sampler = make_sampler(network, config.evaluation.memory_gib)
    examples = Examples(Records([record_of(IMAGE, [(8, 8)])]))
    counter = TrainedCounter(sampler, counter_variables(state), "stage1", 5)
    ((row,), _) = count_examples(config, counter, examples)
    assert row.count == pytest.approx(expected, rel=1e-4)


def test_it_counts_when_a_counter_is_loaded(setting, tmp_path):
    config, _, state, expected = setting
    write_config(tmp_path, config)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(5, state.checkpoint_items(), stage="stage1", counted=5)
    checkpoints.close()
    assert Counter.load(tmp_path).count(IMAGE).count == pytest.approx(expected, rel=1e-4)


def test_it_labels_the_images_of_a_round(setting, tmp_path):
    config, network, state, expected = setting
    sampler = make_sampler(network, config.evaluation.memory_gib)
    unused = mock.Mock(Datasets), mock.Mock(Checkpoints), state
    run = Run(config, Layout(tmp_path), network, build.method(config), mesh.make_mesh(), *unused, sampler, [])
    (prediction,) = run.stage_tools().predict(state, Examples(Records([record_of(IMAGE, [])])))
    assert prediction.counts[0] == pytest.approx(expected, rel=1e-4)
