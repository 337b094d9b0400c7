"""Benchmarks against a reference: what the suites in `suites/` share. Run `python -m cc_jax.tools.bench`."""

import dataclasses
import pathlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

from cc_jax.errors import ConfigError

# Seconds between two measurements. OpenMP's threads keep spinning for some milliseconds after a function has returned.
_PAUSE = 0.05


@dataclasses.dataclass(frozen=True)
class Options:
    """Where a suite may find real data. Without any, a suite makes its own and says so in the name of the case.

    Attributes:
      data_dir: Folder of prepared datasets.
      manual_dir: A dataset as downloaded.
    """

    data_dir: pathlib.Path | None = None
    manual_dir: pathlib.Path | None = None


@dataclasses.dataclass(frozen=True)
class Times:
    """Median, least and most of repeated measurements, in seconds (in GiB for the suite `memory`)."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Times":
        """Summarize measured values."""
        return cls(statistics.median(values), min(values), max(values))

    @classmethod
    def once(cls, value: float) -> "Times":
        """Return a value that was measured once, or is a limit."""
        return cls(value, value, value)

    def by(self, factor: float) -> "Times":
        """Return all values times `factor`."""
        return Times(self.median * factor, self.least * factor, self.most * factor)


@dataclasses.dataclass(frozen=True)
class Row:
    """One measured case.

    Attributes:
      suite: Name of the suite.
      case: What was measured.
      ours: Times of cc_jax.
      reference: What it was compared with.
      theirs: Times of the reference.
      ratio: Ratio of the medians. In `density` and `pipeline` it is how many times faster cc_jax is, and should be at
        least `goal`. In the other suites it is ours divided by theirs, and should be at most `goal`.
      goal: Goal of the ratio.
    """

    suite: str
    case: str
    ours: Times
    reference: str
    theirs: Times
    ratio: float
    goal: float

    def fields(self) -> dict[str, str | float | list[float]]:
        """Return the fields that --json writes."""
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
    runs: Mapping[str, Callable[[], object]],
    rounds: int,
    before: Mapping[str, Callable[[], object]] | None = None,
) -> dict[str, Times]:
    """Measure functions in turn, so that a busy moment of the machine affects all of them.

    Args:
      runs: The functions by name.
      rounds: How often each is called.
      before: Functions that are called before each call of the function with their name, without being timed.

    Returns:
      Seconds of each function.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            (before or {}).get(name, lambda: None)()
            time.sleep(_PAUSE)
            begin = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begin)
    return {name: Times.of(values) for name, values in seconds.items()}


def beside_best(
    ours: Mapping[str, Callable[[], object]], peers: Mapping[str, Callable[[], object]], rounds: int
) -> tuple[dict[str, Times], str, Times]:
    """Measure our functions beside the fastest of several peers, which is found in one round.

    Every function is called once before, to compile.

    Returns:
      Seconds of our functions by name, the name of the fastest peer, and its seconds.
    """
    for start in (*ours.values(), *peers.values()):
        start()
    first = alternate(peers, 1)
    name = min(first, key=lambda name: first[name].median)
    seconds = alternate({**ours, name: peers[name]}, rounds)
    theirs = seconds.pop(name)
    return seconds, name, theirs


def import_torch():
    """Import torch.

    Raises:
      ConfigError: It is not installed.
    """
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError(
            "this suite measures beside torch; install it by: .venv/bin/pip install -r tests/requirements-extra.txt"
        ) from error
    return torch
