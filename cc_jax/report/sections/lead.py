"""The heading of a report: the result in a sentence, and what to compare it with."""

from collections.abc import Sequence

from cc_jax import registry
from cc_jax.report import markup, tables
from cc_jax.report.renderers import format_people
from cc_jax.report.runs import Run


def render(rows: Sequence[tables.Row], runs: Sequence[Run], title: str) -> str:
    """Return the heading as HTML."""
    tests = tables.rows_by_test(rows)
    if not tests:
        return f"<h1>{markup.text(title)}</h1>" + _unlabelled(runs)
    blocks = []
    for (target, split), same in tests.items():
        where = f"{target}, {split}: " if len(tests) > 1 else ""
        blocks.append(f'<p class="headline">{markup.text(where + headline(same))}</p>')
        blocks.append(f'<p class="sub">{markup.text(_comparison(same))}</p>')
    return f'<h1 class="eyebrow">{markup.text(title)}</h1>' + "".join(blocks)


def headline(rows: Sequence[tables.Row]) -> str:
    """Return the result of one test set in a sentence, or "" without labels."""
    errors = _errors(tables.table(rows))
    method = tables.leading_method(list(errors))
    if method is None:
        return ""
    how = registry.about("methods", method).headline
    text = f"{how}, the counter is off by {format_people(errors[method])} people per image"
    baseline = errors.get("no_adapt")
    if method == "no_adapt" or not baseline:
        return text + "."
    change = errors[method] / baseline - 1
    compared = f"{abs(change):.0%} {'less' if change < 0 else 'more'}" if round(abs(change), 2) else "no less"
    return f"{text}, {compared} than without adaptation ({format_people(baseline)})."


def _comparison(rows: Sequence[tables.Row]) -> str:
    """Compare the result with knowing the labels and with knowing nothing, and say what it was measured on."""
    summaries = tables.table(rows)
    errors = _errors(summaries)
    sentences = []
    if "supervised" in errors and len(errors) > 1:
        sentences.append(f"With the target's labels, it is off by {format_people(errors['supervised'])}.")
    constants = [row["mae_constant"] for row in summaries if row["mae_constant"] is not None]
    if constants and errors:
        sentences.append(f"The same count for every image would be off by {format_people(constants[0])}.")
        worse = [tables.method_name(method) for method, mae in errors.items() if mae >= constants[0]]
        verb = "is" if len(worse) == 1 else "are"
        sentences += [f"{markup.and_list(worse)} {verb} no better than that."] if worse else []
    images, seeds = summaries[0]["images"], max(row["n"] for row in summaries)
    measured = f"Measured on {images} images" if images else "Measured on the test images"
    sentences.append(f"{measured} with {f'{seeds} seeds' if seeds > 1 else 'one seed'}.")
    return " ".join(sentences)


def _errors(summaries: Sequence[tables.Row]) -> dict[str, float]:
    """Return {method: MAE}, in the table's order."""
    return {row["method"]: row["mae"] for row in summaries if row["mae"] is not None}


def _unlabelled(runs: Sequence[Run]) -> str:
    found = [p for run in runs[:1] for p in run.predictions]
    if not found:
        return '<p class="sub">There are no results yet. The end of the page names what is missing.</p>'
    counts = sorted(p.count for p in found)
    return (
        f'<p class="headline">{len(found)} images counted, with {counts[0]:.0f} to {counts[-1]:.0f} people each.</p>'
        '<p class="sub">These images have no labels, so the errors of the counts are unknown.</p>'
    )
