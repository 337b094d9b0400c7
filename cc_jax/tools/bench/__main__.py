"""Measures our parts beside reference ones on this machine.

python -m cc_jax.tools.bench --suite=density --json=bench.json [--manual_dir=SHANGHAITECH | --data_dir=PREPARED]

Prints a table and writes rows {suite, case, ours_s, reference, reference_s, ratio, goal}. Seconds, and GiB in `memory`; what
a ratio is: see `Row`.
"""

import dataclasses
import json
import pathlib

from absl import flags

from cc_jax import app, registry
from cc_jax.data.files import write_atomic
from cc_jax.errors import ConfigError
from cc_jax.tools.bench import Options, Row

_SUITE = flags.DEFINE_string("suite", None, "Which suite to run; a file of cc_jax/tools/bench/suites.")
_JSON = flags.DEFINE_string("json", None, "File to write the rows to.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Where prepared datasets lie; default: the suite's own data."
)
_MANUAL_DIR = flags.DEFINE_string(
    "manual_dir", None, "A dataset as downloaded (density: the folder that holds ShanghaiTech's part_A)."
)


def table(rows: list[Row]) -> str:
    """The rows for a person."""
    cells = [("case", "ours", "reference", "", "ratio", "goal")]
    for row in rows:
        times = (_quantity(row, row.ours_s), _quantity(row, row.reference_s))
        cells.append((row.case, *times, row.reference, f"{row.ratio:.4g}", f"{row.goal:g}"))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def _quantity(row: Row, value: float) -> str:
    """Seconds, but where a suite measures something else."""
    return f"{value:.4g}" if row.suite == "memory" else f"{1e3 * value:.4g} ms"


def main(_: list[str]) -> None:
    known = registry.names("tools.bench.suites")
    if not _SUITE.value:
        raise ConfigError(f"--suite=NAME is missing; the suites are: {', '.join(known)}")
    suite = registry.load("tools.bench.suites", _SUITE.value)
    folders = (value and pathlib.Path(value).expanduser() for value in (_DATA_DIR.value, _MANUAL_DIR.value))
    rows = suite.run(Options(*folders))
    print(table(rows))
    if _JSON.value:
        write_atomic(_JSON.value, json.dumps([dataclasses.asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
