"""Convolutions of [B,H,W,C], with gradients that are fast on CPUs too: XLA's are not (measured: README, "Speed on CPUs")."""

import functools
import itertools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

Padding = tuple[tuple[int, int], tuple[int, int]]  # zeros above and below, left and right

# What a block of `_kernel_gradient` reads: few enough bytes for a core's cache, positions enough for a matrix product.
_BLOCK_BYTES, _BLOCK_POSITIONS = 1.5e6, 1024
_CHANNELS = 2048  # of input times output; with fewer, XLA's own gradient takes less of a CPU's time


def convolve(
    x: Array, kernel: Array, *, stride: int = 1, dilation: int = 1, padding: Padding | None = None
) -> Array:
    """Convolution of [B,H,W,C] with an HWIO kernel; without `padding` TF's SAME: ceil(H/stride) x ceil(W/stride)."""
    if kernel.shape[:2] == (1, 1) and stride == 1 and padding is None:
        return x @ kernel[0, 0]
    if padding is None:
        sides = zip(x.shape[1:3], kernel.shape[:2], strict=True)
        padding = tuple(_same_padding(n, size, stride, dilation) for n, size in sides)
    written_out = stride == 1 and kernel.shape[2] * kernel.shape[3] >= _CHANNELS
    # On one device: where a batch is split, every block of the loop below would wait for all devices to add theirs.
    if written_out and jax.default_backend() == "cpu" and jax.device_count() == 1:
        return _convolve_blockwise(x, kernel, dilation, padding)
    return _convolve(x, kernel, stride, dilation, padding)


def _convolve(
    x: Array, kernel: Array, stride: int, dilation: int, padding: Padding | str, groups: int = 1
) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=padding,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve_blockwise(x: Array, kernel: Array, dilation: int, padding: Padding) -> Array:
    """`_convolve` of stride 1, with the kernel's gradient as a sum over blocks of rows."""
    return _convolve(x, kernel, 1, dilation, padding)


def _blockwise_fwd(x, kernel, dilation, padding):
    return _convolve(x, kernel, 1, dilation, padding), (x, kernel)


def _blockwise_bwd(dilation, padding, saved, g):
    x, kernel = saved
    (x_bar,) = jax.linear_transpose(lambda x: _convolve(x, kernel, 1, dilation, padding), x)(g)
    return x_bar, _kernel_gradient(x, g, kernel.shape[:2], dilation, padding).astype(kernel.dtype)


_convolve_blockwise.defvjp(_blockwise_fwd, _blockwise_bwd)


