"""`folder/NAME`: any folder of images, labelled or not, so that a counter can adapt to it.

One name for one folder: `prepare --dataset=folder/station --manual_dir=PHOTOS` makes `folder/station`; `folder`
alone is `folder/default`. A name that is taken by another folder, or by the same one before it changed, is refused
unless `--overwrite` is given. `name_of(path)` gives a name that no other folder has.

Splits: the subfolders `train` and `test` where there are any; otherwise all images are `train`. To adapt to
photos without such folders, use the split `train` both as the unlabelled target and to evaluate on.

Labels, for as many of the images as there are, in one of these forms (an image without any is unlabelled):
`labels.csv` in `--manual_dir` with the columns image,x,y, one row a head, `image` being the path below that
folder and an empty x and y meaning that nobody is there; or beside the image, by the same name, `.json`
([[x, y], ...] or {"points": ...}), `.txt` (lines `x y`) or `.mat` (`image_info`, `annPoints` or `points`).
x and y are pixels from the upper left corner of the upright image.
"""

import hashlib
import pathlib
import re

import numpy as np
import tensorflow_datasets as tfds

from cc_jax.data import images
from cc_jax.data.builders import base, labels
from cc_jax.errors import ConfigError, InputError


class Folder(base.CrowdDatasetBuilder):
    """The user's own images."""

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = "A folder of images; labels optional."
    MANUAL_DOWNLOAD_INSTRUCTIONS = "--manual_dir is the folder of images."

    @staticmethod
    def make_config(name: str) -> tfds.core.BuilderConfig:
        """The config of `folder/NAME`."""
        return tfds.core.BuilderConfig(name=name or "default", description="A folder of images.")

    def raw(self, manual_dir: pathlib.Path) -> base.Raw:
        table_path = manual_dir / "labels.csv"
        table = labels.read_csv(table_path) if table_path.is_file() else {}
        found = images.list_images(manual_dir)
        if not found:
            raise ConfigError(
                f"--manual_dir={manual_dir}: holds no image ({', '.join(images.IMAGE_SUFFIXES)})"
            )
        names = {path.relative_to(manual_dir).as_posix() for path in found}
        strays = sorted(set(table) - names)
        if strays:
            raise InputError(f"{table_path}: names images that are not in the folder: {base.some(strays)}")
        splits, notes = _splits(manual_dir, found)
        return base.Raw(
            {name: [_frame(manual_dir, path, table) for path in paths] for name, paths in splits.items()},
            notes,
        )


def name_of(folder: str | pathlib.Path) -> str:
    """A dataset name for a folder, from its own name and its place: "station-1f0c9a2b"."""
    folder = pathlib.Path(folder).expanduser().resolve()
    plain = re.sub(r"[^A-Za-z0-9]+", "_", folder.name).strip("_").lower() or "folder"
    return f"{plain}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"


def _splits(
    manual_dir: pathlib.Path, found: list[pathlib.Path]
) -> tuple[dict[str, list[pathlib.Path]], tuple[str, ...]]:
    """Images by split, and a note on those that belong to none."""
    splits: dict[str, list[pathlib.Path]] = {"train": [], "test": []}
    others = []
    for path in found:
        first = path.relative_to(manual_dir).parts[0]
        splits.get(first, others).append(path)
    chosen = {name: paths for name, paths in splits.items() if paths}
    if not chosen:
        return {"train": found}, ("no folders train or test: all images are the split 'train'",)
    notes = (f"outside of train and test, left out: {base.some(list(map(str, others)))}",) if others else ()
    return chosen, notes


def _frame(manual_dir: pathlib.Path, path: pathlib.Path, table: dict[str, np.ndarray]) -> base.RawImage:
    """An image with its labels, if it has any; its name is its path below the folder."""
    name = path.relative_to(manual_dir)
    beside = [path.with_suffix(suffix) for suffix in labels.READERS if path.with_suffix(suffix).is_file()]
    given = [table[name.as_posix()]] if name.as_posix() in table else []
    if len(beside) + len(given) > 1:
        raise InputError(
            f"{path}: is labelled more than once; keep one of labels.csv, {base.some(list(map(str, beside)))}"
        )
    given += [labels.READERS[label.suffix](label) for label in beside]
    points = given[0] if given else np.zeros((0, 2), np.float32)
    return base.RawImage("_".join(name.with_suffix("").parts), path, points, labelled=bool(given))


Builder = Folder
