"""Examples from records: resized images with their labels, decoded once if there is room to keep them."""

import functools
import hashlib
import io
import pathlib
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from cc_jax.data import resizing
from cc_jax.data.files import write_atomic
from cc_jax.data.resizing import KEEP_SIZE, Example, ResizeRule
from cc_jax.data.wrapped import Wrapped
from cc_jax.errors import ConfigError, InputError


class Examples(Wrapped):
    """The examples of a set of records (see data/resizing.py for what an example is).

    May be read from several threads. Cached arrays are returned without a copy and are read-only.

    Args:
      records: The records of one set, see data/sources.py. Their attributes are also attributes of this object.
      resize_rule: The size that images are resized to.
      limit: Bytes of images to keep in memory. The images that are read first stay, others are decoded every time.
      folder: If given, keep all images in this folder instead, as arrays that are mapped into memory, so that a crop
        reads only its own rows. They remain for later runs. Several runs and hosts may share the folder.
    """

    def __init__(
        self,
        records: Sequence[Any],
        resize_rule: ResizeRule = KEEP_SIZE,
        *,
        limit: int = 0,
        folder: pathlib.Path | None = None,
    ):
        super().__init__(records)
        self.resize_rule = resize_rule
        self._left = limit
        self._folder = _folder_of(folder, records, resize_rule) if folder else None
        # Without the images if they are in a folder.
        self._known: dict[int, Example] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the cache. Another process fills its own."""
        return {**self.__dict__, "_known": {}, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of every example."""
        return [self.resize_rule.fit(size) for size in self.inner.sizes]

    def __getitem__(self, i: int) -> Example:
        example = self._known.get(i) or self._load(i)
        return {**example, "image": self._mapped(i)} if self._folder else example

    def record(self, i: int) -> dict[str, Any]:
        """Return record i."""
        return self.inner[i]

    def _load(self, i: int) -> Example:
        """Decode example i, and keep it if there is room."""
        record = self.inner[i]
        example = resizing.decode_labels(record, self.resize_rule)
        if self._folder:
            if not self._path(i).exists():
                self._write(i, resizing.decode_image(record, self.resize_rule))
            return self._known.setdefault(i, example)
        image = resizing.decode_image(record, self.resize_rule)
        image.flags.writeable = False
        example["image"] = image
        with self._lock:
            if i not in self._known and image.nbytes <= self._left:
                self._left -= image.nbytes
                self._known[i] = example
        return example

    def _path(self, i: int) -> pathlib.Path:
        assert self._folder is not None
        return self._folder / f"{i}.npy"

    def _write(self, i: int, image: np.ndarray) -> None:
        buffer = io.BytesIO()
        np.save(buffer, image)
        try:
            write_atomic(self._path(i), buffer.getvalue())
        except OSError as error:
            raise ConfigError(
                f"config.cache_dir: {self._path(i)} cannot be written ({error.strerror}); choose a folder with more room"
            ) from error

    def _mapped(self, i: int) -> np.ndarray:
        """Map image i into memory. Maps are not kept, because a process may have fewer of them than a set has images."""
        try:
            return np.asarray(np.load(self._path(i), mmap_mode="r"))
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{self._path(i)}: cannot be read ({error}); delete its folder") from error


class EvenlySpaced(Wrapped):
    """At most `number` records of a set, evenly spaced."""

    def __init__(self, inner: Sequence[Any], number: int):
        super().__init__(inner)
        self._indices = np.linspace(0, len(inner) - 1, min(number, len(inner))).round().astype(int).tolist()

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return self.inner[self._indices[i]]

    @functools.cached_property
    def sizes(self) -> list[tuple[int, int]]:
        # Not those of `inner`, which reads all of its records for them.
        return [(record["height"], record["width"]) for record in self]


def base_splits(split: str) -> set[str]:
    """Return the names in a TFDS split: those of "train[:60]+test" are "train" and "test".

    Splits without a name in common have no image in common; others may have.
    """
    return {part.partition("[")[0] for part in split.split("+")}


def _folder_of(folder: pathlib.Path, records: Any, resize_rule: ResizeRule) -> pathlib.Path:
    """Return the folder for one copy of a dataset, split, choice of scenes and resize rule."""
    what = f"{records.name} {records.split} {records.scenes} {records.fingerprint} {resize_rule}"
    folder = folder / hashlib.sha256(what.encode()).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"config.cache_dir: {folder} cannot be created ({error.strerror}); choose another folder"
        ) from error
    return folder
