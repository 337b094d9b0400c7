"""Structural similarity of images, differentiable (Wang et al., IEEE TIP 2004)."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

# Of the Gaussian window, in pixels: the paper's 11x11.
_SIGMA, _RADIUS = 1.5, 5
_K1, _K2 = 0.01, 0.03


def ssim(a: Float[Array, "b h w c"], b: Float[Array, "b h w c"], *, span: float) -> Float[Array, " b"]:
    """Return the structural similarity of each pair, a mean over windows and channels; 1 for equal images.

    Args:
      a, b: images with sides of at least 11 pixels.
      span: width of the range of pixel values, such as 2 for [-1, 1].
    """
    mean_a, mean_b = _blur(a), _blur(b)
    var_a, var_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    c1, c2 = (_K1 * span) ** 2, (_K2 * span) ** 2
    similarity = (
        (2 * mean_a * mean_b + c1)
        * (2 * covariance + c2)
        / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    )
    return similarity.mean((1, 2, 3))


def _blur(x: Array) -> Array:
    """Gaussian mean over the windows that lie within the image, along rows and then columns."""
    offsets = np.arange(-_RADIUS, _RADIUS + 1)
    window = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    window = jnp.asarray(window / window.sum(), x.dtype)
    channels = x.shape[-1]
    for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):
        kernel = jnp.tile(window.reshape(shape), (1, 1, 1, channels))
        x = lax.conv_general_dilated(
            x,
            kernel,
            (1, 1),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=channels,
        )
    return x
