"""The datasets of a run, opened and mixed as its config says."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

from cc_jax.data import examples, mixture, sources
from cc_jax.data.resizing import ResizeRule
from cc_jax.data.wrapped import Wrapped
from cc_jax.methods import base


@dataclasses.dataclass(frozen=True)
class Datasets:
    """The prepared datasets that a config names.

    Attributes:
      source: (records, weight) of each labelled set to train on.
      target: (records, weight) of each set to adapt to.
      test: the records of each set to evaluate on; the target's own comes first.
    """

    source: list[tuple[sources.Source, float]]
    target: list[tuple[sources.Source, float]]
    test: list[sources.Source]

    @classmethod
    def open(cls, config) -> "Datasets":
        """Open all of them. Raises ConfigError if one is not prepared."""

        def opened(name: str, split: str, scenes: str = "") -> sources.Source:
            return sources.open_source(name, split, config.data_dir, scenes)

        source, target = config.source, config.target
        targets = [(target.dataset, target.split, target.test_split, 1.0), *target.extra_datasets]
        tests = [(name, split) for name, _, split, _ in targets]
        return cls(
            source=[
                (opened(source.dataset, source.split, source.scenes), 1.0),
                *((opened(name, split), weight) for name, split, weight in source.extra_datasets),
            ],
            target=[(opened(name, split), weight) for name, split, _, weight in targets],
            test=[opened(name, split) for name, split in (*tests, *config.evaluation.extra_datasets)],
        )

    def fingerprints(self) -> dict[str, str]:
        """Return {"dataset split": fingerprint} of every set."""
        every = [records for records, _ in (*self.source, *self.target)] + self.test
        return {f"{records.name} {records.split}": records.fingerprint for records in every}

    def train_sets(self, config, uses_target_labels: bool) -> base.Sets:
        """Return the sets that a method starts from.

        Args:
          config: the run's config.
          uses_target_labels: whether the method may see the head points of the target.
        """
        wrap = cached_examples(config)
        target = self.target
        if not uses_target_labels:
            target = [(Unlabelled(records), weight) for records, weight in target]
        return {
            name: base.TrainSet(_mixed([(wrap(records), weight) for records, weight in weighted]))
            for name, weighted in (("source", self.source), ("target", target))
        }

    def test_sets(self, config) -> list[examples.Examples]:
        """Return the images of each set to evaluate on."""
        rule = ResizeRule(**config.resize)
        return [examples.Examples(records, rule) for records in self.test]


def cached_examples(config) -> Callable[[Any], examples.Examples]:
    """Return a function from records to examples whose decoded images are kept, as the config says."""
    return functools.partial(
        examples.Examples,
        resize_rule=ResizeRule(**config.resize),
        limit=int(config.cache_gib * 2**30 / max(1, config.workers)),
        folder=pathlib.Path(config.cache_dir).expanduser() if config.cache_dir else None,
    )


def _mixed(weighted: list[tuple[examples.Examples, float]]):
    """One set alone, or a mixture of several."""
    parts, weights = zip(*weighted, strict=True)
    return parts[0] if len(parts) == 1 else mixture.Mixture(parts, weights)


class Unlabelled(Wrapped):
    """Records without their head points, for a method that must not see the labels of the target."""

    def __getitem__(self, i: int) -> dict:
        record = self.inner[i]
        return {**record, "points": record["points"][:0], "labelled": False}
