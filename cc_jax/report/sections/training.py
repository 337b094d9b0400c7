"""The section of training curves."""

from collections.abc import Sequence

from cc_jax.report import markup, plots, prose
from cc_jax.report.runs import Run


def render(shown: Sequence[Run], main: Run | None) -> str:
    """Return the section with each run's curves, or "" without any; only the main run's are open."""
    blocks = []
    for run in sorted(shown, key=lambda run: run is not main):
        picture = plots.curves(run.log)
        if picture is None:
            continue
        curves = ", ".join(plots.curve_names(run.log))
        stages = ", ".join(name for name, _, _ in plots.stages(run.log))
        alt = f"{run.name}: {curves} over the steps of the stages {stages}."
        inner = f'<figure class="wide">{markup.svg(picture, alt)}</figure>'
        blocks.append(markup.details(run.name, inner, is_open=run is main))
    return markup.section("Training", f"<p>{prose.TRAINING}</p>{''.join(blocks)}") if blocks else ""
