"""Layers that all counting models share. Every convolution goes through `convolve`, every mask through `masked`."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

INITIALISERS: dict[str, Callable] = {
    # He et al. 2015: keeps the second moment through a ReLU; for networks trained from scratch.
    "he": nn.initializers.variance_scaling(2.0, "fan_in", "normal"),
    # GCC-SFCN and the paper's repository.
    "normal": nn.initializers.normal(0.01),
    # For the recurrences of the spatial encoder: what a row hands on must shrink, or it grows with the image.
    "contracting": nn.initializers.variance_scaling(0.05, "fan_in", "normal"),
}


def convolve(x: Array, kernel: Array, *, stride: int = 1, dilation: int = 1) -> Array:
    """TF-SAME convolution of [B,H,W,C] with an HWIO kernel: output ceil(H/stride) x ceil(W/stride)."""
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding="SAME",
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def convolve_row(row_BxwxC: Array, kernel: Array) -> Array:
    """Zero-padded convolution of [B,w,C] along w with a kernel [length,C,D], the length odd.

    Written as one matrix product: inside a scan XLA's CPU convolution has a gradient ten times slower.
    """
    length, width = kernel.shape[0], row_BxwxC.shape[1]
    padded = jnp.pad(row_BxwxC, ((0, 0), (length // 2, length // 2), (0, 0)))
    taps = jnp.concatenate([padded[:, i : i + width] for i in range(length)], axis=-1)
    return taps @ kernel.reshape(-1, kernel.shape[-1])


class Conv(nn.Module):
    """Convolution with a bias; float32 parameters, computed in `dtype`."""

    features: int
    size: tuple[int, int] = (3, 3)
    stride: int = 1
    dilation: int = 1
    kernel_init: str = "he"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        kernel = self.param(
            "kernel", INITIALISERS[self.kernel_init], (*self.size, x.shape[-1], self.features)
        )
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x = convolve(
            x.astype(self.dtype), kernel.astype(self.dtype), stride=self.stride, dilation=self.dilation
        )
        return x + bias.astype(self.dtype)


def masked(x: Array, roi: Array) -> Array:
    """`x` with zeros outside the region of interest, both [B,h,w,...]: a bias must not reach in from there."""
    return x * roi.astype(x.dtype)


def max_pool(x: Array) -> Array:
    """2x2 max pooling, stride 2, of [B,H,W,C]; an odd size is rounded up (a border window sees what there is)."""
    return nn.max_pool(x, (2, 2), strides=(2, 2), padding="SAME")


def roi_pyramid(roi_BxHxWx1: Array) -> dict[int, Array]:
    """The region of interest at strides 1, 2, 4 and 8: a cell is inside when any of its pixels is."""
    levels = {1: (roi_BxHxWx1 > 0).astype(jnp.float32)}
    for stride in (2, 4, 8):
        levels[stride] = max_pool(levels[stride // 2])
    return levels


def pad_to_multiple(x: Array, multiple: int) -> Array:
    """[B,H,W,C] with zeros added at the bottom and on the right up to a multiple of `multiple`."""
    _, height, width, _ = x.shape
    return jnp.pad(x, ((0, 0), (0, -height % multiple), (0, -width % multiple), (0, 0)))


class Normalise(nn.Module):
    """Pixels 0-255 RGB to (x / 255 - mean) / std; mean and std live in the collection "norm", so that pretrained
    weights bring their own and a checkpoint keeps them."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @nn.compact
    def __call__(self, image_BxHxWx3: Array) -> Array:
        mean = self.variable("norm", "mean", lambda: jnp.asarray(self.mean, jnp.float32))
        std = self.variable("norm", "std", lambda: jnp.asarray(self.std, jnp.float32))
        return (image_BxHxWx3.astype(jnp.float32) / 255 - mean.value) / std.value


def masked_mean(x_BxhxwxC: Array, roi_Bxhxwx1: Array) -> Array:
    """Mean over the region of interest only -> [B,C]; zeros where the region is empty."""
    roi = roi_Bxhxwx1.astype(jnp.float32)
    total = jnp.sum(x_BxhxwxC.astype(jnp.float32) * roi, axis=(1, 2))
    return total / jnp.maximum(jnp.sum(roi, axis=(1, 2)), 1.0)


def adaptive_mean(x_BxhxwxC: Array, roi_Bxhxwx1: Array, height: int, width: int) -> Array:
    """Adaptive average pooling of the ROI's bounding box to [B,height,width,C].

    Bin i of n over a side of length s covers floor(i s / n) to ceil((i + 1) s / n), as in Torch; cells outside the
    ROI count neither above nor below the fraction bar, so padding changes nothing.
    """
    roi = roi_Bxhxwx1.astype(jnp.float32)
    rows = _bins(jnp.any(roi > 0, axis=(2, 3)), height)
    columns = _bins(jnp.any(roi > 0, axis=(1, 3)), width)

    def pool(x):
        return jnp.einsum("bih,bhwc,bjw->bijc", rows, x, columns)

    return pool(x_BxhxwxC.astype(jnp.float32) * roi) / jnp.maximum(pool(roi), 1.0)


def _bins(inside_Bxs: Array, n: int) -> Array:
    """0/1 matrix [B,n,s]: which cells of the span of `inside` fall into each of n bins."""
    size = inside_Bxs.shape[1]
    first = jnp.argmax(inside_Bxs, axis=1)[:, None]
    length = (size - jnp.argmax(inside_Bxs[:, ::-1], axis=1))[:, None] - first
    i = jnp.arange(n)[None]
    start = first + i * length // n
    stop = first - (-(i + 1) * length // n)
    cell = jnp.arange(size)
    return ((cell >= start[..., None]) & (cell < stop[..., None])).astype(jnp.float32)


def sweep(f_BxhxwxC: Array, roi_Bxhxwx1: Array, step: Callable[[Array], Array]) -> Array:
    """The spatial encoder over rows (SFCN; methods of SCNN): down `o[i] = relu(step(o[i-1])) + f[i]`, then up
    `o[i] = relu(step(o[i+1])) + o[i]`, with `step` a convolution along the row, shared by both directions.

    A cell hands nothing on when it lies outside the region of interest (its bias would travel), and takes nothing.
    """
    f, roi = jnp.moveaxis(f_BxhxwxC, 1, 0), jnp.moveaxis(roi_Bxhxwx1, 1, 0).astype(f_BxhxwxC.dtype)

    def pass_on(carry, row):
        above, inside_above = carry
        own, inside = row
        out = (jax.nn.relu(step(above)) * inside_above + own) * inside
        return (out, inside), out

    start = (jnp.zeros_like(f[0]), jnp.zeros_like(roi[0]))
    _, o = lax.scan(pass_on, start, (f, roi))
    _, o = lax.scan(pass_on, start, (o, roi), reverse=True)
    return jnp.moveaxis(o, 0, 1)
