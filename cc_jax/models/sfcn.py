"""`sfcn`: the paper's network, VGG-16 front end and SFCN's dilated back end and spatial encoder."""

import flax.linen as nn

from cc_jax.models.parts import vgg
from cc_jax.models.parts.decoder import CountingModel


class Model(CountingModel):
    """SFCN (Wang et al., CVPR 2019) as in the paper's repository; `width` shrinks it for benchmarks."""

    @nn.nowrap
    def make_encoder(self):
        return vgg.VGG(self.width, self.dtype, self.remat)
