"""Encoders that are plain stacks of convolutions, with a total stride of 8: VGG-16's first ten layers, and `tiny`'s."""

import functools

import flax.linen as nn
import jax

from cc_jax.models.parts import layers
from cc_jax.models.parts.convolution import Array
from cc_jax.models.parts.decoder import scale_channels

# Channels of VGG-16's first ten convolutions, grouped by stride (Simonyan & Zisserman 2015, table 1, column D).
STAGES = ((1, (64, 64)), (2, (128, 128)), (4, (256, 256, 256)), (8, (512, 512, 512)))


class VGG(nn.Module):
    """The first ten convolutions of VGG-16: 3x3 with ReLU, and a 2x2 max pooling before each stage but the first.

    Attributes:
      width: factor on all channels.
      dtype: what activations are computed in.
      remat: whether each stage's activations are computed again for the gradient instead of being kept.
    """

    width: float = 1.0
    dtype: str = "float32"
    remat: bool = False

    @property
    def reach(self) -> int:
        """Distance in pixels up to which the features of a cell depend on the image."""
        return sum(stride * len(stage) for stride, stage in STAGES)

    @nn.compact
    def __call__(self, x: Array, pyramid: dict[int, Array]) -> Array:
        first = 0
        for stride, stage in STAGES:
            run = functools.partial(self._stage, first, stage)
            x = layers.staged(run, self.remat)(self, x, pyramid[stride])
            first += len(stage)
        return x

    @staticmethod
    def _stage(first: int, stage: tuple[int, ...], module: nn.Module, x: Array, roi: Array) -> Array:
        if first:
            x = layers.max_pool(x)
        for i, channels in enumerate(stage, start=first):
            conv = layers.Conv(scale_channels(channels, module.width), dtype=module.dtype, name=f"conv{i}")
            x = layers.masked(jax.nn.relu(conv(x)), roi)
        return x


class StridedStack(nn.Module):
    """3x3 convolutions with ReLU in three stages at strides 2, 4 and 8. The first one of each stage halves the size.

    Nothing runs at full resolution, where a VGG spends most of its time.

    Attributes:
      stages: channels of the convolutions of each stage.
      dtype: what activations are computed in.
      remat: whether each stage's activations are computed again for the gradient instead of being kept.
    """

    stages: tuple[tuple[int, ...], ...]
    dtype: str = "float32"
    remat: bool = False

    @property
    def reach(self) -> int:
        """Distance in pixels up to which the features of a cell depend on the image."""
        return sum(2**s * (1 + 2 * (len(stage) - 1)) for s, stage in enumerate(self.stages))

    @nn.compact
    def __call__(self, x: Array, pyramid: dict[int, Array]) -> Array:
        for s, stage in enumerate(self.stages):
            run = functools.partial(self._stage, s, stage)
            x = layers.staged(run, self.remat)(self, x, pyramid[2 ** (s + 1)])
        return x

    @staticmethod
    def _stage(s: int, stage: tuple[int, ...], module: nn.Module, x: Array, roi: Array) -> Array:
        for i, channels in enumerate(stage):
            conv = layers.Conv(channels, stride=1 if i else 2, dtype=module.dtype, name=f"conv{s}_{i}")
            x = layers.masked(jax.nn.relu(conv(x)), roi)
        return x
