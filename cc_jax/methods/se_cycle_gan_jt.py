"""SE Cycle-GAN (JT): translator and counter are trained jointly.

Wang et al., "Pixel-wise Crowd Understanding via Synthetic Data", IJCV 2021. The source says no more than that both are
trained together. The rest is our reading: the translator is first trained alone; then each step moves the translator, its
critics and the counter. The counting error of translated crops also trains the translator, so that people stay in place.
"""

import dataclasses
from typing import Any

import jax

from cc_jax.methods import base, se_cycle_gan
from cc_jax.methods.parts import translation


@dataclasses.dataclass(frozen=True)
class Method(se_cycle_gan.Method):
    """Two stages: `translate` trains the translator alone, `joint` trains everything.

    Attributes:
      task_weight: Weight of the density loss on translations in the translator's loss; our choice.
    """

    display_name = "SE Cycle-GAN (JT)"
    summary = "SE Cycle-GAN with translator and counter trained together."
    table_position = 30

    task_weight: float = 1.0

    def stages(self) -> tuple[base.Stage, ...]:
        return self.translator_stage(), base.Stage(
            "joint", self.steps, self.joint, self.labelled_source_and_target, clean=("source", "target")
        )

    @property
    def translator_steps(self) -> int:
        """Steps in which the translator learns: those of both stages."""
        return self.translate_steps + self.steps

    def joint(self, state, batch, rng, draw):
        """Train translator and critics on a few crops, and the counter on all source crops, translated."""
        count_rng, task_rng, pool_rng, square_rng = jax.random.split(rng, 4)
        few = jax.tree.map(lambda x: x[: self.translate_batch], batch)
        few = translation.random_square(few, self.translate_crop, square_rng)
        image = {d: translation.to_unit(few[d]["clean"]) for d in translation.DOMAINS}
        variables = state.variables(state.params["counter"])

        def task_loss(fake):
            crops = {**few["source"], "image": in_pixels(fake["target"])}
            return self.task_weight * self.density_loss(variables, crops, task_rng, draw)

        translator = state.params["translator"]
        state, metrics = self.translator_step(state, image, pool_rng, task_loss)
        translated = self.translate_to(translator, "target", translation.to_unit(batch["source"]["clean"]))
        crops = {**batch["source"], "image": in_pixels(translated)}
        state, counter_metrics = self.labelled_update("source", state, {"source": crops}, count_rng, draw)
        return state, {**metrics, **counter_metrics}

    def finish(self, state, sets, tools):
        """Keep a picture of a few source images as the final translator makes them; the crops are not kept."""
        tools.show("translated", self.to_target, state.params["translator"], sets["source"].examples)


def in_pixels(image: Any) -> Any:
    """Map [-1, 1] to 0 to 255 without rounding, which would stop the gradient."""
    return (image + 1) * 127.5
