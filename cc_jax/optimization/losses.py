"""Losses. The unit of the network's output is that of units.py."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from cc_jax.units import output_from_people


def density_mse(
    output: Float[Array, "*batch h w 1"],
    density: Float[Array, "*batch h w 1"],
    weight: Float[Array, "*batch h w 1"],
    label_scale: float,
) -> Float[Array, ""]:
    """Mean squared error over the cells that count.

    Up to a constant this has the gradient of the paper's loss, the MSE at full size after nearest x8 upsampling:
    within a cell the upsampled estimate is constant, so only the cell's mean target matters.
    Along axes of the output that `weight` does not have, as that of an ensemble's networks, the means are added up.

    Args:
      output: the network's output.
      density: people per cell.
      weight: 1 where the label holds, 0 outside the ROI and where a pseudo label was not kept.
    """
    error = output - output_from_people(density, label_scale)
    return jnp.sum(weight * error**2) / jnp.maximum(jnp.sum(weight), 1.0)


def upside_down(logits: Float[Array, "s b k"], dealt: Array) -> tuple[jax.Array, jax.Array]:
    """Cross entropy and accuracy of telling upside-down images from upright ones (paper, section 3.2).

    `dealt` [b]: which of the k orientations an image is in; for two, whether it is upside down.

    As in `density_mse`, the losses of several networks are added up: each has the gradient that it would have alone.
    """
    labels = jnp.broadcast_to(dealt.astype(jnp.int32), logits.shape[:2])
    loss = optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), labels)
    return loss.mean(1).sum(), jnp.mean(jnp.argmax(logits, -1) == labels)
