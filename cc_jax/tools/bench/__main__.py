"""Measure parts of cc_jax beside reference implementations on this machine.

usage: python -m cc_jax.tools.bench --suite=density --json=bench.json [--manual_dir=SHANGHAITECH | --data_dir=PREPARED]

Prints a table of medians with their range. With --json it also writes rows {suite, case, ours_s, reference, reference_s,
ratio, goal, ours_range_s, reference_range_s}. Times are in seconds, and in GiB for the suite `memory`. In `density` and
`pipeline` the ratio is how many times faster cc_jax is. In the other suites it is ours divided by the reference's.
"""

import json
import pathlib

from absl import flags

from cc_jax import app, registry
from cc_jax.data.files import write_atomic
from cc_jax.errors import ConfigError
from cc_jax.tools.bench import Options, Row, Times

_SUITE = flags.DEFINE_string("suite", None, "Suite to run: the name of a file in cc_jax/tools/bench/suites.")
_JSON = flags.DEFINE_string("json", None, "File that the rows are written to.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of prepared datasets (default: the suite makes its own data)."
)
_MANUAL_DIR = flags.DEFINE_string(
    "manual_dir", None, "A dataset as downloaded. For density: the folder that holds ShanghaiTech's part_A."
)


def table(rows: list[Row]) -> str:
    """Return the rows as a table for a person."""
    cells = [("case", "ours", "reference", "", "ratio", "goal")]
    for row in rows:
        times = (_quantity(row, row.ours), _quantity(row, row.theirs))
        cells.append((row.case, *times, row.reference, f"{row.ratio:.4g}", f"{row.goal:g}"))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def _quantity(row: Row, times: Times) -> str:
    """Format a measurement with its range and unit."""
    factor, unit = (1, "") if row.suite == "memory" else (1e3, " ms")
    found = f"{factor * times.median:.4g}{unit}"
    spread = f" ({factor * times.least:.4g} to {factor * times.most:.4g})"
    return found + (spread if times.least < times.most else "")


def _folder(value: str | None) -> pathlib.Path | None:
    return pathlib.Path(value).expanduser() if value else None


def main(args: list[str]) -> None:
    """Runs one suite."""
    del args
    known = registry.names("tools.bench.suites")
    if not _SUITE.value:
        raise ConfigError(f"--suite=NAME is missing; the suites are: {', '.join(known)}")
    suite = registry.load("tools.bench.suites", _SUITE.value)
    folders = (_folder(value) for value in (_DATA_DIR.value, _MANUAL_DIR.value))
    rows = suite.run(Options(*folders))
    print(table(rows))
    if _JSON.value:
        write_atomic(_JSON.value, json.dumps([row.fields() for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
