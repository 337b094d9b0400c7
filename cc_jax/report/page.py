"""report.html: one self-contained page on one or several runs, for a reader who has never heard of the method.

Everything shown comes from the workdirs' files. Nothing is loaded from elsewhere, nothing is executed.
"""

import base64
import html
import json
import math
import pathlib
from collections.abc import Sequence

import numpy as np

from cc_jax import tables
from cc_jax.data import images
from cc_jax.data.files import write_atomic
from cc_jax.report import overlays, plots
from cc_jax.report.runs import Panel, Prediction, Run, read_run

__all__ = ["Run", "read_run", "write_report"]

_IMAGE_SIDE = 560  # longer side of an embedded picture, in pixels; twice what a phone shows

_METHODS = {
    "no_adapt": "trained on the labelled source images alone and used on the target as it is. The baseline.",
    "ours": "the method shown here. It also looks at target images that nobody has labelled: first it learns to "
    "tell upside-down ones from upright ones, then, in rounds, it labels them itself and goes on learning from "
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
        _pictures(shown, main),
        _training(shown, main),
        _files(runs),
        _missing(runs),
    ]
    body = "\n".join(section for section in sections if section)
    return _PAGE.format(title=_text(title), style=_STYLE, lead=_lead(rows, runs, title), body=body)


def one_run_a_method(runs: Sequence[Run]) -> list[Run]:
    """The run with the smallest seed of each method, in the table's order; runs without results come last."""
    rated = [run for run in runs if run.row]
    first: dict[tuple, Run] = {}
    for run in sorted(rated, key=lambda run: run.row["seed"]):
        first.setdefault(tuple(run.row[name] for name in tables.GROUP), run)
    order = [tuple(row[name] for name in tables.GROUP) for row in tables.table(run.row for run in rated)]
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
        return f"<h1>{_text(title)}</h1>" + _unlabelled_lead(runs)
    blocks = []
    for (target, split), same in tests.items():
        where = f"{target}, {split}" if len(tests) > 1 else ""
        blocks.append(
            f'<p class="headline">{_text(where + ": " if where else "")}{_text(headline(same))}</p>'
        )
        blocks.append(f'<p class="sub">{_text(_perspective(same))}</p>')
    return f'<h1 class="eyebrow">{_text(title)}</h1>' + "".join(blocks)


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
        parts += [f"That is no worse than {_and(worse)}."] if worse else []
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
    remarks = "".join(f'<p class="note">{_text(remark)}</p>' for remark in tables.notes(rows))
    table = _table(headings, body, caption)
    stages = _stages(main) if main else ""
    return _section("Results", f"{bars}{table}{remarks}{stages}{_glossary()}")


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
    return _figure(_svg(picture, what), f"Mean absolute error on {test[0]} ({test[1]}).{dots}", "wide")


def _seeds(rows: Sequence[tables.Row], summary: tables.Row) -> list[float]:
    group = [summary[name] for name in tables.GROUP]
    same = [row["mae"] for row in rows if [row[name] for name in tables.GROUP] == group]
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
    inner = _table(["after", "step", "MAE", "RMSE", "bias"], body, f"{run.name}: the errors after each stage")
    return f"<details><summary>After each stage of {_text(run.name)}</summary>{inner}</details>"


def _glossary() -> str:
    items = "".join(f"<div><dt>{_text(name)}</dt><dd>{_text(what)}</dd></div>" for name, what in _METRICS)
    return f"<details><summary>What the columns mean</summary><dl>{items}</dl></details>"


