"""EfficientNet-Lite0 up to its 112-channel stage, with features at stride 8 and batch norm folded into the weights.

Architecture: EfficientNet-B0 (Tan & Le 2019) in the Lite variant of the TensorFlow TPU repository: no
squeeze-and-excitation, ReLU6, TF-SAME padding. The stage that would go to stride 16 keeps stride 8, and the layers after it
are dilated by 2 (Chen et al. 2017), so that every filter still sees what it was trained on.
"""

import dataclasses

import flax.linen as nn
import jax

from cc_jax.models.parts import convolution, layers
from cc_jax.models.parts.convolution import Array

STEM = 32
# Normalization of the pixels that the official Lite models were trained with: (x - 127) / 128.
MEAN, STD = (127 / 255, 127 / 255, 127 / 255), (128 / 255, 128 / 255, 128 / 255)


@dataclasses.dataclass(frozen=True)
class Block:
    """Shape of an inverted bottleneck: 1x1 expansion, depthwise convolution, 1x1 projection.

    Attributes:
      features: output channels.
      expand: factor of the expansion.
      size, stride, dilation: of the depthwise convolution.
      level: stride of the output with respect to the image.
    """

    features: int
    expand: int
    size: int
    stride: int
    dilation: int
    level: int


BLOCKS = (
    Block(16, 1, 3, 1, 1, 2),
    Block(24, 6, 3, 2, 1, 4),
    Block(24, 6, 3, 1, 1, 4),
    Block(40, 6, 5, 2, 1, 8),
    Block(40, 6, 5, 1, 1, 8),
    # Stride 2 in the original; here the blocks after it are dilated instead.
    Block(80, 6, 3, 1, 1, 8),
    Block(80, 6, 3, 1, 2, 8),
    Block(80, 6, 3, 1, 2, 8),
    Block(112, 6, 5, 1, 2, 8),
    Block(112, 6, 5, 1, 2, 8),
    Block(112, 6, 5, 1, 2, 8),
)


class Depthwise(nn.Module):
    """Depthwise convolution with a bias. The kernel is [size,size,C]."""

    size: int
    stride: int
    dilation: int
    dtype: str

    @nn.compact
    def __call__(self, x: Array) -> Array:
        channels = x.shape[-1]
        init = nn.initializers.normal((2.0 / self.size**2) ** 0.5)
        kernel = self.param("kernel", init, (self.size, self.size, channels)).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (channels,)).astype(self.dtype)
        return convolution.depthwise(x, kernel, self.stride, self.dilation) + bias


class InvertedBottleneck(nn.Module):
    """Expansion, depthwise convolution, projection, and a shortcut around them if `shortcut` is set."""

    spec: Block
    shortcut: bool
    dtype: str

    @nn.compact
    def __call__(self, x: Array, pyramid: dict[int, Array]) -> Array:
        spec, y = self.spec, x
        if spec.expand > 1:
            y = self._pointwise(x.shape[-1] * spec.expand, "expand")(x)
            # Without the mask the expansion's bias would leak into the ROI through the depthwise window.
            y = layers.masked(jax.nn.relu6(y), pyramid[spec.level // spec.stride])
        y = Depthwise(spec.size, spec.stride, spec.dilation, self.dtype, name="depthwise")(y)
        y = self._pointwise(spec.features, "project")(jax.nn.relu6(y))
        y = layers.masked(y, pyramid[spec.level])
        return x + y if self.shortcut else y

    def _pointwise(self, features: int, name: str) -> nn.Module:
        return layers.Conv(features, (1, 1), dtype=self.dtype, name=name)


class EfficientNetLite0(nn.Module):
    """Encoder: normalized image [B,H,W,3] -> features [B,H/8,W/8,112].

    Attributes:
      dtype: what activations are computed in.
      remat: whether each block's activations are computed again for the gradient instead of being kept.
    """

    dtype: str = "float32"
    remat: bool = False

    @property
    def reach(self) -> int:
        """Distance in pixels up to which the features of a cell depend on the image."""
        return 1 + sum(spec.size // 2 * spec.dilation * spec.level // spec.stride for spec in BLOCKS)

    @nn.compact
    def __call__(self, x: Array, pyramid: dict[int, Array]) -> Array:
        x = layers.Conv(STEM, stride=2, dtype=self.dtype, name="stem")(x)
        x = layers.masked(jax.nn.relu6(x), pyramid[2])
        block = nn.remat(InvertedBottleneck) if self.remat else InvertedBottleneck
        for i, spec in enumerate(BLOCKS):
            shortcut = spec.stride == 1 and x.shape[-1] == spec.features
            x = block(spec, shortcut, self.dtype, name=f"block{i}")(x, pyramid)
        return x
