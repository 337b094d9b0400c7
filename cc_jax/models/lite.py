"""`lite`: EfficientNet-Lite0 encoder and a narrow SFCN decoder; the model for CPUs."""

from cc_jax.models import efficientnet
from cc_jax.models.decoder import CountingModel


class Model(CountingModel):
    """`CountingModel` on EfficientNet-Lite0's features at stride 8; `width` acts on the back end alone."""

    back_end: tuple[int, ...] = (128, 128, 128, 64)
    kernel_init: str = "he"
    sweep_init: str = "contracting"
    output_init: str = "zeros"
    hidden: int = 64
    mean: tuple[float, float, float] = efficientnet.MEAN
    std: tuple[float, float, float] = efficientnet.STD
    # The ImageNet weights' features have a root mean square of 6.7 on ShanghaiTech B: a back end started on them is off
    # by 50 times the density of a crowd, and on its way down to it all its units die.
    feature_scale: float = 1 / 8

    def make_encoder(self):
        return efficientnet.EfficientNetLite0(self.dtype)
