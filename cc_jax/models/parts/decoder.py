"""The contract of counting models, and what they do with an encoder's features: back end, spatial encoder, output, head.

A model is a file `cc_jax/models/NAME.py` (or `NAME.py` in the folder `models` of $CC_JAX_PLUGINS) with a class `Model`, a
subclass of `CountingModel`. `config.model.name=NAME` selects it, and `config.model.NAME` holds its fields. `models/sfcn.py`
is the smallest example.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float

from cc_jax.errors import ConfigError
from cc_jax.models.parts import convolution, layers
from cc_jax.models.parts.convolution import Array
from cc_jax.units import CELL

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class BackEnd(nn.Module):
    """3x3 convolutions of dilation 2, each followed by a ReLU, as in SFCN's back end.

    Attributes:
      channels: output channels of each convolution.
      kernel_init: name in `layers.INITIALISERS`.
      dtype: what activations are computed in.
    """

    channels: tuple[int, ...]
    kernel_init: str
    dtype: str

    @nn.compact
    def __call__(self, x: Array, roi: Array, channels_Nxm: Array | None = None) -> Array:
        """Map [B,h,w,C] to [B,h,w,D].

        With `channels_Nxm`, int32 [N,m], the first convolution runs N times and reads only the m listed channels. The result
        is then [N*B,h,w,D], and `roi` must be [N*B,h,w,1].
        """
        for i, features in enumerate(self.channels):
            conv = layers.Conv(
                features, dilation=2, kernel_init=self.kernel_init, dtype=self.dtype, name=f"conv{i}"
            )
            if i or channels_Nxm is None:
                x = conv(x)
            else:
                x = jnp.concatenate([conv(x, channels) for channels in channels_Nxm])
            x = layers.masked(jax.nn.relu(x), roi)
        return x


class SpatialEncoder(nn.Module):
    """SFCN's spatial encoder: convDU passes each row down and up, convLR passes each column left and right.

    Attributes:
      length: kernel length along a row or column; 9 in SFCN.
      channels: channels of input and output.
      kernel_init: name in `layers.INITIALISERS`.
      dtype: what activations are computed in.
    """

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
        """Return the convolution along a row of "down_up", or along a column of "left_right"."""
        kernel, bias = (getattr(self, f"{name}_{part}").astype(self.dtype) for part in ("kernel", "bias"))
        return lambda row: convolution.convolve_row(row, kernel) + bias

    def hand_on(self, name: str, upwards: bool, x: Array, roi: Array, carry: Any) -> tuple[Array, Any]:
        """Run one direction of one of the two over a block of rows (or of columns, given as rows); see `layers.hand_on`."""
        return layers.hand_on(x, roi, self.step(name), carry, upwards)


class FigureHead(nn.Module):
    """Upside-down classifier by pooling and an MLP, as in the paper's figure. Takes any image size.

    The features are pooled to a coarse grid and not to a single cell, which would forget where in the image people are
    small.

    Attributes:
      hidden: hidden units.
      classes: number of orientations.
      grid: cells along each side of the pooled features.
    """

    hidden: int
    classes: int = 2
    grid: int = 4

    @nn.compact
    def __call__(self, features: Array, roi: Array) -> Array:
        x = layers.adaptive_mean(features, roi, self.grid, self.grid).reshape(features.shape[0], -1)
        x = jax.nn.relu(nn.Dense(self.hidden, name="hidden")(x))
        return nn.Dense(self.classes, name="logits")(x)


class CodeHead(nn.Module):
    """Upside-down classifier as in the paper's code: a second dilated back end, pooling to 96x128, one linear layer.

    Adaptive pooling makes it fit any image size; at 768x1024 it is the identity. Both back ends share the first convolution,
    because `classify` starts from what `encode` returns.

    Attributes:
      channels: output channels of the second back end's convolutions.
      kernel_init: name in `layers.INITIALISERS`.
      dtype: what activations are computed in.
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
    """Base class of models: encoder, first back-end convolution | mask | rest of the back end, spatial encoder, density.

    A subclass defines `make_encoder`. Fields that a config may set are declared in the subclass, with an annotation, a
    literal default and a line under "Attributes:" in its docstring, even where they override a field of this class. The
    subclass should also assign `display_name` and `summary`, without annotations: reports show them.

    Arrays: image [B,H,W,3], RGB, 0 to 255, any number type; roi [B,H,W,1], positive inside; features and density have h =
    ceil(H / 8) rows and w = ceil(W / 8) columns, called cells. A model must hold to the following, tested for every file
    in `tests/plugins_test.py`:

    Entry points. `init` and `apply` go through `__call__(image, roi)`, which touches every parameter. Uncertainties and
    methods call:

    - `encode(image, roi)` -> features [B,h,w,C] right before the mask, with C = `mask_channels`. Runs once for each network.
    - `decode(features, mask, roi)` -> density [B,h,w,1], float32, not negative. Runs once for each sample.
    - `decode_members(features, channels_Nxm, roi)` -> [N,B,h,w,1], `decode` under N masks that only select channels.
    - `classify(features, roi)` -> logits [B,K] of the image's orientation.
    - `embed(features, roi)` -> [B,D], the kind of image. Calibration compares images by it.

    Masks. `decode` multiplies the features by the mask, [C] or [B,C]. A mask of ones is no mask. Nothing before the mask
    may depend on it.

    ROI and padding. Pixels outside the ROI influence nothing: the ROI multiplies the input and the output of every layer
    with a bias or a window (`layers.masked`, with the level of `layers.roi_pyramid` at the layer's stride). The density is 0
    outside. Statistics over the image count the ROI alone. An image that is padded with zeros in image and ROI has
    therefore the same count as before.

    Tiling. Large images are counted in tiles (inference/tiling.py). What runs before the spatial encoder must be local: a
    cell depends only on pixels at most `reach` away from it. No normalization over the image, no global pooling, no
    attention over positions. With `apply_density_head=False`, `decode` and `decode_members` stop before the spatial encoder.
    The rest then runs over the whole image in blocks of rows: `hand_on(name, upwards, x, roi, carry)` for
    the spatial encoder unless `spatial_kernel_size` is 0, and `density_head(x, roi)`, which acts on each cell by itself.

    Weights. Parameters of the encoder lie under the name "encoder", where pretrained weights are loaded and the optimizer
    finds them. The collection "norm" holds `mean` and `std` of the pixels. Parameters are float32.

    Attributes:
      dtype: what activations are computed in, "float32" or "bfloat16".
      head: upside-down classifier: "figure" (pooling and an MLP), "code" (a second back end and one linear layer), or
        "quarters" (as "figure", with one class for each quarter turn).
      back_end: channels of the dilated 3x3 convolutions. The mask comes right after the first.
      spatial_kernel_size: kernel length of the spatial encoder; 0 leaves it out.
      output: what keeps the density from being negative: "relu" (see `reviving_relu`) or "softplus".
      kernel_init, spatial_kernel_init: names in `layers.INITIALISERS`, for the back end and the spatial encoder.
      hidden: hidden units of the upside-down classifier.
      width: factor on all channels of encoder and back end.
      normalise: whether the encoder's features are scaled to a root mean square of 1 at each position (RMSNorm).
      apply_density_head: whether `decode` and `decode_members` return the density, see "Tiling".
      remat: whether the encoder's activations are computed again for the gradient instead of being kept.
      mean, std: of the pixels divided by 255. Pretrained weights bring their own.
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
    apply_density_head: bool = True
    remat: bool = False

    mean: ClassVar[tuple[float, float, float]] = IMAGENET_MEAN
    std: ClassVar[tuple[float, float, float]] = IMAGENET_STD

    # Not wrapped by flax, because `reach` calls it outside of `init` and `apply`.
    @nn.nowrap
    def make_encoder(self) -> nn.Module:
        """Return the encoder: a module `(normalized image, roi_pyramid) -> [B,h,w,C]` with a property `reach`."""
        raise NotImplementedError

    @property
    def reach(self) -> int:
        """Distance in pixels, a multiple of 8, up to which a cell depends on the image before the spatial encoder."""
        return -(-self.make_encoder().reach // CELL) * CELL + 2 * CELL * len(self.back_end)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the back end, with the factor `width`."""
        return tuple(scale_channels(c, self.width) for c in self.back_end)

    @property
    def mask_channels(self) -> int:
        """Channels of the features that `encode` returns and that a mask multiplies."""
        return self.channels[0]

    def setup(self):
        if self.output not in OUTPUTS:
            raise ConfigError(
                f"model.output is {self.output!r}: it must be {' or '.join(map(repr, OUTPUTS))}"
            )
        first, *rest = self.channels
        # Not parameters: pretrained weights bring their own, and no optimizer may move them.
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
            return FigureHead(self.hidden, classes=4 if self.head == "quarters" else 2)
        if self.head == "code":
            return CodeHead(rest, self.kernel_init, self.dtype)
        raise ConfigError(f"model.head is {self.head!r}: it must be 'figure', 'quarters' or 'code'")

    def encode(self, image: Array, roi: Array) -> Float[Array, "b h w c"]:
        """Return the features right before the mask: encoder, first back-end convolution, ReLU."""
        image = layers.pad_to_multiple(image, CELL)
        pyramid = layers.roi_pyramid(roi)
        x = (image.astype(jnp.float32) / 255 - self.norm_mean.value) / self.norm_std.value
        x = layers.masked(x, pyramid[1]).astype(self.dtype)
        x = self.encoder(x, pyramid)
        if self.normalise:
            x = layers.rms_norm(x)
        return self.mask_layer(x, pyramid[CELL])

    def decode(self, features: Array, mask: Array | None, roi: Array) -> Float[Array, "b h w c"]:
        """Return the density of each cell, float32, not negative, 0 outside the ROI. `mask` is None, [C] or [B,C]."""
        cells = layers.roi_pyramid(roi)[CELL]
        x = features if mask is None else features * _as_bhwc(mask).astype(features.dtype)
        x = self.after_mask(x, cells)
        return self.spatial_and_density(x, cells) if self.apply_density_head else x

    def decode_members(self, features: Array, channels_Nxm: Array, roi: Array) -> Float[Array, "n b h w c"]:
        """Return `decode` under N masks that each keep m channels unchanged, without computing the other channels.

        Args:
          features: output of `encode`.
          channels_Nxm: int32, the channels that each mask keeps.
          roi: region of interest.
        """
        number, batch = channels_Nxm.shape[0], features.shape[0]
        cells = jnp.tile(layers.roi_pyramid(roi)[CELL], (number, 1, 1, 1))
        x = self.after_mask(features, cells, channels_Nxm)
        x = self.spatial_and_density(x, cells) if self.apply_density_head else x
        return x.reshape(number, batch, *x.shape[1:])

    def spatial_and_density(self, x: Array, roi: Array) -> Float[Array, "b h w 1"]:
        """Return the density of each cell from the back end's output of the whole image and the ROI of the cells."""
        return self.density_head(self.spatial(x, roi) if self.spatial_kernel_size else x, roi)

    def hand_on(self, name: str, upwards: bool, x: Array, roi: Array, carry: Any) -> tuple[Array, Any]:
        """Run one direction of the spatial encoder over a block of rows; see `SpatialEncoder.hand_on`."""
        return self.spatial.hand_on(name, upwards, x, roi, carry)

    def density_head(self, x: Array, roi: Array) -> Float[Array, "b h w 1"]:
        """Return the density of each cell from the output of the spatial encoder. Acts on each cell by itself."""
        return layers.masked(OUTPUTS[self.output](self.density(x).astype(jnp.float32)), roi)

    def classify(self, features: Array, roi: Array) -> Float[Array, "b k"]:
        """Return logits of (upright, upside down), or of the quarter turns, float32."""
        roi = layers.roi_pyramid(roi)[CELL]
        return self.upside_down(features, roi).astype(jnp.float32)

    def embed(self, features: Array, roi: Array) -> Float[Array, "b c"]:
        """Return the mean of the features over the ROI, float32: the kind of image, wherever things are in it."""
        roi = layers.roi_pyramid(roi)[CELL]
        total = layers.masked(features.astype(jnp.float32), roi).sum((1, 2))
        return total / jnp.maximum(roi.sum((1, 2)), 1.0)

    def __call__(self, image: Array, roi: Array) -> dict[str, Any]:
        """Run all parts once, without a mask, so that `init` makes every parameter."""
        features = self.encode(image, roi)
        return {"density": self.decode(features, None, roi), "upside_down": self.classify(features, roi)}


@jax.custom_vjp
def reviving_relu(x: Array) -> Array:
    """max(x, 0) with a gradient that also passes below 0 if it would raise x.

    A density that starts below 0 everywhere, as half of the random 1x1 convolutions do, never learns through a plain ReLU.
    This is the gradient of the same loss under the constraint density >= 0 (derived).
    """
    return jax.nn.relu(x)


reviving_relu.defvjp(lambda x: (jax.nn.relu(x), x), lambda x, g: (jnp.where((x > 0) | (g < 0), g, 0),))

OUTPUTS = {"relu": reviving_relu, "softplus": jax.nn.softplus}


def scale_channels(channels: int, width: float) -> int:
    """Return `channels` times `width`, rounded to a multiple of 4, at least 4. Vector units prefer such sizes."""
    return channels if width == 1 else max(4, round(channels * width / 4) * 4)


def _as_bhwc(mask: Array) -> Array:
    """Reshape [C] or [B,C] to broadcast over [B,h,w,C]."""
    return mask.reshape(-1, 1, 1, mask.shape[-1])
