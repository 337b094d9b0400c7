"""Work done ahead on threads, handed out in order."""

import collections
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetch(
    make: Callable[[int], T], start: int, stop: int | None, *, threads: int = 2, depth: int = 4
) -> Iterator[T]:
    """`make(start), make(start + 1), ...` in this order, up to `depth` of them computed ahead on `threads` threads.

    The result depends on neither number; threads=0 computes in the caller. An error in `make` is raised where its
    item was due. The threads start with the first item and have ended when the iterator is exhausted, closed or has
    raised.

    Args:
      make: called from several threads at once.
      stop: first index that is not made; None: go on for ever.
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
            del item  # not kept alive while the next one is awaited
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def ahead(items: Iterable[T], depth: int) -> Generator[T, None, None]:
    """The items, each asked for `depth` items before it is handed out: what was begun has time to get done.

    For copies to a device, which go on beside what the device computes.
    """
    iterator = iter(items)
    waiting = collections.deque(itertools.islice(iterator, depth))
    while waiting:
        waiting.extend(itertools.islice(iterator, 1))
        yield waiting.popleft()
