"""The report's plots. Each function takes plain numbers and returns the bytes of an SVG file."""

import io
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from cc_jax.errors import missing_extra

try:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
except ModuleNotFoundError as error:
    raise missing_extra(error.name, "train") from error

INK, QUIET, GRID, ACCENT, OTHER, WARN = "#1c2430", "#5d6878", "#e3e7ed", "#2563a8", "#8fa3bb", "#c2410c"
_BEHIND = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}  # keeps numbers legible over lines
STAGE_SHADES = ("#f2f5f9", "#ffffff")
Values = Sequence[float] | np.ndarray

# matplotlib's types list every key.
STYLE: Any = {
    "svg.hashsalt": "cc_jax",  # makes the bytes a function of the numbers
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",  # shipped with matplotlib
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": "#b6c0cd",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "legend.frameon": False,
}
_POINTS = 400  # of a curve; more are not visible on a page


def method_errors(
    names: Sequence[str], seeds: Sequence[Sequence[float]], constant: float | None, highlight: str
) -> bytes:
    """Plot a bar for each method's mean MAE, a dot for each seed, and a dashed line at the best constant's MAE.

    Args:
      names: the methods, from top to bottom.
      seeds: the MAE of each seed of each method, in people.
      constant: the MAE of giving every image the median of the true counts, or None.
      highlight: the name whose bar is highlighted.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(9.4, 1.0 + 0.42 * len(names))
        rows = np.arange(len(names))
        means = [float(np.mean(values)) for values in seeds]
        colors = [ACCENT if name == highlight else OTHER for name in names]
        axes.barh(rows, means, height=0.58, color=colors)
        right = max([*means, *(max(v) for v in seeds), constant or 0]) * 1.14 or 1.0
        for row, mean, values in zip(rows, means, seeds, strict=True):
            if len(values) > 1:
                axes.plot(values, [row] * len(values), "o", ms=4.2, mfc="white", mec=INK, mew=0.9)
            end = max(mean, *values) if len(values) > 1 else mean
            axes.text(
                end + right * 0.012,
                float(row),
                _format_people(mean),
                va="center",
                fontweight="bold",
                bbox=_BEHIND,
            )
        if constant is not None:
            axes.axvline(constant, color=WARN, ls=(0, (4, 3)), lw=1.3)
            side = "right" if constant > right / 2 else "left"
            shift = (-4 if side == "right" else 4, 0)
            axes.annotate(
                "same count for every image",
                (constant, -0.9),
                xytext=shift,
                textcoords="offset points",
                color=WARN,
                ha=side,
                va="top",
            )
        axes.set(yticks=rows, yticklabels=names, xlabel="mean absolute error, people (shorter is better)")
        axes.set(xlim=(0, right), ylim=(len(names) - 0.5, -0.9 if constant is not None else -0.5))
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.grid(visible=False, axis="y")
        return _svg(figure)


def counts(
    true: Values,
    count: Values,
    low: Values,
    high: Values,
    *,
    level: float | None,
    kind: str = "",
    limit: float | None = None,
) -> bytes:
    """Plot estimated against true counts, with intervals; on the diagonal, the estimate is right.

    Args:
      true, count, low, high: true count, estimate and interval of each image, in people.
      level, kind: of the intervals, for the legend.
      limit: the end of both axes, to give the plots of several runs the same scale.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(3.15, 3.55)
        true, count, low, high = (np.asarray(v, float) for v in (true, count, low, high))
        inside = (low <= true) & (true <= high)
        limit = limit or counts_limit(true, high)
        axes.plot([0, limit], [0, limit], color=QUIET, lw=1, ls=(0, (4, 3)), zorder=1)
        name = (f"{level:.0%} interval" if level else "interval") + (f", {kind}" if kind else "")
        legend = f"truth within its {name} ({inside.sum()})", f"outside ({(~inside).sum()})"
        for chosen, color, text in zip((inside, ~inside), (ACCENT, WARN), legend, strict=True):
            axes.vlines(true[chosen], low[chosen], high[chosen], color=color, lw=1.1, alpha=0.45, zorder=2)
            axes.plot(
                true[chosen],
                count[chosen],
                "o",
                ms=3.6,
                color=color,
                alpha=0.85,
                mew=0,
                label=text,
                zorder=3,
            )
        axes.set(
            xlim=(0, limit), ylim=(0, limit), xlabel="true count", ylabel="estimated count", aspect="equal"
        )
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5))
        axes.legend(
            loc="upper left", bbox_to_anchor=(-0.04, 1.2), fontsize=8.5, handletextpad=0.2, borderaxespad=0
        )
        return _svg(figure)


