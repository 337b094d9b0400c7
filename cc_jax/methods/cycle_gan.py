"""Cycle-GAN: the source is translated to look like the target, then the counter is trained on it.

Zhu et al., ICCV 2017, as the baseline of Wang et al. (CVPR 2019) and Liu et al. (CVPR 2022): one translation a target set.
"""

import dataclasses

from cc_jax.methods import base
from cc_jax.methods.parts import translation


@dataclasses.dataclass(frozen=True)
class Method(translation.Translation):
    """Stage `translate`, then stage `count` on the whole source, translated once and kept as files."""

    display_name = "Cycle-GAN"
    summary = (
        "Before training, a network translates the source images to look like the target; a second one "
        "must be able to translate them back."
    )
    table_position = 10

    def stages(self) -> tuple[base.Stage, ...]:
        return self.first_stage(), base.Stage(
            "count", self.steps, self.count, self.translated, draws=("source",)
        )

    def count(self, state, batch, rng, draw):
        """A step of the counter on translated source crops."""
        return self.count_update("source", state, batch, rng, draw)

    def translated(self, state, sets, work):
        """The source, each image translated; its head points are what they were."""
        source = sets["source"]
        images = work.rewrite("translated", self.to_target, state.params["translator"], source.examples)
        return {**sets, "source": dataclasses.replace(source, examples=images)}
