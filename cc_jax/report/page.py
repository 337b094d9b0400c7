"""report.html: one self-contained page on one or several runs, for a reader who has never heard of the method.

Everything shown comes from the workdirs' files. Nothing is loaded from elsewhere, nothing is executed.
"""

import json
import math
import pathlib
from collections.abc import Sequence

import numpy as np

from cc_jax.data.files import write_atomic
from cc_jax.report import markup, overlays, plots, tables
from cc_jax.report.runs import COMMON, Panel, Prediction, Run, read_run

__all__ = ["Run", "read_run", "write_report"]

_IMAGE_SIDE = 560  # longer side of an embedded picture, in pixels; twice what a phone shows

_METHODS = {
    "no_adapt": "trained on the labelled source images alone and used on the target as it is. The baseline.",
    "cycle_gan": "before training, the source images are translated to look like the target by a network that must also be "
    "able to translate them back.",
    "se_cycle_gan": "Cycle-GAN whose images must also keep their structure on the way there and back.",
    "se_cycle_gan_jt": "the same with translator and counter trained together.",
    "se_fd": "features of the crowd are made alike on source and target: an adversary tries to tell them apart.",
    "gp": "features of unlabelled crops are drawn to what a Gaussian process foretells from those of labelled ones.",
    "bla": "features are made alike on source and target, those of the crowd and those of the background apart.",
    "mic": "what the network says of a target image with holes must be what its own moving average says of the whole.",
    "ours": "the method shown here. It also looks at target images that nobody has labelled: first it learns to "
    "tell upside-down ones from upright ones, then it labels them itself, again and again, and goes on learning from "
    "the labels that it is surest of.",
    "supervised": "trained on the target images with their labels. What adaptation could reach at best; it needs "
    "the labelling that the other methods do without.",
}
_HEADLINES = {
    "no_adapt": "Without adaptation",
    "ours": "Adapted without labels (OURS)",
    "supervised": "Trained with the target's labels",
}
_RANKED = (
    "The test images that were counted best, middling and worst, by the number of people missed; true and "
    "estimated density share one colour scale."
)
_METRICS = (
    ("MAE", "mean absolute error: by how many people an image is miscounted on average. Smaller is better."),
    ("RMSE", "root mean square error: the same, with large misses weighing more."),
    ("bias", "estimated minus true, on average: above 0 counts too many, below 0 too few."),
    ("Pearson", "correlation of estimated and true counts: 1 ranks the images perfectly, 0 says nothing."),
    ("scaled MAE", "MAE after multiplying all estimates by the one best factor: what is left when the overall "
     "level is right."),
    ("constant MAE", "MAE of always answering the median of the true counts: a counter must stay below it."),
    ("in interval", "share of the images whose true count lies within the stated interval."),
)  # fmt: skip


def write_report(path: str | pathlib.Path, runs: Sequence[Run], title: str) -> None:
    """Writes the page to `path` in one step.

    Args:
      path: the HTML file.
      runs: from `read_run`; several seeds of a method share a row of the table, and the first one's plots and
        images are shown.
      title: a few words for the heading.
    """
    write_atomic(path, render_page(runs, title))


def render_page(runs: Sequence[Run], title: str) -> str:
    """The page as HTML."""
    rows = [row for run in runs for row in tables.final_rows(run.rows)]
    shown = one_run_a_method(runs)
    main = main_run(shown)
    sections = [
        _results(rows, main),
        _explanation(rows),
        _scatter(shown),
        _reliability(main),
        _translated(shown),
        _side_by_side(shown),
        _pictures(shown, main),
        _training(shown, main),
        _files(runs),
        _missing(runs),
    ]
    body = "\n".join(section for section in sections if section)
    return markup.page(title, _lead(rows, runs, title), body)


def one_run_a_method(runs: Sequence[Run]) -> list[Run]:
    """The run with the smallest seed of each method, in the table's order; runs without results come last."""
    rated = [run for run in runs if run.row]
    first: dict[tuple, Run] = {}
    for run in sorted(rated, key=lambda run: run.row["seed"]):
        first.setdefault(tables.group_of(run.row), run)
    order = [tables.group_of(row) for row in tables.table(run.row for run in rated)]
    return [first[group] for group in order] + [run for run in runs if not run.row]


