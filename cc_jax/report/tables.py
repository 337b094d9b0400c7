"""The results table: rows of results.json -> means and spreads over seeds -> text, Markdown or CSV.

`tabulate` prints it and the report shows it; both go through `table`, `notes` and `cells`.
"""

import csv
import io
import json
import math
import pathlib
import re
import statistics
from collections.abc import Callable, Iterable, Sequence

from cc_jax.errors import ConfigError, InputError

Row = dict[str, object]

GROUP = ("method", "variant", "uncertainty", "model", "source", "target", "split")
METRICS = (
    "mae",
    "rmse",
    "bias",
    "pearson",
    "mae_scaled",
    "mae_constant",
    "interval_coverage",
    "interval_width",
)
DIFFERENCE = "mae_difference"  # see `against`
# From uncertainty.json (uncertainty_metrics.py): what the members' disagreement is worth, over images and over blocks.
UNCERTAINTY = tuple(
    f"{of}_{name}"
    for of in ("images", "blocks")
    for name in ("spearman", "ause", "nll", "coverage_90", "width_90", "calibration_error")
)
_FIELDS = (*GROUP, *METRICS, "seed", "images", "interval_level", "stage", "step", "weights_sha256")
FORMATS = ("text", "markdown", "csv")

# In the order of the paper's tables: from no adaptation to the labels themselves.
METHOD_NAMES = {
    "no_adapt": "No Adapt",
    "cycle_gan": "Cycle-GAN",
    "se_cycle_gan": "SE Cycle-GAN",
    "se_cycle_gan_jt": "SE Cycle-GAN (JT)",
    "se_fd": "SE+FD",
    "gp": "GP",
    "bla": "BLA (features)",
    "mic": "MIC",
    "ours": "OURS",
    "supervised": "Supervised",
}

# MAE / RMSE on the paper's project page (Liu, Durasov and Fua, CVPR 2022): GCC to the real set, SFCN.
# WorldExpo'10 has a mean MAE over its five scenes and no RMSE.
PUBLISHED = {
    "shanghaitech/part_a": {
        "no_adapt": (160.0, 216.5),
        "cycle_gan": (143.3, 204.3),
        "se_cycle_gan": (123.4, 193.4),
        "se_cycle_gan_jt": (119.6, 189.1),
        "se_fd": (129.3, 187.6),
        "gp": (121.0, 181.0),
        "ours": (109.2, 168.1),
        "supervised": (76.3, 144.2),
    },
    "shanghaitech/part_b": {
        "no_adapt": (22.8, 30.6),
        "cycle_gan": (25.4, 39.7),
        "se_cycle_gan": (19.9, 28.3),
        "se_cycle_gan_jt": (16.4, 25.8),
        "se_fd": (16.9, 24.7),
        "gp": (12.8, 19.2),
        "ours": (11.4, 17.3),
        "supervised": (11.0, 17.1),
    },
    "ucf_cc_50": {
        "no_adapt": (487.2, 689.0),
        "cycle_gan": (404.6, 548.2),
        "se_cycle_gan": (373.4, 528.8),
        "se_cycle_gan_jt": (370.2, 512.0),
        "gp": (355.0, 505.0),
        "ours": (336.5, 486.1),
        "supervised": (259.3, 407.2),
    },
    "ucf_qnrf": {
        "no_adapt": (275.5, 458.5),
        "cycle_gan": (257.3, 400.6),
        "se_cycle_gan": (230.4, 384.5),
        "se_cycle_gan_jt": (225.9, 385.7),
        "se_fd": (221.2, 390.2),
        "gp": (210.0, 351.0),
        "ours": (198.3, 332.9),
        # The page prints the figures of OURS once more, probably a slip: left out.
    },
    "worldexpo10": {
        "no_adapt": (42.8, None),
        "cycle_gan": (32.4, None),
        "se_cycle_gan": (26.3, None),
        "se_cycle_gan_jt": (24.4, None),
        "gp": (20.4, None),
        "ours": (16.6, None),
        "supervised": (11.2, None),
    },
}


