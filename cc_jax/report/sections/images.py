"""The sections of images: translated ones, all methods side by side, and each run's own panels."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from cc_jax.report import markup, overlays, prose
from cc_jax.report.renderers import format_people
from cc_jax.report.runs import Run
from cc_jax.workdir.panels import BY_COUNT, Panel
from cc_jax.workdir.results import PredictionRow

_LONGER_SIDE = 560  # pixels of an embedded picture; twice what a phone shows


@dataclasses.dataclass(frozen=True)
class _Map:
    """A picture with its caption: `strong` in bold, `quiet` below it, and `scale`, the HTML of its color bar."""

    picture: np.ndarray
    strong: str
    quiet: str
    scale: str = ""

    def render(self, id: str) -> str:
        alt = f"{self.quiet} of {id}: {self.strong}" if self.scale else f"{self.strong} of {id}: {self.quiet}"
        caption = f"<b>{markup.text(self.strong)}</b><span>{markup.text(self.quiet)}</span>{self.scale}"
        return f"<figure>{markup.picture(self.picture, alt)}<figcaption>{caption}</figcaption></figure>"


def render_translated(shown: Sequence[Run]) -> str:
    """Return the section on what translators made of source images; "" if no method translates."""
    figures = [
        markup.figure(
            markup.picture(
                run.translated, f"Source images, and below them their translations by {run.name}."
            ),
            f"{run.name}: source images above, their translations below",
            "wide",
        )
        for run in shown
        if run.translated is not None
    ]
    if not figures:
        return ""
    return markup.section("Translated source images", f"<p>{prose.TRANSLATED}</p>{''.join(figures)}")


def render_side_by_side(shown: Sequence[Run]) -> str:
    """Return the section with the same test images for every method; "" for a single method."""
    blocks = []
    for role in BY_COUNT:
        found = [(run, panel) for run in shown for panel in run.panels if panel.role == role]
        same = [(run, panel) for run, panel in found if panel.id == found[0][1].id]
        if len(same) > 1:
            blocks.append(_methods_on_one_image(same))
    if not blocks:
        return ""
    text = f"<p>{prose.SIDE_BY_SIDE}</p>"
    return markup.section("The same images with every method", text + "".join(blocks))


def render_panels(shown: Sequence[Run], main: Run | None) -> str:
    """Return the section with each run's panels; only the main run's are open."""
    blocks = []
    for run in sorted(shown, key=lambda run: run is not main):
        panels = [panel for panel in run.panels if panel.role not in BY_COUNT]
        if panels:
            inner = "".join(_panel(panel, run.predictions, run.interval_kind) for panel in panels)
            blocks.append(markup.details(f"{run.name}: {len(panels)} images", inner, is_open=run is main))
    if not blocks:
        return ""
    labelled = any(panel.true is not None for run in shown for panel in run.panels)
    text = f"<p>{prose.PANELS_BY_ERROR} {prose.MAPS}</p>" if labelled else f"<p>{prose.MAPS}</p>"
    return markup.section("What the network predicts", text + "".join(blocks))


def _methods_on_one_image(found: Sequence[tuple[Run, Panel]]) -> str:
    """Return one image: the input, the truth, and what each method estimates."""
    panel = found[0][1]
    assert panel.true is not None
    top = overlays.brightest(panel.true, *(one.estimate for _, one in found))
    small = overlays.shrink(panel.image, _LONGER_SIDE)
    true = float(panel.true.sum())
    maps = [_input(panel, small), _density(panel.true, small, top, f"true {true:.0f}", "Truth")]
    maps += [
        _density(one.estimate, small, top, f"estimated {float(one.estimate.sum()):.0f}", run.name)
        for run, one in found
    ]
    return _heading(f"{prose.ROLES[panel.role]}: {true:.0f} people", panel.id) + _row(maps, panel.id)


def _panel(panel: Panel, predictions: Sequence[PredictionRow], interval_kind: str) -> str:
    """Return one image: the input, the true density, the estimated density and the uncertainty, with their numbers."""
    match = next((p for p in predictions if p.id == panel.id), None)
    estimate = match.count if match else float(panel.estimate.sum())
    # What the samples' disagreement gives promises nothing.
    interval = f" ({match.low:.0f}–{match.high:.0f})" if match and interval_kind != "members" else ""
    top = overlays.brightest(panel.estimate, *([] if panel.true is None else [panel.true]))
    small = overlays.shrink(panel.image, _LONGER_SIDE)
    maps, heading = [_input(panel, small)], ""
    if panel.true is not None:
        true = match.true if match and match.true is not None else float(panel.true.sum())
        maps.append(_density(panel.true, small, top, f"true {true:.0f}", "True density"))
        too = "many" if estimate > true else "few"
        heading = f"{prose.ROLES.get(panel.role, panel.role)}: {abs(estimate - true):.0f} too {too}"
    maps.append(
        _density(panel.estimate, small, top, f"estimated {estimate:.0f}{interval}", "Estimated density")
    )
    maps.append(_uncertainty(panel, small, match))
    return _heading(heading, panel.id) + _row(maps, panel.id)


def _input(panel: Panel, small: np.ndarray) -> _Map:
    height, width = panel.image.shape[:2]
    return _Map(small, "Input", f"{width} × {height} pixels")


def _density(cells: np.ndarray, small: np.ndarray, top: float, strong: str, quiet: str) -> _Map:
    picture = overlays.heat(cells, small.shape[:2], top)
    return _Map(picture, strong, quiet, _color_bar(overlays.DENSITY, top))


def _uncertainty(panel: Panel, small: np.ndarray, match: PredictionRow | None) -> _Map:
    top = overlays.brightest(panel.uncertainty)
    picture = overlays.heat(panel.uncertainty, small.shape[:2], top, overlays.UNCERTAINTY)
    strong = f"± {format_people(match.std)} people" if match else "disagreement"
    return _Map(picture, strong, "Uncertainty (standard deviation)", _color_bar(overlays.UNCERTAINTY, top))


def _heading(text: str, id: str) -> str:
    return f"<h3>{markup.text(text)} <small>{markup.text(id)}</small></h3>"


def _row(maps: Sequence[_Map], id: str) -> str:
    return f'<div class="panels">{"".join(one.render(id) for one in maps)}</div>'


def _color_bar(anchors: tuple, top: float) -> str:
    """Return the color bar below a map, in people per cell."""
    colors = ", ".join(f"rgb{anchor}" for anchor in anchors)
    bar = f'<i style="background: linear-gradient(to right, {colors})"></i>'
    return f'<span class="scale" aria-hidden="true">0{bar}{top:.2g} per cell</span>'
