"""Records whose images are decoded once."""

import threading
from collections.abc import Sequence
from typing import Any

from cc_jax.data.images import read_image


class Cached(Sequence):
    """Records (data/sources.py) with their decoded images in place of the files' bytes, as far as the memory reaches.

    The first images that are asked for stay; what does not fit is decoded each time. The arrays cannot be written to:
    they are handed out again. May be read from several threads.

    Args:
      records: of one set, with any attributes of their own, which can be had from here too.
      limit: bytes of decoded images to keep at most.
    """

    def __init__(self, records: Sequence[dict[str, Any]], limit: int):
        self._records = records
        self._left = limit
        self._kept: dict[int, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._records)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)

    def __getitem__(self, i: int) -> dict[str, Any]:
        kept = self._kept.get(i)
        if kept is not None:
            return kept
        record = self._records[i]
        image = read_image(record["image"], name=record["id"])
        image.flags.writeable = False
        decoded = {**record, "image": image}
        with self._lock:
            if i not in self._kept and image.nbytes <= self._left:
                self._left -= image.nbytes
                self._kept[i] = decoded
        return decoded