def main_run(shown: Sequence[Run]) -> Run | None:
    """The run whose images stand open on the page: OURS where there is one, the first otherwise."""
    ours = [run for run in shown if run.row and run.row["method"] == "ours"]
    return (ours or list(shown) or [None])[0]


def headline(rows: Sequence[tables.Row]) -> str:
    """The result in one sentence, read off the table of one test set; empty without labelled results."""
    found = {row["method"]: row["mae"] for row in tables.table(rows) if row["mae"] is not None}
    if not found:
        return ""
    method = "ours" if "ours" in found else next(iter(found))
    name = _HEADLINES[method] if method in _HEADLINES else f"With {tables.method_name(method)}"
    text = f"{name}, the counter is off by {tables.number(found[method])} people an image"
    if method == "no_adapt" or "no_adapt" not in found or not found["no_adapt"]:
        return text + "."
    change = found[method] / found["no_adapt"] - 1
    compared = f"{abs(change):.0%} {'less' if change < 0 else 'more'}" if round(abs(change), 2) else "no less"
    return f"{text}, {compared} than without adaptation ({tables.number(found['no_adapt'])})."


def _lead(rows: Sequence[tables.Row], runs: Sequence[Run], title: str) -> str:
    """The heading: the title, the result in a sentence, what it is to be held against."""
    tests = _by_test(rows)
    if not tests:
        return f"<h1>{markup.text(title)}</h1>" + _unlabelled_lead(runs)
    blocks = []
    for (target, split), same in tests.items():
        where = f"{target}, {split}" if len(tests) > 1 else ""
        blocks.append(
            f'<p class="headline">{markup.text(where + ": " if where else "")}{markup.text(headline(same))}</p>'
        )
        blocks.append(f'<p class="sub">{markup.text(_perspective(same))}</p>')
    return f'<h1 class="eyebrow">{markup.text(title)}</h1>' + "".join(blocks)


def _perspective(rows: Sequence[tables.Row]) -> str:
    """How the result compares with knowing the labels, and with knowing nothing."""
    summaries = tables.table(rows)
    found = {row["method"]: row["mae"] for row in summaries if row["mae"] is not None}
    parts = []
    if "supervised" in found and len(found) > 1:
        parts.append(f"Trained with the target's labels it is off by {tables.number(found['supervised'])}.")
    constants = [row["mae_constant"] for row in summaries if row["mae_constant"] is not None]
    if constants and found:
        constant = constants[0]
        parts.append(f"Giving every image the same count would be off by {tables.number(constant)}.")
        worse = [tables.method_name(m) for m, mae in found.items() if mae >= constant]
        parts += [f"That is no worse than {markup.and_list(worse)}."] if worse else []
    images_, seeds = summaries[0]["images"], max(row["n"] for row in summaries)
    parts.append(f"Measured on {images_} images" if images_ else "Measured on the test images")
    parts[-1] += f" with {seeds} seeds." if seeds > 1 else " with one seed."
    return " ".join(parts)


def _unlabelled_lead(runs: Sequence[Run]) -> str:
    found = [p for run in runs[:1] for p in run.predictions]
    if not found:
        return '<p class="sub">There are no results yet; the end of the page says what is missing.</p>'
    counts = sorted(p.count for p in found)
    return (
        f'<p class="headline">{len(found)} images counted, {counts[0]:.0f} to {counts[-1]:.0f} people in each.</p>'
        '<p class="sub">These images have no labels, so how far the counts are right is not known.</p>'
    )


def _results(rows: Sequence[tables.Row], main: Run | None) -> str:
    if not rows:
        return ""
    bars = "".join(_bars(same, test) for test, same in _by_test(rows).items())
    headings, body, caption = tables.cells(tables.table(rows))
    remarks = "".join(f'<p class="note">{markup.text(remark)}</p>' for remark in tables.notes(rows))
    table = markup.table(headings, body, caption)
    stages = _stages(main) if main else ""
    return markup.section("Results", f"{bars}{table}{remarks}{stages}{_glossary()}")


