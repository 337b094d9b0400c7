"""The results in a workdir: results.json, predictions.csv and the like.

Everything that writes or reads one of these files does it through this module. Numbers are written unrounded.
"""

import csv
import dataclasses
import io
import json
import pathlib
from collections.abc import Iterable
from typing import Any

from cc_jax.data.files import write_atomic
from cc_jax.errors import CheckpointError, InputError
from cc_jax.workdir.layout import Layout

ResultRow = dict[str, Any]  # a row of results.json; its fields are `RESULT_FIELDS`
RESULT_FIELDS = (
    "method", "uncertainty", "model", "source", "target", "split", "seed", "variant", "images", "mae", "rmse", "bias",
    "pearson", "mae_scaled", "mae_constant", "mae_10_counts", "mae_10_counts_spread", "interval_kind", "interval_level",
    "interval_coverage", "interval_width", "stage", "step", "weights_sha256",
)  # fmt: skip
# Fields that rows of older versions lack.
_DEFAULTS = {"variant": "", "mae_10_counts": None, "mae_10_counts_spread": None, "interval_kind": ""}


@dataclasses.dataclass(frozen=True)
class PredictionRow:
    """A row of predictions.csv: the count of one image, in people.

    Attributes:
      id: the image's name in its dataset.
      true: the labelled count, or None if the image has no labels.
      count: the estimate.
      std: the standard deviation of the samples' counts.
      low, high: the interval.
    """

    id: str
    true: float | None
    count: float
    std: float
    low: float
    high: float


PREDICTION_COLUMNS = tuple(field.name for field in dataclasses.fields(PredictionRow))


def write_results(folder: pathlib.Path, rows: list[ResultRow]) -> None:
    """Write results.json. Training writes it last: a workdir that has it is finished."""
    write_atomic(Layout(folder).results, json.dumps(rows, indent=1))


def read_results(folder: str | pathlib.Path) -> list[ResultRow]:
    """Return the rows of results.json. Raise InputError if it is missing, damaged, empty or lacks a field."""
    path = Layout(pathlib.Path(folder)).results
    again = f"run evaluate on {path.parent} again"
    try:
        rows = [{**_DEFAULTS, **row} for row in _read_rows(path)]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; train and evaluate write it at their end") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); {again}") from error
    if not rows:
        raise InputError(f"{path}: has no rows; {again}")
    missing = [name for name in RESULT_FIELDS if any(name not in row for row in rows)]
    if missing:
        raise InputError(f"{path}: a row lacks {', '.join(missing)}; {again}")
    return rows


def finished_rows(workdir: pathlib.Path) -> list[ResultRow]:
    """Return the rows of results.json, or none if the run has not finished. Raise CheckpointError if it is damaged."""
    return (
        _read_own_rows(Layout(workdir).results, "remove it and run the same command, which evaluates again")
        or []
    )


def write_stage_rows(workdir: pathlib.Path, stage: str, rows: list[ResultRow]) -> None:
    """Write stages/<stage>.json: the rows that a stage contributes to results.json, for runs that resume later."""
    write_atomic(Layout(workdir).stage_results(stage), json.dumps(rows))


def read_stage_rows(workdir: pathlib.Path, stage: str) -> list[ResultRow] | None:
    """Return the rows of stages/<stage>.json, or None if the stage has not been evaluated."""
    advice = "restore it from a copy, or train in a new workdir"
    return _read_own_rows(Layout(workdir).stage_results(stage), advice)


def write_predictions(path: pathlib.Path, rows: Iterable[PredictionRow]) -> None:
    """Write a predictions.csv; the cell of `true` is empty for an image without labels."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(PREDICTION_COLUMNS)
    writer.writerows(dataclasses.astuple(row) for row in rows)  # None becomes an empty cell
    write_atomic(path, text.getvalue())


def read_predictions(path: pathlib.Path) -> list[PredictionRow]:
    """Return the rows of a predictions.csv. Raise InputError if it is missing or damaged."""
    try:
        with open(path, newline="") as file:
            return [_prediction_row(row) for row in csv.DictReader(file)]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; evaluate writes it") from None
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(f"{path}: is not a predictions.csv ({error!r}); run evaluate again") from error


def write_uncertainty(folder: pathlib.Path, reliability: dict[str, dict]) -> None:
    """Write uncertainty.json: what `evaluation.uncertainty_metrics.of_predictions` returns."""
    write_atomic(Layout(folder).uncertainty, json.dumps(reliability, indent=1))


def read_uncertainty(folder: str | pathlib.Path) -> dict[str, dict]:
    """Return the contents of uncertainty.json. Raise InputError if it is missing or damaged."""
    return _read_object(Layout(pathlib.Path(folder)).uncertainty)


def write_errors_with_counts(folder: pathlib.Path, errors: dict[str, dict]) -> None:
    """Write errors_with_counts.json: what `evaluation.evaluate.errors_with_counts` returns."""
    write_atomic(Layout(folder).errors_with_counts, json.dumps(errors, indent=1))


def read_errors_with_counts(folder: str | pathlib.Path) -> dict[str, dict]:
    """Return the contents of errors_with_counts.json, or {} where an older version has evaluated.

    Raises InputError if it is damaged.
    """
    path = Layout(pathlib.Path(folder)).errors_with_counts
    return _read_object(path) if path.exists() else {}


def _read_own_rows(path: pathlib.Path, advice: str) -> list[ResultRow] | None:
    """Return the rows of a file of the run that is going on, or None if there is no such file yet."""
    if not path.exists():
        return None
    try:
        return _read_rows(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): {advice}") from error


def _read_rows(path: pathlib.Path) -> list[ResultRow]:
    """Return a JSON file's list of objects. Raise ValueError if it holds anything else."""
    rows = json.loads(path.read_text())
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("not a list of rows")
    return rows


def _read_object(path: pathlib.Path) -> dict[str, dict]:
    """Return the JSON object that an evaluation wrote. Raise InputError if it is missing or damaged."""
    try:
        found = json.loads(path.read_text())
        if not isinstance(found, dict):
            raise ValueError("not a JSON object")
        return found
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run evaluate on {path.parent} again") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); run evaluate on {path.parent} again") from error


def _prediction_row(cells: dict[str, str]) -> PredictionRow:
    numbers = {name: float(cells[name]) for name in PREDICTION_COLUMNS[2:]}
    return PredictionRow(cells["id"], float(cells["true"]) if cells["true"] else None, **numbers)
