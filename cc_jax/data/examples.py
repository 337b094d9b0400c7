"""Records as examples of one frame, each image decoded once where there is room to keep it."""

import hashlib
import io
import pathlib
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from cc_jax.data import resizing
from cc_jax.data.files import write_atomic
from cc_jax.data.resizing import WHOLE, Example, ResizeRule
from cc_jax.data.wrapped import Wrapped
from cc_jax.errors import ConfigError, InputError


class Examples(Wrapped):
    """The examples (data/resizing.py) of a set's records. May be read from several threads.

    What is kept is handed out again and again, without a copy: its arrays cannot be written to.

    Args:
      records: of one set (data/sources.py), with any attributes of their own, which can be had from here too.
      resize_rule: the size that the images are brought to.
      limit: bytes of images to keep in memory at most: the first that are asked for stay, others are decoded each time.
      folder: keep all images here instead, as arrays that are mapped into memory, so that a crop reads its own rows
        alone; they stay for later runs. Several runs and hosts may share it.
    """

    def __init__(
        self,
        records: Sequence[dict[str, Any]],
        resize_rule: ResizeRule = WHOLE,
        *,
        limit: int = 0,
        folder: pathlib.Path | None = None,
    ):
        super().__init__(records)
        self.resize_rule = resize_rule
        self._left = limit
        self._folder = folder and _folder_of(folder, records, resize_rule)
        self._known: dict[int, Example] = {}  # without the image where a folder holds it
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Pickles without what it keeps: another process keeps its own."""
        return {**self.__dict__, "_known": {}, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of every example."""
        return [self.resize_rule.fit(size) for size in self.inner.sizes]

    def __getitem__(self, i: int) -> Example:
        example = self._known.get(i) or self._first_time(i)
        return {**example, "image": self._mapped(i)} if self._folder else example

    def record(self, i: int) -> dict[str, Any]:
        """Record i, as the set has it."""
        return self.inner[i]

    def _first_time(self, i: int) -> Example:
        """Decodes example i, and keeps it where there is room."""
        record = self.inner[i]
        example = resizing.labels(record, self.resize_rule)
        if self._folder:
            if not self._path(i).exists():
                self._write(i, resizing.pixels_of(record, self.resize_rule))
            return self._known.setdefault(i, example)
        image = resizing.pixels_of(record, self.resize_rule)
        image.flags.writeable = False
        example["image"] = image
        with self._lock:
            if i not in self._known and image.nbytes <= self._left:
                self._left -= image.nbytes
                self._known[i] = example
        return example

    def _path(self, i: int) -> pathlib.Path:
        return self._folder / f"{i}.npy"

    def _write(self, i: int, image: np.ndarray) -> None:
        buffer = io.BytesIO()
        np.save(buffer, image)
        try:
            write_atomic(self._path(i), buffer.getvalue())
        except OSError as error:
            raise ConfigError(
                f"config.cache_dir: {self._path(i)} cannot be written ({error.strerror}); name a folder with more room"
            ) from error

    def _mapped(self, i: int) -> np.ndarray:
        """Image i, mapped anew each time: a process may hold fewer maps than a set holds images."""
        try:
            return np.asarray(np.load(self._path(i), mmap_mode="r"))
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{self._path(i)}: cannot be read ({error}); remove its folder") from error


def _folder_of(folder: pathlib.Path, records: Any, resize_rule: ResizeRule) -> pathlib.Path:
    """One for each set, copy of it, split and frame."""
    what = f"{records.name} {records.split} {records.scenes} {records.fingerprint} {resize_rule}"
    folder = folder / hashlib.sha256(what.encode()).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"config.cache_dir: {folder} cannot be made ({error.strerror}); name another folder"
        ) from error
    return folder
