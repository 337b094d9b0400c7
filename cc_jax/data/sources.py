"""Prepared datasets, read as records: `open_source("shanghaitech/part_a", "train[:16]", data_dir)`.

A record is {"id": str, "image": bytes of the image file, "points": float32 [N, 2] (x, y) in pixels,
"roi": float32 [M, 2] corners of the region that counts (no rows: all), "labelled": bool, "height", "width": int}.
"""

import contextlib
import difflib
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from array_record.python import array_record_module

from cc_jax import registry
from cc_jax.data.builders import base
from cc_jax.errors import ConfigError, InputError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class Source:
    """The records of a split, in a fixed order. Reads from several threads; pickles as its address.

    Attributes:
      name: the dataset, "shanghaitech/part_a".
      split: as asked for, "train[:16]".
      scenes: the target whose kind of scene is kept; "": all.
      scenes_apart: whether the error is a mean over scenes, ids being "scene/name".
      submission: writes what the authors' server takes, where they keep a split's labels; else None.
      fingerprint: tells copies of the dataset apart, see `builders.base.fingerprint`.
    """

    def __init__(self, name: str, split: str, data_dir: str | pathlib.Path, scenes: str = ""):
        self.name, self.split, self.data_dir, self.scenes = name, split, str(data_dir), scenes
        own = make_builder(name, data_dir)
        self._builder = tfds.builder_from_directory(own.data_path)
        self._records = _records(self._builder, name, split)
        self.fingerprint = f"{own.version} {base.read_summary(own)['fingerprint']}"
        self.scenes_apart, self.submission = own.SCENES_APART, own.submission
        self._chosen = _of_kind(own, self._builder, split, scenes) if scenes else range(len(self._records))
        self._sizes: list[tuple[int, int]] | None = None

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Record `index` (see the module). Raises IndexError, or InputError for a damaged record."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.name} {self.split} has {len(self)} images, no image {index}")
        return _record(self._read(self._chosen[index % len(self)]))

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of every image, in the records' order. The first call reads all records."""
        if self._sizes is None:
            self._sizes = [(r["height"], r["width"]) for r in map(self.__getitem__, range(len(self)))]
        return self._sizes

    def _read(self, index: int) -> dict[str, Any]:
        try:
            return self._records[index]
        except Exception as error:  # array_record raises RuntimeError, IndexError or ValueError as it comes
            raise InputError(
                f"{self._builder.data_path}: record {index} of {self.split} is damaged ({_line(error)}); "
                f"{_prepare_hint(self.name)} --overwrite"
            ) from error

    def __reduce__(self):
        return Source, (self.name, self.split, self.data_dir, self.scenes)

    def __repr__(self) -> str:
        return f"Source({self.name!r}, {self.split!r}, {len(self)} images)"


def open_source(
    dataset: str, split: str, data_dir: str | pathlib.Path | None = None, scenes: str = ""
) -> Source:
    """Opens a split of a prepared dataset; `synthetic/*` is drawn on first use.

    Args:
      dataset: "name" or "name/config", as given to `prepare`.
      split: a TFDS split: "train", "test", "train[:16]", "train[:80%]", "train+test".
      data_dir: where `prepare` has put it; default: see `default_data_dir`.
      scenes: only images that could be of this target's kind ("shanghaitech/part_a", ...), where the dataset knows its
        scenes (GCC's scene regularisation); "": all.

    Raises:
      ConfigError: the dataset is unknown or not prepared, or has no such split or scenes.
      InputError: a file of the dataset is missing or cut short.
    """
    data_dir = pathlib.Path(data_dir or default_data_dir()).expanduser().absolute()
    builder = make_builder(dataset, data_dir)
    if not base.is_prepared(builder):
        _prepare_or_refuse(dataset, builder, data_dir)
    _check_shards(builder, dataset)
    return Source(dataset, split, data_dir, scenes)


def splits(dataset: str, data_dir: str | pathlib.Path | None = None) -> list[str]:
    """The splits of a prepared dataset, in the order of its self-check. Raises ConfigError as `open_source` does."""
    data_dir = pathlib.Path(data_dir or default_data_dir()).expanduser().absolute()
    builder = make_builder(dataset, data_dir)
    if not base.is_prepared(builder):
        _prepare_or_refuse(dataset, builder, data_dir)
    return list(base.read_summary(builder)["splits"])


