"""From raw files to a dataset on disk, with a self-check that a person can read."""

import contextlib
import pathlib

from cc_jax.data import archives, sources
from cc_jax.data.builders import base
from cc_jax.errors import ConfigError


def prepare(
    dataset: str,
    manual_dir: str | pathlib.Path | None = None,
    data_dir: str | pathlib.Path | None = None,
    *,
    overwrite: bool = False,
) -> list[str]:
    """Checks the raw files of a dataset, writes it if it is not there yet, and says what it holds.

    Args:
      dataset: "shanghaitech/part_a", "folder/NAME", ... (see `data/builders`).
      manual_dir: the raw files as downloaded, a folder or an archive; not needed for synthetic ones.
      data_dir: where it goes (default: `sources.default_data_dir`).
      overwrite: write again what is already there.

    Returns:
      The self-check, a line each.

    Raises:
      ConfigError: an unknown dataset, a missing folder, or a name taken by other files.
      InputError: a raw file is missing or wrong; nothing is written then.
    """
    data_dir = pathlib.Path(data_dir or sources.default_data_dir()).expanduser().absolute()
    manual_dir = pathlib.Path(manual_dir).expanduser() if manual_dir else None
    builder = sources.make_builder(dataset, data_dir)
    if manual_dir is not None and not manual_dir.exists():
        raise ConfigError(f"--manual_dir={manual_dir}: there is no such folder or archive")
    with archives.unpacked(manual_dir, data_dir) if manual_dir else contextlib.nullcontext() as raw_dir:
        if base.is_prepared(builder) and not overwrite:
            _same_files(builder, raw_dir, dataset)
            first = f"{dataset} is already prepared in {builder.data_path}"
        else:
            first = f"{dataset} is prepared in {builder.data_path}"
            _write(dataset, builder, raw_dir, data_dir, overwrite)
    return [first, *describe(base.read_summary(builder), builder.totals())]


def _write(
    dataset: str, builder: base.CrowdDatasetBuilder, manual_dir, data_dir: pathlib.Path, overwrite: bool
) -> None:
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS and manual_dir is None:
        raise ConfigError(f"{dataset} needs its raw files: {builder.MANUAL_DOWNLOAD_INSTRUCTIONS}")
    raw = builder.checked(manual_dir or pathlib.Path())

    def make(folder: str) -> base.CrowdDatasetBuilder:
        fresh = sources.make_builder(dataset, folder)
        fresh.ready = raw
        return fresh

    base.write(make, data_dir, overwrite=overwrite)


def _same_files(builder: base.CrowdDatasetBuilder, manual_dir: pathlib.Path | None, dataset: str) -> None:
    """Refuses to call prepared what was made from other files. Raises ConfigError."""
    if manual_dir is None or not builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        return
    if base.fingerprint(builder.raw(manual_dir)) != base.read_summary(builder)["fingerprint"]:
        name = "; or choose another name, --dataset=folder/NAME" if dataset.startswith("folder") else ""
        raise ConfigError(
            f"{builder.data_path} was made from other files than those in {manual_dir}; "
            f"add --overwrite to make it again{name}"
        )


def describe(summary: dict, totals: dict[str, base.Total]) -> list[str]:
    """The self-check: each split beside its published totals, then the notes."""
    lines = [_split_line(split, found, totals.get(split)) for split, found in summary["splits"].items()]
    if base.ALL in totals:
        found = {key: sum(split[key] for split in summary["splits"].values()) for key in ("images", "points")}
        lines.append(_split_line(base.ALL, found, totals[base.ALL]))
    return lines + [f"  note: {note}" for note in summary["notes"]]


def _split_line(split: str, found: dict, total: base.Total | None) -> str:
    line = f"  {split}: {found['images']:,} images, {found['points']:,} people"
    if total is not None:
        parts = [f"{total.images:,} images"] + ([] if total.points is None else [f"{total.points:,} people"])
        same = found["images"] == total.images and total.points in (None, found["points"])
        line += ", as published" if same else f"; DIFFERS from the published {', '.join(parts)}"
    if found.get("unlabelled"):
        line += f"; {found['unlabelled']:,} images are unlabelled"
    if found.get("moved"):
        line += f"; {found['moved']:,} points outside the frame were moved to its border"
    return line
