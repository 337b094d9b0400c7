"""SE Cycle-GAN: Cycle-GAN with a loss that keeps the structure of the images.

Wang et al., "Learning from Synthetic Data for Crowd Counting in the Wild", CVPR 2019, section 4: the SSIM embedding loss.
"""

import dataclasses

from cc_jax.methods import cycle_gan
from cc_jax.methods.parts.ssim import ssim


@dataclasses.dataclass(frozen=True)
class Method(cycle_gan.Method):
    """The stages of Cycle-GAN.

    Attributes:
      ssim_weight: Weight of 1 - SSIM between each image and its translation there and back, in both directions; 1 in the
        paper.
    """

    display_name = "SE Cycle-GAN"
    summary = "Cycle-GAN whose images must also keep their structure on the way there and back."
    table_position = 20

    ssim_weight: float = 1.0

    def extra_loss(self, pairs):
        """Return the SSIM embedding loss."""
        return self.ssim_weight * sum(1 - ssim(image, back, span=2.0).mean() for image, back in pairs)
