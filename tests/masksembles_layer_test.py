"""The Masksembles layer by itself: against the authors' PyTorch layer, and in models that are not ours."""

import functools
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from conftest import ROOT
from flax import linen as nn
from flax import nnx

from cc_jax import Masksembles
from cc_jax.errors import ConfigError
from cc_jax.uncertainty import masks as generator
from cc_jax.uncertainty.masksembles_layer import (
    apply_masks,
    deal,
    mean_and_std,
    repeat_members,
    split_members,
)

KEY = jax.random.key(0)


class MLP(nn.Module):
    """Two hidden layers, each followed by masks."""

    members: int = 4
    scale: float = 2.0

    @nn.compact
    def __call__(self, x, *, train, key=None):
        x = nn.relu(nn.Dense(32, name="one")(x))
        x = Masksembles(self.members, self.scale, name="mask_one")(x, train=train, key=key)
        x = nn.relu(nn.Dense(24, name="two")(x))
        x = Masksembles(self.members, self.scale, repeat=False, name="mask_two")(x, train=train, key=key)
        return nn.Dense(1, name="three")(x)


def inputs(*shape, seed=1):
    return jax.random.normal(jax.random.key(seed), shape)


@functools.cache
def variables(members=4, scale=2.0):
    return jax.jit(functools.partial(MLP(members, scale).init, train=True))(KEY, inputs(1, 5))


def member_by_hand(tree, x, n):
    """Member n of the MLP, written with NumPy."""
    tree, x = jax.tree.map(np.asarray, tree), np.asarray(x)
    p = tree["params"]
    for dense, mask in (("one", "mask_one"), ("two", "mask_two")):
        x = np.maximum(x @ p[dense]["kernel"] + p[dense]["bias"], 0) * tree["masks"][mask]["masks"][n]
    return x @ p["three"]["kernel"] + p["three"]["bias"]


# Compiled once, on one shape of input wherever the shape does not matter.
init = jax.jit(lambda keys: MLP().init(keys, jnp.ones((1, 5)), train=True))
evaluate = jax.jit(lambda tree, x: MLP().apply(tree, x, train=False))
train_on = jax.jit(lambda tree, x, key: MLP().apply(tree, x, train=True, key=key))
dealt = jax.jit(deal, static_argnums=1)


def overlap(drawn):
    """Mean intersection over union of the pairs of masks."""
    pairs = [(a, b) for i, a in enumerate(drawn) for b in drawn[i + 1 :]]
    return np.mean([np.minimum(a, b).sum() / np.maximum(a, b).sum() for a, b in pairs])


# Against the authors' layer.


@pytest.fixture(scope="module")
def theirs():
    pytest.importorskip("torch", reason="torch is not installed")
    return pytest.importorskip("masksembles.torch", reason="the package masksembles is not installed")


@pytest.mark.parametrize("shape", [(12, 24), (8, 3, 2, 24)], ids=["1d", "2d"])
def test_equals_the_authors_layer(theirs, shape):
    import torch

    np.random.seed(0)
    kind = theirs.Masksembles1D if len(shape) == 2 else theirs.Masksembles2D
    layer = kind(24, 4, 2.0)
    masks = jnp.asarray(layer.masks.numpy())
    x = inputs(*shape)

    def run_theirs(batch):
        channels_first = torch.tensor(np.moveaxis(np.asarray(batch), -1, 1))
        return np.moveaxis(layer(channels_first).numpy(), 1, -1)

    # They mask the n-th run of consecutive examples alike, this layer every fourth example.
    grouped = jnp.concatenate([x[n::4] for n in range(4)])
    ours = apply_masks(x, masks, train=True)
    np.testing.assert_array_equal(jnp.concatenate([ours[n::4] for n in range(4)]), run_theirs(grouped))
    # In evaluation their input is repeated by hand.
    evaluated = Masksembles(4, 2.0).apply({"masks": {"masks": masks}}, x, train=False)
    np.testing.assert_array_equal(evaluated, run_theirs(jnp.concatenate([x] * 4)))