def default_data_dir() -> pathlib.Path:
    """$TFDS_DATA_DIR, or ~/tensorflow_datasets."""
    return pathlib.Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def make_builder(dataset: str, data_dir: str | pathlib.Path) -> base.CrowdDatasetBuilder:
    """The builder of "name" or "name/config". Raises ConfigError naming the siblings of a wrong name."""
    name, _, config = dataset.partition("/")
    if not all(_NAME.fullmatch(part) for part in dataset.split("/")):
        raise ConfigError(
            f"{dataset!r} is no dataset name; write NAME or NAME/CONFIG, as in shanghaitech/part_a"
        )
    if name not in registry.names("data.builders"):
        near = difflib.get_close_matches(name, registry.names("data.builders"), n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ConfigError(f"no dataset is called {dataset!r}{hint}; there are: {', '.join(dataset_names())}")
    cls = registry.load("data.builders", name).Builder
    with _quiet():
        return cls(config=_config(cls, name, config), data_dir=str(data_dir), file_format=base.FILE_FORMAT)


def dataset_names() -> list[str]:
    """What `open_source` and `prepare` take as a dataset; folder/NAME stands for any name."""
    names = []
    for name in registry.names("data.builders"):
        cls = registry.load("data.builders", name).Builder
        configs = ["NAME"] if hasattr(cls, "make_config") else list(cls.builder_configs)
        names += [f"{name}/{config}" for config in configs] or [name]
    return names


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """TFDS warns of every config that is not in its builder's list, as a user's own folder never is."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _config(cls: type[base.CrowdDatasetBuilder], name: str, config: str) -> Any:
    """What TFDS takes as `config`."""
    if hasattr(cls, "make_config"):  # any name will do: the user's own folders
        return cls.make_config(config)
    known = list(cls.builder_configs)
    if config in known or (not config and not known):
        return config or None
    if not known:
        raise ConfigError(f"{name} has no configs; write {name!r}, not {f'{name}/{config}'!r}")
    raise ConfigError(f"{name}/{config or '?'}: choose one of {', '.join(f'{name}/{k}' for k in known)}")


def _prepare_or_refuse(dataset: str, builder: base.CrowdDatasetBuilder, data_dir: pathlib.Path) -> None:
    """Draws a procedural dataset; for any other a person has to say where the raw files are."""
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        raise ConfigError(
            f"{dataset} is not prepared under {data_dir}; {_prepare_hint(dataset)} --data_dir={data_dir}"
        )
    print(f"drawing {dataset} into {data_dir} (once) ...", flush=True)
    base.write(lambda folder: make_builder(dataset, folder), data_dir)


def _prepare_hint(dataset: str) -> str:
    manual = "" if dataset.startswith("synthetic") else " --manual_dir=RAW_FILES"
    return f"run: python -m cc_jax.prepare --dataset={dataset}{manual}"


def _check_shards(builder: base.CrowdDatasetBuilder, dataset: str) -> None:
    """Every file of the dataset is there and as long as its metadata says: TFDS would not notice before it reads."""
    for split in builder.info.splits.values():
        for path, length in zip(split.filepaths, split.shard_lengths, strict=True):
            found = _shard_length(str(path))
            if found != length:
                state = "is missing" if found is None else "is damaged or cut short"
                raise InputError(f"{path}: {state}; {_prepare_hint(dataset)} --overwrite")


def _shard_length(path: str) -> int | None:
    """Records in a file: None if there is no file, -1 if it cannot be read to its end."""
    if not os.path.isfile(path):
        return None
    try:
        reader = array_record_module.ArrayRecordReader(path)
        count = reader.num_records()
        if count:
            reader.read([count - 1])
        reader.close()
    except Exception:  # whatever a damaged file makes the C++ reader raise
        return -1
    return count


def _records(builder: tfds.core.DatasetBuilder, name: str, split: str) -> Any:
    """TFDS's own random-access records, images left as bytes. Raises ConfigError for a wrong split."""
    try:
        return builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
    except (ValueError, KeyError, AssertionError) as error:
        known = ", ".join(f"{key} ({info.num_examples})" for key, info in builder.info.splits.items())
        raise ConfigError(f"{name}: no split {split!r} ({_line(error)}); there are: {known}") from error


def _of_kind(
    builder: base.CrowdDatasetBuilder, built: tfds.core.DatasetBuilder, split: str, scenes: str
) -> list[int]:
    """Positions within `split` of the images that are of the target's kind. Raises ConfigError."""
    if not builder.SCENE:
        raise ConfigError(
            f"config.source.scenes={scenes!r}: {builder.name} does not know its scenes; leave it empty"
        )
    rows = base.read_summary(builder)["scenes"]
    parts = tfds.core.ReadInstruction.from_spec(split).to_absolute(built.info.splits)
    listed = [row for part in parts for row in rows[part.splitname][part.from_ or 0 : part.to]]
    chosen = builder.of_kind(listed, scenes)
    if not chosen:
        raise ConfigError(
            f"config.source.scenes={scenes!r}: no image of {builder.name} {split} is of that kind"
        )
    return chosen


def _record(raw: dict[str, Any]) -> dict[str, Any]:
    """TFDS's example in plain Python and NumPy types."""
    return {
        "id": raw["id"].decode() if isinstance(raw["id"], bytes) else str(raw["id"]),
        "image": bytes(raw["image"]),
        "points": np.asarray(raw["points"], np.float32).reshape(-1, 2),
        "roi": np.asarray(raw["roi"], np.float32).reshape(-1, 2),
        "labelled": bool(raw["labelled"]),
        "height": int(raw["height"]),
        "width": int(raw["width"]),
    }


def _line(error: Exception) -> str:
    """The first line of an error's text, short."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
