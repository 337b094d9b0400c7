"""Training batches. Batch i is a function of (seed, i) alone, whatever the threads, processes or restarts.

What counting needs as well stands in modules that load no grain: decoding in examples.py, evaluation batches in buckets.py,
prefetching in prefetch.py.
"""

import functools
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import numpy as np

from cc_jax.data.density import Density
from cc_jax.data.mixture import Mixture
from cc_jax.data.prefetch import prefetch
from cc_jax.data.resizing import Example
from cc_jax.data.transforms import Augment
from cc_jax.errors import ConfigError, missing_extra

# Not inside the functions that use it: while grain is imported, etils patches `import` for every thread (lazy imports),
# and a thread that traces a train step at that moment gets modules that cannot be used.
try:
    import grain
except ModuleNotFoundError as error:
    raise missing_extra(error.name, "train") from error

PseudoLabels = Mapping[str, tuple[np.ndarray, np.ndarray]] | Callable[[str], tuple[np.ndarray, np.ndarray]]


def train_dataset(
    examples: Sequence[Any],
    *,
    augment: Augment,
    density: Density,
    seed: int,
    pseudo: PseudoLabels | None = None,
):
    """Return an endless `grain.MapDataset` of training crops, shuffled anew each epoch.

    Element j is a function of (seed, j). Elements may be requested in any order and from several threads.

    Args:
      examples: See data/examples.py. The parts of a `Mixture` are drawn from in proportion to their weights.
      augment: Makes a crop from an example.
      density: Draws the density map of labelled examples.
      seed: Seed of the order and of the crops.
      pseudo: Labels that replace the head points: id -> (density, weight) on the cells of the resized image. Either a
        mapping, which restricts training to the images that it contains, or a function that is called for every image.

    Raises:
      ConfigError: There is no image to draw from.
    """
    mixed = isinstance(examples, Mixture)
    parts, weights = (examples.parts, examples.weights) if mixed else ([examples], [1.0])
    if isinstance(pseudo, Mapping):
        parts = [_Subset(p, [i for i in range(len(p)) if p[i]["id"] in pseudo]) for p in parts]
    drawn = [(part, weight) for part, weight in zip(parts, weights, strict=True) if len(part)]
    if not drawn:
        raise ConfigError("there is no image to train on: the split is empty, or no image has a pseudo label")
    look_up = pseudo.__getitem__ if isinstance(pseudo, Mapping) else pseudo

    crop = functools.partial(_crop, augment, density, look_up)
    endless = [grain.MapDataset.source(_Shuffled(part, (seed, k))) for k, (part, _) in enumerate(drawn)]
    if mixed:
        endless = [grain.MapDataset.mix(endless, weights=[weight for _, weight in drawn])]
    return endless[0].seed(seed).random_map(crop)


def _crop(
    augment: Augment,
    density: Density,
    look_up: Callable[[str], tuple[np.ndarray, np.ndarray]] | None,
    example: Example,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Return a crop of an example, with its pseudo label if there is one. Other processes unpickle this function."""
    if look_up is not None:
        map_, weight = look_up(example["id"])
        example = {**example, "density": map_, "weight": weight}
    return augment(example, rng, density)


def batch_at(
    dataset: Any,
    i: int,
    *,
    batch_size: int,
    process_index: int = 0,
    process_count: int = 1,
) -> dict[str, np.ndarray]:
    """Return this process's part of global batch i.

    Global batch i is the elements from i * batch_size on. Each process takes a contiguous part of equal size.

    Args:
      dataset: See `train_dataset`.
      i: Index of the batch.
      batch_size: Number of crops in the global batch.
      process_index: Index of this process.
      process_count: Number of processes.

    Raises:
      ConfigError: The processes cannot share the batch equally.
    """
    share, rest = divmod(batch_size, process_count)
    if rest or share == 0:
        raise ConfigError(f"batch size {batch_size} cannot be shared equally by {process_count} processes")
    first = i * batch_size + process_index * share
    elements = [dataset[j] for j in range(first, first + share)]
    return {name: np.stack([element[name] for element in elements]) for name in elements[0]}


def batches(
    make: Callable[[int], Any], first: int, end: int, *, threads: int = 2, workers: int = 0
) -> Generator[Any, None, None]:
    """Yield `make(first), ..., make(end - 1)` in this order, made in the background.

    Args:
      make: Called from several threads at once. With `workers`, it is pickled and called in other processes.
      first: First index.
      end: Index after the last one.
      threads: Number of threads that make batches in this process. A crop holds the interpreter's lock for part of its
        time, so more than three threads hardly help.
      workers: If not 0, the number of processes that make the batches instead of threads. Useful for accelerators with
        many CPU cores. They are started for every stage, and each keeps its own decoded images.
    """
    if not workers:
        yield from prefetch(make, first, end, threads=threads, depth=2 * threads)
        return
    made = grain.MapDataset.range(first, end).map(make)
    made = made.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=1))
    options = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2)
    iterator = iter(made.mp_prefetch(options, worker_init_fn=_exit_with_parent))
    try:
        yield from iterator
    finally:
        iterator.close()


def _exit_with_parent(worker: int, workers: int) -> None:
    """Make this worker exit when its parent process has ended, even if that was killed."""
    del worker, workers
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


class _Subset(Sequence):
    """The examples of some indices, read on demand."""

    def __init__(self, examples: Sequence[Any], indices: Sequence[int]):
        self._examples, self._indices = examples, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, i: int) -> Example:
        return self._examples[self._indices[i]]


class _Shuffled(Sequence):
    """The examples repeated endlessly. The order of each epoch is a function of (seed, epoch).

    grain's own shuffle computes every index separately, which takes as long as cutting the crop.
    """

    def __init__(self, examples: Sequence[Any], seed: tuple[int, ...]):
        self._examples, self._seed = examples, seed
        # Order of the last two epochs. They overlap when batches are made in the background.
        self._orders: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, j: int) -> Example:
        epoch, k = divmod(j, len(self._examples))
        order = self._orders.get(epoch)
        if order is None:
            order = np.random.default_rng([*self._seed, epoch]).permutation(len(self._examples))
            self._orders = dict([*self._orders.items(), (epoch, order)][-2:])
        return self._examples[int(order[k])]
