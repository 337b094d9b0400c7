"""The losses and the unit of the output."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cc_jax import units
from cc_jax.optimization import losses


def full_size_mse(output_BxhxwX1, density_BxHxW, label_scale):
    """The paper's loss: nearest-neighbor x8 upsampling, then MSE against label_scale times the density per pixel."""
    up = jnp.repeat(jnp.repeat(output_BxhxwX1[..., 0], 8, axis=1), 8, axis=2)
    return jnp.mean((up - label_scale * density_BxHxW) ** 2)


def test_gradient_is_that_of_the_full_size_loss():
    rng = np.random.default_rng(0)
    output = jnp.asarray(rng.random((2, 3, 4, 1)), jnp.float32)
    pixels = jnp.asarray(rng.random((2, 24, 32)) * 0.02, jnp.float32)
    cells = pixels.reshape(2, 3, 8, 4, 8).sum((2, 4))[..., None]
    ours = jax.grad(lambda o: losses.density_mse(o, cells, jnp.ones_like(cells), 100.0))(output)
    full = jax.grad(lambda o: full_size_mse(o, pixels, 100.0))(output)
    np.testing.assert_allclose(ours, full, rtol=2e-4, atol=1e-7)


def test_units_go_there_and_back():
    cells = jnp.array([0.0, 0.5, 3.0])
    np.testing.assert_allclose(
        units.people_per_cell(units.output_from_people(cells, 100.0), 100.0), cells, rtol=1e-6
    )
    assert float(units.output_from_people(jnp.float32(1.0), 100.0)) == pytest.approx(100 / 64)


def test_cells_without_weight_do_not_matter():
    output, target = jnp.ones((1, 2, 2, 1)), jnp.zeros((1, 2, 2, 1))
    weight = jnp.zeros((1, 2, 2, 1)).at[0, 0, 0, 0].set(1.0)
    grad = jax.grad(lambda o: losses.density_mse(o, target, weight, 64.0))(output)
    assert float(grad[0, 0, 0, 0]) == pytest.approx(2.0)
    assert float(jnp.abs(grad).sum()) == pytest.approx(2.0)
    assert float(losses.density_mse(output, target, jnp.zeros_like(weight), 64.0)) == 0.0


def test_upside_down_loss_and_accuracy():
    logits = jnp.array([[10.0, -10.0], [-10.0, 10.0], [10.0, -10.0]])
    loss, accuracy = losses.upside_down(logits[None], jnp.array([False, True, True]))
    assert float(accuracy) == pytest.approx(2 / 3)
    assert float(loss) == pytest.approx(20 / 3, rel=1e-3)
