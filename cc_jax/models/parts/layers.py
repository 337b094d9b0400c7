"""Layers that counting models share. They respect the region of interest: see `masked` and `roi_pyramid`."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from cc_jax.models.parts import convolution
from cc_jax.models.parts.convolution import Array
from cc_jax.units import CELL

INITIALISERS: dict[str, Callable] = {
    # He et al. 2015: keeps the second moment through a ReLU. For networks trained from scratch.
    "he": nn.initializers.variance_scaling(2.0, "fan_in", "normal"),
    # GCC-SFCN and the paper's repository.
    "normal": nn.initializers.normal(0.01),
    # CycleGAN's networks.
    "gan": nn.initializers.normal(0.02),
    # For the recurrence of the spatial encoder: what a row passes on must shrink, or it grows with the image.
    "contracting": nn.initializers.variance_scaling(0.05, "fan_in", "normal"),
}


class Conv(nn.Module):
    """Convolution with a bias, computed in `dtype` with float32 parameters.

    Attributes:
      features: output channels.
      size: kernel height and width.
      stride, dilation: of the convolution, along both axes.
      kernel_init: name in `INITIALISERS`.
      dtype: what the convolution is computed in.
      padding: zeros on each side; None pads as TensorFlow's SAME does.
    """

    features: int
    size: tuple[int, int] = (3, 3)
    stride: int = 1
    dilation: int = 1
    kernel_init: str = "he"
    dtype: str = "float32"
    padding: int | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], channels: Array | None = None
    ) -> Float[Array, "b h2 w2 d"]:
        """Convolve `x`. With `channels`, int [m], only these channels of `x` are read; the others count as zeros."""
        kernel = self.param(
            "kernel", INITIALISERS[self.kernel_init], (*self.size, x.shape[-1], self.features)
        )
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        if channels is not None:
            x, kernel = x[..., channels], kernel[:, :, channels]
        x = convolution.convolve(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            stride=self.stride,
            dilation=self.dilation,
            padding=None
            if self.padding is None
            else ((self.padding, self.padding), (self.padding, self.padding)),
        )
        return x + bias.astype(self.dtype)


def masked(x: Array, roi: Array) -> Array:
    """Set `x` [B,h,w,C] to 0 outside the region of interest [B,h,w,1], from where a bias would otherwise leak in."""
    return x * roi.astype(x.dtype)


def rms_norm(x: Array) -> Array:
    """Scale [B,h,w,C] to a root mean square of 1 over the channels of each position (Zhang & Sennrich 2019); 0 stays 0.

    Neither padding nor the rest of the image enters, because the mean is taken over channels only.
    """
    square = jnp.mean(jnp.square(x.astype(jnp.float32)), axis=-1, keepdims=True)
    return (x * jax.lax.rsqrt(square + 1e-6)).astype(x.dtype)


@jax.custom_vjp
def max_pool(x: Array) -> Array:
    """Max-pool [B,H,W,C] over 2x2 windows with stride 2; H and W are even. Equal maxima share the gradient.

    Computed as maxima of slices, because XLA's windowed maximum has a slow gradient on CPUs and stalls while a constant is
    folded. The gradient is written out, because that of slices adds four padded arrays.
    """
    top = jnp.maximum(x[:, ::2, ::2], x[:, ::2, 1::2])
    return jnp.maximum(top, jnp.maximum(x[:, 1::2, ::2], x[:, 1::2, 1::2]))


def _max_pool_fwd(x):
    largest = max_pool(x)
    return largest, (x, largest)


def _max_pool_bwd(saved, g):
    x, largest = saved
    batch, height, width, channels = x.shape
    chosen = x.reshape(batch, height // 2, 2, width // 2, 2, channels) == largest[:, :, None, :, None]
    share = g / chosen.sum((2, 4), dtype=g.dtype)
    return (jnp.where(chosen, share[:, :, None, :, None], 0).reshape(x.shape).astype(x.dtype),)


max_pool.defvjp(_max_pool_fwd, _max_pool_bwd)


def roi_pyramid(roi_BxHxWx1: Array) -> dict[int, Array]:
    """Return the region of interest at strides s = 1, 2, 4 and 8. A cell is inside if any of its pixels is.

    Args:
      roi_BxHxWx1: positive inside.

    Returns:
      {s: float32 [B,H'/s,W'/s,1] of 0 and 1}, where H' and W' are H and W rounded up to multiples of 8.
    """
    levels = {1: (pad_to_multiple(roi_BxHxWx1, CELL) > 0).astype(jnp.float32)}
    for stride in (2, 4, 8):
        levels[stride] = max_pool(levels[stride // 2])
    return levels


def pad_to_multiple(x: Array, multiple: int) -> Array:
    """Pad [B,H,W,C] with zeros at the bottom and on the right to multiples of `multiple`."""
    _, height, width, _ = x.shape
    return jnp.pad(x, ((0, 0), (0, -height % multiple), (0, -width % multiple), (0, 0)))


def adaptive_mean(x_BxhxwxC: Array, roi_Bxhxwx1: Array, height: int, width: int) -> Array:
    """Average-pool the bounding box of the ROI to [B,height,width,C], float32.

    Bin i of n over a side of length s covers floor(i s / n) to ceil((i + 1) s / n), as PyTorch's adaptive pooling does.
    Cells outside the ROI are left out of the means, so that padding changes nothing.
    """
    roi = roi_Bxhxwx1.astype(jnp.float32)
    rows = _bins(jnp.any(roi > 0, axis=(2, 3)), height)
    columns = _bins(jnp.any(roi > 0, axis=(1, 3)), width)

    def pool(x):
        return jnp.einsum("bih,bhwc,bjw->bijc", rows, x, columns)

    return pool(x_BxhxwxC.astype(jnp.float32) * roi) / jnp.maximum(pool(roi), 1.0)


def _bins(inside_Bxs: Array, n: int) -> Array:
    """Matrix [B,n,s] of 0 and 1: which cells fall into each of n bins over the span that `inside` covers."""
    size = inside_Bxs.shape[1]
    first = jnp.argmax(inside_Bxs, axis=1)[:, None]
    length = (size - jnp.argmax(inside_Bxs[:, ::-1], axis=1))[:, None] - first
    i = jnp.arange(n)[None]
    start = first + i * length // n
    stop = first - (-(i + 1) * length // n)
    cell = jnp.arange(size)
    return ((cell >= start[..., None]) & (cell < stop[..., None])).astype(jnp.float32)


def scan_rows(f_BxhxwxC: Array, roi_Bxhxwx1: Array, step: Callable[[Array], Array]) -> Array:
    """Run the spatial encoder over rows, first down and then up (SFCN, after SCNN).

    Down: `o[i] = relu(step(o[i-1])) + f[i]`. Up: `o[i] = relu(step(o[i+1])) + o[i]`. Cells outside the region of interest
    neither pass anything on, because their bias would travel, nor take anything.

    Args:
      f_BxhxwxC: features.
      roi_Bxhxwx1: region of interest of the cells.
      step: convolution along a row [B,w,C], shared by both directions.
    """
    for upwards in (False, True):
        f_BxhxwxC, _ = hand_on(f_BxhxwxC, roi_Bxhxwx1, step, None, upwards)
    return f_BxhxwxC


def hand_on(
    f_BxhxwxC: Array,
    roi_Bxhxwx1: Array,
    step: Callable[[Array], Array],
    carry: tuple[Array, Array] | None,
    upwards: bool,
) -> tuple[Array, tuple[Array, Array]]:
    """Run one direction of `scan_rows` over a block of rows.

    Args:
      f_BxhxwxC, roi_Bxhxwx1, step: as in `scan_rows`, for the rows of the block.
      carry: what the previous block has passed on; None for the first block.
      upwards: direction.

    Returns:
      (new rows, what they pass on to the next block).
    """
    f, roi = jnp.moveaxis(f_BxhxwxC, 1, 0), jnp.moveaxis(roi_Bxhxwx1, 1, 0).astype(f_BxhxwxC.dtype)

    def pass_on(carry, row):
        above, inside_above = carry
        own, inside = row
        out = (jax.nn.relu(step(above)) * inside_above + own) * inside
        return (out, inside), out

    if carry is None:
        carry = (jnp.zeros_like(f[0]), jnp.zeros_like(roi[0]))
    carry, o = lax.scan(pass_on, carry, (f, roi), reverse=upwards)
    return jnp.moveaxis(o, 0, 1), carry


def staged(stage: Callable, remat: bool) -> Callable:
    """Return `stage(module, ...)`, a part of a module's computation.

    With `remat`, its activations are computed again for the gradient instead of being kept.
    """
    return nn.remat(stage) if remat else stage
