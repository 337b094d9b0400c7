"""Tabulate the results of several runs: a row for each method, with means and spreads over seeds.

usage: python -m cc_jax.tabulate WORKDIR... [--format=text|markdown|csv] [--output=FILE] [--published] [--uncertainty]
       [--against=VARIANT|METHOD]

With --uncertainty, the table shows how good the uncertainty is instead of the errors. With --against, it adds the
difference of each MAE from another row's, taken seed by seed.
"""

import sys

from absl import flags

from cc_jax import app
from cc_jax.data.files import write_atomic
from cc_jax.errors import ConfigError, InputError
from cc_jax.report import renderers, tables
from cc_jax.report.paper_results import with_published

_FORMAT = flags.DEFINE_enum("format", "text", renderers.FORMATS, "The format of the table; csv is unrounded.")
_OUTPUT = flags.DEFINE_string("output", None, "The file for the table. Default: standard output.")
_PUBLISHED = flags.DEFINE_bool("published", False, "Add the paper's figures for the same target.")
_UNCERTAINTY = flags.DEFINE_bool(
    "uncertainty", False, "Tabulate the quality of the uncertainty instead of the errors."
)
_AGAINST = flags.DEFINE_string(
    "against", None, "Add the difference of the MAE from this variant's or method's, seed by seed."
)


def main(workdirs: list[str]) -> int:
    """Read the workdirs' results and print the table, or write it to a file."""
    if not workdirs:
        raise ConfigError("no WORKDIR given; usage: python -m cc_jax.tabulate WORKDIR...")
    if _PUBLISHED.value and _UNCERTAINTY.value:
        raise ConfigError("--published: the paper has no figures for --uncertainty; give one of the two")
    rows, failed = tables.collect(workdirs, _UNCERTAINTY.value)
    if not rows:
        raise ConfigError(f"nothing to tabulate: {'; '.join(failed)}")
    for failure in failed:
        print(f"{app.program()}: {failure}", file=sys.stderr)
    metrics = tables.UNCERTAINTY if _UNCERTAINTY.value else tables.METRICS
    if _AGAINST.value:
        rows, metrics = tables.against(rows, _AGAINST.value), (*metrics, tables.DIFFERENCE)
    summaries, remarks = tables.table(rows, metrics), tables.notes(rows)
    if _PUBLISHED.value:
        summaries, remarks = with_published(summaries, remarks)
    text = renderers.render(summaries, _FORMAT.value, remarks)
    if _FORMAT.value == "csv":  # CSV has no place for remarks
        for remark in remarks:
            print(f"Note: {remark}", file=sys.stderr)
    if _OUTPUT.value:
        write_atomic(_OUTPUT.value, text)
    else:
        print(text, end="")
    return InputError.exit_code if failed else 0


if __name__ == "__main__":
    app.run(main, positional=True)
