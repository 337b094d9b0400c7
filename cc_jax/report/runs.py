"""What a report shows of a run, read from the files of its workdir."""

import csv
import dataclasses
import json
import math
import pathlib
import zipfile

import numpy as np

from cc_jax.data.images import read_image
from cc_jax.errors import InputError
from cc_jax.report import tables

RANKS = ("best", "middle", "worst")
COMMON = ("sparse", "typical", "dense")  # by the true count: the same images under every method


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A row of predictions.csv; `true` is None without labels. All in people."""

    id: str
    true: float | None
    count: float
    std: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Panel:
    """One test image: uint8 [H, W, 3] and maps [h, w] of people per cell; `true` is None without labels."""

    rank: str
    id: str
    image: np.ndarray
    estimate: np.ndarray
    uncertainty: np.ndarray
    true: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Run:
    """A workdir as the report needs it; `missing` says, a sentence each, what could not be read.

    `reliability` is that of uncertainty_metrics.py; empty without labels. `translated`: source images above what a
    translator made of them, where the method has one that works ahead.
    """

    workdir: pathlib.Path
    rows: list[tables.Row]
    log: list[dict]
    predictions: list[Prediction]
    panels: list[Panel]
    reliability: dict
    translated: np.ndarray | None
    config: dict
    missing: list[str]

    @property
    def row(self) -> tables.Row | None:
        """The final row of results.json."""
        return self.rows[-1] if self.rows else None

    @property
    def name(self) -> str:
        """Method, variant and seed, or the folder's name where nothing was evaluated."""
        if not self.row:
            return self.workdir.name
        named = tables.method_name(self.row["method"]), self.row["variant"], f"seed {self.row['seed']}"
        return ", ".join(filter(None, named))


def read_run(workdir: str | pathlib.Path, trained_in: str | pathlib.Path | None = None) -> Run:
    """Reads a workdir; whatever is missing or damaged is left out and said in `missing`.

    Of an evaluation that was written elsewhere, `trained_in` is the workdir that has the log and the config.
    """
    workdir = pathlib.Path(workdir)
    trained = pathlib.Path(trained_in or workdir)
    missing: list[str] = []

    def piece(read, name: str, workdir: pathlib.Path = workdir):
        try:
            return read(workdir / name)
        except InputError as error:
            missing.append(str(error))
        except FileNotFoundError:
            missing.append(f"{workdir.name}/{name} does not exist.")
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            missing.append(f"{workdir.name}/{name} cannot be read: {' '.join(str(error).split())}")
        return None

    return Run(
        workdir=workdir,
        rows=piece(lambda path: tables.read_results(path.parent), "results.json") or [],
        log=piece(read_log, "log.jsonl", trained) or [],
        predictions=piece(read_predictions, "predictions.csv") or [],
        panels=piece(read_panels, "panels") or [],
        reliability=piece(lambda path: json.loads(path.read_text()), "uncertainty.json") or {},
        translated=_read_picture(trained / "stages" / "translated.jpg"),
        config=piece(lambda path: json.loads(path.read_text()), "config.json", trained) or {},
        missing=missing,
    )


def read_log(path: pathlib.Path) -> list[dict]:
    """The rows of log.jsonl by step, a repeated (stage, step) once: a resumed run writes some rows again.

    A last line that a kill has cut short is dropped.
    """
    lines = path.read_text().splitlines()
    whole = lines[:-1] + [line for line in lines[-1:] if line.rstrip().endswith("}")]
    rows = [json.loads(line) for line in whole if line.strip()]
    last = {(row["step"], row["stage"]): row for row in rows}
    return sorted(last.values(), key=lambda row: row["step"])


def read_predictions(path: pathlib.Path) -> list[Prediction]:
    """The rows of predictions.csv."""
    with open(path, newline="") as file:
        return [_prediction(row) for row in csv.DictReader(file)]


def read_panels(folder: pathlib.Path) -> list[Panel]:
    """The panels `<rank>_<id>.npz`: best to worst, then sparse to dense. Raises FileNotFoundError when there is none."""
    paths = sorted(folder.glob("*.npz"), key=lambda path: (_rank(path), path.name))
    if not paths:
        raise FileNotFoundError(folder)
    return [_panel(path) for path in paths]


def _read_picture(path: pathlib.Path) -> np.ndarray | None:
    return read_image(path) if path.exists() else None


def _prediction(row: dict[str, str]) -> Prediction:
    true = float(row["true"]) if row["true"] else math.nan
    rest = {name: float(row[name]) for name in ("count", "std", "low", "high")}
    return Prediction(id=row["id"], true=None if math.isnan(true) else true, **rest)


def _rank(path: pathlib.Path) -> int:
    name = path.stem.partition("_")[0]
    order = (*RANKS, *COMMON)
    return order.index(name) if name in order else len(order)


def _panel(path: pathlib.Path) -> Panel:
    rank, _, stem = path.stem.partition("_")
    with np.load(path, allow_pickle=False) as arrays:
        return Panel(
            rank=rank,
            id=str(arrays["id"]) if "id" in arrays else stem,
            image=arrays["image"],
            estimate=arrays["estimate"],
            uncertainty=arrays["uncertainty"],
            true=arrays.get("true"),
        )
