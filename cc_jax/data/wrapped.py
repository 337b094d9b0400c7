"""A base class for sequences that wrap another sequence."""

from collections.abc import Sequence
from typing import Any


class Wrapped(Sequence):
    """A sequence with the length and the attributes of `inner`. Subclasses define `__getitem__`."""

    inner: Any  # a sequence, with attributes of its own

    def __init__(self, inner: Sequence[Any]):
        self.inner = inner

    def __len__(self) -> int:
        return len(self.inner)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "inner":
            raise AttributeError(name)  # during unpickling, when `inner` does not exist yet
        return getattr(self.inner, name)
