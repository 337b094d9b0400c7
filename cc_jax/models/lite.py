"""`lite`: an EfficientNet-Lite0 encoder and a narrow SFCN decoder; the model for CPUs."""

from typing import ClassVar

import flax.linen as nn

from cc_jax.models.parts import efficientnet
from cc_jax.models.parts.decoder import CountingModel


class Model(CountingModel):
    """`CountingModel` on the stride-8 features of EfficientNet-Lite0.

    Attributes:
      back_end: Channels of the dilated convolutions after the encoder.
      spatial_kernel_size: Kernel length of the spatial encoder; 0 leaves it out.
      width: Factor on the channels of the back end. The encoder keeps its own, those of the pretrained weights.
      hidden: Hidden units of the upside-down classifier.
      normalise: Whether the encoder's features are scaled to a root mean square of 1 at each position.
      kernel_init: Initialization of the back end, see `layers.INITIALISERS`.
      spatial_kernel_init: Initialization of the spatial encoder.
    """

    display_name = "lite"
    summary = "An EfficientNet-Lite0 with a narrow decoder, for CPUs."

    back_end: tuple[int, ...] = (128, 128, 128, 64)
    spatial_kernel_size: int = 9
    width: float = 1.0
    hidden: int = 64
    normalise: bool = True
    kernel_init: str = "he"
    spatial_kernel_init: str = "contracting"

    mean: ClassVar[tuple[float, float, float]] = efficientnet.MEAN
    std: ClassVar[tuple[float, float, float]] = efficientnet.STD

    @nn.nowrap
    def make_encoder(self):
        return efficientnet.EfficientNetLite0(self.dtype, self.remat)
