"""Speed beside a reference: what the suites in `suites/` share. Run as `python -m cc_jax.tools.bench`."""

import dataclasses
import pathlib
import statistics
import time
from collections.abc import Callable, Sequence

_REST = 0.05  # seconds; the threads of the function before (OpenMP's) go on spinning for some milliseconds


@dataclasses.dataclass(frozen=True)
class Options:
    """Where a suite may find real data; a suite without any makes its own, and says so in the case's name."""

    data_dir: pathlib.Path | None = None  # prepared datasets
    manual_dir: pathlib.Path | None = None  # a dataset as downloaded


@dataclasses.dataclass(frozen=True)
class Times:
    """What repeated measurements of one thing gave: seconds, GiB in `memory`."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Times":
        """Of the measured values."""
        return cls(statistics.median(values), min(values), max(values))

    @classmethod
    def once(cls, value: float) -> "Times":
        """Of what was measured once, or is no measurement."""
        return cls(value, value, value)

    def by(self, factor: float) -> "Times":
        """All of them times `factor`."""
        return Times(self.median * factor, self.least * factor, self.most * factor)


@dataclasses.dataclass(frozen=True)
class Row:
    """One measured case.

    `ratio`: how many times faster than the reference we are in `density` and `pipeline`, to be at least `goal`; in the other
    suites ours over the reference's, to be at most `goal`. Of medians.
    """

    suite: str
    case: str
    ours: Times
    reference: str
    theirs: Times
    ratio: float
    goal: float

    def fields(self) -> dict[str, str | float | list[float]]:
        """What --json writes of it."""
        return {
            "suite": self.suite,
            "case": self.case,
            "ours_s": self.ours.median,
            "reference": self.reference,
            "reference_s": self.theirs.median,
            "ratio": self.ratio,
            "goal": self.goal,
            "ours_range_s": [self.ours.least, self.ours.most],
            "reference_range_s": [self.theirs.least, self.theirs.most],
        }


def alternate(
    runs: dict[str, Callable[[], object]], rounds: int, before: dict[str, Callable[[], object]] | None = None
) -> dict[str, Times]:
    """Seconds of each function, called in turn so that a busy moment of the machine hits all of them.

    `before`: called before each call of the function of that name, untimed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            (before or {}).get(name, lambda: None)()
            time.sleep(_REST)
            begin = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begin)
    return {name: Times.of(values) for name, values in seconds.items()}


def beside_best(
    ours: dict[str, Callable[[], object]], peers: dict[str, Callable[[], object]], rounds: int
) -> tuple[dict[str, Times], str, Times]:
    """(ours, name of the peer that was the fastest of one round, its seconds); each is called once before, to compile."""
    for start in (*ours.values(), *peers.values()):
        start()
    first = alternate(peers, 1)
    name = min(first, key=lambda name: first[name].median)
    seconds = alternate({**ours, name: peers[name]}, rounds)
    theirs = seconds.pop(name)
    return seconds, name, theirs
