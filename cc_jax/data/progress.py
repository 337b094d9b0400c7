"""The progress bar of every command."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

import tqdm

Item = TypeVar("Item")


def progress_bar(
    iterable: Iterable[Item], description: str, total: int | None = None, initial: int = 0, unit: str = "it"
) -> Iterator[Item]:
    """Iterate over `iterable`, with a progress bar on standard error if that is a terminal.

    Args:
      iterable: what to iterate over.
      description: the text in front of the bar.
      total: the number of items, if it is known and `iterable` has no length.
      initial: the number of items that were done earlier.
      unit: what one item is called.
    """
    if not sys.stderr.isatty():
        return iter(iterable)
    bar = tqdm.tqdm(
        iterable, description, total=total, initial=initial, unit=unit, leave=False, dynamic_ncols=True
    )
    return iter(bar)
