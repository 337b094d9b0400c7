"""`lite`: EfficientNet-Lite0 encoder and a narrow SFCN decoder; the model for CPUs."""

import flax.linen as nn

from cc_jax.models.parts import efficientnet
from cc_jax.models.parts.decoder import CountingModel


class Model(CountingModel):
    """`CountingModel` on EfficientNet-Lite0's features at stride 8; `width` acts on the back end alone."""

    back_end: tuple[int, ...] = (128, 128, 128, 64)
    kernel_init: str = "he"
    spatial_kernel_init: str = "contracting"
    hidden: int = 64
    normalise: bool = True
    mean: tuple[float, float, float] = efficientnet.MEAN
    std: tuple[float, float, float] = efficientnet.STD

    @nn.nowrap
    def make_encoder(self):
        return efficientnet.EfficientNetLite0(self.dtype, self.remat)
