"""The HTML elements of a report: sections, tables, figures, and the page around them.

Functions take plain text, which they escape, except where a parameter is described as HTML. A page loads nothing from
elsewhere and executes nothing.
"""

import base64
import html
from collections.abc import Iterable, Sequence

import numpy as np

from cc_jax.data import images


def page(title: str, lead: str, body: str) -> str:
    """Return a whole page; `lead` and `body` are HTML."""
    return _PAGE.format(title=text(title), style=_STYLE, lead=lead, body=body)


def section(heading: str, inner: str) -> str:
    """Return a section; `inner` is HTML."""
    return f"<section><h2>{text(heading)}</h2>{inner}</section>"


def details(summary: str, inner: str, *, is_open: bool = False) -> str:
    """Return a part that a reader can open and close; `inner` is HTML."""
    return f"<details{' open' if is_open else ''}><summary>{text(summary)}</summary>{inner}</details>"


def definitions(terms: Iterable[tuple[str, str]]) -> str:
    """Return a list of (term, description), or "" without any."""
    items = "".join(f"<div><dt>{text(term)}</dt><dd>{text(what)}</dd></div>" for term, what in terms)
    return f"<dl>{items}</dl>" if items else ""


def table(headings: Sequence[str], body: Sequence[Sequence[str]], caption: str) -> str:
    """Return a table whose rows begin with their heading."""
    head = "".join(f'<th scope="col">{text(heading)}</th>' for heading in headings)
    rows = "".join(
        f'<tr><th scope="row">{text(first)}</th>'
        + "".join(f"<td>{text(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in body
    )
    return (
        f'<div class="scroll" role="region" aria-label="{text(caption)}" tabindex="0"><table><caption>{text(caption)}'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def figure(picture: str, caption: str, css_class: str = "") -> str:
    """Return a figure; `picture` is HTML."""
    return f'<figure class="{css_class}">{picture}<figcaption>{text(caption)}</figcaption></figure>'


def picture(image: np.ndarray, alt: str, quality: int = 86) -> str:
    """Return an image (uint8 [H, W, 3]) as an embedded JPEG."""
    data = base64.b64encode(images.encode_image(image, ".jpg", quality)).decode()
    height, width = image.shape[:2]
    return f'<img src="data:image/jpeg;base64,{data}" width="{width}" height="{height}" alt="{text(alt)}">'


def svg(picture: bytes, alt: str) -> str:
    """Return an SVG file as an embedded image."""
    return f'<img src="data:image/svg+xml;base64,{base64.b64encode(picture).decode()}" alt="{text(alt)}">'


def text(value: object) -> str:
    """Return `str(value)`, escaped."""
    return html.escape(str(value))


def and_list(words: Sequence[str]) -> str:
    """Return `a`, `a and b`, or `a, b and c`."""
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
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(46%, 11rem), 1fr)); gap: .9rem; }
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
