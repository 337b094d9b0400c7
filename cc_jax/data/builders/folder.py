"""`folder/NAME`: a user's own folder of images, with or without labels.

The name stands for one folder: `prepare --dataset=folder/station --manual_dir=PHOTOS` makes `folder/station`. Without a
name the dataset is `folder/default`. If another folder has the name already, or the folder has changed since, `prepare`
refuses unless --overwrite is given. `name_of(path)` returns a name that no other folder has.

Splits: the subfolders `train` and `test` if there are any. Otherwise all images are the split `train`. To adapt to such a
folder, use `train` both as the unlabelled target and for evaluation.

Labels are optional, also for single images. An image without a label is unlabelled. A label is one of:
  - Rows of `labels.csv` in --manual_dir, with the columns image,x,y. There is one row per head, and `image` is the path
    below --manual_dir. A row with an empty x and y states that the image shows nobody.
  - A file with the image's name beside it: `.json` ([[x, y], ...] or {"points": [[x, y], ...]}), `.txt` (lines `x y`) or
    `.mat` (`image_info`, `annPoints` or `points`).
Coordinates are pixels from the upper left corner of the upright image.
"""

import hashlib
import pathlib
import re

import numpy as np
import tensorflow_datasets as tfds

from cc_jax.data import images
from cc_jax.data.builders import base, labels, notes
from cc_jax.errors import ConfigError, InputError


class Builder(base.CrowdDatasetBuilder):
    """A user's own images."""

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = "A folder of images, with or without labels."
    MANUAL_DOWNLOAD_INSTRUCTIONS = "--manual_dir is the folder of images."

    @staticmethod
    def make_config(name: str) -> tfds.core.BuilderConfig:
        """Return the config of `folder/NAME`."""
        return tfds.core.BuilderConfig(name=name or "default", description="A folder of images.")

    def raw(self, manual_dir: pathlib.Path) -> base.Raw:
        table_path = manual_dir / "labels.csv"
        table = labels.read_csv(table_path) if table_path.is_file() else {}
        found = images.list_images(manual_dir)
        if not found:
            raise ConfigError(
                f"--manual_dir={manual_dir}: contains no image ({', '.join(images.IMAGE_SUFFIXES)})"
            )
        names = {path.relative_to(manual_dir).as_posix() for path in found}
        unknown = sorted(set(table) - names)
        if unknown:
            raise InputError(
                f"{table_path}: names images that are not in the folder: {notes.first_few(unknown)}"
            )
        splits, remarks = _group_by_split(manual_dir, found)
        return base.Raw(
            {name: [_read(manual_dir, path, table) for path in paths] for name, paths in splits.items()},
            remarks,
        )


def name_of(folder: str | pathlib.Path) -> str:
    """Return a dataset name made of the folder's name and a hash of its path: "station-1f0c9a2b"."""
    folder = pathlib.Path(folder).expanduser().resolve()
    plain = re.sub(r"[^A-Za-z0-9]+", "_", folder.name).strip("_").lower() or "folder"
    return f"{plain}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"


def _group_by_split(
    manual_dir: pathlib.Path, found: list[pathlib.Path]
) -> tuple[dict[str, list[pathlib.Path]], tuple[str, ...]]:
    """Return the images of each split, and notes on how they were grouped."""
    splits: dict[str, list[pathlib.Path]] = {"train": [], "test": []}
    others = []
    for path in found:
        first = path.relative_to(manual_dir).parts[0]
        splits.get(first, others).append(path)
    chosen = {name: paths for name, paths in splits.items() if paths}
    if not chosen:
        return {"train": found}, ("no folder train or test: all images are the split 'train'",)
    left_out = notes.first_few(list(map(str, others)))
    return chosen, (f"left out, because they are not in train or test: {left_out}",) if others else ()


def _read(manual_dir: pathlib.Path, path: pathlib.Path, table: dict[str, np.ndarray]) -> base.RawImage:
    """Return an image with its label, if it has one. Its id is its path below the folder."""
    name = path.relative_to(manual_dir)
    beside = [path.with_suffix(suffix) for suffix in labels.READERS if path.with_suffix(suffix).is_file()]
    given = [table[name.as_posix()]] if name.as_posix() in table else []
    if len(beside) + len(given) > 1:
        files = notes.first_few(list(map(str, beside)))
        raise InputError(f"{path}: is labelled more than once; keep one of labels.csv, {files}")
    given += [labels.READERS[label.suffix](label) for label in beside]
    points = given[0] if given else labels.NO_POINTS
    return base.RawImage("_".join(name.with_suffix("").parts), path, points, labelled=bool(given))
