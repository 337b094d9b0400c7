"""Cycle-GAN: the source images are translated to look like the target, then the counter is trained on them.

Zhu et al., ICCV 2017, used as a baseline by Wang et al. (CVPR 2019) and Liu et al. (CVPR 2022): one translation for each
target dataset.
"""

import dataclasses

from cc_jax.methods import base
from cc_jax.methods.parts import translation


@dataclasses.dataclass(frozen=True)
class Method(translation.Translation):
    """Two stages: `translate` trains the translator, `count` trains the counter.

    On entering `count` the whole source is translated once and kept as files.
    """

    display_name = "Cycle-GAN"
    summary = (
        "Before training, a network translates the source images to look like the target; a second one "
        "must be able to translate them back."
    )
    table_position = 10

    def stages(self) -> tuple[base.Stage, ...]:
        count = base.Stage("count", self.steps, self.count, self.translated, draws=("source",))
        return self.translator_stage(), count

    def count(self, state, batch, rng, draw):
        """Train the counter on translated source crops."""
        return self.labelled_update("source", state, batch, rng, draw)

    def translated(self, state, sets, tools):
        """Return the sets with each source image translated; its head points stay where they are."""
        source = sets["source"]
        images = tools.rewrite("translated", self.to_target, state.params["translator"], source.examples)
        return {**sets, "source": dataclasses.replace(source, examples=images)}
