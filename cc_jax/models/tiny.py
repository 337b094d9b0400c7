"""`tiny`: SFCN's structure in a quarter of a million weights, trained from noise in minutes on two cores."""

import flax.linen as nn

from cc_jax.models.parts import vgg
from cc_jax.models.parts.decoder import CountingModel, scale_channels


class Model(CountingModel):
    """VGG-like encoder without work at full resolution, narrow back end, the same spatial encoder and head.

    Fields beside `CountingModel`'s:
      encoder_channels: channels at strides 2, 4 and 8.
    """

    encoder_channels: tuple[tuple[int, ...], ...] = ((16,), (32, 32), (64, 64))
    back_end: tuple[int, ...] = (64, 64, 64, 32)
    kernel_init: str = "he"
    spatial_kernel_init: str = "contracting"
    hidden: int = 32
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    std: tuple[float, float, float] = (0.25, 0.25, 0.25)

    @nn.nowrap
    def make_encoder(self):
        stages = tuple(tuple(scale_channels(c, self.width) for c in stage) for stage in self.encoder_channels)
        return vgg.StridedStack(stages, self.dtype, self.remat)
