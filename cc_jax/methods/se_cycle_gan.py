"""SE Cycle-GAN: Cycle-GAN whose images must also keep their structure there and back.

Wang et al., "Learning from Synthetic Data for Crowd Counting in the Wild", CVPR 2019, section 4: the SSIM embedding loss.
"""

import dataclasses

from cc_jax.methods import cycle_gan
from cc_jax.methods.parts.ssim import ssim


@dataclasses.dataclass(frozen=True)
class Method(cycle_gan.Method):
    """Fields, beside those of Cycle-GAN:

    ssim_weight: of 1 - SSIM(image, image after there and back), in both directions (1 in the paper).
    """

    display_name = "SE Cycle-GAN"
    summary = "Cycle-GAN whose images must also keep their structure on the way there and back."
    table_position = 20

    ssim_weight: float

    def beside(self, pairs):
        """The SSIM embedding loss."""
        return self.ssim_weight * sum(1 - ssim(image, back, span=2.0).mean() for image, back in pairs)
