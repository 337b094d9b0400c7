"""Several datasets as one."""

from collections.abc import Sequence
from typing import Any

from cc_jax.data.wrapped import Wrapped


class Mixture(Sequence):
    """The examples of several datasets, one after the other.

    Ids become "dataset split:id", because two datasets may have the same ids.

    Args:
      parts: Examples (data/examples.py) with `name`, `split` and `sizes`.
      weights: How often each part is drawn from, relative to the others.
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
        return [size for part in self.parts for size in part.sizes]


class _Named(Wrapped):
    """The examples of a part, with ids that begin with its name."""

    def __getitem__(self, i: int) -> dict[str, Any]:
        example = self.inner[i]
        return {**example, "id": f"{self.inner.name} {self.inner.split}:{example['id']}"}
