"""Training batches: batch i is a function of (seed, i) alone, whatever the threads, processes or restarts.

What needs no grain (evaluation batches, decoding, prefetching) lives in buckets.py, examples.py and prefetch.py and can
be had from here too.
"""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from cc_jax.data.buckets import bucket_of, choose_buckets, evaluation_batches
from cc_jax.data.density import Density
from cc_jax.data.examples import Examples
from cc_jax.data.mixture import Mixture
from cc_jax.data.prefetch import ahead, prefetch
from cc_jax.data.resizing import Example
from cc_jax.data.transforms import Augment
from cc_jax.errors import ConfigError

__all__ = [
    "Examples", "ahead", "batch_at", "batches", "bucket_of", "choose_buckets", "evaluation_batches", "prefetch",
    "train_dataset",
]  # fmt: skip

PseudoLabels = Mapping[str, tuple[np.ndarray, np.ndarray]] | Callable[[str], tuple[np.ndarray, np.ndarray]]


def train_dataset(
    examples: Sequence[Example],
    *,
    augment: Augment,
    density: Density,
    seed: int,
    pseudo: PseudoLabels | None = None,
):
    """An endless `grain.MapDataset` of training crops (see `Augment`), shuffled anew each epoch.

    Element j is a function of (seed, j); elements may be asked for in any order and from several threads.

    Args:
      examples: see data/examples.py; of a `Mixture`, each part is drawn from as often as its weight says.
      pseudo: labels that stand in for the head points: id -> (density, weight) on the evaluation frame's cells,
        a mapping (only images that it holds are drawn) or a function (asked for every image).

    Raises:
      ConfigError: there is no image to draw from.
    """
    import grain  # here alone: it brings JAX and array_record, which reading and counting images do not need

    mixed = isinstance(examples, Mixture)
    parts, weights = (examples.parts, examples.weights) if mixed else ([examples], [1.0])
    if isinstance(pseudo, Mapping):
        parts = [_Chosen(p, [i for i in range(len(p)) if p[i]["id"] in pseudo]) for p in parts]
    drawn = [(part, weight) for part, weight in zip(parts, weights, strict=True) if len(part)]
    if not drawn:
        raise ConfigError("there is no image to train on: the split is empty, or no image has a pseudo label")
    look_up = pseudo.__getitem__ if isinstance(pseudo, Mapping) else pseudo

    def crop(example: Example, rng: np.random.Generator) -> dict[str, np.ndarray]:
        if look_up is not None:
            map_, weight = look_up(example["id"])
            example = {**example, "density": map_, "weight": weight}
        return augment(example, rng, density)

    endless = [grain.MapDataset.source(_Shuffled(part, (seed, k))) for k, (part, _) in enumerate(drawn)]
    if mixed:  # element j of the mixture is a function of j all the same
        endless = [grain.MapDataset.mix(endless, weights=[weight for _, weight in drawn])]
    return endless[0].seed(seed).random_map(crop)


def batch_at(
    dataset: Sequence[dict[str, np.ndarray]],
    i: int,
    *,
    batch_size: int,
    process_index: int = 0,
    process_count: int = 1,
) -> dict[str, np.ndarray]:
    """This process's part of global batch i: of elements i * batch_size and the following, its contiguous share.

    Raises ConfigError if the global `batch_size` cannot be shared equally.
    """
    share, rest = divmod(batch_size, process_count)
    if rest or share == 0:
        raise ConfigError(f"batch size {batch_size} cannot be shared equally by {process_count} processes")
    first = i * batch_size + process_index * share
    elements = [dataset[j] for j in range(first, first + share)]
    return {name: np.stack([element[name] for element in elements]) for name in elements[0]}


def batches(
    make: Callable[[int], Any], first: int, end: int, *, threads: int = 2, workers: int = 0
) -> Iterator[Any]:
    """`make(first), ..., make(end - 1)` in this order, made ahead.

    Args:
      make: called from several threads at once, or pickled and called in other processes.
      threads: that make batches within this process. The interpreter's lock is held for two fifths of a crop, so that
        more than three hardly gain.
      workers: processes that do instead, where not 0: for accelerators with many cores beside them. They start anew
        for every stage, and each keeps decoded images of its own.
    """
    if not workers:
        yield from prefetch(make, first, end, threads=threads, depth=2 * threads)
        return
    import grain

    made = grain.MapDataset.range(first, end).map(make)
    made = made.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=1))
    options = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2)
    iterator = iter(made.mp_prefetch(options, worker_init_fn=_die_with_parent))
    try:
        yield from iterator
    finally:
        iterator.close()


def _die_with_parent(worker: int, workers: int) -> None:
    """Ends this worker when the process that waits for its batches has ended, however it did."""
    del worker, workers
    parent = multiprocessing.parent_process()

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


class _Chosen(Sequence):
    """The examples of some indices, read when asked for."""

    def __init__(self, examples: Sequence[Example], indices: Sequence[int]):
        self._examples, self._indices = examples, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, i: int) -> Example:
        return self._examples[self._indices[i]]


class _Shuffled(Sequence):
    """The examples again and again, each epoch in an order of its own, which is a function of (seed, epoch).

    grain's own shuffle computes each index by itself and takes 2.5 ms for one of 10 images, 0.4 ms for one of 64: as
    long as cutting the crop.
    """

    def __init__(self, examples: Sequence[Example], seed: tuple[int, ...]):
        self._examples, self._seed = examples, seed
        self._orders: dict[
            int, np.ndarray
        ] = {}  # of the last epochs asked for; two overlap where batches are made ahead

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, j: int) -> Example:
        epoch, k = divmod(j, len(self._examples))
        order = self._orders.get(epoch)
        if order is None:
            order = np.random.default_rng([*self._seed, epoch]).permutation(len(self._examples))
            self._orders = dict([*self._orders.items(), (epoch, order)][-2:])
        return self._examples[order[k]]