def histogram(counts: dict[str, Sequence[float]]) -> bytes:
    """Plot histograms of the images' counts: {split: counts}, one panel for each split, on one axis of counts."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.4, 0.3 + 1.9 * len(counts)), layout="constrained")
        panels = figure.subplots(len(counts), 1, squeeze=False, sharex=True).ravel()
        most = max(max(values) for values in counts.values())
        edges = np.linspace(0, max(most, 1), 41)
        for axes, (split, values) in zip(panels, counts.items(), strict=True):
            axes.hist(values, bins=edges, color=ACCENT)
            axes.axvline(float(np.median(values)), color=WARN, ls=(0, (4, 3)), lw=1.3)
            axes.set_title(f"{split}: {len(values):,} images, median {np.median(values):,.0f}")
            axes.set(ylabel="images", xlim=(0, edges[-1]))
            axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        panels[-1].set_xlabel("people per image")
        return _svg(figure)


def reliability(found: dict[str, dict]) -> bytes:
    """Plot the sparsification curves of uncertainties on the left, and the coverage of their intervals on the right.

    Args:
      found: name -> figures as `evaluation.uncertainty_metrics.measure` returns them; the left plot leaves out those
        without an uncertainty.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.4, 3.3), layout="constrained")
        left, right = figure.subplots(1, 2)
        for (name, one), color in zip(found.items(), (ACCENT, OTHER), strict=False):
            if one["sparsification"]:
                away = np.linspace(0, 95, len(one["sparsification"]))
                left.plot(
                    away, one["sparsification"], color=color, lw=1.8, label=f"{name}, AUSE {one['ause']:.2f}"
                )
                left.plot(away, one["oracle"], color=color, lw=1.1, ls=(0, (2, 2)))
            right.plot(
                [100 * x for x in one["levels"]],
                [100 * x for x in one["coverage"]],
                "o-",
                color=color,
                label=name,
            )
        left.axhline(1, color=QUIET, lw=1, ls=(0, (4, 3)))
        left.set(
            xlabel="most uncertain items removed, %",
            ylabel="error of the rest / of all",
            xlim=(0, 95),
            ylim=(0, None),
        )
        right.plot([0, 100], [0, 100], color=QUIET, lw=1, ls=(0, (4, 3)))
        right.set(
            xlabel="level of the interval, %",
            ylabel="intervals that contain the truth, %",
            xlim=(40, 100),
            ylim=(0, 100),
        )
        left.set_title("Does it rank the errors?")
        right.set_title("Do the intervals hold?")
        for axes in (left, right):
            if axes.get_legend_handles_labels()[0]:
                axes.legend(fontsize=8.5)
        return _svg(figure)


