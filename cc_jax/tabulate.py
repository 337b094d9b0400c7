"""usage: python -m cc_jax.tabulate WORKDIR... [--format=text|markdown|csv] [--output=FILE] [--published] [--uncertainty]
       [--against=VARIANT|METHOD]

One table of the results of several runs: a row for each method, the mean and the spread over seeds. With --uncertainty
that of what the members' disagreement is worth; with --against the difference of each MAE to another row's, seed by seed.
"""

import sys

from absl import flags

from cc_jax import app
from cc_jax.data.files import write_atomic
from cc_jax.errors import ConfigError, InputError
from cc_jax.report import tables

_FORMAT = flags.DEFINE_enum("format", "text", tables.FORMATS, "How the table is written; csv is unrounded.")
_OUTPUT = flags.DEFINE_string("output", None, "A file for the table; without it, it is printed.")
_PUBLISHED = flags.DEFINE_bool("published", False, "Add the paper's own figures for the same target.")
_UNCERTAINTY = flags.DEFINE_bool("uncertainty", False, "Tabulate uncertainty.json in place of the errors.")
_AGAINST = flags.DEFINE_string(
    "against", None, "Add the difference of the MAE to this variant's or method's."
)


def main(workdirs: list[str]) -> int:
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
        summaries, remarks = tables.with_published(summaries, remarks)
    text = tables.render(summaries, _FORMAT.value, remarks)
    if _FORMAT.value == "csv":  # has no place for them
        print(*(f"Note: {remark}" for remark in remarks), sep="\n", end="\n" * bool(remarks), file=sys.stderr)
    if _OUTPUT.value:
        write_atomic(_OUTPUT.value, text)
    else:
        print(text, end="")
    return InputError.exit_code if failed else 0


if __name__ == "__main__":
    app.run(main, positional=True)
