"""From images to counts: samples of the density, their mean and the interval that they span."""

import dataclasses
import io
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from scipy import stats

from cc_jax.data import buckets
from cc_jax.distributed import mesh, processes
from cc_jax.inference import tiling
from cc_jax.units import cells_along, people_per_cell


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What the network says of one image.

    Attributes:
      id: the image's name in its dataset.
      index: its position in the dataset.
      samples: people per cell, float32 [S, h, w].
      true: people counted by hand within the ROI; nan without labels.
      embedding: what kind of image it is, float32 [C]; see `CountingModel.embed`.
      points: the heads that count, (x, y) in pixels of the frame, float32 [N, 2]; none without labels.
    """

    id: str
    index: int
    samples: np.ndarray
    true: float
    embedding: np.ndarray
    points: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Each sample's count, float64 [S]."""
        return self.samples.sum((1, 2), dtype=np.float64)

    @property
    def density(self) -> np.ndarray:
        """Mean over the samples, people per cell, float32 [h, w]."""
        return self.samples.mean(0)

    @property
    def uncertainty(self) -> np.ndarray:
        """Standard deviation over the samples, people per cell, float32 [h, w]."""
        return self.samples.std(0)


def mean_and_std(counts: np.ndarray) -> tuple[float, float]:
    """(mean, standard deviation) of samples of a count, in people; one sample has no spread."""
    return float(counts.mean()), float(counts.std(ddof=1)) if len(counts) > 1 else 0.0


def interval_from_samples(counts: np.ndarray, level: float) -> tuple[float, float, float, float]:
    """(count, std, low, high) of samples of a count, in people.

    The count is the samples' mean. The interval is Student's for one more draw of the same spread,
    `t x std x sqrt(1 + 1/S)`, cut at 0. It knows the members' disagreement only: it is not calibrated.
    One sample has no spread: low = count = high.
    """
    size = len(counts)
    count, std = mean_and_std(counts)
    if size == 1:
        return count, std, count, count
    half = float(stats.t.ppf(0.5 + level / 2, size - 1)) * std * (1 + 1 / size) ** 0.5
    return count, std, max(0.0, count - half), count + half


@dataclasses.dataclass(frozen=True)
class Batching:
    """How images are put together for the network (`config.evaluation`, `config.threads`)."""

    batch_size: int
    max_buckets: int
    threads: int


def make_sampler(network, memory_gib: float) -> Callable:
    """`sample(variables, image [B,H,W,3], roi [B,H,W,1]) -> (people per cell [S, B, h, w], embedding [B, C])`, compiled.

    Args:
      network: `build.CountingNetwork`.
      memory_gib: larger images than this allows are counted in tiles, see tiles.py.
    """

    @jax.jit
    def sample(variables, image, roi):
        # Draws that need randomness (MC-Dropout) see the same key for every image: the same image, the same count.
        drawn = network.draw(variables, image, roi, jax.random.key(0), train=False)
        return people_per_cell(drawn["density"][..., 0], network.label_scale), drawn["embedding"].mean(0)

    return tiling.make_sampler(network, sample, memory_gib)


def predict_examples(
    sample: Callable, variables: Any, examples: Any, batching: Batching, progress: Callable = iter
) -> Iterator[Prediction]:
    """Predictions for all examples, in an order of the buckets' choosing: each process makes its share and gets all.

    Args:
      sample: of `make_sampler`.
      variables: the counter's, on this process's devices.
      examples: the images, a sequence with `sizes`, see `data/examples.py`.
      progress: wraps the iterator over batches, for a progress bar.
    """
    mine = _predict(sample, variables, examples, processes.share(len(examples)), batching, progress)
    if jax.process_count() == 1:
        yield from mine
    else:
        yield from map(_from_bytes, processes.allgather_stream(map(_to_bytes, mine)))


def _predict(sample, variables, examples, chosen, batching, progress) -> Iterator[Prediction]:
    """Predictions for the examples of these indices, on this process's devices."""
    local = mesh.make_mesh(jax.local_devices())
    batch_size = -(-batching.batch_size // local.size) * local.size
    shapes = buckets.choose_buckets(examples.sizes, max_buckets=batching.max_buckets)
    batches = buckets.evaluation_batches(
        examples, chosen, batch_size=batch_size, buckets=shapes, threads=batching.threads
    )
    for batch in progress(batches):
        image, roi = mesh.put_batch(local, (batch["image"], batch["roi"]))
        samples, embedding = map(np.asarray, sample(variables, image, roi))
        yield from _unpack(batch, samples, embedding)


def _unpack(batch: dict, samples_SxBxHxW: np.ndarray, embedding_BxC: np.ndarray) -> Iterator[Prediction]:
    for b, index in enumerate(batch["index"]):
        if index < 0:  # fills up the last batch
            continue
        height, width = map(cells_along, batch["size"][b])
        true = float(len(batch["points"][b])) if batch["labelled"][b] else float("nan")
        samples = np.ascontiguousarray(samples_SxBxHxW[:, b, :height, :width])
        yield Prediction(batch["id"][b], int(index), samples, true, embedding_BxC[b], batch["points"][b])


def _to_bytes(prediction: Prediction) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **dataclasses.asdict(prediction))
    return buffer.getvalue()


def _from_bytes(data: bytes) -> Prediction:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    plain = {"id": str(found["id"]), "index": int(found["index"]), "true": float(found["true"])}
    return Prediction(**{**found, **plain})
