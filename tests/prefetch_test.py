"""Prefetching: order, number of items ahead, errors, and the end of the threads."""

import itertools
import threading
import time

import pytest

from cc_jax.data.prefetch import ahead, prefetch


def running():
    return [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def late(i):
    """Take longer for the first of five items than for the last."""
    time.sleep(0.003 * (5 - i % 5))
    return i * i


@pytest.mark.parametrize(("threads", "depth"), [(0, 1), (1, 1), (4, 2), (3, 8)])
def test_items_come_in_order(threads, depth):
    assert list(prefetch(late, 3, 20, threads=threads, depth=depth)) == [i * i for i in range(3, 20)]
    assert list(prefetch(late, 3, 3, threads=threads, depth=depth)) == []
    assert not running()


def test_closing_ends_the_threads():
    items = prefetch(late, 0, None, threads=3, depth=6)
    assert list(itertools.islice(items, 5)) == [0, 1, 4, 9, 16]
    assert len(running()) == 3
    items.close()
    assert not running()


def test_no_more_than_depth_are_made_ahead():
    made = []
    items = prefetch(lambda i: made.append(i) or i, 0, None, threads=1, depth=3)
    assert made == []  # nothing is made before the first item is requested
    next(items)
    for _ in range(100):
        time.sleep(0.002)
    assert len(made) <= 4
    items.close()


def test_an_error_is_raised_in_place_of_its_item():
    def make(i):
        if i == 4:
            raise KeyError("four")
        return i

    items = prefetch(make, 0, 10, threads=2, depth=3)
    assert [next(items) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(KeyError, match="four"):
        next(items)
    assert not running()


def test_ahead_asks_for_items_before_they_are_due():
    asked = []
    items = ahead((asked.append(i) or i for i in range(5)), 2)
    assert next(items) == 0 and asked == [0, 1, 2]
    assert list(items) == [1, 2, 3, 4]
    assert list(ahead([], 2)) == []