def errors_with_counts(found: dict[str, dict[str, float]], constant: float | None) -> bytes:
    """Plot the error (people) over the number of images that were counted by hand.

    Args:
      found: number -> `mean`, `low` and `high` of the MAE over draws of that many images.
      constant: the MAE of the best constant; no line if None.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(9.4, 3.0)
        at = np.arange(len(found))
        mean, low, high = ([one[name] for one in found.values()] for name in ("mean", "low", "high"))
        axes.vlines(at, low, high, color=ACCENT, lw=5, alpha=0.25)
        axes.plot(at, mean, "o-", ms=5, color=ACCENT, mew=0)
        if constant is not None and constant < 2 * max(high):
            axes.axhline(constant, color=QUIET, lw=1, ls=(0, (4, 3)))
            axes.annotate(
                "best constant", (at[-1], constant), ha="right", va="bottom", color=QUIET, fontsize=8.5
            )
        axes.set_xticks(at, list(found))
        axes.set(xlabel="images counted by hand", ylabel="mean absolute error, people", ylim=(0, None))
        return _svg(figure)


def counts_limit(true: Values, high: Values) -> float:
    """Return an axis limit (people) that shows all true counts and most intervals; very long ones are cut."""
    return 1.06 * max(1.0, float(np.max(true)), min(float(np.max(high)), 2.0 * float(np.max(true))))


def sorted_counts(count: Values, low: Values, high: Values) -> bytes:
    """Plot estimated counts with intervals (people) in ascending order, for images without labels."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(9.4, 3.4)
        order = np.argsort(count)
        count, low, high = (np.asarray(v, float)[order] for v in (count, low, high))
        rank = np.arange(1, len(count) + 1)
        axes.vlines(rank, low, high, color=ACCENT, lw=1.3, alpha=0.45)
        axes.plot(rank, count, "o", ms=4, color=ACCENT, mew=0)
        axes.set(xlabel="images, in ascending order", ylabel="estimated count", ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return _svg(figure)


def curves(log: Sequence[dict]) -> bytes | None:
    """Plot the logged losses and accuracies over the steps, one panel each, with shaded stages; None without any.

    A loss that falls by a factor of more than 30 has a logarithmic axis.

    Args:
      log: rows of log.jsonl.
    """
    names = curve_names(log)
    if not names:
        return None
    with matplotlib.rc_context(STYLE):
        columns = min(len(names), 3)
        rows = -(-len(names) // columns)
        figure = Figure(figsize=(3.13 * columns, 0.3 + 2.2 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid[len(names) :]:
            axes.set_visible(False)
        for axes, name in zip(grid, names, strict=False):
            _curve(axes, log, name)
        return _svg(figure)


def curve_names(log: Sequence[dict]) -> list[str]:
    """Return the names of the logged losses and accuracies: the total loss first, then in order of appearance."""
    names = list(dict.fromkeys(name for row in log for name in row if re.search("loss|accuracy", name)))
    return sorted(names, key=lambda name: name != "loss")


def stages(log: Sequence[dict]) -> list[tuple[str, float, float]]:
    """Return (name, first step, last step) of each stage, in order. A stage begins where the previous one ends."""
    found: list[tuple[str, float, float]] = []
    for row in log:
        if found and found[-1][0] == row["stage"]:
            found[-1] = (row["stage"], found[-1][1], row["step"])
        else:
            found.append((row["stage"], found[-1][2] if found else 0, row["step"]))
    return found


def _curve(axes, log: Sequence[dict], name: str) -> None:
    for i, (stage, first, last) in enumerate(stages(log)):
        axes.axvspan(first, last, color=STAGE_SHADES[i % 2], lw=0, zorder=0)
        if last - first > 0.13 * log[-1]["step"]:  # in a narrower band, the name would overlap the next one
            axes.text(
                (first + last) / 2, 0.985, stage, transform=axes.get_xaxis_transform(),
                ha="center", va="top", fontsize=8, color=QUIET,
            )  # fmt: skip
        rows = [row for row in log if row["stage"] == stage and _is_number(row.get(name))]
        step, value = _thin([row["step"] for row in rows]), _thin([row[name] for row in rows])
        axes.plot(step, value, color=ACCENT, lw=1.4, marker="o" if len(rows) == 1 else "", ms=3)
    values = np.array([row[name] for row in log if _is_number(row.get(name))])
    if len(values) and values.min() > 0 and values.max() > 30 * values.min():
        axes.set_yscale("log")
    axes.margins(y=0.16)
    axes.set(xlim=(0, log[-1]["step"]), xlabel="step")
    axes.set_title(name.replace("_", " ").replace("upside down", "upside-down"))


def _thin(values: Values) -> np.ndarray:
    """Return at most `_POINTS` values: means of equally many neighbors."""
    values = np.asarray(values, float)
    parts = (
        np.array_split(values, _POINTS)
        if len(values) > _POINTS
        else [values[i : i + 1] for i in range(len(values))]
    )
    return np.array([part.mean() for part in parts])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _format_people(value: float) -> str:
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def _figure(width: float, height: float):
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _svg(figure: Figure) -> bytes:
    file = io.BytesIO()
    FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None, "Creator": None})
    return file.getvalue()
