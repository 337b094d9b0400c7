"""The section of results: error bars, the table, the stages, and what the columns mean."""

import math
from collections.abc import Sequence

from cc_jax.report import markup, plots, prose, renderers, tables
from cc_jax.report.renderers import format_people
from cc_jax.report.runs import Run


def render(rows: Sequence[tables.Row], main: Run | None) -> str:
    """Return the section as HTML, or "" without results."""
    if not rows:
        return ""
    bars = "".join(_bars(same, test) for test, same in tables.rows_by_test(rows).items())
    headings, body, caption = renderers.cells(tables.table(rows))
    table = markup.table(headings, body, caption)
    notes = "".join(f'<p class="note">{markup.text(note)}</p>' for note in tables.notes(rows))
    of_main = _with_counts(main) + _stages(main) if main else ""
    return markup.section("Results", f"{bars}{table}{notes}{of_main}{_glossary()}")


def _bars(rows: Sequence[tables.Row], test: tuple[str, str]) -> str:
    """Return the plot of one test set's errors, or "" if there is nothing to compare."""
    summaries = [row for row in tables.table(rows) if row["mae"] is not None]
    if len(summaries) < 2:
        return ""
    names = _distinct_names(summaries)
    seeds = [_mae_of_each_seed(rows, row) for row in summaries]
    method = tables.leading_method([str(row["method"]) for row in summaries])
    highlight = next(n for n, row in zip(names, summaries, strict=True) if row["method"] == method)
    picture = plots.method_errors(names, seeds, summaries[0]["mae_constant"], highlight)
    values = "; ".join(
        f"{name} {format_people(row['mae'])}" for name, row in zip(names, summaries, strict=True)
    )
    alt = f"Mean absolute error on {test[0]} {test[1]}, in people: {values}."
    dots = " Each dot is a seed." if max(map(len, seeds)) > 1 else ""
    caption = f"Mean absolute error on {test[0]} ({test[1]}).{dots}"
    return markup.figure(markup.svg(picture, alt), caption, "wide")


def _distinct_names(summaries: Sequence[tables.Row]) -> list[str]:
    """Return the methods' names, with what else tells the rows apart where a method has several."""
    varied = []
    if len({row["method"] for row in summaries}) < len(summaries):
        varied = [name for name in tables.GROUP[1:] if len({row[name] for row in summaries}) > 1]
    return [
        ", ".join([tables.method_name(row["method"]), *(str(row[name]) for name in varied)])
        for row in summaries
    ]


def _mae_of_each_seed(rows: Sequence[tables.Row], summary: tables.Row) -> list[float]:
    same = [row["mae"] for row in rows if tables.group_of(row) == tables.group_of(summary)]
    return [float(mae) for mae in same if mae is not None and math.isfinite(mae)]


def _stages(run: Run) -> str:
    """Return the table of the errors after each stage, or "" if only one was evaluated."""
    if len(run.rows) < 2:
        return ""
    columns = (("stage", str), ("step", str), ("mae", format_people), ("rmse", format_people))
    body = [
        [*(show(row[name]) for name, show in columns), format_people(row["bias"], signed=True)]
        for row in run.rows
    ]
    headings = ["after", "step", "MAE", "RMSE", "bias"]
    table = markup.table(headings, body, f"{run.name}: errors after each stage")
    return markup.details(f"{run.name} after each stage", table)


def _with_counts(run: Run) -> str:
    """Return the plot of the error over the number of images that were counted by hand, or "" if it was not measured."""
    if not run.with_counts or not run.row:
        return ""
    picture = plots.errors_with_counts(run.with_counts, run.row["mae_constant"])
    values = "; ".join(f"{number} {format_people(one['mean'])}" for number, one in run.with_counts.items())
    alt = f"{run.name}: mean absolute error by the number of images that were counted by hand: {values}."
    figure = markup.figure(markup.svg(picture, alt), f"{run.name}: error with a few counted images", "wide")
    return f"<p>{prose.WITH_COUNTS}</p>{figure}"


def _glossary() -> str:
    return markup.details("What the columns mean", markup.definitions(prose.METRICS))