@pytest.mark.parametrize("members, scale", [(3, 1.5), (4, 2.0), (4, 3.0), (4, 6.0), (8, 2.0)])
def test_masks_are_distributed_like_the_authors(theirs, members, scale):
    np.random.seed(0)
    many = [theirs.Masksembles1D(256, members, scale).masks.numpy() for _ in range(6)]
    layer, x = Masksembles(members, scale), inputs(1, 256)
    ours = [np.asarray(layer.init(jax.random.key(i), x, train=True)["masks"]["masks"]) for i in range(6)]
    assert {row.sum() for drawn in many for row in drawn} == {row.sum() for drawn in ours for row in drawn}
    assert all(drawn.any(axis=0).all() for drawn in (*many, *ours))
    a, b = (np.array([overlap(drawn) for drawn in those]) for those in (many, ours))
    assert abs(a.mean() - b.mean()) < 4 * np.sqrt((a.var() + b.var()) / len(a)) + 1e-3
    assert abs(b.mean() - 1 / (2 * scale - 1)) < 0.02


# What training and evaluation compute.


def test_evaluation_runs_every_member():
    tree, x = variables(), inputs(7, 5)
    samples = split_members(evaluate(tree, x), 4)
    for n in range(4):
        np.testing.assert_allclose(samples[n], member_by_hand(tree, x, n), atol=1e-6)
    mean, std = mean_and_std(evaluate(tree, x), 4)
    np.testing.assert_allclose(mean, np.mean(samples, 0), atol=1e-6)
    np.testing.assert_allclose(std, np.std(samples, 0), atol=1e-6)
    assert mean.shape == (7, 1) and (std > 1e-3).any()


@pytest.mark.parametrize("batch, seed", [(7, None), (7, 1), (7, 2), (7, 3), (8, 1), (8, None)])
def test_training_gives_each_example_one_member_throughout(batch, seed):
    tree, x = variables(), inputs(batch, 5)
    key = None if seed is None else jax.random.key(seed)
    start = 0 if key is None else int(jax.random.randint(key, (), 0, 4))
    trained = np.asarray(train_on(tree, x, key))
    by_hand = np.array([member_by_hand(tree, x, n) for n in range(4)])
    for i in range(batch):
        np.testing.assert_allclose(trained[i], by_hand[(start + i) % 4, i], atol=1e-6)


@pytest.mark.parametrize("batch, members", [(1, 1), (2, 5), (7, 3), (12, 4)])
def test_masks_are_dealt_evenly(batch, members):
    starts = set()
    for seed in range(30):
        taken = np.asarray(dealt(np.eye(members, 12), batch, jax.random.key(seed))).argmax(1)
        counts = np.bincount(taken, minlength=members)
        assert counts.max() - counts.min() <= 1
        starts.add(int(taken[0]))
    assert starts == set(range(members))
    assert (np.asarray(deal(np.eye(members, 12), batch)).argmax(1) == np.arange(batch) % members).all()


def test_small_batches_train_all_members_with_a_key_and_warn_without():
    x, masks = jnp.ones((1, 12)), jnp.eye(3, 12)
    seen = {int(apply_masks(x, masks, train=True, key=jax.random.key(i)).argmax()) for i in range(20)}
    assert seen == {0, 1, 2}
    with pytest.warns(UserWarning, match="trains only the first 1 of 3 masks: pass a new key"):
        assert apply_masks(x, masks, train=True).argmax() == 0


@pytest.mark.parametrize(
    "shape, dtype", [((6, 16), jnp.float32), ((6, 9, 16), jnp.float32), ((6, 4, 3, 16), jnp.bfloat16)]
)
def test_any_number_of_axes_and_any_float(shape, dtype):
    layer, x = Masksembles(3, 2.0), inputs(*shape).astype(dtype)
    tree = layer.init(KEY, x, train=True)
    kept = np.asarray(tree["masks"]["masks"], bool)
    trained, evaluated = layer.apply(tree, x, train=True), layer.apply(tree, x, train=False)
    assert trained.shape == shape and evaluated.shape == (18, *shape[1:])
    assert trained.dtype == evaluated.dtype == dtype
    x, trained, samples = (np.asarray(a) for a in (x, trained, split_members(evaluated, 3)))
    for n, sample in enumerate(samples):
        np.testing.assert_array_equal(sample[..., kept[n]], x[..., kept[n]])  # not rescaled
        assert (sample[..., ~kept[n]] == 0).all()
        np.testing.assert_array_equal(trained[n::3], sample[n::3])


def test_scale_1_is_a_single_model():
    tree, x = variables(scale=1.0), inputs(7, 5)
    samples = split_members(MLP(4, 1.0).apply(tree, x, train=False), 4)
    np.testing.assert_allclose(samples, np.broadcast_to(samples[0], samples.shape), atol=1e-6)
    without = member_by_hand({**tree, "masks": jax.tree.map(np.ones_like, tree["masks"])}, x, 0)
    np.testing.assert_allclose(samples[0], without, atol=1e-6)


