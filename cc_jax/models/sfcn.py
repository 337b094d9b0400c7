"""`sfcn`: the paper's network, a VGG-16 front end with SFCN's dilated back end and spatial encoder."""

import flax.linen as nn

from cc_jax.models.parts import vgg
from cc_jax.models.parts.decoder import CountingModel


class Model(CountingModel):
    """SFCN (Wang et al., CVPR 2019) as in the code of Liu et al. (CVPR 2022).

    Attributes:
      back_end: Channels of the dilated convolutions after the encoder.
      spatial_kernel_size: Kernel length of the spatial encoder; 0 leaves it out.
      width: Factor on all channels of encoder and back end. Pretrained weights fit 1 only.
      hidden: Hidden units of the upside-down classifier.
      kernel_init: Initialization of the back end, see `layers.INITIALISERS`.
      spatial_kernel_init: Initialization of the spatial encoder.
    """

    display_name = "SFCN"
    summary = "The network of the paper: VGG-16 with a dilated back end and a spatial encoder."

    back_end: tuple[int, ...] = (512, 512, 512, 256, 128, 64)
    spatial_kernel_size: int = 9
    width: float = 1.0
    hidden: int = 128
    kernel_init: str = "normal"
    spatial_kernel_init: str = "normal"

    @nn.nowrap
    def make_encoder(self):
        return vgg.VGG(self.width, self.dtype, self.remat)