def read_results(workdir: str | pathlib.Path) -> list[Row]:
    """The rows of `workdir`/results.json. Raises InputError when it is missing or not a list of rows."""
    path = pathlib.Path(workdir, "results.json")
    try:
        rows = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; train or evaluate writes it when it is done") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); run evaluate on {path.parent} again") from error
    if isinstance(rows, list):  # rows written before there were variants are of none
        rows = [{"variant": "", **row} if isinstance(row, dict) else row for row in rows]
    _check(rows, path)
    return rows


def read_uncertainty(workdir: str | pathlib.Path) -> Row:
    """The values of `UNCERTAINTY` of a workdir. Raises InputError without a whole uncertainty.json."""
    path = pathlib.Path(workdir, "uncertainty.json")
    try:
        found = json.loads(path.read_text())
        return {name: _of_uncertainty(found, name) for name in UNCERTAINTY}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run evaluate on {path.parent} again") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: cannot be read ({error!r}); run evaluate on {path.parent} again"
        ) from error


def _of_uncertainty(found: dict, name: str) -> float | None:
    of, _, figure = name.partition("_")
    if not figure.endswith("_90"):
        return found[of][figure]
    return found[of][figure.removesuffix("_90")][found[of]["levels"].index(0.9)]


def _check(rows: object, path: pathlib.Path) -> None:
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: holds no list of rows; run evaluate on {path.parent} again")
    missing = sorted({name for row in rows for name in _FIELDS if name not in row})
    if missing:
        raise InputError(f"{path}: a row lacks {', '.join(missing)}; run evaluate on {path.parent} again")


def final_rows(rows: Sequence[Row]) -> list[Row]:
    """The last row of each group of one workdir: rows of earlier stages and steps give way to later ones."""
    return list({group_of(row): row for row in rows}.values())


def collect(workdirs: Sequence[str | pathlib.Path], uncertainty: bool = False) -> tuple[list[Row], list[str]]:
    """The final rows of the workdirs, and a line for each one that has none to give.

    With `uncertainty` the last row of each, with the values of `UNCERTAINTY`.
    """
    rows: list[Row] = []
    failed: list[str] = []
    for workdir in dict.fromkeys(pathlib.Path(w).resolve() for w in workdirs):
        try:
            found = final_rows(read_results(workdir))
            rows += [{**found[-1], **read_uncertainty(workdir)}] if uncertainty else found
        except InputError as error:
            failed.append(str(error))
    return rows, failed


def table(rows: Iterable[Row], metrics: Sequence[str] = METRICS) -> list[Row]:
    """One row a group (method, variant, uncertainty, model, source, target, split), unrounded.

    A metric `m` has its mean over the rows (seeds, and the folds of a cross-validation) under `m` and its standard
    deviation (n - 1; None for one row) under `m_std`; both are None where no row has a number. `n`: rows in the group;
    `images`, `step`, `interval_level`: the value that they share, None where they differ. The same weights count once.
    """
    groups: dict[tuple, list[Row]] = {}
    for row in _distinct(rows):
        groups.setdefault(group_of(row), []).append(row)
    return [_summary(group, groups[group], metrics) for group in sorted(groups, key=_order)]


def against(rows: Sequence[Row], name: str) -> list[Row]:
    """The rows with their `DIFFERENCE`: MAE minus that of the variant or method `name` on the same test and seed.

    Pairs take what a seed does to all of them out of the spread. None where there is no such row.
    Raises ConfigError where no row is called `name`, or several of one seed and test are.
    """
    base: dict[tuple, Row] = {}
    for row in _distinct(row for row in rows if name in (row["variant"], row["method"])):
        if base.setdefault(_pair(row), row) is not row:
            raise ConfigError(
                f"--against={name}: with seed {row['seed']} on {row['target']} {row['split']} several rows are called that"
            )
    if not base:
        known = ", ".join(
            sorted({str(row[key]) for row in rows for key in ("variant", "method") if row[key]})
        )
        raise ConfigError(f"--against={name}: there are {known}")
    return [{**row, DIFFERENCE: _difference(row["mae"], base.get(_pair(row), {}).get("mae"))} for row in rows]


def _pair(row: Row) -> tuple:
    return tuple(row[name] for name in ("source", "target", "split", "seed"))


def _difference(mae: object, base: object) -> float | None:
    return None if mae is None or base is None else float(mae) - float(base)


