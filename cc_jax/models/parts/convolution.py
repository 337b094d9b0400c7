"""Convolutions of [B,H,W,C] that are fast on CPUs too, including their gradients.

XLA's own convolutions are slow on CPUs where kernels are large, images are large, or channels are grouped. Each function
here computes the same result in a way that is faster there.
"""

import functools
import itertools
import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# Zeros (above, below), (left, right).
# JAX takes NumPy arrays as well.
Array = jax.Array | np.ndarray
Padding = tuple[tuple[int, int], tuple[int, int]]

# Size of a block of `_kernel_gradient`: few enough bytes for a core's cache, enough positions for a matrix product.
_BLOCK_BYTES, _BLOCK_POSITIONS = 1.5e6, 1024
# Product of input and output channels below which XLA's own gradient is faster.
_CHANNELS = 2048

# Winograd's F(2x2, 3x3) pays off from this product of input and output channels on, and from this number of products of the
# plain convolution of an image on. It needs four times the memory of input and output, and a second more of compiling.
_WINOGRAD_CHANNELS, _WINOGRAD_PRODUCTS = 8192, 8e9
# The matrices of its sums over four rows or columns of the input, three of the kernel, and four of the products.
_OF_INPUT = (1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)
_OF_KERNEL = (1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)
_OF_PRODUCTS = (1, 1, 1, 0), (0, 1, -1, -1)


def convolve(
    x: Array, kernel: Array, *, stride: int = 1, dilation: int = 1, padding: Padding | None = None
) -> Array:
    """Convolve [B,H,W,C] with an HWIO kernel.

    Without `padding`, zeros are added as TensorFlow's SAME does, and the output has ceil(H/stride) x ceil(W/stride)
    positions.
    """
    if kernel.shape[:2] == (1, 1) and stride == 1 and padding is None:
        return x @ kernel[0, 0]
    if padding is None:
        sides = zip(x.shape[1:3], kernel.shape[:2], strict=True)
        rows, columns = (_same_padding(n, size, stride, dilation) for n, size in sides)
        padding = rows, columns
    written_out = stride == 1 and kernel.shape[2] * kernel.shape[3] >= _CHANNELS
    # On one device only: if the batch is split, every block of `_kernel_gradient` would wait for a sum over all devices.
    if written_out and jax.default_backend() == "cpu" and jax.device_count() == 1:
        return _convolve_written_out(x, kernel, dilation, padding)
    return _convolve(x, kernel, stride, dilation, padding)


