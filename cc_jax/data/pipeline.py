"""Training batches: batch i is a function of (seed, i) alone, whatever the threads, processes or restarts.

What needs no grain (evaluation frames, decoding, prefetching) lives in buckets.py, transforms.py and prefetch.py
and can be had from here too.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cc_jax.data.buckets import bucket_of, choose_buckets, evaluation_batches
from cc_jax.data.density import Density
from cc_jax.data.mixture import Mixture
from cc_jax.data.prefetch import prefetch
from cc_jax.data.transforms import Augment, decode
from cc_jax.errors import ConfigError

__all__ = [
    "batch_at", "bucket_of", "choose_buckets", "decode", "evaluation_batches", "prefetch", "train_dataset",
]  # fmt: skip

PseudoLabels = Mapping[str, tuple[np.ndarray, np.ndarray]] | Callable[[str], tuple[np.ndarray, np.ndarray]]


def train_dataset(
    records: Sequence[dict[str, Any]],
    *,
    augment: Augment,
    density: Density,
    seed: int,
    pseudo: PseudoLabels | None = None,
):
    """An endless `grain.MapDataset` of training crops (see `Augment`), shuffled anew each epoch.

    Element j is a function of (seed, j); elements may be asked for in any order and from several threads.

    Args:
      records: see data/sources.py; of a `Mixture`, each part is drawn from as often as its weight says.
      pseudo: labels that stand in for the head points: id -> (density, weight) on the evaluation frame's cells,
        a mapping (only images that it holds are drawn) or a function (asked for every image).

    Raises:
      ConfigError: there is no image to draw from.
    """
    import grain  # here alone: it brings JAX and array_record, which reading and counting images do not need

    mixed = isinstance(records, Mixture)
    parts, weights = (records.parts, records.weights) if mixed else ([records], [1.0])
    if isinstance(pseudo, Mapping):
        parts = [_Chosen(p, [i for i in range(len(p)) if p[i]["id"] in pseudo]) for p in parts]
    drawn = [(part, weight) for part, weight in zip(parts, weights, strict=True) if len(part)]
    if not drawn:
        raise ConfigError("there is no image to train on: the split is empty, or no image has a pseudo label")
    look_up = pseudo.__getitem__ if isinstance(pseudo, Mapping) else pseudo

    def crop(record: dict[str, Any], rng: np.random.Generator) -> dict[str, np.ndarray]:
        example = decode(record)
        if look_up is not None:
            example["density"], example["weight"] = look_up(example["id"])
        return augment(example, rng, density)

    if not mixed:
        return grain.MapDataset.source(drawn[0][0]).seed(seed).shuffle().random_map(crop).repeat()
    # Each part is gone through again and again at its own pace; element j of the mixture is a function of j all the same.
    endless = [
        grain.MapDataset.source(part).seed(seed + 1000 * k).shuffle().repeat()
        for k, (part, _) in enumerate(drawn)
    ]
    mixture = grain.MapDataset.mix(endless, weights=[weight for _, weight in drawn])
    return mixture.seed(seed).random_map(crop)


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


class _Chosen(Sequence):
    """The records of some indices, read when asked for."""

    def __init__(self, records: Sequence[dict[str, Any]], indices: Sequence[int]):
        self._records, self._indices = records, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return self._records[self._indices[i]]