def _bars(rows: Sequence[tables.Row], test: tuple) -> str:
    summaries = [row for row in tables.table(rows) if row["mae"] is not None]
    if len(summaries) < 2:
        return ""
    several = len({row["method"] for row in summaries}) < len(summaries)
    varied = (
        [name for name in tables.GROUP[1:] if len({row[name] for row in summaries}) > 1] if several else []
    )
    names = [
        ", ".join([tables.method_name(row["method"]), *(str(row[v]) for v in varied)]) for row in summaries
    ]
    seeds = [_seeds(rows, row) for row in summaries]
    ours = next((n for n, row in zip(names, summaries, strict=True) if row["method"] == "ours"), "")
    picture = plots.method_errors(names, seeds, summaries[0]["mae_constant"], ours)
    told = "; ".join(
        f"{name} {tables.number(row['mae'])}" for name, row in zip(names, summaries, strict=True)
    )
    what = f"Mean absolute error on {test[0]} {test[1]}, in people: {told}."
    dots = " Each dot is a seed." if max(map(len, seeds)) > 1 else ""
    return markup.figure(
        markup.svg(picture, what), f"Mean absolute error on {test[0]} ({test[1]}).{dots}", "wide"
    )


def _seeds(rows: Sequence[tables.Row], summary: tables.Row) -> list[float]:
    same = [row["mae"] for row in rows if tables.group_of(row) == tables.group_of(summary)]
    return [float(mae) for mae in same if mae is not None and math.isfinite(mae)]


def _stages(run: Run) -> str:
    """How the error moved from stage to stage, where each was evaluated."""
    if len(run.rows) < 2:
        return ""
    names = (("stage", str), ("step", str), ("mae", tables.number), ("rmse", tables.number))
    body = [
        [show(row[name]) for name, show in names] + [tables.number(row["bias"], signed=True)]
        for row in run.rows
    ]
    inner = markup.table(
        ["after", "step", "MAE", "RMSE", "bias"], body, f"{run.name}: the errors after each stage"
    )
    return f"<details><summary>After each stage of {markup.text(run.name)}</summary>{inner}</details>"


def _glossary() -> str:
    items = "".join(
        f"<div><dt>{markup.text(name)}</dt><dd>{markup.text(what)}</dd></div>" for name, what in _METRICS
    )
    return f"<details><summary>What the columns mean</summary><dl>{items}</dl></details>"


def _explanation(rows: Sequence[tables.Row]) -> str:
    sources, targets = (
        markup.and_list(sorted({str(row[name]) for row in rows})) for name in ("source", "target")
    )
    named = f" (here {markup.text(sources)})", f" (here {markup.text(targets)})"
    of, to = named if rows else ("", "")
    words = [m for m in tables.METHOD_NAMES if m in _METHODS and any(row["method"] == m for row in rows)]
    terms = "".join(
        f"<div><dt>{tables.method_name(m)}</dt><dd>{markup.text(_METHODS[m])}</dd></div>" for m in words
    )
    return markup.section(
        "How it works",
        f"<p>A network reads an image and draws a <b>density map</b>: how many people stand in each cell of 8 by 8 "
        f"pixels. The sum over the map is the count. It learns this from source images whose heads are "
        f"labelled{of}, and is then asked to count in images of another kind, the target{to}. The look of the two "
        "differs, and that costs accuracy: adaptation is the attempt to win it back without labelling target "
        f"images.</p>{_uncertainty(rows)}{'<dl>' + terms + '</dl>' if terms else ''}",
    )


def _uncertainty(rows: Sequence[tables.Row]) -> str:
    """Where the intervals come from; nothing where every method gives one answer alone."""
    used = {str(row["uncertainty"]) for row in rows}
    if used == {"single"}:
        return ""
    way = ", each time with another part of its features switched off" if used == {"masksembles"} else ""
    return (
        f"<p>The network answers several times{way}. Where the answers disagree it is unsure: that is the "
        "<b>uncertainty</b>, and the source of the intervals.</p>"
    )