def _kernel_gradient(x: Array, g: Array, size: tuple[int, int], dilation: int, padding: Padding) -> Array:
    """[*size,C,D] in float32, `g` [B,h,w,D] being the gradient of the output.

    One matrix product, `x` once for each column of the kernel by `g` once for each of its rows, summed over blocks of rows
    of `x` so that these copies stay in the cache. At `sfcn`'s full width XLA's own takes 1.7 to 7 times as long (AVX2).
    """
    (batch, height, _, channels), (_, out, width, features) = x.shape, g.shape
    rows = _rows_of_a_block(height, batch * width, x.dtype.itemsize * size[1] * channels)
    above, reach = padding[0][0], (size[0] - 1) * dilation
    x = jnp.pad(x, ((0, 0), (0, 0), padding[1], (0, 0)))
    # Row y of `x` meets row `above + y - i * dilation` of `g` in row i of the kernel: zeros where there is none.
    g = jnp.pad(g, ((0, 0), (reach - above, height + above - out), (0, 0), (0, 0)))

    def add_block(total, block):
        seen = lax.dynamic_slice_in_dim(x, block * rows, rows, 1)
        own = lax.dynamic_slice_in_dim(g, block * rows, rows + reach, 1)
        seen = [seen[:, :, j * dilation :][:, :, :width] for j in range(size[1])]
        own = [own[:, reach - i * dilation :][:, :rows] for i in range(size[0])]
        seen, own = (jnp.concatenate(every, -1).reshape(batch * rows * width, -1) for every in (seen, own))
        return total + jnp.einsum("pc,pd->cd", seen, own, preferred_element_type=jnp.float32), None

    zero = jnp.zeros((size[1] * channels, size[0] * features), jnp.float32)
    if rows == height:
        total, _ = add_block(zero, 0)
    else:
        total, _ = lax.scan(add_block, zero, jnp.arange(height // rows))
    return total.reshape(size[1], channels, size[0], features).transpose(2, 0, 1, 3)


def _rows_of_a_block(height: int, positions: int, position_bytes: int) -> int:
    """A divisor of `height`; `positions`: of one row, all images together."""
    wanted = max(_BLOCK_POSITIONS, _BLOCK_BYTES / position_bytes) / positions
    return next(rows for rows in range(1, height + 1) if height % rows == 0 and rows >= min(wanted, height))


def depthwise(x: Array, kernel: Array, stride: int = 1, dilation: int = 1) -> Array:
    """TF-SAME depthwise convolution of [B,H,W,C] with a kernel [size,size,C].

    On CPUs a sum of shifted products: XLA's grouped convolution takes ten times as long there, its weight gradient
    five times as long as the loop over rows below (measured, 2 cores).
    """
    if jax.default_backend() == "cpu":
        return _depthwise_shifted(x, kernel, stride, dilation)
    return _convolve(x, kernel[:, :, None], stride, dilation, "SAME", groups=x.shape[-1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _depthwise_shifted(x: Array, kernel: Array, stride: int, dilation: int) -> Array:
    return _sum_of_taps(x, kernel, stride, dilation)


def _sum_of_taps(x: Array, kernel: Array, stride: int, dilation: int) -> Array:
    taps = _taps(x, kernel.shape[:2], stride, dilation)
    return sum(tap * weight for tap, weight in zip(taps, kernel.reshape(-1, kernel.shape[-1]), strict=True))


def _depthwise_fwd(x, kernel, stride, dilation):
    return _sum_of_taps(x, kernel, stride, dilation), (x, kernel)


def _depthwise_bwd(stride, dilation, saved, g):
    x, kernel = saved
    if stride == 1:  # symmetric padding: the adjoint is the same sum with the kernel turned round
        x_bar = _sum_of_taps(g, kernel[::-1, ::-1], 1, dilation)
    else:
        x_bar = jax.vjp(lambda x: _sum_of_taps(x, kernel, stride, dilation), x)[1](g)[0]
    return x_bar, _depthwise_kernel_gradient(x, g, kernel.shape[0], stride, dilation).astype(kernel.dtype)


_depthwise_shifted.defvjp(_depthwise_fwd, _depthwise_bwd)


def _depthwise_kernel_gradient(x: Array, g: Array, size: int, stride: int, dilation: int) -> Array:
    """[size,size,C]: each tap of `x` times `g`, summed; row by row, so that what all taps share stays in the cache."""
    batch, height, width, channels = g.shape
    x = jnp.pad(x, ((0, 0), *(_same_padding(n, size, stride, dilation) for n in x.shape[1:3]), (0, 0)))

    def add_row(sums, y):
        own = lax.dynamic_index_in_dim(g, y, 1, keepdims=False)
        rows = [
            lax.dynamic_index_in_dim(x, y * stride + i * dilation, 1, keepdims=False) for i in range(size)
        ]
        windows = [
            row[:, j * dilation :][:, : (width - 1) * stride + 1 : stride]
            for row in rows
            for j in range(size)
        ]
        return [total + window * own for total, window in zip(sums, windows, strict=True)], None

    zero = jnp.zeros((batch, width, channels), jnp.float32)
    sums, _ = lax.scan(add_row, [zero] * size**2, jnp.arange(height))
    return jnp.stack([total.sum((0, 1)) for total in sums]).reshape(size, size, channels)


def _taps(x: Array, size: tuple[int, int], stride: int, dilation: int) -> Iterator[Array]:
    """What each element of the kernel meets under TF-SAME padding, row by row: [B,ceil(H/stride),ceil(W/stride),C]."""
    height, width = x.shape[1:3]
    paddings = [_same_padding(n, k, stride, dilation) for n, k in zip((height, width), size, strict=True)]
    x = jnp.pad(x, ((0, 0), *paddings, (0, 0)))
    rows, columns = ((-(-n // stride) - 1) * stride + 1 for n in (height, width))
    for i, j in itertools.product(range(size[0]), range(size[1])):
        yield x[:, i * dilation :, j * dilation :][:, :rows:stride, :columns:stride]


def _same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Zeros before and after under TF's SAME rule: the odd one goes after."""
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def convolve_row(row_BxwxC: Array, kernel: Array) -> Array:
    """Zero-padded convolution of [B,w,C] along w with a kernel [length,C,D], the length odd.

    Written as one matrix product: inside a scan XLA's CPU convolution has a gradient ten times slower.
    """
    length, width = kernel.shape[0], row_BxwxC.shape[1]
    padded = jnp.pad(row_BxwxC, ((0, 0), (length // 2, length // 2), (0, 0)))
    taps = jnp.concatenate([padded[:, i : i + width] for i in range(length)], axis=-1)
    return taps @ kernel.reshape(-1, kernel.shape[-1])
