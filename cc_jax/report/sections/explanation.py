"""The section that explains counting, adaptation, and the methods and uncertainties of the report."""

from collections.abc import Sequence

from cc_jax import registry
from cc_jax.report import markup, prose, tables


def render(rows: Sequence[tables.Row]) -> str:
    """Return the section as HTML. What it says of a method or an uncertainty comes from that plug-in's file."""
    source, target = (_examples(rows, name) for name in ("source", "target"))
    uncertainties = sorted({str(row["uncertainty"]) for row in rows} - {"single"})
    disagreement = f"<p>{prose.UNCERTAINTY}</p>" if uncertainties or not rows else ""
    methods = list(dict.fromkeys(str(row["method"]) for row in tables.table(rows)))
    plug_ins = [registry.about("methods", name) for name in methods]
    plug_ins += [registry.about("uncertainty", name) for name in uncertainties]
    terms = markup.definitions([(one.display_name, one.summary) for one in plug_ins if one.summary])
    paragraph = prose.DENSITY_MAP.format(source=source, target=target)
    return markup.section("How it works", f"<p>{paragraph}</p>{disagreement}{terms}")


def _examples(rows: Sequence[tables.Row], name: str) -> str:
    """Return ` (here synthetic/source train)`, or "" without rows."""
    values = sorted({str(row[name]) for row in rows})
    return f" (here {markup.text(markup.and_list(values))})" if values else ""
