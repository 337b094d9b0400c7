"""What a report shows of a run, read from the files of its workdir."""

import dataclasses
import json
import pathlib

import numpy as np

from cc_jax.data.images import read_image
from cc_jax.errors import InputError
from cc_jax.report import tables
from cc_jax.workdir.layout import Layout
from cc_jax.workdir.panels import Panel, read_panels
from cc_jax.workdir.results import (
    PredictionRow,
    read_errors_with_counts,
    read_predictions,
    read_results,
    read_uncertainty,
)


@dataclasses.dataclass(frozen=True)
class Run:
    """A workdir as the report needs it.

    Attributes:
      rows: of results.json.
      log: rows of log.jsonl.
      predictions: of predictions.csv.
      panels: the images to show.
      reliability: the contents of uncertainty.json; empty without labels.
      with_counts: the contents of errors_with_counts.json; empty without labelled training images.
      translated: source images, and below them what a translator made of them, uint8 [H, W, 3]; None if the method does
        not translate.
      config: the run's config.
      missing: a sentence for each file that could not be read.
    """

    workdir: pathlib.Path
    rows: list[tables.Row]
    log: list[dict]
    predictions: list[PredictionRow]
    panels: list[Panel]
    reliability: dict
    with_counts: dict
    translated: np.ndarray | None
    config: dict
    missing: list[str]

    @property
    def interval_kind(self) -> str:
        """What the intervals are based on; see `evaluation.intervals.KINDS`."""
        return (self.row or {}).get("interval_kind") or "members"

    @property
    def row(self) -> tables.Row | None:
        """The final row of results.json."""
        return self.rows[-1] if self.rows else None

    @property
    def name(self) -> str:
        """Method, variant and seed, or the folder's name if there are no results."""
        if not self.row:
            return self.workdir.name
        parts = tables.method_name(self.row["method"]), self.row["variant"], f"seed {self.row['seed']}"
        return ", ".join(filter(None, parts))


def read_run(workdir: str | pathlib.Path, trained_in: str | pathlib.Path | None = None) -> Run:
    """Read a workdir. Files that are missing or damaged are left out, and named in `Run.missing`.

    Args:
      workdir: of a run, or a folder that `evaluate` has written.
      trained_in: the workdir that has the log and the config, if it is another one.
    """
    workdir = pathlib.Path(workdir)
    trained = pathlib.Path(trained_in or workdir)
    missing: list[str] = []

    def attempt(read, path: pathlib.Path, default):
        try:
            return read(path)
        except InputError as error:
            # Relative paths, because reports are passed on.
            missing.append(str(error).replace(f"{workdir.parent}/", "").replace(f"{trained.parent}/", ""))
            return default

    return Run(
        workdir=workdir,
        rows=attempt(read_results, workdir, []),
        log=attempt(read_log, Layout(trained).log, []),
        predictions=attempt(read_predictions, Layout(workdir).predictions(), []),
        panels=attempt(read_panels, workdir, []),
        reliability=attempt(read_uncertainty, workdir, {}),
        with_counts=attempt(read_errors_with_counts, workdir, {}),
        translated=attempt(
            _read_translated, Layout(trained).rewritten("translated").with_suffix(".jpg"), None
        ),
        config=attempt(_read_config, Layout(trained).config, {}),
        missing=missing,
    )


def read_log(path: pathlib.Path) -> list[dict]:
    """Return the rows of log.jsonl, ordered by step. Raise InputError if it is missing or damaged.

    A resumed run writes some rows again, and of these the last ones are returned. A last line that a killed process left
    incomplete is dropped.
    """
    try:
        lines = path.read_text().splitlines()
        complete = lines[:-1] + [line for line in lines[-1:] if line.rstrip().endswith("}")]
        rows = [json.loads(line) for line in complete if line.strip()]
        last = {(row["step"], row["stage"]): row for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, error) from error
    return sorted(last.values(), key=lambda row: row["step"])


def _read_config(path: pathlib.Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: pathlib.Path, error: Exception) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path}: no such file; train writes it")
    return InputError(f"{path}: cannot be read ({' '.join(str(error).split())}); restore it from a copy")


def _read_translated(path: pathlib.Path) -> np.ndarray | None:
    return read_image(path) if path.exists() else None