def _scatter(shown: Sequence[Run]) -> str:
    """Predicted against true counts, a plot a run on one scale; counts in order where there are no labels."""
    labelled = [
        (run, found) for run in shown if (found := [p for p in run.predictions if p.true is not None])
    ]
    bare = [run for run in shown if run.predictions and all(p.true is None for p in run.predictions)]
    if not labelled and not bare:
        return ""
    limit = max((_limit(found) for _, found in labelled), default=None)
    figures = [_scatter_one(run, found, limit) for run, found in labelled]
    lines = [_sorted_one(run) for run in bare]
    told = (
        "<p>Each dot is a test image. On the dashed line the estimate is right; above it too many people were "
        "counted, below it too few. The bar through a dot is its interval.</p>"
        if figures
        else ""
    )
    return markup.section(
        "Image by image", told + f'<div class="plots">{"".join(figures)}</div>' + "".join(lines)
    )


def _limit(found: Sequence[Prediction]) -> float:
    return plots.counts_limit([p.true for p in found], [p.high for p in found])


def _scatter_one(run: Run, found: Sequence[Prediction], limit: float | None) -> str:
    columns = [[getattr(p, name) for p in found] for name in ("true", "count", "low", "high")]
    level = run.row["interval_level"] if run.row else None
    picture = plots.counts(*columns, level=level, limit=limit)
    name = run.name
    return markup.figure(
        markup.svg(picture, f"{name}: estimated against true counts of {len(found)} images."), name
    )


def _sorted_one(run: Run) -> str:
    columns = [[getattr(p, name) for p in run.predictions] for name in ("count", "low", "high")]
    alt = f"{run.name}: estimated counts of {len(run.predictions)} images with intervals, in ascending order."
    return markup.figure(
        markup.svg(plots.sorted_counts(*columns), alt), f"{run.name}: estimated counts", "wide"
    )


def _reliability(main: Run | None) -> str:
    """What the main run's uncertainty is worth; nothing without labels or without members."""
    found = main.reliability if main else {}
    if not found or all(one["spearman"] is None for one in found.values()):
        return ""
    told = (
        f"<p>Of {markup.text(main.name)}. Left: take away the images (or blocks of 64 pixels) that the network is least "
        "sure of. If it knows where it is wrong, the error of the rest falls below the dashed line at 1, at best along "
        "the dotted curve. Right: of intervals that promise 90 %, 90 % should hold the true count; below the dashed line "
        "they promise too much.</p>"
    )
    stands_on = found["images"].get("calibration")  # where evaluate was told what to calibrate on
    told += f"<p>{markup.text(stands_on[0].upper() + stands_on[1:])}.</p>" if stands_on else ""
    held = ", ".join(
        f"{name} {one['spearman']:.2f}" for name, one in found.items() if one["spearman"] is not None
    )
    picture = markup.svg(
        plots.reliability(found), f"{main.name}: sparsification and coverage of its uncertainty."
    )
    caption = f"Rank correlation of spread and error: {held}"
    return markup.section("Does it know where it is wrong?", told + markup.figure(picture, caption, "wide"))


def _pictures(shown: Sequence[Run], main: Run | None) -> str:
    """The panels of each run; the main run's stand open."""
    parts = []
    for run in shown:
        panels = [panel for panel in run.panels if panel.rank not in COMMON]
        if not panels:
            continue
        inner = "".join(_panel(panel, run.predictions) for panel in panels)
        labelled = any(panel.true is not None for panel in panels)
        which = (
            f"{markup.and_list([panel.rank for panel in panels])} image"
            if labelled
            else f"{len(panels)} images"
        )
        name = markup.text(f"{run.name}: {which}")
        parts.append(f"<details{' open' if run is main else ''}><summary>{name}</summary>{inner}</details>")
    if not parts:
        return ""
    parts.sort(key=lambda part: not part.startswith("<details open"))
    labelled = any(panel.true is not None for run in shown for panel in run.panels)
    told = (
        f"<p>{_RANKED if labelled else ''} In the density map a bright spot is a crowded cell. In the uncertainty "
        "map bright means that the network's answers disagree there.</p>"
    )
    return markup.section("What the network sees", told + "".join(parts))


