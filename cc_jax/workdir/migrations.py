"""What changed in config.json from one version to the next.

A version reads the workdirs of the two minor versions before it. Versions before 0.2 did not write their number; a
config without one counts as 0.1.
"""

from collections.abc import Mapping
from typing import Any

import cc_jax
from cc_jax.errors import CheckpointError

# Of a config that states no version.
FIRST_VERSION = "0.1"
# How many minor versions before its own a version reads.
READABLE = 2
# {version: {name before it: name since}}, by dotted name; a section's name stands for all its fields. Fields that a
# version adds need no line: they take their defaults.
RENAMED: dict[str, dict[str, str]] = {
    "0.2": {
        "frame": "resize",
        "source.also": "source.extra_datasets",
        "source.native": "source.unscaled_share",
        "target.also": "target.extra_datasets",
        "target.native": "target.unscaled_share",
        "evaluation.also": "evaluation.extra_datasets",
        "model.tiny.sweep": "model.tiny.spatial_kernel_size",
        "model.lite.sweep": "model.lite.spatial_kernel_size",
        "model.sfcn.sweep": "model.sfcn.spatial_kernel_size",
    },
    "0.3": {
        "source.plain_share": "source.end.share",
        "target.plain_share": "target.end.share",
    },
}


def minor_version(version: str) -> tuple[int, int]:
    """Return (major, minor) of "X.Y" or "X.Y.Z". Raises ValueError for anything else."""
    numbers = [int(part) for part in version.split(".")]
    if len(numbers) not in (2, 3):
        raise ValueError(f"{version!r} is not a version")
    return numbers[0], numbers[1]


def check_readable(version: str, where: str, own: str = cc_jax.__version__) -> None:
    """Raise CheckpointError if this version does not read what `version` wrote.

    Args:
      version: the version that wrote the workdir.
      where: the workdir, for the message.
      own: the version that reads it.
    """
    written, reader = minor_version(version), minor_version(own)
    if written > reader:
        raise CheckpointError(
            f"{where} was written by cc_jax {version}, which is newer than this version ({own}): upgrade cc_jax"
        )
    if written[0] < reader[0] or written[1] < reader[1] - READABLE:
        raise CheckpointError(
            f"{where} was written by cc_jax {version}, which is too old for this version ({own}): use an older cc_jax, "
            "at most two minor versions newer than the workdir, or train again"
        )


def migrate(fields: Mapping[str, Any], version: str) -> dict[str, Any]:
    """Return the fields of a config of `version` under the names that they have today.

    Args:
      fields: {dotted name: value}.
      version: the version that wrote them.
    """
    found = dict(fields)
    for newer in sorted(RENAMED, key=minor_version):
        if minor_version(newer) > minor_version(version):
            found = {_renamed(name, RENAMED[newer]): value for name, value in found.items()}
    return found


def _renamed(name: str, names: Mapping[str, str]) -> str:
    for old, new in names.items():
        if name == old or name.startswith(f"{old}."):
            return new + name[len(old) :]
    return name
