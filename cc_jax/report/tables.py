"""The results table: rows of results.json, grouped, with means and spreads over seeds.

`tabulate` prints it and the report shows it, both through `table`, `notes` and renderers.py.
"""

import math
import pathlib
import re
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from cc_jax import registry
from cc_jax.errors import ConfigError, InputError
from cc_jax.workdir.results import read_results, read_uncertainty

Row = dict[str, Any]

# Rows that share these are averaged; see `group_of`.
GROUP = ("method", "variant", "uncertainty", "model", "source", "target", "split")
METRICS = (
    "mae",
    "rmse",
    "bias",
    "pearson",
    "mae_scaled",
    "mae_constant",
    "mae_10_counts",
    "interval_coverage",
    "interval_width",
)
DIFFERENCE = "mae_difference"  # see `against`
# From uncertainty.json, over whole images and over blocks; see evaluation/uncertainty_metrics.py.
UNCERTAINTY = tuple(
    f"{of}_{name}"
    for of in ("images", "blocks")
    for name in ("spearman", "ause", "nll", "coverage_90", "width_90", "calibration_error")
)


def collect(workdirs: Sequence[str | pathlib.Path], uncertainty: bool = False) -> tuple[list[Row], list[str]]:
    """Read the workdirs' final rows. Return them, and an error message for each workdir that has none.

    With `uncertainty`, read the last row of each workdir, and add the values of `UNCERTAINTY` to it.
    """
    rows: list[Row] = []
    failed: list[str] = []
    for workdir in dict.fromkeys(pathlib.Path(w).resolve() for w in workdirs):
        try:
            found = final_rows(read_results(workdir))
            rows += [{**found[-1], **uncertainty_values(workdir)}] if uncertainty else found
        except InputError as error:
            failed.append(str(error))
    return rows, failed


def uncertainty_values(workdir: str | pathlib.Path) -> Row:
    """Return the values of `UNCERTAINTY` of a workdir. Raise InputError if its uncertainty.json lacks one."""
    found = read_uncertainty(workdir)
    try:
        return {name: _uncertainty_value(found, name) for name in UNCERTAINTY}
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(
            f"{workdir}/uncertainty.json: lacks a value ({error!r}); run evaluate on {workdir} again"
        ) from error


def _uncertainty_value(found: dict, name: str) -> float | None:
    of, _, figure = name.partition("_")
    if not figure.endswith("_90"):
        return found[of][figure]
    return found[of][figure.removesuffix("_90")][found[of]["levels"].index(0.9)]