def _translated(shown: Sequence[Run]) -> str:
    """What translators made of the source."""
    figures = [
        markup.figure(
            markup.picture(
                run.translated, f"Four source images, and below them what {run.name} made of them."
            ),
            f"{run.name}: source images above, translated below",
            "wide",
        )
        for run in shown
        if run.translated is not None
    ]
    if not figures:
        return ""
    told = (
        "<p>The counter is trained on the lower images, with the heads of the upper ones: they should look like the target, "
        "and the people in them should be where they were.</p>"
    )
    return markup.section("What the translators made of the source", told + "".join(figures))


def _side_by_side(shown: Sequence[Run]) -> str:
    """The same test images under every method; nothing for one method alone."""
    parts = []
    for rank in COMMON:
        found = [(run, panel) for run in shown for panel in run.panels if panel.rank == rank]
        first = found[0][1].id if found else ""
        found = [(run, panel) for run, panel in found if panel.id == first]
        if len(found) > 1:
            parts.append(_row_of_methods(found))
    if not parts:
        return ""
    told = (
        "<p>A sparse, a typical and a dense test image, by the number of people in them. All maps of an image share one "
        "colour scale.</p>"
    )
    return markup.section("The same images under every method", told + "".join(parts))


def _row_of_methods(found: Sequence[tuple[Run, Panel]]) -> str:
    """One image: input, truth, and what each method makes of it."""
    panel = found[0][1]
    top = overlays.brightest(panel.true, *(one.estimate for _, one in found))
    small = overlays.shrink(panel.image, _IMAGE_SIDE)
    true = float(panel.true.sum())
    scale = _scale(overlays.DENSITY, top)
    maps = [(small, "Input", f"{panel.image.shape[1]} × {panel.image.shape[0]} pixels", "")]
    maps.append((overlays.heat(panel.true, small.shape[:2], top), "Truth", f"true {true:.0f}", scale))
    for run, one in found:
        picture = overlays.heat(one.estimate, small.shape[:2], top)
        maps.append((picture, run.name, f"estimated {float(one.estimate.sum()):.0f}", scale))
    figures = "".join(_map(panel.id, *one) for one in maps)
    heading = f"<h3>{panel.rank.capitalize()}: {true:.0f} people <small>{markup.text(panel.id)}</small></h3>"
    return f'{heading}<div class="panels">{figures}</div>'


def _panel(panel: Panel, predictions: Sequence[Prediction]) -> str:
    """One image: input, true density, estimated density, uncertainty, each with its number."""
    match = next((p for p in predictions if p.id == panel.id), None)
    true, estimate = _true_count(panel, match), match.count if match else float(panel.estimate.sum())
    interval = f" ({match.low:.0f}–{match.high:.0f})" if match and match.high > match.low else ""
    spread = f"± {tables.number(match.std)} people" if match else "disagreement"
    top = overlays.brightest(panel.estimate, *([] if panel.true is None else [panel.true]))
    unsure = overlays.brightest(panel.uncertainty)
    height, width = panel.image.shape[:2]
    small = overlays.shrink(panel.image, _IMAGE_SIDE)
    maps = [(small, "Input", f"{width} × {height} pixels", "")]
    if panel.true is not None:
        picture = overlays.heat(panel.true, small.shape[:2], top)
        maps.append((picture, "True density", f"true {true:.0f}", _scale(overlays.DENSITY, top)))
    picture = overlays.heat(panel.estimate, small.shape[:2], top)
    maps.append(
        (picture, "Estimated density", f"estimated {estimate:.0f}{interval}", _scale(overlays.DENSITY, top))
    )
    picture = overlays.heat(panel.uncertainty, small.shape[:2], unsure, overlays.UNCERTAINTY)
    maps.append((picture, "Uncertainty (standard deviation)", spread, _scale(overlays.UNCERTAINTY, unsure)))
    figures = "".join(_map(panel.id, *one) for one in maps)
    off = (
        "" if true is None else f": {abs(estimate - true):.0f} {'too many' if estimate > true else 'too few'}"
    )
    rank = "" if true is None else panel.rank.capitalize()
    heading = f"<h3>{markup.text(rank + off)} <small>{markup.text(panel.id)}</small></h3>"
    return f'{heading}<div class="panels">{figures}</div>'


