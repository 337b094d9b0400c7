"""report.html: a self-contained page on one or several runs, for readers who have never heard of the method.

Everything on it comes from the workdirs' files. It loads nothing from elsewhere and executes nothing.
"""

import pathlib
from collections.abc import Sequence

from cc_jax.data.files import write_atomic
from cc_jax.report import markup, tables
from cc_jax.report.runs import Run, read_run
from cc_jax.report.sections import explanation, images, lead, predictions, provenance, results, training

__all__ = ["Run", "read_run", "write_report"]


def write_report(path: str | pathlib.Path, runs: Sequence[Run], title: str) -> None:
    """Write the page.

    Args:
      path: the HTML file.
      runs: of `read_run`. Several seeds of a method share a row of the table; plots and images are those of the smallest
        seed.
      title: a few words for the heading.
    """
    write_atomic(path, render_page(runs, title))


def render_page(runs: Sequence[Run], title: str) -> str:
    """Return the page as HTML."""
    rows = [row for run in runs for row in tables.final_rows(run.rows)]
    shown = one_run_per_method(runs)
    main = main_run(shown)
    sections = [
        results.render(rows, main),
        explanation.render(rows),
        predictions.render_counts(shown),
        predictions.render_reliability(main),
        images.render_translated(shown),
        images.render_side_by_side(shown),
        images.render_panels(shown, main),
        training.render(shown, main),
        provenance.render_runs(runs),
        provenance.render_missing(runs),
    ]
    body = "\n".join(section for section in sections if section)
    return markup.page(title, lead.render(rows, runs, title), body)


def one_run_per_method(runs: Sequence[Run]) -> list[Run]:
    """Return the run with the smallest seed of each method, in the table's order; runs without results come last."""
    with_results = [run for run in runs if run.row]
    first: dict[tuple, Run] = {}
    for run in sorted(with_results, key=lambda run: run.rows[-1]["seed"]):
        first.setdefault(tables.group_of(run.rows[-1]), run)
    order = [tables.group_of(row) for row in tables.table(run.rows[-1] for run in with_results)]
    return [first[group] for group in order] + [run for run in runs if not run.row]


def main_run(shown: Sequence[Run]) -> Run | None:
    """Return the run whose images are open on the page; see `tables.leading_method`."""
    method = tables.leading_method([str(run.row["method"]) for run in shown if run.row])
    leading = [run for run in shown if run.row and run.row["method"] == method]
    return (leading or list(shown) or [None])[0]