def _convolve(
    x: Array, kernel: Array, stride: int, dilation: int, padding: Padding | str, groups: int = 1
) -> Array:
    return lax.conv_general_dilated(
        jnp.asarray(x),
        jnp.asarray(kernel),
        window_strides=(stride, stride),
        padding=padding,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve_written_out(x: Array, kernel: Array, dilation: int, padding: Padding) -> Array:
    """`_convolve` with stride 1 for a single CPU device, with gradients to match."""
    if _by_winograd(x, kernel, dilation, padding):
        return _winograd(x, kernel, dilation, padding)
    return _convolve(x, kernel, 1, dilation, padding)


def _written_out_fwd(x, kernel, dilation, padding):
    return _convolve_written_out(x, kernel, dilation, padding), (x, kernel)


def _written_out_bwd(dilation, padding, saved, g):
    x, kernel = saved
    reaches = [(size - 1) * dilation for size in kernel.shape[:2]]
    around = tuple((r - before, r - after) for r, (before, after) in zip(reaches, padding, strict=True))
    x_bar = _convolve_written_out(g, kernel[::-1, ::-1].swapaxes(2, 3), dilation, around)
    return x_bar, _kernel_gradient(x, g, kernel.shape[:2], dilation, padding).astype(kernel.dtype)


_convolve_written_out.defvjp(_written_out_fwd, _written_out_bwd)


def _by_winograd(x: Array, kernel: Array, dilation: int, padding: Padding) -> bool:
    positions = math.prod(_size_behind(x, dilation, padding))
    channels = kernel.shape[2] * kernel.shape[3]
    large = channels >= _WINOGRAD_CHANNELS and 9 * channels * positions >= _WINOGRAD_PRODUCTS
    return large and kernel.shape[:2] == (3, 3) and x.dtype == jnp.float32


def _size_behind(x: Array, dilation: int, padding: Padding) -> list[int]:
    """Height and width of the output of a 3x3 kernel."""
    return [n + sum(zeros) - 2 * dilation for n, zeros in zip(x.shape[1:3], padding, strict=True)]


def _winograd(x: Array, kernel: Array, dilation: int, padding: Padding) -> Array:
    """`_convolve` with stride 1 and a 3x3 kernel, in 16 products for 2x2 positions instead of 36.

    F(2x2, 3x3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4.1. All tiles
    of an image are computed at once, because XLA runs sums inside a loop on one thread. With a dilation, the image is
    taken apart into `dilation**2` grids of pixels, each of which is convolved without dilation.
    """
    batch, *size, channels = x.shape
    out = _size_behind(x, dilation, padding)
    tall, wide = (-(-n // (2 * dilation)) for n in out)
    sides = zip(((tall + 1) * 2 * dilation, (wide + 1) * 2 * dilation), size, padding, strict=True)
    edges = ((zeros[0], whole - n - zeros[0], 0) for whole, n, zeros in sides)
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *edges, (0, 0, 0)))
    x = x.reshape(batch, 2 * tall + 2, dilation, 2 * wide + 2, dilation, channels)
    x = x.transpose(0, 2, 4, 1, 3, 5).reshape(-1, 2 * tall + 2, 2 * wide + 2, channels)

    rows = _sums(_OF_INPUT, [x[:, i : i + 2 * tall - 1 : 2] for i in range(4)])
    seen = [_sums(_OF_INPUT, [row[:, :, j : j + 2 * wide - 1 : 2] for j in range(4)]) for row in rows]
    kernels = [_sums(_OF_KERNEL, list(row)) for row in _sums(_OF_KERNEL, list(kernel))]
    products = [
        jnp.einsum("nbhwc,ncd->nbhwd", *map(jnp.stack, two)) for two in zip(seen, kernels, strict=True)
    ]
    rows = [_sums(_OF_PRODUCTS, list(column)) for column in zip(*products, strict=True)]
    found = [_sums(_OF_PRODUCTS, list(row)) for row in zip(*rows, strict=True)]

    pairs = [jnp.stack(row, 3).reshape(-1, tall, 2 * wide, kernel.shape[3]) for row in found]
    y = jnp.stack(pairs, 2).reshape(batch, dilation, dilation, 2 * tall, 2 * wide, -1)
    y = y.transpose(0, 3, 1, 4, 2, 5).reshape(batch, 2 * tall * dilation, 2 * wide * dilation, -1)
    return y[:, : out[0], : out[1]]


def _sums(matrix: Sequence[Sequence[float]], arrays: Sequence[Array]) -> list[Array]:
    """Multiply the matrix with the vector of arrays."""
    terms = ([c * x for c, x in zip(row, arrays, strict=True) if c] for row in matrix)
    return [functools.reduce(operator.add, each) for each in terms]


def _kernel_gradient(x: Array, g: Array, size: tuple[int, int], dilation: int, padding: Padding) -> Array:
    """Gradient of the kernel, float32 [*size,C,D], from `x` and the gradient `g` [B,h,w,D] of the output.

    A matrix product of shifted copies of `x`, one for each column of the kernel, with shifted copies of `g`, one for each of
    its rows. It is summed over blocks of rows of `x`, so that the copies stay in the cache.
    """
    (batch, height, _, channels), (_, out, width, features) = x.shape, g.shape
    rows = _rows_of_a_block(height, batch * width, x.dtype.itemsize * size[1] * channels)
    above, reach = padding[0][0], (size[0] - 1) * dilation
    x = jnp.pad(x, ((0, 0), (0, 0), padding[1], (0, 0)))
    # In row i of the kernel, row y of `x` meets row `above + y - i * dilation` of `g`. Pad `g` where there is no such row.
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
    """Rows of a block, a divisor of `height`. `positions` are those of one row, over all images."""
    wanted = max(_BLOCK_POSITIONS, _BLOCK_BYTES / position_bytes) / positions
    return next(rows for rows in range(1, height + 1) if height % rows == 0 and rows >= min(wanted, height))


def depthwise(x: Array, kernel: Array, stride: int = 1, dilation: int = 1) -> Array:
    """Convolve each channel of [B,H,W,C] with its own kernel, [size,size,C], padded as TensorFlow's SAME does.

    On CPUs it is a sum of shifted products, because XLA's grouped convolution and its weight gradient are much slower there.
    """
    if jax.default_backend() == "cpu":
        return _depthwise_shifted(x, kernel, stride, dilation)
    return _convolve(x, kernel[:, :, None], stride, dilation, "SAME", groups=x.shape[-1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _depthwise_shifted(x: Array, kernel: Array, stride: int, dilation: int) -> Array:
    return _sum_of_taps(x, kernel, stride, dilation)


def _sum_of_taps(x: Array, kernel: Array, stride: int, dilation: int) -> Array:
    taps = _taps(x, (kernel.shape[0], kernel.shape[1]), stride, dilation)
    weights = kernel.reshape(-1, kernel.shape[-1])
    total: Any = sum(tap * weight for tap, weight in zip(taps, weights, strict=True))
    return total


def _depthwise_fwd(x, kernel, stride, dilation):
    return _sum_of_taps(x, kernel, stride, dilation), (x, kernel)


def _depthwise_bwd(stride, dilation, saved, g):
    x, kernel = saved
    if stride == 1:
        # The padding is symmetric, so the adjoint is the same sum with the kernel rotated by half a turn.
        x_bar = _sum_of_taps(g, kernel[::-1, ::-1], 1, dilation)
    else:
        x_bar = jax.vjp(lambda x: _sum_of_taps(x, kernel, stride, dilation), x)[1](g)[0]
    return x_bar, _depthwise_kernel_gradient(x, g, kernel.shape[0], stride, dilation).astype(kernel.dtype)


_depthwise_shifted.defvjp(_depthwise_fwd, _depthwise_bwd)


def _depthwise_kernel_gradient(x: Array, g: Array, size: int, stride: int, dilation: int) -> Array:
    """Gradient of the kernel, [size,size,C]: each tap of `x` times `g`, summed.

    Row by row, so that the rows that all taps share stay in the cache.
    """
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
    """Yield, for each element of the kernel, the input that it meets: [B,ceil(H/stride),ceil(W/stride),C]."""
    height, width = x.shape[1:3]
    paddings = [_same_padding(n, k, stride, dilation) for n, k in zip((height, width), size, strict=True)]
    x = jnp.pad(x, ((0, 0), *paddings, (0, 0)))
    rows, columns = ((-(-n // stride) - 1) * stride + 1 for n in (height, width))
    for i, j in itertools.product(range(size[0]), range(size[1])):
        yield x[:, i * dilation :, j * dilation :][:, :rows:stride, :columns:stride]


def _same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Zeros (before, after) under TensorFlow's SAME rule, which puts an odd one after."""
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def convolve_row(row_BxwxC: Array, kernel: Array) -> Array:
    """Convolve [B,w,C] along w with a kernel [length,C,D] of odd length, padded with zeros.

    Written as one matrix product, because the gradient of XLA's CPU convolution is much slower inside a scan.
    """
    length, width = kernel.shape[0], row_BxwxC.shape[1]
    padded = jnp.pad(row_BxwxC, ((0, 0), (length // 2, length // 2), (0, 0)))
    taps = jnp.concatenate([padded[:, i : i + width] for i in range(length)], axis=-1)
    return taps @ kernel.reshape(-1, kernel.shape[-1])