def _explanation(rows: Sequence[tables.Row]) -> str:
    sources, targets = (_and(sorted({str(row[name]) for row in rows})) for name in ("source", "target"))
    named = f" (here {_text(sources)})", f" (here {_text(targets)})"
    of, to = named if rows else ("", "")
    words = [m for m in tables.METHOD_NAMES if m in _METHODS and any(row["method"] == m for row in rows)]
    terms = "".join(
        f"<div><dt>{tables.method_name(m)}</dt><dd>{_text(_METHODS[m])}</dd></div>" for m in words
    )
    return _section(
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
    return _section("Image by image", told + f'<div class="plots">{"".join(figures)}</div>' + "".join(lines))


def _limit(found: Sequence[Prediction]) -> float:
    return plots.counts_limit([p.true for p in found], [p.high for p in found])


def _scatter_one(run: Run, found: Sequence[Prediction], limit: float | None) -> str:
    columns = [[getattr(p, name) for p in found] for name in ("true", "count", "low", "high")]
    level = run.row["interval_level"] if run.row else None
    picture = plots.counts(*columns, level=level, limit=limit)
    name = run.name
    return _figure(_svg(picture, f"{name}: estimated against true counts of {len(found)} images."), name)


def _sorted_one(run: Run) -> str:
    columns = [[getattr(p, name) for p in run.predictions] for name in ("count", "low", "high")]
    alt = f"{run.name}: estimated counts of {len(run.predictions)} images with intervals, in ascending order."
    return _figure(_svg(plots.sorted_counts(*columns), alt), f"{run.name}: estimated counts", "wide")


def _pictures(shown: Sequence[Run], main: Run | None) -> str:
    """The panels of each run; the main run's stand open."""
    parts = []
    for run in shown:
        if not run.panels:
            continue
        inner = "".join(_panel(panel, run.predictions) for panel in run.panels)
        labelled = any(panel.true is not None for panel in run.panels)
        which = (
            f"{_and([panel.rank for panel in run.panels])} image" if labelled else f"{len(run.panels)} images"
        )
        name = _text(f"{run.name}: {which}")
        parts.append(f"<details{' open' if run is main else ''}><summary>{name}</summary>{inner}</details>")
    if not parts:
        return ""
    parts.sort(key=lambda part: not part.startswith("<details open"))
    labelled = any(panel.true is not None for run in shown for panel in run.panels)
    told = (
        f"<p>{_RANKED if labelled else ''} In the density map a bright spot is a crowded cell. In the uncertainty "
        "map bright means that the network's answers disagree there.</p>"
    )
    return _section("What the network sees", told + "".join(parts))


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
    heading = f"<h3>{_text(rank + off)} <small>{_text(panel.id)}</small></h3>"
    return f'{heading}<div class="panels">{figures}</div>'


def _true_count(panel: Panel, match: Prediction | None) -> float | None:
    if match and match.true is not None:
        return match.true
    return None if panel.true is None else float(panel.true.sum())


def _map(name: str, picture: np.ndarray, title: str, number: str, scale: str) -> str:
    data = base64.b64encode(images.encode_image(picture, ".jpg", 86)).decode()
    height, width = picture.shape[:2]
    alt = _text(f"{title} of {name}: {number}")
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" width="{width}" height="{height}" alt="{alt}">'
        f"<figcaption><b>{_text(number if scale else title)}</b>"
        f"<span>{_text(title if scale else number)}</span>{scale}</figcaption></figure>"
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
        inner = f'<figure class="wide">{_svg(picture, alt)}</figure>'
        head = f"<summary>{_text(run.name)}</summary>"
        parts.append(f"<details{' open' if run is main else ''}>{head}{inner}</details>")
    if not parts:
        return ""
    parts.sort(key=lambda part: not part.startswith("<details open"))
    told = "<p>What was minimised, and how it fell while training. The shaded bands are the stages.</p>"
    return _section("Training", told + "".join(parts))


def _files(runs: Sequence[Run]) -> str:
    """Where the numbers come from: seed, steps and weights of each run, and its whole config."""
    rated = [run for run in runs if run.row]
    body = [
        [run.workdir.name, tables.method_name(run.row["method"]), *(str(run.row[n]) for n in ("seed", "step")),
         str(run.row["weights_sha256"])[:12]]
        for run in rated
    ]  # fmt: skip
    table = _table(
        ["workdir", "method", "seed", "steps", "weights (SHA-256)"], body, "The runs behind this page"
    )
    configs = "".join(
        f"<details><summary>config of {_text(run.workdir.name)}</summary>"
        f"<pre tabindex=0>{_text(json.dumps(run.config, indent=2))}</pre></details>"
        for run in runs
        if run.config
    )
    told = "<p>The unrounded numbers stand in <code>results.json</code> and <code>predictions.csv</code> of each.</p>"
    inner = (table + told if rated else "") + configs
    return _section("Where this comes from", inner) if inner else ""


def _missing(runs: Sequence[Run]) -> str:
    items = "".join(f"<li>{_text(what)}</li>" for run in runs for what in run.missing)
    items = items or ("" if runs else "<li>No run was given.</li>")
    return _section("What is missing on this page", f'<ul class="note">{items}</ul>') if items else ""


def _by_test(rows: Sequence[tables.Row]) -> dict[tuple, list[tables.Row]]:
    tests: dict[tuple, list[tables.Row]] = {}
    for row in rows:
        tests.setdefault((row["target"], row["split"]), []).append(row)
    return tests


def _section(heading: str, inner: str) -> str:
    return f"<section><h2>{_text(heading)}</h2>{inner}</section>"


def _table(headings: Sequence[str], body: Sequence[Sequence[str]], caption: str) -> str:
    head = "".join(f'<th scope="col">{_text(h)}</th>' for h in headings)
    rows = "".join(
        f'<tr><th scope="row">{_text(first)}</th>' + "".join(f"<td>{_text(c)}</td>" for c in rest) + "</tr>"
        for first, *rest in body
    )
    return (
        f'<div class="scroll" role="region" aria-label="{_text(caption)}" tabindex="0"><table><caption>{_text(caption)}'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _figure(picture: str, caption: str, kind: str = "") -> str:
    return f'<figure class="{kind}">{picture}<figcaption>{_text(caption)}</figcaption></figure>'


def _svg(picture: bytes, alt: str) -> str:
    return f'<img src="data:image/svg+xml;base64,{base64.b64encode(picture).decode()}" alt="{_text(alt)}">'


def _text(value: object) -> str:
    return html.escape(str(value))


def _and(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


_STYLE = """
:root { color-scheme: light; --ink: #1c2430; --quiet: #5d6878; --line: #e3e7ed; --accent: #2563a8; }
* { box-sizing: border-box; }
body { margin: 0; background: #f6f8fa; color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
header, main { max-width: 66rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.5rem; padding-bottom: .75rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .75rem; }
h1.eyebrow { font-size: 1rem; font-weight: 600; color: var(--accent); margin-bottom: .5rem; }
.headline { font-size: clamp(1.3rem, 3vw, 1.75rem); line-height: 1.3; font-weight: 650; margin: 0 0 .6rem;
  max-width: 52rem; }
.sub { color: var(--quiet); margin: 0 0 1rem; max-width: 52rem; }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 1.25rem 1.5rem 1.4rem;
  margin: 0 0 1.25rem; }
h2 { font-size: 1.2rem; margin: 0 0 .75rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .5rem; }
h3 small { font-weight: 400; color: var(--quiet); margin-left: .4rem; overflow-wrap: anywhere; }
p { max-width: 46rem; margin: 0 0 .8rem; }
.note { color: #7c2d12; background: #fff7ed; border-left: 3px solid #ea8a3c; padding: .5rem .8rem; margin: .8rem 0;
  max-width: none; border-radius: 0 6px 6px 0; }
ul.note { padding-left: 2rem; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: .5rem 0 1rem; }
table { border-collapse: collapse; width: 100%; font-size: .94rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--quiet); padding-bottom: .5rem; font-size: .9rem; }
th, td { padding: .45rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th:first-child { text-align: left; padding-left: 0; }
thead th { color: var(--quiet); font-weight: 600; font-size: .85rem; border-bottom-color: #c5cdd8; }
tbody th { font-weight: 600; }
dl { margin: .25rem 0 0; }
dl div { display: grid; grid-template-columns: 8.5rem 1fr; gap: .25rem 1rem; padding: .4rem 0;
  border-top: 1px solid var(--line); }
dt { font-weight: 600; } dd { margin: 0; max-width: 40rem; }
details { border-top: 1px solid var(--line); padding: .2rem 0; }
summary { cursor: pointer; padding: .45rem 0; font-weight: 600; color: var(--accent); }
summary:focus-visible, .scroll:focus-visible, pre:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
figure { margin: 0; } img { display: block; max-width: 100%; height: auto; }
figcaption { color: var(--quiet); font-size: .88rem; margin-top: .35rem; }
figcaption b { color: var(--ink); display: block; font-size: .9rem; } figcaption span { display: block; }
figure.wide { margin: 0 0 1.25rem; overflow-x: auto; } figure.wide > img { min-width: min(100%, 34rem); }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); gap: 1.25rem; }
.plots figure { max-width: 24rem; display: flex; flex-direction: column-reverse; justify-content: flex-end; }
.plots figcaption { color: var(--ink); font-weight: 600; margin: 0 0 .35rem; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(46%, 13rem), 1fr)); gap: .9rem; }
.panels img { width: 100%; border-radius: 6px; }
.scale { display: flex !important; align-items: center; gap: .4rem; font-size: .78rem; margin-top: .15rem; }
.scale i { height: .5rem; flex: 0 1 5rem; border-radius: 3px; }
pre { background: #f6f8fa; padding: .8rem; border-radius: 6px; overflow: auto; max-height: 24rem; font-size: .82rem; }
@media (max-width: 34rem) { section { padding: 1rem; } dl div { grid-template-columns: 1fr; } }
@media print { body { background: #fff; } section { border: 0; padding: 0; } figure, tr { break-inside: avoid; } }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>{lead}</header>
<main>
{body}
</main>
</body>
</html>
"""
