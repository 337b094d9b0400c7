"""The optimizers: which rule moves which parameter, rates, decay, clipping, the schedule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cc_jax.errors import ConfigError
from cc_jax.optimization import optimizers

FIELDS = {
    "name": "adamw", "learning_rate": 0.01, "warmup_steps": 0, "schedule": "constant", "final_scale": 0.1,
    "weight_decay": 0.0, "encoder_scale": 1.0, "clip": 0.0, "ema": 0.0,
}  # fmt: skip
SHAPES = {
    "encoder": {"conv": {"kernel": (3, 3, 4, 8), "bias": (8,)}, "depthwise": {"kernel": (3, 3, 8)}},
    "spatial": {"down_up_kernel": (9, 8, 8)},
    "upside_down": {"hidden": {"kernel": (16, 6)}, "logits": {"kernel": (6, 2)}},
    "density": {"kernel": (1, 1, 8, 1)},
}
MATRICES = (("encoder", "conv", "kernel"), ("spatial", "down_up_kernel"), ("upside_down", "hidden", "kernel"))


def tree(seed: int):
    """Random arrays of SHAPES."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda shape: jnp.asarray(rng.normal(size=shape), jnp.float32),
        SHAPES,
        is_leaf=lambda x: isinstance(x, tuple),
    )


def first_update(gradients, params=None, **fields):
    params = tree(1) if params is None else params
    tx = optimizers.Optimizer(**{**FIELDS, **fields}).transformation(100)
    return tx.update(gradients, tx.init(params), params)[0]


def leaves(updates) -> dict[tuple, np.ndarray]:
    return {
        tuple(key.key for key in path): np.asarray(x)
        for path, x in jax.tree_util.tree_leaves_with_path(updates)
    }


def test_muon_moves_hidden_kernels_along_the_nearest_orthogonal_matrix():
    """Muon's Newton-Schulz iteration against NumPy's SVD of the kernel as a matrix from inputs to outputs."""
    gradients = tree(0)
    updates, given = leaves(first_update(gradients, name="muon")), leaves(gradients)
    for name in MATRICES:
        g, u = (x[name].reshape(-1, x[name].shape[-1]) for x in (given, updates))
        left, _, right = np.linalg.svd(g, full_matrices=False)
        nearest = -left @ right
        assert np.sum(nearest * u) / np.linalg.norm(nearest) / np.linalg.norm(u) > 0.97, name
        before, after = (np.linalg.svd(x, compute_uv=False) for x in (g, u))
        assert after.max() / after.min() < 2 < before.max() / before.min()
        assert np.sqrt(np.mean(u**2)) == pytest.approx(0.01, rel=0.3), name


def test_all_else_is_left_to_adamw():
    """Biases, the output, the logits and depthwise kernels: Adam's first step is the sign of the gradient."""
    gradients = tree(0)
    updates, given = leaves(first_update(gradients, name="muon")), leaves(gradients)
    others = set(updates) - set(MATRICES)
    assert len(others) == 4
    for name in others:
        np.testing.assert_allclose(updates[name], -0.01 * np.sign(given[name]), rtol=1e-3)
    for name, update in leaves(first_update(gradients)).items():
        np.testing.assert_allclose(update, -0.01 * np.sign(given[name]), rtol=1e-3)


@pytest.mark.parametrize("name", optimizers.NAMES)
def test_the_encoder_has_a_rate_of_its_own(name):
    whole, scaled = (
        leaves(first_update(tree(0), name=name, encoder_scale=scale, weight_decay=0.1))
        for scale in (1.0, 0.3)
    )
    for path, update in whole.items():
        factor = 0.3 if path[0] == "encoder" else 1.0
        np.testing.assert_allclose(scaled[path], factor * update, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", optimizers.NAMES)
def test_kernels_decay_and_biases_do_not(name):
    params = tree(1)
    nothing = jax.tree.map(jnp.zeros_like, params)
    updates, held = leaves(first_update(nothing, params, name=name, weight_decay=0.1)), leaves(params)
    for path, update in updates.items():
        expected = 0 * held[path] if path[-1] == "bias" else -0.01 * 0.1 * held[path]
        np.testing.assert_allclose(update, expected, rtol=1e-5, atol=1e-9)


def test_clipping_shrinks_large_gradients_alone():
    """Checked in the second step, because Adam's first step does not depend on the size of the gradient."""
    tx = optimizers.Optimizer(**{**FIELDS, "clip": 1.0}).transformation(100)
    free = optimizers.Optimizer(**FIELDS).transformation(100)
    params, large = tree(1), tree(0)
    small = jax.tree.map(lambda g: 1e-3 * g, large)

    def second(tx, gradients):
        _, state = tx.update(small, tx.init(params), params)
        return leaves(tx.update(gradients, state, params)[0])

    for path, update in second(tx, small).items():
        np.testing.assert_allclose(update, second(free, small)[path], rtol=1e-6)
    norm = np.sqrt(sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(large)))
    unit = jax.tree.map(lambda g: g / norm, large)
    for path, update in second(tx, large).items():
        np.testing.assert_allclose(update, second(free, unit)[path], rtol=1e-4)


def test_the_schedule_warms_up_and_decays_over_the_whole_run():
    optimizer = optimizers.Optimizer(**{**FIELDS, "schedule": "cosine", "warmup_steps": 10})
    rate = optimizer.rate(110, 1.0)
    assert [float(rate(i)) for i in (0, 10, 60, 110)] == pytest.approx([0.1, 1.0, 0.55, 0.1])
    constant = optimizers.Optimizer(**{**FIELDS, "warmup_steps": 10}).rate(110, 1.0)
    assert float(constant(110)) == 1.0


@pytest.mark.parametrize("fields", [{"name": "sgd"}, {"schedule": "linear"}])
def test_an_unknown_name_is_refused(fields):
    with pytest.raises(ConfigError, match=next(iter(fields.values()))):
        optimizers.Optimizer(**{**FIELDS, **fields}).transformation(10)
