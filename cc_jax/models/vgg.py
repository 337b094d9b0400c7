"""Plain stacks of convolutions with stride 8: VGG-16's first ten, and the small one of `tiny`."""

import flax.linen as nn
import jax
from jaxtyping import Array

from cc_jax.models import layers
from cc_jax.models.decoder import scale_channels

# Channels of VGG-16's first ten convolutions, grouped by stride (Simonyan & Zisserman 2015, table 1, column D).
STAGES = ((1, (64, 64)), (2, (128, 128)), (4, (256, 256, 256)), (8, (512, 512, 512)))


class VGG(nn.Module):
    """Ten 3x3 convolutions with ReLU, a 2x2 max pooling before each stage but the first."""

    width: float = 1.0
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Array, pyramid: dict[int, Array]) -> Array:
        i = 0
        for stride, stage in STAGES:
            if stride > 1:
                x = layers.max_pool(x)
            for channels in stage:
                conv = layers.Conv(scale_channels(channels, self.width), dtype=self.dtype, name=f"conv{i}")
                x = layers.masked(jax.nn.relu(conv(x)), pyramid[stride])
                i += 1
        return x


class StridedStack(nn.Module):
    """3x3 convolutions with ReLU in three stages at strides 2, 4 and 8; the first of a stage halves the size.

    A VGG spends most of its time at full resolution; here nothing runs there.
    """

    stages: tuple[tuple[int, ...], ...]
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Array, pyramid: dict[int, Array]) -> Array:
        for s, stage in enumerate(self.stages):
            for i, channels in enumerate(stage):
                conv = layers.Conv(channels, stride=1 if i else 2, dtype=self.dtype, name=f"conv{s}_{i}")
                x = layers.masked(jax.nn.relu(conv(x)), pyramid[2 ** (s + 1)])
        return x
