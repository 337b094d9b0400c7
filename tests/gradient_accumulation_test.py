"""Gradient accumulation: a batch in parts takes the step of the whole batch, for any networks of a method."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_methods import KEY, crops, draw, method_of, quick_jit, small_fields, state_of

from cc_jax import registry
from cc_jax.distributed import mesh
from cc_jax.errors import ConfigError
from cc_jax.methods import no_adapt
from cc_jax.optimization import gradient_accumulation

BATCH = {"source": crops(0, number=6), "target": crops(1, number=6)}


def step(update, state, number):
    return quick_jit(lambda s: gradient_accumulation.in_parts(update, number)(s, BATCH, KEY, draw))(state)


def test_parts_take_the_step_of_the_whole():
    method = no_adapt.Method(steps=8, label_scale=100.0)
    (stage,) = method.stages()
    whole, metrics = step(stage.update, state_of(method, rate=1e-3), 1)
    for number in (2, 3, 6):
        parts, of_parts = step(stage.update, state_of(method, rate=1e-3), number)
        for a, b in ((whole.params, parts.params), (whole.ema, parts.ema), (metrics, of_parts)):
            jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), a, b)
    assert float(whole.params["counter"]["a"]) != pytest.approx(0.01, rel=1e-3)


def test_every_part_is_seen_once():
    """The mean over the parts is the mean over all crops, and a part holds every third crop."""

    def update(state, batch, rng, draw):
        return state, {"loss": batch["x"].mean(), "first": batch["x"][0]}

    state = state_of(no_adapt.Method(steps=8, label_scale=100.0))
    batch = {"x": jnp.arange(12.0)}
    _, metrics = gradient_accumulation.in_parts(update, 3)(state, batch, KEY, draw)
    assert float(metrics["loss"]) == 5.5 and float(metrics["first"]) == 1.0  # of 0, 1 and 2


def differ(a, b):
    return bool((a != b).any())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cycle_gan", "se_fd", "gp"])
def test_all_networks_descend_once(name):
    own = {"bank": 12, "neighbours": 2} if name == "gp" else small_fields(name)
    method = method_of(name, **own)
    state = state_of(method, rate=1e-3)
    update = method.stages()[0].update

    def moved(after):
        changed = {n: jax.tree.map(differ, state.params[n], after.params[n]) for n in state.params}
        return {n for n, tree in changed.items() if any(jax.tree.leaves(tree))}

    after, _ = step(update, state, 3)
    once, _ = step(update, state, 1)
    assert moved(after) == moved(once) != set()
    counts = [int(x) for path, x in jax.tree_util.tree_leaves_with_path(after.opt) if "count" in str(path)]
    assert set(counts) <= {0, 1}, "an optimizer has taken a step for each part"
    assert jax.tree.structure(after.opt) == jax.tree.structure(state.opt)


def test_what_cannot_be_split_is_said_before_the_run():
    one = mesh.make_mesh(jax.devices()[:1])
    mesh.check_batch_size("x", 6, one, 3)
    with pytest.raises(
        ConfigError, match="x=6 cannot be split over 1 devices, 4 parts each: make it a multiple of 4"
    ):
        mesh.check_batch_size("x", 6, one, 4)


@pytest.mark.parametrize("name", ["tiny", "lite", "sfcn"])
def test_rematerialised_gradients_are_the_same_and_keep_less(name):
    """Checked by what JAX keeps for the backward pass, because XLA removes the recomputation again on CPUs."""
    image, roi = np.zeros((1, 64, 64, 3), np.uint8), jnp.ones((1, 64, 64, 1))
    image[:, ::3] = 200
    fields = {"width": 0.0625} if name == "sfcn" else {}
    model = registry.load("models", name).Model(spatial_kernel_size=0, back_end=(32, 16), **fields)
    shapes = jax.eval_shape(model.init, KEY, image, roi)

    def loss(remat, variables):
        return jnp.sum(model.clone(remat=remat).apply(variables, image, roi)["density"] ** 2)

    def kept(remat):
        way_back = jax.eval_shape(lambda v: jax.vjp(functools.partial(loss, remat), v)[1], shapes)
        return sum(x.size for x in jax.tree.leaves(way_back))

    assert kept(True) < 0.75 * kept(False)
    if name == "tiny":
        variables = quick_jit(model.init)(KEY, image, roi)
        a, b = (
            quick_jit(jax.grad(functools.partial(loss, remat)))(variables)["params"]
            for remat in (False, True)
        )
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-7), a, b)