def notes(rows: Sequence[Row]) -> list[str]:
    """What a reader must know before comparing the rows, a sentence each; none for a fair comparison."""
    unequal = [*_unequal(rows, "step", "steps"), *_unequal(rows, "images", "test images")]
    return [*_repeats(rows), *unequal, *_dead(rows)]


def published(rows: Iterable[Row]) -> list[Row]:
    """The paper's rows for the targets of `rows`, shaped like those of `table`; empty where it has none."""
    targets = sorted({str(row["target"]) for row in rows} & set(PUBLISHED))
    return [_published_row(target, method) for target in targets for method in PUBLISHED[target]]


def with_published(summaries: list[Row], remarks: list[str]) -> tuple[list[Row], list[str]]:
    """The paper's rows below ours, and a remark on where they come from."""
    added = published(summaries)
    said = (
        "'published' rows are the paper's, trained on GCC with SFCN."
        if added
        else "the paper has no figures for this target."
    )
    return summaries + added, [*remarks, said]


def cells(summaries: Sequence[Row]) -> tuple[list[str], list[list[str]], str]:
    """The table for people: (headings, rows of strings, caption), numbers rounded to about three digits.

    What all rows share goes into the caption instead of a column.
    """
    shared = {name: summaries[0][name] for name in GROUP[1:] if len({row[name] for row in summaries}) == 1}
    columns = [_group_column(name) for name in GROUP if name not in shared] + _metric_columns(summaries)
    body = [[show(row) for _, show in columns] for row in summaries]
    return [heading for heading, _ in columns], body, _caption(shared, summaries)


def render(summaries: Sequence[Row], style: str = "text", remarks: Sequence[str] = ()) -> str:
    """The table as `text`, `markdown` or `csv` (unrounded, every column, no remarks), ending in a newline."""
    if style not in FORMATS:
        raise ConfigError(f"--format={style}: the formats are {', '.join(FORMATS)}")
    if not summaries:
        raise InputError("no rows to tabulate")
    if style == "csv":
        return _csv(summaries)
    headings, body, caption = cells(summaries)
    lines = _markdown(headings, body) if style == "markdown" else _text(headings, body)
    below = ["", *(f"Note: {remark}" for remark in remarks)] if remarks else []
    return "\n".join([caption, "", *lines, *below, ""])


def test_of(row: Row) -> tuple[str, str]:
    """(target, split) that a row was tested on; the folds of a cross-validation are one test, whose mean counts."""
    return str(row["target"]), re.sub(r"fold_\d+", "folds", str(row["split"]))


def group_of(row: Row) -> tuple:
    """The values of `GROUP` by which rows are averaged: see `test_of`."""
    return (*(row[name] for name in GROUP[:-2]), *test_of(row))


def method_name(method: object) -> str:
    """The method as the paper writes it; an unknown one as its file is called."""
    return METHOD_NAMES.get(str(method), str(method))


