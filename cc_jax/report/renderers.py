"""The results table for people and programs: as text, Markdown or CSV."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Sequence

from cc_jax.errors import ConfigError, InputError
from cc_jax.report.paper_results import published_figures
from cc_jax.report.tables import DIFFERENCE, GROUP, METRICS, UNCERTAINTY, Row, method_name

FORMATS = ("text", "markdown", "csv")
Column = tuple[str, Callable[[Row], str]]  # the heading, and what turns a row into the cell


def render(summaries: Sequence[Row], style: str = "text", remarks: Sequence[str] = ()) -> str:
    """Return the table in one of `FORMATS`, ending in a newline.

    Text and Markdown round numbers, name what all rows share in a caption, and end with the remarks. CSV has every column,
    unrounded, and no remarks.

    Args:
      summaries: rows of `tables.table`.
      style: one of `FORMATS`.
      remarks: sentences of `tables.notes`.
    """
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


def cells(summaries: Sequence[Row]) -> tuple[list[str], list[list[str]], str]:
    """Return the table for people: (headings, rows of strings, caption), with about three digits a number.

    What all rows share is in the caption instead of a column.
    """
    shared = {name: summaries[0][name] for name in GROUP[1:] if len({row[name] for row in summaries}) == 1}
    columns = [_group_column(name) for name in GROUP if name not in shared] + _metric_columns(summaries)
    body = [[show(row) for _, show in columns] for row in summaries]
    return [heading for heading, _ in columns], body, _caption(shared, summaries)


def format_people(value: object, *, signed: bool = False) -> str:
    """Return a number of people for reading: with a decimal below 100; "-" if there is none."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "-"
    return f"{value:{'+' if signed else ''}.{1 if abs(value) < 99.95 else 0}f}"


def _format_signed(value: object) -> str:
    return format_people(value, signed=True)


def _format_ratio(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, int | float) and math.isfinite(value) else "-"


def _format_percent(value: object) -> str:
    return f"{100 * value:.0f} %" if isinstance(value, int | float) and math.isfinite(value) else "-"


def _with_spread(row: Row, name: str, show: Callable[[object], str]) -> str:
    """Return `mean ± standard deviation`, or the mean alone."""
    spread = row[f"{name}_std"]
    return show(row[name]) + (f" ± {show(spread).lstrip('+')}" if spread is not None else "")


def _percent_with_spread(row: Row, name: str) -> str:
    return _with_spread(row, name, _format_percent).replace(" % ±", " ±")


def _group_column(name: str) -> Column:
    return name, lambda row: method_name(row[name]) if name == "method" else str(row[name] or "-")


def _metric_columns(summaries: Sequence[Row]) -> list[Column]:
    """Return the columns of the metrics, and one of the number of seeds if it is ever more than one."""
    columns = _uncertainty_columns() if _is_uncertainty_table(summaries) else _error_columns(summaries)
    if DIFFERENCE in summaries[0]:
        columns.insert(1, ("difference", lambda row: _with_spread(row, DIFFERENCE, _format_signed)))
    if any((row["n"] or 0) > 1 for row in summaries):
        columns.append(("seeds", lambda row: str(row["n"] or "-")))
    return columns


def _is_uncertainty_table(summaries: Sequence[Row]) -> bool:
    return UNCERTAINTY[0] in summaries[0]


def _error_columns(summaries: Sequence[Row]) -> list[Column]:
    """Return the columns of the errors; those with counts and of the paper's figures if any row has a value."""
    published = any(published_figures(row)[0] is not None for row in summaries)
    counted = any(row["mae_10_counts"] is not None for row in summaries)
    return [
        ("MAE", lambda row: _with_spread(row, "mae", format_people)),
        ("RMSE", lambda row: _with_spread(row, "rmse", format_people)),
        ("bias", lambda row: _with_spread(row, "bias", _format_signed)),
        ("Pearson", lambda row: _with_spread(row, "pearson", _format_ratio)),
        ("scaled MAE", lambda row: _with_spread(row, "mae_scaled", format_people)),
        ("constant MAE", lambda row: format_people(row["mae_constant"])),
        *(
            [("with 10 counts", lambda row: _with_spread(row, "mae_10_counts", format_people))]
            if counted
            else []
        ),
        ("in interval", lambda row: _percent_with_spread(row, "interval_coverage")),
        *([("published", _published_cell)] if published else []),
    ]


