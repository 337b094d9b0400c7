"""What counting models do with an encoder's features: dilated back end, spatial encoder, output, head."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cc_jax.errors import ConfigError
from cc_jax.models.parts import convolution, layers
from cc_jax.units import CELL

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class BackEnd(nn.Module):
    """3x3 convolutions of dilation 2, each followed by a ReLU; the later part of SFCN's back end."""

    channels: tuple[int, ...]
    kernel_init: str
    dtype: str

    @nn.compact
    def __call__(self, x: Array, roi: Array, channels_Nxm: Array | None = None) -> Array:
        """[B,h,w,C] -> [B,h,w,D]; with `channels_Nxm` the first convolution is done N times, reading these channels alone:
        [N*B,h,w,D], `roi` being that of the N*B."""
        for i, features in enumerate(self.channels):
            conv = layers.Conv(
                features, dilation=2, kernel_init=self.kernel_init, dtype=self.dtype, name=f"conv{i}"
            )
            x = (
                conv(x)
                if i or channels_Nxm is None
                else jnp.concatenate([conv(x, own) for own in channels_Nxm])
            )
            x = layers.masked(jax.nn.relu(x), roi)
        return x


class SpatialEncoder(nn.Module):
    """convDU (1x9 along the rows, handed down and up) and convLR (9x1, left and right) of SFCN."""

    length: int
    channels: int
    kernel_init: str
    dtype: str

    def setup(self):
        shape, init = (self.length, self.channels, self.channels), layers.INITIALISERS[self.kernel_init]
        for name in ("down_up", "left_right"):
            setattr(self, f"{name}_kernel", self.param(f"{name}_kernel", init, shape))
            setattr(self, f"{name}_bias", self.param(f"{name}_bias", nn.initializers.zeros, (self.channels,)))

    def __call__(self, x: Array, roi: Array) -> Array:
        x = layers.scan_rows(x, roi, self.step("down_up"))
        return layers.scan_rows(x.swapaxes(1, 2), roi.swapaxes(1, 2), self.step("left_right")).swapaxes(1, 2)

    def step(self, name: str) -> Callable[[Array], Array]:
        """The convolution along a row that "down_up", or along a column that "left_right" is made of."""
        kernel, bias = (getattr(self, f"{name}_{part}").astype(self.dtype) for part in ("kernel", "bias"))
        return lambda row: convolution.convolve_row(row, kernel) + bias

    def hand_on(self, name: str, upwards: bool, x: Array, roi: Array, carry: Any) -> tuple[Array, Any]:
        """A direction of one of the two over some of the rows, or of the columns as rows; see `layers.hand_on`."""
        return layers.hand_on(x, roi, self.step(name), carry, upwards)


class FigureHead(nn.Module):
    """Upside-down logits by pooling and an MLP (the paper's figure): any image size.

    Pooled to a coarse grid, not to one cell: perspective is where people are small, which one cell forgets. From noise,
    on the synthetic target, 300 steps of this task alone gave 86 % with 4x4 cells and 73 % with one.
    """

    hidden: int
    dtype: str
    classes: int = 2
    grid: int = 4

    @nn.compact
    def __call__(self, features: Array, roi: Array) -> Array:
        x = layers.adaptive_mean(features, roi, self.grid, self.grid).reshape(features.shape[0], -1)
        x = jax.nn.relu(nn.Dense(self.hidden, name="hidden")(x))
        return nn.Dense(self.classes, name="logits")(x)


class CodeHead(nn.Module):
    """Upside-down logits as in the paper's code: a second dilated back end, pooling to 96x128, one linear layer.

    Adaptive pooling makes it fit any size; at 768x1024 it is the identity. The second back end shares the first
    convolution with the density's, since `classify` starts from what `encode` returns.
    """

    channels: tuple[int, ...]
    kernel_init: str
    dtype: str

    @nn.compact
    def __call__(self, features: Array, roi: Array) -> Array:
        x = BackEnd(self.channels, self.kernel_init, self.dtype, name="back_end")(features, roi)
        x = layers.adaptive_mean(x, roi, 96, 128)
        return nn.Dense(2, name="logits")(x.reshape(x.shape[0], -1))