def final_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the last row of each group of one workdir: later stages replace earlier ones."""
    return list({group_of(row): row for row in rows}.values())


def group_of(row: Row) -> tuple:
    """Return the values of `GROUP`; the folds of a cross-validation have the same (see `test_of`)."""
    return (*(row[name] for name in GROUP[:-2]), *test_of(row))


def test_of(row: Row) -> tuple[str, str]:
    """Return (target, split) that a row was tested on. The folds of a cross-validation are one test, whose mean counts."""
    return str(row["target"]), re.sub(r"fold_\d+", "folds", str(row["split"]))


def rows_by_test(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """Return {(target, split): rows}."""
    tests: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        tests.setdefault(test_of(row), []).append(row)
    return tests


def table(rows: Iterable[Row], metrics: Sequence[str] = METRICS) -> list[Row]:
    """Return one row for each group, unrounded.

    A metric `m` has its mean over the group's rows (seeds, and the folds of a cross-validation) under `m`, and its
    standard deviation (n - 1) under `m_std`. Both are None if no row has a number, and the latter if only one has. `n` is
    the number of rows. `images`, `step`, `interval_level` and `interval_kind` have the value that the rows share, or None
    if they differ. Rows of the same weights count once, because repeats would narrow the spread.
    """
    groups: dict[tuple, list[Row]] = {}
    for row in _distinct(rows):
        groups.setdefault(group_of(row), []).append(row)
    return [_summary(group, groups[group], metrics) for group in sorted(groups, key=_order)]


def _order(group: tuple) -> tuple:
    """Sort by test set, then source (the target's own labels last), then method as in the paper's tables."""
    method, variant, uncertainty, model, source, target, split = map(str, group)
    own = source.split()[0:1] == [target]  # a source is "dataset split"
    position = registry.about("methods", method).table_position
    return target, split, own, source, position, method, model, uncertainty, variant


def _distinct(rows: Iterable[Row]) -> list[Row]:
    """Return the rows without repeats of the same weights."""
    keyed = {
        (group_of(row), row["split"], row["seed"], row["weights_sha256"] or i): row
        for i, row in enumerate(rows)
    }
    return list(keyed.values())


def _summary(group: tuple, rows: list[Row], metrics: Sequence[str]) -> Row:
    summary: Row = dict(zip(GROUP, group, strict=True))
    for name in ("images", "step", "interval_level", "interval_kind"):
        values = {row[name] for row in rows}
        summary[name] = values.pop() if len(values) == 1 else None
    summary["n"] = len(rows)
    for name in metrics:
        summary[name], summary[f"{name}_std"] = _mean_and_std([row[name] for row in rows])
    return summary


def _mean_and_std(values: list) -> tuple[float | None, float | None]:
    known = [float(value) for value in values if value is not None and math.isfinite(value)]
    if not known:
        return None, None
    return statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None


def against(rows: Sequence[Row], name: str) -> list[Row]:
    """Return the rows with their `DIFFERENCE`: the MAE minus that of variant or method `name`, for the same test and seed.

    What a seed does to all rows alike cancels in these differences. The difference is None where `name` has no row.

    Raises ConfigError if no row is called `name`, or several rows of one test and seed are.
    """
    base: dict[tuple, Row] = {}
    for row in _distinct(row for row in rows if name in (row["variant"], row["method"])):
        if base.setdefault(_pair(row), row) is not row:
            raise ConfigError(
                f"--against={name}: several rows with seed {row['seed']} on {row['target']} {row['split']} are called that; "
                "name a variant that is unique"
            )
    if not base:
        known = sorted({str(row[key]) for row in rows for key in ("variant", "method") if row[key]})
        raise ConfigError(f"--against={name}: no row is called that; there are {', '.join(known)}")
    return [{**row, DIFFERENCE: _difference(row["mae"], base.get(_pair(row), {}).get("mae"))} for row in rows]


def _pair(row: Row) -> tuple:
    return tuple(row[name] for name in ("source", "target", "split", "seed"))


def _difference(mae: float | None, base: float | None) -> float | None:
    return None if mae is None or base is None else float(mae) - float(base)


def method_name(method: object) -> str:
    """Return a method's name as tables write it."""
    return registry.about("methods", str(method)).display_name


def leading_method(methods: Sequence[str]) -> str | None:
    """Return the method that a report is about: OURS, else the last one that adapts, else the first one.

    Args:
      methods: in the table's order.
    """
    if "ours" in methods:
        return "ours"
    adapting = [method for method in methods if method not in ("no_adapt", "supervised")]
    return (adapting[-1:] or list(methods[:1]) or [None])[0]


def notes(rows: Sequence[Row]) -> list[str]:
    """Return what a reader must know before comparing the rows, a sentence each; none for a fair comparison."""
    return [
        *_repeats(rows),
        *_unequal(rows, "step", "steps", "a method that trains longer has an advantage"),
        *_unequal(rows, "images", "test images", "the errors are not comparable"),
        *_dead(rows),
    ]


def _repeats(rows: Sequence[Row]) -> list[str]:
    same: dict[tuple, list[Row]] = {}
    for row in rows:
        same.setdefault((*group_of(row), row["split"], row["seed"]), []).append(row)
    return [_repeat(repeated) for repeated in same.values() if len(repeated) > 1]


def _repeat(rows: list[Row]) -> str:
    row = rows[0]
    what = f"{method_name(row['method'])} on {row['target']} {row['split']} with seed {row['seed']}"
    if len(_distinct(rows)) == 1:
        return f"{what} occurs {len(rows)} times with the same weights; it counts once."
    return f"{what} occurs {len(rows)} times with different weights, and all of them count. Is this one experiment?"


def _unequal(rows: Sequence[Row], name: str, what: str, consequence: str) -> list[str]:
    """Return a sentence for each test whose rows differ in `name`."""
    sentences = []
    for (target, split), same in rows_by_test(rows).items():
        if len({row[name] for row in same}) < 2:
            continue
        by_method: dict[str, set] = {}
        for row in same:
            by_method.setdefault(method_name(row["method"]), set()).add(row[name])
        listed = ", ".join(f"{m} {'/'.join(map(str, sorted(values)))}" for m, values in by_method.items())
        sentences.append(
            f"The rows on {target} {split} differ in their number of {what} ({listed}): {consequence}."
        )
    return sentences


def _dead(rows: Sequence[Row]) -> list[str]:
    """Name the runs whose samples all give the same count, as happens when all hidden units have died."""
    return [
        f"{method_name(row['method'])} with seed {row['seed']} gives the same count with every sample: its network "
        "died in training and ignores the image. Train it again with a lower config.optimizer.learning_rate."
        for row in rows
        if row["uncertainty"] != "single" and row["interval_width"] == 0
    ]
