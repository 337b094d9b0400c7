"""Losses. For the unit of the network's output see units.py."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from cc_jax.units import output_from_people


def density_mse(
    output: Float[Array, "*#batch h w 1"],
    density: Float[Array, "*#batch h w 1"],
    weight: Float[Array, "*#batch h w 1"],
    label_scale: float,
) -> Float[Array, ""]:
    """Return the mean squared error over the cells whose weight is not 0.

    Up to a constant factor it has the gradient of the paper's loss, which is the MSE at full resolution after
    nearest-neighbor x8 upsampling: the upsampled estimate is constant within a cell, so that only the mean of the target
    in the cell matters. Over an axis that `weight` does not have, such as the members of an ensemble, the means are summed.

    Args:
      output: the network's output.
      density: the label, in people per cell.
      weight: 1 where the label is valid; 0 outside the ROI and where a pseudo label was not selected.
      label_scale: see units.py.
    """
    error = output - output_from_people(density, label_scale)
    return jnp.sum(weight * error**2) / jnp.maximum(jnp.sum(weight), 1.0)


def upside_down(logits: Float[Array, "s b k"], dealt: Array) -> tuple[jax.Array, jax.Array]:
    """Return (cross entropy, accuracy) of classifying the orientation of images (paper, section 3.2).

    As in `density_mse`, the losses of several networks are summed: each has the gradient that it would have alone.

    Args:
      logits: of s samples, b images and k orientations.
      dealt: int or bool [b], the orientation that each image was given; of two, whether it is upside down.
    """
    labels = jnp.broadcast_to(dealt.astype(jnp.int32), logits.shape[:2])
    loss = optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), labels)
    return loss.mean(1).sum(), jnp.mean(jnp.argmax(logits, -1) == labels)