def test_large_scale_gives_nearly_disjoint_members():
    masks = Masksembles(4, 6.0).init(KEY, inputs(1, 512), train=True)["masks"]["masks"]
    assert overlap(np.asarray(masks)) < 0.12
    assert (masks.sum(0) == 1).mean() > 0.6


# Masks as variables.


def test_masks_are_no_parameters_and_no_optimizer_step_changes_them():
    tree, x = variables(), inputs(7, 5)
    assert set(tree) == {"params", "masks"}
    assert set(tree["params"]) == {"one", "two", "three"}
    grads = jax.jit(jax.grad(lambda tree: MLP().apply(tree, x, train=True).sum()))(tree)
    assert all((g == 0).all() for g in jax.tree.leaves(grads["masks"]))
    step = optax.sgd(1.0)
    stepped = optax.apply_updates(tree, step.update(grads, step.init(tree))[0])
    assert (stepped["params"]["one"]["kernel"] != tree["params"]["one"]["kernel"]).any()
    jax.tree.map(np.testing.assert_array_equal, stepped["masks"], tree["masks"])


def test_gradients_flow_through_kept_channels_only():
    tree, x = variables(), inputs(1, 5)

    @jax.jit
    @jax.grad
    def gradients(params, key):
        return MLP().apply({**tree, "params": params}, x, train=True, key=key).sum()

    keys = {int(jax.random.randint(k, (), 0, 4)): k for k in map(jax.random.key, range(20))}
    assert len(keys) == 4
    for n, key in keys.items():
        grads = jax.tree.map(np.asarray, gradients(tree["params"], key))
        dropped = np.asarray(tree["masks"]["mask_two"]["masks"][n]) == 0
        assert dropped.any()
        assert (grads["three"]["kernel"][dropped] == 0).all()
        assert (grads["two"]["kernel"][:, dropped] == 0).all()
        assert (grads["three"]["kernel"][~dropped] != 0).any()


def test_masks_survive_a_checkpoint(tmp_path):
    tree, x = variables(), inputs(7, 5)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "saved", tree)
        checkpointer.wait_until_finished()
        # As after a restart: a model whose masks would differ, and only the shapes of its variables.
        empty = jax.eval_shape(lambda: init(jax.random.key(7)))
        restored = checkpointer.restore(tmp_path / "saved", empty)
    other = init(jax.random.key(7))
    assert (other["masks"]["mask_one"]["masks"] != tree["masks"]["mask_one"]["masks"]).any()
    np.testing.assert_array_equal(evaluate(restored, x), evaluate(tree, x))


def test_init_takes_the_stream_masks_if_there_is_one():
    def masks_of(**keys):
        return init(jax.tree.map(jax.random.key, keys))["masks"]["mask_one"]["masks"]

    np.testing.assert_array_equal(masks_of(params=0, masks=5), masks_of(params=1, masks=5))
    assert (masks_of(params=0, masks=5) != masks_of(params=0, masks=6)).any()
    assert (masks_of(params=0) != masks_of(params=1)).any()
    np.testing.assert_array_equal(masks_of(params=0), variables()["masks"]["mask_one"]["masks"])


def test_init_and_apply_under_transformations():
    keys, x = jnp.stack([jax.random.key(3), KEY]), inputs(7, 5)
    layer = Masksembles(4, 2.0)

    def masks_of(key):
        return layer.init(key, jnp.ones((1, 32)), train=True)["masks"]["masks"]

    eager, several = masks_of(KEY), jax.vmap(masks_of)(keys)
    np.testing.assert_array_equal(jax.jit(masks_of)(KEY), eager)
    np.testing.assert_array_equal(several[1], eager)
    assert (several[0] != eager).any()
    assert jax.eval_shape(masks_of, KEY).shape == (4, 32)
    tree = variables()
    np.testing.assert_allclose(evaluate(tree, x), MLP().apply(tree, x, train=False), atol=1e-6)


# Without Linen.


class Masks(nnx.Variable):
    """No `nnx.Param`, so no optimizer of the parameters sees it."""


