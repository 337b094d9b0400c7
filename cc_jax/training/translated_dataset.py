"""Sets of images that a network rewrites once, kept as files.

A translated source is then read, trained on and looked at like any other set.
"""

import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from cc_jax.data import buckets, images, resizing
from cc_jax.data.files import write_atomic
from cc_jax.data.mixture import Mixture
from cc_jax.data.wrapped import Wrapped
from cc_jax.distributed import mesh
from cc_jax.errors import CheckpointError
from cc_jax.inference.predict import Batching

# How many images are shown beside what became of them, and their height in pixels.
_PAIRS, _PAIR_SIDE = 4, 240


def rewrite(
    function: Callable,
    params: Any,
    examples: Any,
    folder: pathlib.Path,
    batching: Batching,
    keep: Callable[[Any], Any],
    progress: Callable = iter,
) -> Any:
    """Return the examples with `function(params, image)` in the place of each image.

    Of a mixture, each part is rewritten. A few images and what became of them are written to `pairs_path(folder)`.

    Args:
      function: uint8 [B, H, W, 3] -> uint8 of the same shape. It gets padded images, with the border pixels repeated.
      params: the function's parameters.
      examples: the images (data/examples.py), or a mixture of several sets.
      folder: where the images are kept, as `<index>.png`. Files that exist already are not made again.
      batching: how images are put together for the function.
      keep: records -> examples.
      progress: wraps the iterator over batches, for a progress bar.
    """
    if isinstance(examples, Mixture):
        parts = [
            rewrite(function, params, part.inner, folder / str(k), batching, keep, progress)
            for k, part in enumerate(examples.parts)
        ]
        return Mixture(parts, examples.weights)
    folder.mkdir(parents=True, exist_ok=True)
    if jax.process_index() == 0:
        missing = [i for i in range(len(examples)) if not _path(folder, i).exists()]
        for i, image in _apply(function, params, examples, missing, batching, progress):
            write_atomic(_path(folder, i), images.encode_image(image, ".png"))
        chosen = _spread(examples)
        _write_pairs(folder, examples, {i: _read(folder, i) for i in chosen})
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(f"rewritten {folder}")
    return keep(Rewritten(examples, folder))


def show(function: Callable, params: Any, examples: Any, folder: pathlib.Path, batching: Batching) -> None:
    """Write the few images of `pairs_path(folder)` as `rewrite` does, without rewriting or keeping the others.

    Of a mixture, the images of the first part are shown. The arguments are those of `rewrite`.
    """
    if isinstance(examples, Mixture):
        examples = examples.parts[0].inner
    if jax.process_index() == 0:
        _write_pairs(folder, examples, dict(_apply(function, params, examples, _spread(examples), batching)))


def _apply(
    function: Callable,
    params: Any,
    examples: Any,
    chosen: Sequence[int],
    batching: Batching,
    progress: Callable = iter,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (index, rewritten image) of the chosen examples, computed on this process's devices."""
    params = mesh.gather_replicated(mesh.make_mesh(jax.local_devices()), params)
    function = jax.jit(function)
    shapes = buckets.choose_buckets(examples.sizes, max_buckets=batching.max_buckets)
    batches = buckets.evaluation_batches(
        examples, chosen, batch_size=batching.batch_size, buckets=shapes, threads=batching.threads
    )
    for batch in progress(batches):
        rewritten = np.asarray(function(params, _padded(batch)))
        for b, index in enumerate(batch["index"]):
            # Examples with the index -1 only fill up the last batch.
            if index >= 0:
                height, width = batch["size"][b]
                yield int(index), rewritten[b, :height, :width]


class Rewritten(Wrapped):
    """The records (data/sources.py) of some examples, with the images of a folder.

    Args:
      examples: the examples as they were.
      folder: holds `<index>.png` of each, of the size that the examples have after resizing.
    """

    def __init__(self, examples: Any, folder: pathlib.Path):
        super().__init__(examples)
        self._folder = folder
        self.sizes: list[tuple[int, int]] = examples.sizes

    @property
    def fingerprint(self) -> str:
        """Tells the rewritten images apart from the original ones."""
        return f"{self.inner.fingerprint} {self._folder}"

    def __getitem__(self, i: int) -> dict[str, Any]:
        record, (height, width) = self.inner.record(i), self.sizes[i]
        path = _path(self._folder, i)
        try:
            image = path.read_bytes()
        except OSError as error:
            raise CheckpointError(
                f"{path} cannot be read ({error.strerror}): remove its folder, and the same command makes it again"
            ) from error
        scale = np.array([width / int(record["width"]), height / int(record["height"])], np.float32)
        moved = {
            name: np.asarray(record[name], np.float32).reshape(-1, 2) * scale for name in ("points", "roi")
        }
        return {**record, **moved, "height": height, "width": width, "image": image}


def pairs_path(folder: pathlib.Path) -> pathlib.Path:
    """Return the file that shows a few images and what became of them."""
    return folder.with_name(f"{folder.name}.jpg")


def _spread(examples: Any) -> list[int]:
    """A few indices, spread evenly over the set."""
    return sorted({round(float(i)) for i in np.linspace(0, len(examples) - 1, _PAIRS)})


def _write_pairs(folder: pathlib.Path, examples: Any, rewritten: dict[int, np.ndarray]) -> None:
    """Write the original images in one row, and the rewritten ones below them."""
    columns = [
        np.vstack(
            [resizing.resize(one, _PAIR_SIDE, _PAIR_SIDE * 4 // 3) for one in (examples[i]["image"], image)]
        )
        for i, image in sorted(rewritten.items())
    ]
    images.write_image(pairs_path(folder), np.hstack(columns))


def _read(folder: pathlib.Path, i: int) -> np.ndarray:
    return images.read_image(_path(folder, i).read_bytes(), name=str(_path(folder, i)))


def _path(folder: pathlib.Path, i: int) -> pathlib.Path:
    return folder / f"{i:06d}.png"


def _padded(batch: dict[str, Any]) -> np.ndarray:
    """The images with their border pixels repeated into the padding.

    A translator would take black padding for a part of the image.
    """
    image = batch["image"].copy()
    for b, (height, width) in enumerate(batch["size"]):
        if height:
            image[b, height:, :width] = image[b, height - 1, :width]
            image[b, :, width:] = image[b, :, width - 1 : width]
    return image
