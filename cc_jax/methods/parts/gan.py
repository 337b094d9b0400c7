"""Networks for image translation: a residual generator and a patch discriminator.

Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", ICCV 2017, appendix 7.2. As in
their released code, instance normalization has no scale and shift, and kernels are initialized from N(0, 0.02).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float

from cc_jax.models.parts import convolution, layers
from cc_jax.models.parts.convolution import Array


def instance_norm(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Normalize each channel of each image to mean 0 and variance 1."""
    x32 = x.astype(jnp.float32)
    mean = x32.mean((1, 2), keepdims=True)
    variance = x32.var((1, 2), keepdims=True)
    return ((x32 - mean) * jax.lax.rsqrt(variance + 1e-5)).astype(x.dtype)


class Generator(nn.Module):
    """Translate images to the look of the other domain: two strided convolutions, residual blocks, two upsamplings.

    The sides of an image must be multiples of 4. The original has width 64 and 9 blocks: 11.378 M parameters.

    Attributes:
      width: channels of the first layer.
      blocks: number of residual blocks.
      dtype: what activations are computed in.
    """

    width: int = 64
    blocks: int = 9
    dtype: str = "float32"

    @nn.compact
    def __call__(self, image: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
        """Map images in [-1, 1] to images in [-1, 1]."""
        x = _relu_norm(self._conv(self.width, 7, name="first")(_reflect(image.astype(self.dtype), 3)))
        for i, factor in enumerate((2, 4)):
            x = _relu_norm(self._conv(factor * self.width, 3, 2, padding=1, name=f"down{i}")(x))
        for i in range(self.blocks):
            y = _relu_norm(self._conv(4 * self.width, 3, name=f"block{i}_a")(_reflect(x, 1)))
            x = x + instance_norm(self._conv(4 * self.width, 3, name=f"block{i}_b")(_reflect(y, 1)))
        for i, factor in enumerate((2, 1)):
            x = _relu_norm(Doubling(factor * self.width, self.dtype, name=f"up{i}")(x))
        return jnp.tanh(self._conv(3, 7, name="last")(_reflect(x, 3)).astype(jnp.float32))

    def _conv(self, features: int, size: int, stride: int = 1, *, padding: int = 0, name: str) -> nn.Module:
        return layers.Conv(
            features, (size, size), stride, padding=padding, dtype=self.dtype, kernel_init="gan", name=name
        )


class Doubling(nn.Module):
    """Transposed 3x3 convolution of stride 2, the same as flax's `ConvTranspose` with SAME padding.

    Computed as a 2x2 convolution whose output channels are the four pixels that each input pixel becomes. On CPUs, XLA's
    weight gradient of a convolution over a dilated input is much slower than that of a plain convolution.

    Attributes:
      features: output channels.
      dtype: what activations are computed in.
    """

    features: int
    dtype: str

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b 2*h 2*w d"]:
        kernel = self.param("kernel", layers.INITIALISERS["gan"], (3, 3, x.shape[-1], self.features)).astype(
            self.dtype
        )
        bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
        # Which taps of the kernel connect (the previous input pixel, this one) to the two output pixels along an axis: the
        # first output takes tap 0 of the previous and tap 2 of this one, the second takes tap 1 of this one.
        # [output, input, tap]
        taps = jnp.zeros((2, 2, 3), self.dtype).at[(0, 0, 1), (0, 1, 1), (0, 2, 1)].set(1)
        outputs = jnp.einsum("put,qvs,tscd->uvcpqd", taps, taps, kernel)
        batch, height, width, channels = x.shape
        y = convolution.convolve(x, outputs.reshape(2, 2, channels, -1), padding=((1, 0), (1, 0)))
        y = y.reshape(batch, height, width, 2, 2, -1).transpose(0, 1, 3, 2, 4, 5)
        return y.reshape(batch, 2 * height, 2 * width, -1) + bias


class Discriminator(nn.Module):
    """Judge whether each patch of 70x70 pixels is real (1) or generated (0).

    Attributes:
      width: channels of the first layer. The original has 64: 2.765 M parameters.
      dtype: what activations are computed in.
    """

    width: int = 64
    dtype: str = "float32"

    @nn.compact
    def __call__(self, image: Float[Array, "b h w 3"]) -> Float[Array, "b p q 1"]:
        """Return logits of the patches of images in [-1, 1]."""
        x = image.astype(self.dtype)
        for i, (factor, stride) in enumerate(((1, 2), (2, 2), (4, 2), (8, 1))):
            conv = self._conv(factor * self.width, stride, name=f"conv{i}")
            x = nn.leaky_relu(instance_norm(conv(x)) if i else conv(x), 0.2)
        return self._conv(1, 1, name="logits")(x).astype(jnp.float32)

    def _conv(self, features: int, stride: int, *, name: str) -> nn.Module:
        return layers.Conv(
            features, (4, 4), stride, padding=1, dtype=self.dtype, kernel_init="gan", name=name
        )


def _relu_norm(x: Array) -> Array:
    return nn.relu(instance_norm(x))


def _reflect(x: Array, by: int) -> Array:
    return jnp.pad(x, ((0, 0), (by, by), (by, by), (0, 0)), mode="reflect")
