"""SE Cycle-GAN (JT): translator and counter trained jointly.

Wang et al., "Pixel-wise Crowd Understanding via Synthetic Data", IJCV 2021. That both are trained together is all that we
know of it (methods.md); the rest is ours: the translator has a start of its own, then each step moves the translator,
its critics and the counter, and the counting error of the translated crops trains the translator too, so that people stay.
"""

import dataclasses
from typing import Any

import jax

from cc_jax.methods import base, se_cycle_gan
from cc_jax.methods.parts import translation


@dataclasses.dataclass(frozen=True)
class Method(se_cycle_gan.Method):
    """Fields, beside those of SE Cycle-GAN:

    task_weight: of the density loss on translations in the translator's loss.
    """

    display_name = "SE Cycle-GAN (JT)"
    summary = "SE Cycle-GAN with translator and counter trained together."
    table_position = 30

    task_weight: float

    def stages(self) -> tuple[base.Stage, ...]:
        return self.first_stage(), base.Stage(
            "joint", self.steps, self.joint, self.labelled_source_and_target, clean=("source", "target")
        )

    @property
    def translator_steps(self) -> int:
        """It learns in both stages."""
        return self.translate_steps + self.steps

    def joint(self, state, batch, rng, draw):
        """A step of everything: translator and critics on a few crops, the counter on all source crops, translated."""
        count_rng, task_rng, pool_rng, part_rng = jax.random.split(rng, 4)
        few = jax.tree.map(lambda x: x[: self.translate_batch], batch)
        few = translation.part(few, self.translate_crop, part_rng)
        image = {d: translation.to_unit(few[d]["clean"]) for d in translation.DOMAINS}
        variables = state.variables(state.params["counter"])

        def task(fake):
            crops = {**few["source"], "image": in_pixels(fake["target"])}
            return self.task_weight * self.density_loss(draw, variables, crops, task_rng)

        translator = state.params["translator"]
        state, _, metrics = self.descend_translator(state, image, pool_rng, task)
        whole = self.make(translator, "target", translation.to_unit(batch["source"]["clean"]))
        crops = {**batch["source"], "image": in_pixels(whole)}
        state, counted = self.count_update("source", state, {"source": crops}, count_rng, draw)
        return state, {**metrics, **counted}

    def finish(self, state, sets, work):
        """A few source images as the translator makes them in the end: its crops are never kept."""
        work.show("translated", self.to_target, state.params["translator"], sets["source"].examples)


def in_pixels(image: Any) -> Any:
    """[-1, 1] to 0 to 255, without rounding, which has no gradient."""
    return (image + 1) * 127.5
