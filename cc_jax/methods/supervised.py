"""Supervised: the same counter, trained on the labelled training split of the target. The bound for adaptation."""

import dataclasses
from typing import ClassVar

from cc_jax.methods import base


@dataclasses.dataclass(frozen=True)
class Method(base.Method):
    """One stage, on target crops with their labels. Batches have the source's size: as many crops as No Adapt sees."""

    display_name = "Supervised"
    summary = "Trained on the target images with their labels: the bound that adaptation aims at."
    headline = "Trained with the target's labels"
    table_position = 100

    uses_target_labels: ClassVar[bool] = True

    def stages(self) -> tuple[base.Stage, ...]:
        return (base.Stage("target", self.steps, self.update, self.data, draws=("target",)),)

    def update(self, state, batch, rng, draw):
        """Train the counter on labelled target crops."""
        return self.labelled_update("target", state, batch, rng, draw)

    def data(self, state, sets, tools):
        """Return the sets unchanged. Raises ConfigError if the target has no labels."""
        base.require_labels(sets["target"], "config.target")
        return sets
