"""Several sets of images as one."""

from collections.abc import Sequence
from typing import Any

from cc_jax.data.wrapped import Wrapped


class Mixture(Sequence):
    """The examples of several sets, one after the other; an id is "dataset split:id", since two sets may share ids.

    Args:
      parts: examples (data/examples.py) with `name`, `split` and `sizes`.
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
        return [size for part in self.parts for size in part.sizes]


class _Named(Wrapped):
    """A part's examples, its name before their ids."""

    def __getitem__(self, i: int) -> dict[str, Any]:
        example = self.inner[i]
        return {**example, "id": f"{self.inner.name} {self.inner.split}:{example['id']}"}
