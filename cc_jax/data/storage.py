"""Prepared datasets on disk: whether one exists, its summary, and how one is written."""

import contextlib
import io
import json
import os
import pathlib
import shutil
from collections.abc import Callable

import tensorflow_datasets as tfds

from cc_jax.data import files
from cc_jax.data.builders.base import CrowdDatasetBuilder
from cc_jax.errors import ConfigError

FILE_FORMAT = "array_record"


def is_prepared(builder: CrowdDatasetBuilder) -> bool:
    """Return whether the builder's version of the dataset is on disk. It appears there complete, by a rename."""
    return (pathlib.Path(builder.data_path) / "dataset_info.json").is_file()


def read_summary(builder: CrowdDatasetBuilder) -> dict:
    """Return the content of the dataset's metadata.json, see `summary.summarize`.

    Raises:
      ConfigError: The file is missing or damaged.
    """
    path = pathlib.Path(builder.data_path) / "metadata.json"
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: cannot be read ({error}); prepare the dataset again with --overwrite"
        ) from error


def write(
    make: Callable[[str], CrowdDatasetBuilder], data_dir: pathlib.Path, *, overwrite: bool = False
) -> bool:
    """Write a dataset so that it is on disk either completely or not at all.

    The dataset is written to a hidden folder in `data_dir` and renamed at the end. If several processes write the same
    dataset, one of them works and the others wait. The next process removes what a killed one has left behind.

    Args:
      make: Function from a data_dir to the builder that writes there.
      data_dir: The folder of prepared datasets.
      overwrite: Write a dataset that exists already. The old one stays until the new one is complete.

    Returns:
      Whether this call wrote the dataset.
    """
    tfds.disable_progress_bar()
    builder = make(str(data_dir))
    final = pathlib.Path(builder.data_path)
    slug = "-".join(final.relative_to(data_dir).parts[:-1])
    with files.lock(pathlib.Path(data_dir), slug):
        if final.is_dir() and not overwrite:
            return False
        staging = pathlib.Path(data_dir) / f".{slug}.incomplete"
        shutil.rmtree(staging, ignore_errors=True)
        try:
            built = make(str(staging))
            config = tfds.download.DownloadConfig(manual_dir=staging, try_download_gcs=False)
            # TFDS prints the path of the staging folder.
            with contextlib.redirect_stdout(io.StringIO()):
                built.download_and_prepare(download_config=config)
            _replace(pathlib.Path(built.data_path), final, staging / "old")
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return True


def _replace(new: pathlib.Path, final: pathlib.Path, old: pathlib.Path) -> None:
    """Rename `new` to `final`. A folder that is there already is renamed to `old` first."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        os.rename(final, old)
    os.rename(new, final)
