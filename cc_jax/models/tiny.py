"""`tiny`: the structure of SFCN in a quarter of a million weights, trained from noise in minutes on two cores."""

from typing import ClassVar

import flax.linen as nn

from cc_jax.models.parts import vgg
from cc_jax.models.parts.decoder import CountingModel, scale_channels


class Model(CountingModel):
    """A VGG-like encoder that computes nothing at full resolution, a narrow back end, SFCN's spatial encoder and head.

    Attributes:
      encoder_channels: Channels of the encoder's convolutions at strides 2, 4 and 8.
      back_end: Channels of the dilated convolutions after the encoder.
      spatial_kernel_size: Kernel length of the spatial encoder; 0 leaves it out.
      width: Factor on all channels of encoder and back end.
      hidden: Hidden units of the upside-down classifier.
      kernel_init: Initialization of the back end, see `layers.INITIALISERS`.
      spatial_kernel_init: Initialization of the spatial encoder.
    """

    display_name = "tiny"
    summary = "A network of a quarter of a million weights, trained from noise in minutes."

    encoder_channels: tuple[tuple[int, ...], ...] = ((16,), (32, 32), (64, 64))
    back_end: tuple[int, ...] = (64, 64, 64, 32)
    spatial_kernel_size: int = 9
    width: float = 1.0
    hidden: int = 32
    kernel_init: str = "he"
    spatial_kernel_init: str = "contracting"

    mean: ClassVar[tuple[float, float, float]] = (0.45, 0.45, 0.45)
    std: ClassVar[tuple[float, float, float]] = (0.25, 0.25, 0.25)

    @nn.nowrap
    def make_encoder(self):
        stages = tuple(tuple(scale_channels(c, self.width) for c in stage) for stage in self.encoder_channels)
        return vgg.StridedStack(stages, self.dtype, self.remat)
