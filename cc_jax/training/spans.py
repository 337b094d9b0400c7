"""The stages of a method with their places among the steps of a run."""

import dataclasses
from collections.abc import Sequence

from cc_jax.methods import base


@dataclasses.dataclass(frozen=True)
class Span:
    """A stage and its place in the run.

    Attributes:
      stage: the stage.
      begin: the steps of all stages before it.
      counted_before: how many of these trained the counter.
    """

    stage: base.Stage
    begin: int = 0
    counted_before: int = 0

    @property
    def end(self) -> int:
        """The steps of the run when the stage is done."""
        return self.begin + self.stage.steps

    def counted(self, step: int) -> int:
        """Return how many steps have trained the counter when `step` steps of the run, within the span, are done."""
        return self.counted_before + (step - self.begin) * self.stage.counter


def spans_of(stages: Sequence[base.Stage]) -> list[Span]:
    """Return the stages, each with its place."""
    spans: list[Span] = []
    begin = counted = 0
    for stage in stages:
        span = Span(stage, begin, counted)
        spans.append(span)
        begin, counted = span.end, span.counted(span.end)
    return spans
