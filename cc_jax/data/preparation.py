"""Preparation of a dataset: raw files are checked, written to disk, and described."""

import contextlib
import pathlib

from cc_jax.data import archives, sources, storage
from cc_jax.data.builders import notes
from cc_jax.data.builders.base import CrowdDatasetBuilder
from cc_jax.data.builders.summary import fingerprint
from cc_jax.errors import ConfigError


def prepare(
    dataset: str,
    manual_dir: str | pathlib.Path | None = None,
    data_dir: str | pathlib.Path | None = None,
    *,
    overwrite: bool = False,
) -> list[str]:
    """Check the raw files of a dataset and write it, unless it is on disk already.

    Args:
      dataset: Name of the dataset: "shanghaitech/part_a", "folder/NAME", ... (see `data/builders`).
      manual_dir: The raw files as downloaded, a folder or an archive. Generated datasets need none.
      data_dir: Where the prepared dataset goes. Default: `sources.default_data_dir()`.
      overwrite: Write a dataset that is on disk already.

    Returns:
      A self-check of the dataset, one line per item.

    Raises:
      ConfigError: The dataset is unknown, a folder is missing, or the dataset was prepared from other files.
      InputError: Raw files are missing or wrong. Nothing has been written.
    """
    data_dir = sources.resolve_data_dir(data_dir)
    manual_dir = pathlib.Path(manual_dir).expanduser() if manual_dir else None
    builder = sources.make_builder(dataset, data_dir)
    if manual_dir is not None and not manual_dir.exists():
        raise ConfigError(f"--manual_dir={manual_dir}: there is no such folder or archive")
    with archives.unpacked(manual_dir, data_dir) if manual_dir else contextlib.nullcontext() as raw_dir:
        if storage.is_prepared(builder) and not overwrite:
            _check_same_files(builder, raw_dir)
            first = f"{dataset} is already prepared in {builder.data_path}"
        else:
            first = f"{dataset} is prepared in {builder.data_path}"
            _write(dataset, builder, raw_dir, data_dir, overwrite)
    return [first, *notes.describe(storage.read_summary(builder), builder.totals())]


def _write(
    dataset: str,
    builder: CrowdDatasetBuilder,
    raw_dir: pathlib.Path | None,
    data_dir: pathlib.Path,
    overwrite: bool,
) -> None:
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS and raw_dir is None:
        raise ConfigError(f"{dataset} needs its raw files: {builder.MANUAL_DOWNLOAD_INSTRUCTIONS}")
    raw = builder.checked(raw_dir or pathlib.Path())

    def make(folder: str) -> CrowdDatasetBuilder:
        fresh = sources.make_builder(dataset, folder)
        fresh.prechecked = raw
        return fresh

    storage.write(make, data_dir, overwrite=overwrite)


def _check_same_files(builder: CrowdDatasetBuilder, raw_dir: pathlib.Path | None) -> None:
    """Raise ConfigError if the prepared dataset was made from other files than those in `raw_dir`."""
    if raw_dir is None or not builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        return
    if fingerprint(builder.raw(raw_dir)) != storage.read_summary(builder)["fingerprint"]:
        rename = f"; or choose another name, --dataset={builder.name}/NAME" if builder.make_config else ""
        raise ConfigError(
            f"{builder.data_path} was made from other files than those in {raw_dir}; "
            f"add --overwrite to make it again{rename}"
        )
