"""The sections on the counts of single images and on the worth of the uncertainty."""

from collections.abc import Sequence

from cc_jax.report import markup, plots, prose
from cc_jax.report.runs import Run
from cc_jax.workdir.results import PredictionRow


def render_counts(shown: Sequence[Run]) -> str:
    """Return the section of plots of the counts, a plot for each run; "" without predictions.

    With labels, estimates are plotted against them, on the same axes for all runs. Without, they are plotted in order.
    """
    labelled = [(run, [p for p in run.predictions if p.true is not None]) for run in shown]
    labelled = [(run, found) for run, found in labelled if found]
    unlabelled = [run for run in shown if run.predictions and all(p.true is None for p in run.predictions)]
    if not labelled and not unlabelled:
        return ""
    limit = max(
        (plots.counts_limit(_column(found, "true"), _column(found, "high")) for _, found in labelled),
        default=None,
    )
    scatters = "".join(_scatter(run, found, limit) for run, found in labelled)
    sorted_plots = "".join(map(_sorted, unlabelled))
    text = f"<p>{prose.SCATTER}</p>" if labelled else ""
    return markup.section("Image by image", f'{text}<div class="plots">{scatters}</div>{sorted_plots}')


def render_reliability(main: Run | None) -> str:
    """Return the section on the main run's uncertainty; "" without labels, or if its samples never disagree."""
    found = main.reliability if main else {}
    ranks = {name: one["spearman"] for name, one in found.items() if one["spearman"] is not None}
    if main is None or not ranks:
        return ""
    text = f"<p>The uncertainty of {markup.text(main.name)}. {prose.RELIABILITY}</p>"
    calibration = found["images"].get("calibration")  # only there if evaluate was told to calibrate
    text += f"<p>{markup.text(calibration[0].upper() + calibration[1:])}.</p>" if calibration else ""
    alt = f"{main.name}: sparsification curves and coverage of its uncertainty."
    caption = "Rank correlation of uncertainty and error: "
    caption += ", ".join(f"{name} {rank:.2f}" for name, rank in ranks.items())
    figure = markup.figure(markup.svg(plots.reliability(found), alt), caption, "wide")
    return markup.section("Does it know where it is wrong?", text + figure)


def _column(found: Sequence[PredictionRow], name: str) -> list[float]:
    return [getattr(p, name) for p in found]


def _scatter(run: Run, found: Sequence[PredictionRow], limit: float | None) -> str:
    columns = [_column(found, name) for name in ("true", "count", "low", "high")]
    about = {"level": run.row["interval_level"], "kind": run.interval_kind} if run.row else {"level": None}
    alt = f"{run.name}: estimated against true counts of {len(found)} images."
    return markup.figure(markup.svg(plots.counts(*columns, **about, limit=limit), alt), run.name)


def _sorted(run: Run) -> str:
    # What the samples' disagreement gives promises nothing, and there is no truth beside it to show that.
    ends = ("count", "count") if run.interval_kind == "members" else ("low", "high")
    columns = [_column(run.predictions, name) for name in ("count", *ends)]
    alt = f"{run.name}: estimated counts of {len(run.predictions)} images, in ascending order."
    picture = markup.svg(plots.sorted_counts(*columns), alt)
    return markup.figure(picture, f"{run.name}: estimated counts", "wide")
