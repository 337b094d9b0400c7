"""Twenty steps of `tiny` on fixed arrays: what training computes does not change unnoticed."""

import pytest
from small_methods import BATCH

from cc_jax import build
from cc_jax.distributed import mesh
from cc_jax.training.batches import Batches
from cc_jax.training.step import StepCompiler
from configs import default

# {step: loss} of the first stage of OURS. They depend on the model, the initialization, the random numbers, the losses, the
# optimizer and its schedule. The batch is the same in every step, so that small changes add up: a learning rate that is
# 1 % off is noticed, another order of summation is not.
LOSSES = {1: 0.1273878, 5: 0.09765505, 10: 0.06477835, 15: 0.05127014, 20: 0.0314131}


def test_twenty_steps_of_tiny():
    config = default.get_config()
    config.steps, config.augment.crop = 40, 64
    config.source.batch_size = config.target.batch_size = 2
    config.method.ours.teacher = "rounds"
    network, method, device_mesh = build.counting_network(config), build.method(config), mesh.make_mesh()
    batches = Batches(config, device_mesh)
    abstract, stage = build.abstract_state(config, network, device_mesh, method), method.stages()[0]
    assert stage.steps == 20
    step = StepCompiler(network, abstract, batches).begin(stage)
    state = build.fresh_state(config, network, device_mesh, method).replace(txs=abstract.txs)
    batch = {
        name: {field: BATCH[name][field] for field in fields}
        for name, fields in batches.abstract(stage).items()
    }
    losses = {}
    for i in range(1, 21):
        state, means = step.result().run(state, mesh.put_batch(device_mesh, batch))
        losses[i] = means.compute()["loss"]
    assert {i: losses[i] for i in LOSSES} == pytest.approx(LOSSES, rel=1e-3)