def _published_cell(row: Row) -> str:
    """Return the paper's `MAE / RMSE`."""
    mae, rmse = published_figures(row)
    return "-" if mae is None else f"{format_people(mae)} / {format_people(rmse)}"


def _uncertainty_columns() -> list[Column]:
    """Return the columns of the uncertainty over images, then over blocks."""
    figures = (
        ("Spearman", "spearman", _format_ratio),
        ("AUSE", "ause", _format_ratio),
        ("NLL", "nll", format_people),
    )
    columns: list[Column] = []
    for of, word in (("images", "image"), ("blocks", "block")):
        columns += [
            (f"{word} {heading}", lambda row, key=f"{of}_{name}", show=show: _with_spread(row, key, show))
            for heading, name, show in figures
        ]
        columns.append(
            (f"{word}s in 90 %", lambda row, key=f"{of}_coverage_90": _percent_with_spread(row, key))
        )
    return columns


def _caption(shared: Row, summaries: Sequence[Row]) -> str:
    """Return what the rows share, in one line: `synthetic/source train to synthetic/target, split test, ...`."""
    parts = []
    if "source" in shared and "target" in shared:
        parts.append(f"{shared.pop('source')} to {shared.pop('target')}")
    parts += [f"{name} {value}" for name, value in shared.items() if value]
    images, steps, level, kind = (
        _shared(summaries, name) for name in ("images", "step", "interval_level", "interval_kind")
    )
    parts += [f"{images} images"] if images else []
    parts += [f"{steps} steps"] if steps else []
    if _is_uncertainty_table(summaries):
        return ", ".join([*parts, "quality of the uncertainty over images and over blocks of 64 pixels"])
    parts += [f"{_format_percent(level)} intervals{f' ({kind})' if kind else ''}"] if level else []
    return ", ".join([*parts, "errors in people"])


def _shared(summaries: Sequence[Row], name: str) -> object:
    values = {row[name] for row in summaries if row["n"]}
    return values.pop() if len(values) == 1 else None


def _text(headings: list[str], body: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(headings, *body, strict=True)]
    left = [_is_words(column) for column in zip(*body, strict=True)]
    rule = ["-" * width for width in widths]
    return ["  ".join(_align(row, widths, left)).rstrip() for row in (headings, rule, *body)]


def _markdown(headings: list[str], body: list[list[str]]) -> list[str]:
    rule = ["---" if _is_words(column) else "--:" for column in zip(*body, strict=True)]
    escaped = ([cell.replace("|", r"\|") for cell in row] for row in (headings, rule, *body))
    return [f"| {' | '.join(row)} |" for row in escaped]


def _csv(summaries: Sequence[Row]) -> str:
    names = UNCERTAINTY if _is_uncertainty_table(summaries) else METRICS
    names += (DIFFERENCE,) * (DIFFERENCE in summaries[0])
    metrics = (key for name in names for key in (name, f"{name}_std"))
    columns = [*GROUP, "n", "images", "step", "interval_kind", "interval_level", *metrics]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: row[name] for name in columns} for row in summaries)
    return text.getvalue()


def _is_words(column: Iterable[str]) -> bool:
    return not any(cell.lstrip("+-")[:1].isdigit() for cell in column)


def _align(row: Sequence[str], widths: Sequence[int], left: Sequence[bool]) -> list[str]:
    """Pad the cells: words on the right, numbers on the left."""
    aligned = zip(row, widths, left, strict=True)
    return [cell.ljust(width) if words else cell.rjust(width) for cell, width, words in aligned]
