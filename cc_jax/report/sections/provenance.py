"""The sections on where the numbers come from, and on what is missing."""

import json
from collections.abc import Sequence

from cc_jax.report import markup, prose, tables
from cc_jax.report.runs import Run


def render_runs(runs: Sequence[Run]) -> str:
    """Return the section with the seed, steps and weights of each run, and its whole config."""
    with_results = [run for run in runs if run.row]
    inner = ""
    if with_results:
        headings = ["workdir", "method", "seed", "steps", "weights (SHA-256)"]
        inner = markup.table(headings, [_cells(run) for run in with_results], "The runs on this page")
        inner += f"<p>{prose.PROVENANCE}</p>"
    inner += "".join(_config(run) for run in runs if run.config)
    return markup.section("Where the numbers come from", inner) if inner else ""


def render_missing(runs: Sequence[Run]) -> str:
    """Return the section on files that could not be read, or "" if there are none."""
    missing = [what for run in runs for what in run.missing] if runs else ["There are no runs."]
    items = "".join(f"<li>{markup.text(what)}</li>" for what in missing)
    return markup.section("What is missing on this page", f'<ul class="note">{items}</ul>') if items else ""


def _cells(run: Run) -> list[str]:
    row = run.rows[-1]
    return [
        run.workdir.name,
        tables.method_name(row["method"]),
        str(row["seed"]),
        str(row["step"]),
        str(row["weights_sha256"])[:12],
    ]


def _config(run: Run) -> str:
    text = f"<pre tabindex=0>{markup.text(json.dumps(run.config, indent=2))}</pre>"
    return markup.details(f"Config of {run.workdir.name}", text)