def _true_count(panel: Panel, match: Prediction | None) -> float | None:
    if match and match.true is not None:
        return match.true
    return None if panel.true is None else float(panel.true.sum())


def _map(name: str, picture: np.ndarray, title: str, number: str, scale: str) -> str:
    shown = markup.picture(picture, f"{title} of {name}: {number}")
    return (
        f"<figure>{shown}"
        f"<figcaption><b>{markup.text(number if scale else title)}</b>"
        f"<span>{markup.text(title if scale else number)}</span>{scale}</figcaption></figure>"
    )


def _scale(anchors: tuple, top: float) -> str:
    """The colour bar below a map, in people per cell."""
    colours = ", ".join(f"rgb{anchor}" for anchor in anchors)
    bar = f'<i style="background: linear-gradient(to right, {colours})"></i>'
    return f'<span class="scale" aria-hidden="true">0{bar}{top:.2g} per cell</span>'


def _training(shown: Sequence[Run], main: Run | None) -> str:
    parts = []
    for run in shown:
        picture = plots.curves(run.log)
        if picture is None:
            continue
        names = ", ".join(name for name, _, _ in plots.stages(run.log))
        alt = f"{run.name}: {', '.join(plots.curve_names(run.log))} against the step, in the stages {names}."
        inner = f'<figure class="wide">{markup.svg(picture, alt)}</figure>'
        head = f"<summary>{markup.text(run.name)}</summary>"
        parts.append(f"<details{' open' if run is main else ''}>{head}{inner}</details>")
    if not parts:
        return ""
    parts.sort(key=lambda part: not part.startswith("<details open"))
    told = "<p>What was minimised, and how it fell while training. The shaded bands are the stages.</p>"
    return markup.section("Training", told + "".join(parts))


def _files(runs: Sequence[Run]) -> str:
    """Where the numbers come from: seed, steps and weights of each run, and its whole config."""
    rated = [run for run in runs if run.row]
    body = [
        [run.workdir.name, tables.method_name(run.row["method"]), *(str(run.row[n]) for n in ("seed", "step")),
         str(run.row["weights_sha256"])[:12]]
        for run in rated
    ]  # fmt: skip
    table = markup.table(
        ["workdir", "method", "seed", "steps", "weights (SHA-256)"], body, "The runs behind this page"
    )
    configs = "".join(
        f"<details><summary>config of {markup.text(run.workdir.name)}</summary>"
        f"<pre tabindex=0>{markup.text(json.dumps(run.config, indent=2))}</pre></details>"
        for run in runs
        if run.config
    )
    told = "<p>The unrounded numbers stand in <code>results.json</code> and <code>predictions.csv</code> of each.</p>"
    inner = (table + told if rated else "") + configs
    return markup.section("Where this comes from", inner) if inner else ""


def _missing(runs: Sequence[Run]) -> str:
    items = "".join(f"<li>{markup.text(what)}</li>" for run in runs for what in run.missing)
    items = items or ("" if runs else "<li>No run was given.</li>")
    return markup.section("What is missing on this page", f'<ul class="note">{items}</ul>') if items else ""


def _by_test(rows: Sequence[tables.Row]) -> dict[tuple, list[tables.Row]]:
    tests: dict[tuple, list[tables.Row]] = {}
    for row in rows:
        tests.setdefault(tables.test_of(row), []).append(row)
    return tests