class CountingModel(nn.Module):
    """Encoder, first back-end convolution | mask | rest of the back end, spatial encoder, density.

    A model names its encoder (`make_encoder`) and its defaults. Arrays: image [B,H,W,3] RGB 0-255 (any number
    type), roi [B,H,W,1] (above 0 inside), features and density at h = ceil(H/8), w = ceil(W/8).

    Fields:
      dtype: what activations are computed in, "float32" or "bfloat16"; parameters are float32.
      head: upside-down classifier, "figure" (pooling and MLP) or "code" (second back end, one linear layer); or
        "quarters", the figure's with a class for each quarter turn.
      back_end: channels of the dilated 3x3 convolutions; the mask comes right after the first.
      spatial_kernel_size: kernel length of convDU and convLR; 0 leaves them out.
      output: "relu" or "softplus", what keeps the density non-negative (see `reviving_relu`).
      kernel_init, spatial_kernel_init: names in `layers.INITIALISERS` for the back end and the spatial encoder.
      width: factor on all channels of encoder and back end but the density.
      normalise: whether the encoder's features are brought to a root mean square of 1 at each position (RMSNorm).
      mean, std: of the pixels / 255, until pretrained weights bring their own.
      remat: whether the encoder's stages are computed again for the gradient instead of kept.
      apply_density_head: without it `decode` and `decode_members` give what `spatial_and_density` takes (see tiling.py).
    """

    dtype: str = "float32"
    head: str = "figure"
    back_end: tuple[int, ...] = (512, 512, 512, 256, 128, 64)
    spatial_kernel_size: int = 9
    output: str = "relu"
    kernel_init: str = "normal"
    spatial_kernel_init: str = "normal"
    hidden: int = 128
    width: float = 1.0
    normalise: bool = False
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    apply_density_head: bool = True
    remat: bool = False

    @nn.nowrap  # `reach` asks for it outside of any computation
    def make_encoder(self) -> nn.Module:
        """A module `(normalised image, roi_pyramid) -> [B,h,w,C]` with its own `reach`."""
        raise NotImplementedError

    @property
    def reach(self) -> int:
        """Pixels beyond a cell's own that its features before the spatial encoder depend on, a multiple of 8."""
        return -(-self.make_encoder().reach // CELL) * CELL + 2 * CELL * len(self.back_end)

    @property
    def channels(self) -> tuple[int, ...]:
        """Back-end channels after the width factor."""
        return tuple(scale_channels(c, self.width) for c in self.back_end)

    @property
    def mask_channels(self) -> int:
        """Channels of the features that `encode` returns and a mask multiplies."""
        return self.channels[0]

    def setup(self):
        if self.output not in OUTPUTS:
            raise ConfigError(f"model.output is {self.output!r}; it may be {' or '.join(map(repr, OUTPUTS))}")
        first, *rest = self.channels
        # A collection of its own: pretrained weights bring theirs and no optimizer moves them.
        self.norm_mean = self.variable("norm", "mean", jnp.asarray, tuple(self.mean), jnp.float32)
        self.norm_std = self.variable("norm", "std", jnp.asarray, tuple(self.std), jnp.float32)
        self.encoder = self.make_encoder()
        self.mask_layer = BackEnd((first,), self.kernel_init, self.dtype, name="first")
        self.after_mask = BackEnd(tuple(rest), self.kernel_init, self.dtype, name="rest")
        if self.spatial_kernel_size:
            self.spatial = SpatialEncoder(
                self.spatial_kernel_size, rest[-1], self.spatial_kernel_init, self.dtype
            )
        self.density = layers.Conv(1, (1, 1), kernel_init="normal", dtype=self.dtype)
        self.upside_down = self._make_head(tuple(rest))

    def _make_head(self, rest: tuple[int, ...]) -> nn.Module:
        if self.head in ("figure", "quarters"):
            return FigureHead(self.hidden, self.dtype, classes=4 if self.head == "quarters" else 2)
        if self.head == "code":
            return CodeHead(rest, self.kernel_init, self.dtype)
        raise ConfigError(f"model.head is {self.head!r}; it may be 'figure', 'quarters' or 'code'")

    def encode(self, image: Array, roi: Array) -> Float[Array, "b h w c"]:
        """Features right before the mask: encoder, first back-end convolution, ReLU."""
        image = layers.pad_to_multiple(image, CELL)
        pyramid = layers.roi_pyramid(roi)
        x = (image.astype(jnp.float32) / 255 - self.norm_mean.value) / self.norm_std.value
        x = layers.masked(x, pyramid[1]).astype(self.dtype)
        x = self.encoder(x, pyramid)
        if self.normalise:
            x = layers.rms_norm(x)
        return self.mask_layer(x, pyramid[CELL])

    def decode(self, features: Array, mask: Array | None, roi: Array) -> Float[Array, "b h w 1"]:
        """Density per cell, float32, non-negative, 0 outside the ROI; `mask` is None, [C] or [B,C]."""
        cells = layers.roi_pyramid(roi)[CELL]
        x = features if mask is None else features * _as_bhwc(mask).astype(features.dtype)
        x = self.after_mask(x, cells)
        return self.spatial_and_density(x, cells) if self.apply_density_head else x

    def decode_members(self, features: Array, channels_Nxm: Array, roi: Array) -> Float[Array, "n b h w 1"]:
        """`decode` under N masks that each let m channels through unchanged, without computing with the others."""
        number, batch = channels_Nxm.shape[0], features.shape[0]
        cells = jnp.tile(layers.roi_pyramid(roi)[CELL], (number, 1, 1, 1))
        x = self.after_mask(features, cells, channels_Nxm)
        x = self.spatial_and_density(x, cells) if self.apply_density_head else x
        return x.reshape(number, batch, *x.shape[1:])

    def spatial_and_density(self, x: Array, roi: Array) -> Float[Array, "b h w 1"]:
        """Density per cell from the back end's output and the ROI's level 8, for which the whole image must be seen."""
        return self.density_head(self.spatial(x, roi) if self.spatial_kernel_size else x, roi)

    def hand_on(self, name: str, upwards: bool, x: Array, roi: Array, carry: Any) -> tuple[Array, Any]:
        """Some of the spatial encoder's rows, see there."""
        return self.spatial.hand_on(name, upwards, x, roi, carry)

    def density_head(self, x: Array, roi: Array) -> Float[Array, "b h w 1"]:
        """Density per cell from what the spatial encoder has gone through."""
        return layers.masked(OUTPUTS[self.output](self.density(x).astype(jnp.float32)), roi)

    def classify(self, features: Array, roi: Array) -> Float[Array, "b k"]:
        """Logits of (upright, upside down), or of the quarter turns, float32."""
        roi = layers.roi_pyramid(roi)[CELL]
        return self.upside_down(features, roi).astype(jnp.float32)

    def embed(self, features: Array, roi: Array) -> Float[Array, "b c"]:
        """The features' mean over the ROI, float32: what kind of image it is, wherever things are in it."""
        roi = layers.roi_pyramid(roi)[CELL]
        total = layers.masked(features.astype(jnp.float32), roi).sum((1, 2))
        return total / jnp.maximum(roi.sum((1, 2)), 1.0)

    def __call__(self, image: Array, roi: Array) -> dict[str, Any]:
        """One pass without a mask; touches every parameter, so `init` goes through here."""
        features = self.encode(image, roi)
        return {"density": self.decode(features, None, roi), "upside_down": self.classify(features, roi)}


@jax.custom_vjp
def reviving_relu(x: Array) -> Array:
    """max(x, 0), whose gradient also passes below 0 where it would raise x.

    A density that starts below 0 everywhere never learns through a plain ReLU (half of the random starts of a 1x1
    convolution do). This is the gradient of the same loss under the constraint density >= 0 (derived).
    """
    return jax.nn.relu(x)


reviving_relu.defvjp(lambda x: (jax.nn.relu(x), x), lambda x, g: (jnp.where((x > 0) | (g < 0), g, 0),))

OUTPUTS = {"relu": reviving_relu, "softplus": jax.nn.softplus}


def scale_channels(channels: int, width: float) -> int:
    """`channels` times `width`, rounded to a multiple of 4, at least 4 (the vector units like it)."""
    return channels if width == 1 else max(4, round(channels * width / 4) * 4)


def _as_bhwc(mask: Array) -> Array:
    """[C] or [B,C] -> broadcastable over [B,h,w,C]."""
    return mask.reshape(-1, 1, 1, mask.shape[-1])
