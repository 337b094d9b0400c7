"""No Adapt: the counter is trained on the labelled source images and applied to the target as it is."""

import dataclasses

from cc_jax.methods import base


@dataclasses.dataclass(frozen=True)
class Method(base.Method):
    """One stage, on source crops."""

    display_name = "No Adapt"
    summary = "Trained on the labelled source images alone and applied to the target as it is: the baseline."
    headline = "Without adaptation"
    table_position = 0

    def stages(self) -> tuple[base.Stage, ...]:
        return (base.Stage("source", self.steps, self.update, self.data, draws=("source",)),)

    def update(self, state, batch, rng, draw):
        """Train the counter on labelled source crops."""
        return self.labelled_update("source", state, batch, rng, draw)

    def data(self, state, sets, tools):
        """Return the sets unchanged. Raises ConfigError if the source has no labels."""
        base.require_labels(sets["source"], "config.source")
        return sets
