"""Sequences that stand in for others."""

from collections.abc import Sequence
from typing import Any


class Wrapped(Sequence):
    """As long as `inner`, with its attributes where it has none of its own; subclasses say what an element is."""

    def __init__(self, inner: Sequence[Any]):
        self.inner = inner

    def __len__(self) -> int:
        return len(self.inner)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "inner":
            raise AttributeError(name)  # while it is unpickled, there is nothing to ask yet
        return getattr(self.inner, name)