class NnxMLP(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(5, 32, rngs=rngs)
        self.masks = Masks(jnp.asarray(generator.masks(rngs.masks(), 32, 4, 2.0)))
        self.out = nnx.Linear(32, 1, rngs=rngs)

    def __call__(self, x, *, train, key=None):
        x = apply_masks(nnx.relu(self.hidden(x)), self.masks[...], train=train, key=key)
        return self.out(x)


def test_the_recipe_for_nnx():
    model, x = NnxMLP(nnx.Rngs(0, masks=1)), inputs(6, 5)
    kernel, bias, masks = (jnp.array(v[...]) for v in (model.hidden.kernel, model.hidden.bias, model.masks))
    samples = split_members(model(x, train=False), 4)
    for n in range(4):
        hidden = nnx.relu(x @ kernel + bias) * masks[n]
        np.testing.assert_allclose(
            samples[n], hidden @ model.out.kernel[...] + model.out.bias[...], atol=1e-6
        )
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer, x, key):
        optimizer.update(model, nnx.grad(lambda m: (m(x, train=True, key=key) ** 2).mean())(model))

    step(model, optimizer, x, KEY)
    assert (model.hidden.kernel[...] != kernel).any()
    np.testing.assert_array_equal(model.masks[...], masks)


def test_numpy_masks_in_plain_jax():
    drawn = generator.masks(KEY, 16, 3, 2.0)
    x = inputs(2, 16)
    evaluated = jax.jit(lambda x: apply_masks(x, drawn, train=False))(x)
    np.testing.assert_allclose(split_members(evaluated, 3), np.asarray(x)[None] * drawn[:, None])
    np.testing.assert_array_equal(
        evaluated, apply_masks(repeat_members(x, 3), drawn, train=False, repeat=False)
    )
    jax.jit(lambda key: apply_masks(x, drawn, train=True, key=key))(KEY)


# The example of the documentation.


@pytest.fixture(scope="module")
def example():
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    path = ROOT / "docs" / "examples" / "masksembles_spectrum.py"
    spec = importlib.util.spec_from_file_location("masksembles_spectrum", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.STEPS = 3
    return module


def test_the_example_measures_error_and_spread(example):
    x = example.GRID[:, 0]
    far = (np.abs(x) <= 0.5) | (np.abs(x) >= 4)
    curves = example.truth(x) + 0.25 + np.outer([-1, 1, -1, 1], np.where(far, 2.0, 0.5))
    np.testing.assert_allclose(example.measure(curves), (0.25, 0.25, 0.5, 2.0, 1.0), rtol=1e-5)
    np.testing.assert_allclose(example.measure(np.stack([curves[0]] * 4))[2:], (0, 0, 0.5))


def test_the_example_draws_four_curves(example):
    curves = np.asarray(example.samples("MC-Dropout", 0.5, 0))
    assert curves.shape == (4, 401) and curves.std(0).mean() > 1e-3


# Refusals.


@pytest.mark.parametrize(
    "init",
    [Masksembles.init, lambda *a, **k: jax.jit(functools.partial(Masksembles.init, a[0], **k))(*a[1:])],
)
def test_impossible_settings(init):
    for channels, scale, message in [(9, 2.0, "10 channels"), (64, 6.5, "between 1"), (64, 0.5, "between 1")]:
        with pytest.raises(ConfigError, match=message):
            init(Masksembles(4, scale), KEY, inputs(1, channels), train=True)
    with pytest.raises(ConfigError, match="0 members"):
        init(Masksembles(0, 2.0), KEY, inputs(1, 64), train=True)


def test_masks_that_are_missing_or_do_not_fit():
    tree, x = variables(), inputs(4, 5)
    with pytest.raises(
        ConfigError, match='no masks for the Masksembles layer/mask_one: pass the collection "masks"'
    ):
        MLP().apply({"params": tree["params"]}, x, train=False)
    with pytest.raises(ConfigError, match="no masks"):  # not even where new ones could be drawn
        MLP().apply({"params": tree["params"]}, x, train=False, mutable=["masks"], rngs={"masks": KEY})
    with pytest.raises(ConfigError, match="3 members and sees 32 channels, but its masks are for 4 members"):
        MLP(members=3).apply(tree, x, train=False)


def test_batches_that_hold_no_copies():
    with pytest.raises(ConfigError, match="a batch of 6 does not hold 4 copies"):
        Masksembles(4, repeat=False).apply(
            {"masks": {"masks": jnp.ones((4, 12))}}, jnp.ones((6, 12)), train=False
        )
    with pytest.raises(ConfigError, match="train=False"):
        split_members(jnp.ones((6, 1)), 4)