def number(value: object, *, signed: bool = False) -> str:
    """A number of people for reading: one decimal below 100, none above; "-" where there is none."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "-"
    return f"{value:{'+' if signed else ''}.{1 if abs(value) < 99.95 else 0}f}"


def _order(group: tuple) -> tuple:
    """By test set, then source (the target's own labels last), then the methods as the paper orders them."""
    method, variant, uncertainty, model, source, target, split = map(str, group)
    known = list(METHOD_NAMES)
    rank = known.index(method) if method in known else len(known)
    own = source.split()[0:1] == [target]  # a source is "dataset split"
    return target, split, own, source, rank, method, model, uncertainty, variant


def _distinct(rows: Iterable[Row]) -> list[Row]:
    """The rows without repeats of the same weights: counted twice they would narrow the spread."""
    keyed = {
        (group_of(row), row["split"], row["seed"], row["weights_sha256"] or i): row
        for i, row in enumerate(rows)
    }
    return list(keyed.values())


def _summary(group: tuple, rows: list[Row], metrics: Sequence[str]) -> Row:
    summary: Row = dict(zip(GROUP, group, strict=True))
    for name in ("images", "step", "interval_level"):
        values = {row[name] for row in rows}
        summary[name] = values.pop() if len(values) == 1 else None
    summary["n"] = len(rows)
    for name in metrics:
        summary[name], summary[f"{name}_std"] = _mean_and_spread([row[name] for row in rows])
    return summary


def _mean_and_spread(values: list) -> tuple[float | None, float | None]:
    known = [float(value) for value in values if value is not None and math.isfinite(value)]
    if not known:
        return None, None
    return statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None


def _published_row(target: str, method: str) -> Row:
    empty = {key: None for name in (*METRICS, DIFFERENCE) for key in (name, f"{name}_std")}
    mae, rmse = PUBLISHED[target][method]
    group = {
        "variant": "",
        "uncertainty": "published",
        "model": "sfcn",
        "source": "gcc",
        "target": target,
        "split": "test",
    }
    unknown = dict.fromkeys(("images", "step", "interval_level", "n"))
    return {"method": method, **group, **unknown, **empty, "mae": mae, "rmse": rmse}


def _repeats(rows: Sequence[Row]) -> list[str]:
    seen: dict[tuple, list[Row]] = {}
    for row in rows:
        seen.setdefault((*group_of(row), row["split"], row["seed"]), []).append(row)
    return [_repeat(same) for same in seen.values() if len(same) > 1]


def _repeat(rows: list[Row]) -> str:
    row = rows[0]
    what = f"{method_name(row['method'])} on {row['target']} {row['split']} with seed {row['seed']}"
    if len(_distinct(rows)) == 1:
        return f"{what} comes {len(rows)} times with the same weights; it counts once."
    return f"{what} comes {len(rows)} times with different weights: is it one experiment? All of them count."


def _dead(rows: Sequence[Row]) -> list[str]:
    """Runs whose members agree to the last bit: what they have in common are the biases behind dead units."""
    return [
        f"{method_name(row['method'])} with seed {row['seed']} gives the same count with every member: its network "
        "has died in training and does not look at the image; lower config.optimizer.learning_rate."
        for row in rows
        if row["uncertainty"] != "single" and row["interval_width"] == 0
    ]


def _unequal(rows: Sequence[Row], name: str, words: str) -> list[str]:
    """One sentence for each test set whose rows differ in `name`."""
    tests: dict[tuple, list[Row]] = {}
    for row in rows:
        tests.setdefault(test_of(row), []).append(row)
    return [
        _unequal_one(test, same, name, words)
        for test, same in tests.items()
        if len({r[name] for r in same}) > 1
    ]


def _unequal_one(test: tuple, rows: list[Row], name: str, words: str) -> str:
    by_method: dict[str, set] = {}
    for row in rows:
        by_method.setdefault(method_name(row["method"]), set()).add(row[name])
    listed = ", ".join(f"{m} {'/'.join(map(str, sorted(values)))}" for m, values in by_method.items())
    return f"the rows on {test[0]} {test[1]} differ in their number of {words} ({listed}): {_WHY[name]}."


_WHY = {
    "step": "what merely trained longer is no fair comparison",
    "images": "the errors are not comparable",
}
Column = tuple[str, Callable[[Row], str]]


def _group_column(name: str) -> Column:
    return name, lambda row: method_name(row[name]) if name == "method" else str(row[name] or "-")


def _metric_columns(summaries: Sequence[Row]) -> list[Column]:
    """Heading and text of each metric; the seeds have a column where there is more than one."""
    columns: list[Column] = (
        _uncertainty_columns() if UNCERTAINTY[0] in summaries[0] else _error_columns(summaries)
    )
    if DIFFERENCE in summaries[0]:
        columns.insert(1, ("difference", lambda row: _spread(row, DIFFERENCE, _signed)))
    if any((row["n"] or 0) > 1 for row in summaries):
        columns.append(("seeds", lambda row: str(row["n"] or "-")))
    return columns


def _error_columns(summaries: Sequence[Row]) -> list[Column]:
    """Those of the errors, with a column of the paper's figures where some row is of one of its pairs."""
    paper = [("published", _paper_figures)] if any(_paper_figures(row) != "-" for row in summaries) else []
    return [
        ("MAE", lambda row: _spread(row, "mae", number)),
        ("RMSE", lambda row: _spread(row, "rmse", number)),
        ("bias", lambda row: _spread(row, "bias", _signed)),
        ("Pearson", lambda row: _spread(row, "pearson", _two)),
        ("scaled MAE", lambda row: _spread(row, "mae_scaled", number)),
        ("constant MAE", lambda row: number(row["mae_constant"])),
        ("in interval", lambda row: _spread(row, "interval_coverage", _percent).replace(" % ±", " ±")),
        *paper,
    ]


def _paper_figures(row: Row) -> str:
    """MAE / RMSE that the paper has for this method from GCC to this target; "-" for any other row."""
    if not str(row["source"]).startswith("gcc/") or row["variant"]:
        return "-"
    mae, rmse = PUBLISHED.get(str(row["target"]), {}).get(str(row["method"]), (None, None))
    return "-" if mae is None else f"{number(mae)} / {number(rmse)}"


def _uncertainty_columns() -> list[Column]:
    """Images first, then blocks: rank correlation, AUSE, likelihood, coverage of 90 % intervals."""
    shown = (("Spearman", "spearman", _two), ("AUSE", "ause", _two), ("NLL", "nll", number))
    columns: list[Column] = []
    for of, word in (("images", "image"), ("blocks", "block")):
        columns += [
            (f"{word} {heading}", lambda row, key=f"{of}_{name}", show=show: _spread(row, key, show))
            for heading, name, show in shown
        ]
        columns.append(
            (
                f"{word}s in 90 %",
                lambda row, key=f"{of}_coverage_90": _spread(row, key, _percent).replace(" % ±", " ±"),
            )
        )
    return columns


def _spread(row: Row, name: str, show: Callable[[object], str]) -> str:
    spread = row[f"{name}_std"]
    return show(row[name]) + (f" ± {show(spread).lstrip('+')}" if spread is not None else "")


def _signed(value: object) -> str:
    return number(value, signed=True)


def _two(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, int | float) and math.isfinite(value) else "-"


def _percent(value: object) -> str:
    return f"{100 * value:.0f} %" if isinstance(value, int | float) and math.isfinite(value) else "-"


def _caption(shared: Row, summaries: Sequence[Row]) -> str:
    """What the rows share, in one line: `synthetic/source to synthetic/target, test, ...`."""
    parts = []
    if "source" in shared and "target" in shared:
        parts.append(f"{shared.pop('source')} to {shared.pop('target')}")
    parts += [f"{name} {value}" for name, value in shared.items() if value]
    images, steps, level = (_one(summaries, name) for name in ("images", "step", "interval_level"))
    parts += [f"{images} images"] if images else []
    parts += [f"{steps} steps"] if steps else []
    if UNCERTAINTY[0] in summaries[0]:
        return ", ".join(
            [*parts, "what the members' disagreement is worth over images and over blocks of 64 pixels"]
        )
    parts += [f"intervals meant to hold {_percent(level)}"] if level else []
    return ", ".join([*parts, "errors in people"])


def _one(summaries: Sequence[Row], name: str) -> object:
    values = {row[name] for row in summaries if row["n"]}
    return values.pop() if len(values) == 1 else None


def _text(headings: list[str], body: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(headings, *body, strict=True)]
    left = [_is_words(column) for column in zip(*body, strict=True)]
    rule = ["-" * width for width in widths]
    return ["  ".join(_pad(row, widths, left)).rstrip() for row in (headings, rule, *body)]


def _markdown(headings: list[str], body: list[list[str]]) -> list[str]:
    rule = ["---" if _is_words(column) else "--:" for column in zip(*body, strict=True)]
    escaped = ([cell.replace("|", r"\|") for cell in row] for row in (headings, rule, *body))
    return [f"| {' | '.join(row)} |" for row in escaped]


def _csv(summaries: Sequence[Row]) -> str:
    names = UNCERTAINTY if UNCERTAINTY[0] in summaries[0] else METRICS
    names += (DIFFERENCE,) * (DIFFERENCE in summaries[0])
    metrics = (key for name in names for key in (name, f"{name}_std"))
    columns = [*GROUP, "n", "images", "step", "interval_level", *metrics]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: row[name] for name in columns} for row in summaries)
    return text.getvalue()


def _is_words(column: Iterable[str]) -> bool:
    return not any(cell.lstrip("+-")[:1].isdigit() for cell in column)


def _pad(row: Sequence[str], widths: Sequence[int], left: Sequence[bool]) -> list[str]:
    aligned = zip(row, widths, left, strict=True)
    return [cell.ljust(width) if words else cell.rjust(width) for cell, width, words in aligned]
