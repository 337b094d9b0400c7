"""Items made in the background and returned in order."""

import collections
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetch(
    make: Callable[[int], T], start: int, stop: int | None, *, threads: int = 2, depth: int = 4
) -> Iterator[T]:
    """Yield `make(start), make(start + 1), ...` in this order, computed ahead on threads.

    The items do not depend on `threads` and `depth`. An error in `make` is raised in place of its item. The threads start
    with the first item. They have ended when the iterator is exhausted, is closed, or has raised an error.

    Args:
      make: Called from several threads at once.
      start: First index.
      stop: Index after the last one. None continues without end.
      threads: Number of threads. 0 computes every item in the caller.
      depth: Number of items that are computed ahead.
    """
    indices = itertools.count(start) if stop is None else iter(range(start, stop))
    if threads <= 0:
        yield from map(make, indices)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="prefetch")
    try:
        ahead = collections.deque(
            pool.submit(make, i) for i in itertools.islice(indices, max(depth, threads))
        )
        while ahead:
            item = ahead.popleft().result()
            ahead.extend(pool.submit(make, i) for i in itertools.islice(indices, 1))
            yield item
            del item  # frees its memory while the next item is awaited
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def ahead(items: Iterable[T], depth: int) -> Generator[T, None, None]:
    """Yield the items, each requested `depth` items early.

    Items that start asynchronous work, such as a copy to a device, then have time to finish it.
    """
    iterator = iter(items)
    waiting = collections.deque(itertools.islice(iterator, depth))
    while waiting:
        waiting.extend(itertools.islice(iterator, 1))
        yield waiting.popleft()
