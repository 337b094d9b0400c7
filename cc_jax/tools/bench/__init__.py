"""Speed beside a reference: what the suites in `suites/` share. Run as `python -m cc_jax.tools.bench`."""

import dataclasses
import pathlib
import statistics
import time
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Options:
    """Where a suite may find real data; a suite without any makes its own, and says so in the case's name."""

    data_dir: pathlib.Path | None = None  # prepared datasets
    manual_dir: pathlib.Path | None = None  # a dataset as downloaded


@dataclasses.dataclass(frozen=True)
class Row:
    """One measured case.

    `ratio`: how many times faster than the reference we are in `density` and `pipeline`, to be at least `goal`; in the other
    suites ours over the reference's, to be at most `goal`.
    """

    suite: str
    case: str
    ours_s: float
    reference: str
    reference_s: float
    ratio: float
    goal: float


def alternate(
    runs: dict[str, Callable[[], object]], rounds: int, before: dict[str, Callable[[], object]] | None = None
) -> dict[str, float]:
    """Median seconds of each function, called in turn so that a busy moment of the machine hits all of them.

    `before`: called before each call of the function of that name, untimed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            (before or {}).get(name, lambda: None)()
            begin = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(times) for name, times in seconds.items()}
