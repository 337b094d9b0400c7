"""Prepared datasets, read as records: `open_source("shanghaitech/part_a", "train[:16]", data_dir)`.

A record is a dict:
  id: str.
  image: Bytes of the image file.
  points: Head points (x, y) in pixels, float32 [N, 2].
  roi: Corners (x, y) of the region of interest, float32 [M, 2]. An empty array stands for the whole image.
  labelled: bool, whether the image has been annotated.
  height, width: int, in pixels.
"""

import contextlib
import os
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from absl import logging

from cc_jax import registry
from cc_jax.errors import ConfigError, InputError, did_you_mean, missing_extra

try:
    import tensorflow_datasets as tfds
    from array_record.python import array_record_module
except ModuleNotFoundError as error:
    raise missing_extra(error.name, "train") from error

from cc_jax.data import storage
from cc_jax.data.builders.base import CrowdDatasetBuilder

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class Source(Sequence):
    """The records of a split, in a fixed order.

    May be read from several threads. Pickles as the name and place of the dataset, not as its records.

    Attributes:
      name: The dataset, "shanghaitech/part_a".
      split: The split as it was asked for, "train[:16]".
      scenes: The target whose kind of scene is kept, or "" for all scenes.
      scenes_apart: Whether the error is a mean over scenes. Ids are then "scene/name".
      submission: Function that writes the file for the dataset's evaluation server, or None.
      fingerprint: Identifies this copy of the dataset, see `builders.summary.fingerprint`.
    """

    def __init__(self, name: str, split: str, data_dir: str | pathlib.Path, scenes: str = ""):
        self.name, self.split, self.data_dir, self.scenes = name, split, str(data_dir), scenes
        own = make_builder(name, data_dir)
        self._builder = tfds.builder_from_directory(own.data_path)
        self._records = _open_records(self._builder, name, split)
        self.fingerprint = f"{own.version} {storage.read_summary(own)['fingerprint']}"
        self.scenes_apart, self.submission = own.SCENES_APART, own.submission
        self._chosen = (
            _select_scenes(own, self._builder, split, scenes) if scenes else range(len(self._records))
        )
        self._sizes: list[tuple[int, int]] | None = None

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return record `index` (see the module).

        Raises:
          IndexError: There is no such record.
          InputError: The record is damaged.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.name} {self.split} has {len(self)} images, no image {index}")
        return _to_record(self._read(self._chosen[index % len(self)]))

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of every image, in the order of the records. The first call reads all records."""
        if self._sizes is None:
            self._sizes = [(r["height"], r["width"]) for r in map(self.__getitem__, range(len(self)))]
        return self._sizes

    def _read(self, index: int) -> dict[str, Any]:
        try:
            return self._records[index]
        except Exception as error:  # array_record raises RuntimeError, IndexError or ValueError
            raise InputError(
                f"{self._builder.data_path}: record {index} of {self.split} is damaged ({_first_line(error)}); "
                f"{_prepare_hint(self.name)} --overwrite"
            ) from error

    def __reduce__(self):
        return Source, (self.name, self.split, self.data_dir, self.scenes)

    def __repr__(self) -> str:
        return f"Source({self.name!r}, {self.split!r}, {len(self)} images)"


def open_source(
    dataset: str, split: str, data_dir: str | pathlib.Path | None = None, scenes: str = ""
) -> Source:
    """Open a split of a prepared dataset. Generated datasets such as `synthetic/*` are prepared on first use.

    Args:
      dataset: "NAME" or "NAME/CONFIG", as given to `prepare`.
      split: A TFDS split: "train", "test", "train[:16]", "train[:80%]", "train+test".
      data_dir: Where `prepare` has put the dataset. Default: `default_data_dir()`.
      scenes: Keep only images that resemble this target ("shanghaitech/part_a", ...), for datasets that describe their
        scenes. This is the scene regularization of GCC. "" keeps all images.

    Raises:
      ConfigError: The dataset is unknown or not prepared, or has no such split or scenes.
      InputError: A file of the dataset is missing or cut short.
    """
    data_dir = resolve_data_dir(data_dir)
    builder = _prepared_builder(dataset, data_dir)
    _check_shards(builder, dataset)
    return Source(dataset, split, data_dir, scenes)


def splits(dataset: str, data_dir: str | pathlib.Path | None = None) -> list[str]:
    """Return the names of the splits of a prepared dataset.

    Raises:
      ConfigError: The dataset is unknown or not prepared.
    """
    return list(storage.read_summary(_prepared_builder(dataset, resolve_data_dir(data_dir)))["splits"])


def default_data_dir() -> pathlib.Path:
    """Return $TFDS_DATA_DIR, or ~/tensorflow_datasets."""
    return pathlib.Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def resolve_data_dir(data_dir: str | pathlib.Path | None) -> pathlib.Path:
    """Return `data_dir`, or the default, as an absolute path."""
    return pathlib.Path(data_dir or default_data_dir()).expanduser().absolute()


def make_builder(dataset: str, data_dir: str | pathlib.Path) -> CrowdDatasetBuilder:
    """Return the builder of "NAME" or "NAME/CONFIG".

    Raises:
      ConfigError: There is no such dataset. The error names similar ones.
    """
    name, _, config = dataset.partition("/")
    if not all(_NAME.fullmatch(part) for part in dataset.split("/")):
        raise ConfigError(
            f"{dataset!r} is not a dataset name; write NAME or NAME/CONFIG, as in shanghaitech/part_a"
        )
    if name not in registry.names("data.builders"):
        hint = did_you_mean(name, registry.names("data.builders"))
        raise ConfigError(
            f"there is no dataset {dataset!r}{hint}; the datasets are: {', '.join(dataset_names())}"
        )
    cls = registry.load("data.builders", name).Builder
    with _quiet():
        return cls(config=_config(cls, name, config), data_dir=str(data_dir), file_format=storage.FILE_FORMAT)


def dataset_names() -> list[str]:
    """Return what `open_source` and `prepare` accept as a dataset. "folder/NAME" stands for any name."""
    names = []
    for name in registry.names("data.builders"):
        cls = registry.load("data.builders", name).Builder
        configs = ["NAME"] if cls.make_config else list(cls.builder_configs)
        names += [f"{name}/{config}" for config in configs] or [name]
    return names


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence TFDS, which warns of every config that is not in BUILDER_CONFIGS, such as that of a user's folder."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _config(cls: type[CrowdDatasetBuilder], name: str, config: str) -> Any:
    """Return what TFDS accepts as `config`."""
    if cls.make_config:
        return cls.make_config(config)
    known = list(cls.builder_configs)
    if config in known or (not config and not known):
        return config or None
    if not known:
        raise ConfigError(f"{name} has no configs; write {name!r}, not {f'{name}/{config}'!r}")
    raise ConfigError(f"{name}/{config or '?'}: choose one of {', '.join(f'{name}/{k}' for k in known)}")


def _prepared_builder(dataset: str, data_dir: pathlib.Path) -> CrowdDatasetBuilder:
    """Return the builder of a prepared dataset. Generated datasets are prepared if they are not.

    Raises:
      ConfigError: The dataset is unknown, or not prepared and needs raw files.
    """
    builder = make_builder(dataset, data_dir)
    if storage.is_prepared(builder):
        return builder
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        raise ConfigError(
            f"{dataset} is not prepared under {data_dir}; {_prepare_hint(dataset)} --data_dir={data_dir}"
        )
    print(f"drawing {dataset} into {data_dir} (once) ...", flush=True)
    storage.write(lambda folder: make_builder(dataset, folder), data_dir)
    return builder


def _prepare_hint(dataset: str) -> str:
    cls = registry.load("data.builders", dataset.partition("/")[0]).Builder
    manual = " --manual_dir=RAW_FILES" if cls.MANUAL_DOWNLOAD_INSTRUCTIONS else ""
    return f"run: python -m cc_jax.prepare --dataset={dataset}{manual}"


def _check_shards(builder: CrowdDatasetBuilder, dataset: str) -> None:
    """Raise InputError if a file of the dataset is missing or shorter than its metadata states.

    TFDS takes the lengths from the metadata and would notice only when it reads the file.
    """
    for split in builder.info.splits.values():
        for path, length in zip(split.filepaths, split.shard_lengths, strict=True):
            found = _count_records(str(path))
            if found != length:
                state = "is missing" if found is None else "is damaged or cut short"
                raise InputError(f"{path}: {state}; {_prepare_hint(dataset)} --overwrite")


def _count_records(path: str) -> int | None:
    """Return the number of records in a file, None if there is no file, -1 if it cannot be read to its end."""
    if not os.path.isfile(path):
        return None
    try:
        reader = array_record_module.ArrayRecordReader(path)
        count = reader.num_records()
        if count:
            reader.read([count - 1])
        reader.close()
    except Exception:  # the C++ reader raises many types for damaged files
        return -1
    return count


def _open_records(builder: tfds.core.DatasetBuilder, name: str, split: str) -> Any:
    """Return TFDS's random-access records, with images left as bytes.

    Raises:
      ConfigError: There is no such split.
    """
    try:
        return builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
    except (ValueError, KeyError, AssertionError) as error:
        known = ", ".join(f"{key} ({info.num_examples})" for key, info in builder.info.splits.items())
        raise ConfigError(f"{name}: no split {split!r} ({_first_line(error)}); there are: {known}") from error


def _select_scenes(
    builder: CrowdDatasetBuilder, built: tfds.core.DatasetBuilder, split: str, scenes: str
) -> list[int]:
    """Return the positions within `split` of the images that resemble the target `scenes`.

    Raises:
      ConfigError: The dataset does not describe its scenes, the target is unknown, or there is no such image.
    """
    if not builder.SCENE_FIELDS:
        raise ConfigError(
            f"config.source.scenes={scenes!r}: {builder.name} does not describe its scenes; leave the field empty"
        )
    rows = storage.read_summary(builder)["scenes"]
    parts = tfds.core.ReadInstruction.from_spec(split).to_absolute(built.info.splits)
    listed = [row for part in parts for row in rows[part.splitname][part.from_ or 0 : part.to]]
    chosen = builder.scenes_like(listed, scenes)
    if not chosen:
        raise ConfigError(
            f"config.source.scenes={scenes!r}: no image of {builder.name} {split} resembles that target"
        )
    return chosen


def _to_record(raw: dict[str, Any]) -> dict[str, Any]:
    """Convert TFDS's example to plain Python and NumPy types."""
    return {
        "id": raw["id"].decode() if isinstance(raw["id"], bytes) else str(raw["id"]),
        "image": bytes(raw["image"]),
        "points": np.asarray(raw["points"], np.float32).reshape(-1, 2),
        "roi": np.asarray(raw["roi"], np.float32).reshape(-1, 2),
        "labelled": bool(raw["labelled"]),
        "height": int(raw["height"]),
        "width": int(raw["width"]),
    }


def _first_line(error: Exception) -> str:
    """Return the first line of an error's text, at most 120 characters of it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
