"""Several sets of images as one."""

from collections.abc import Sequence
from typing import Any


class Mixture(Sequence):
    """The records of several sets, one after the other; an id is "dataset split:id", since two sets may share ids.

    Args:
      parts: records (data/sources.py) with `name`, `split` and `sizes`.
      weights: how often each is drawn from, relative to the others.
    """

    def __init__(self, parts: Sequence[Any], weights: Sequence[float]):
        self.parts = [_Named(part) for part in parts]
        self.weights = [weight / sum(weights) for weight in weights]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, i: int) -> dict[str, Any]:
        for part in self.parts:
            if i < len(part):
                return part[i]
            i -= len(part)
        raise IndexError(i)

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of every image."""
        return [size for part in self.parts for size in part.records.sizes]


class _Named(Sequence):
    """A part's records, its name before their ids."""

    def __init__(self, records: Any):
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, i: int) -> dict[str, Any]:
        record = self.records[i]
        return {**record, "id": f"{self.records.name} {self.records.split}:{record['id']}"}
