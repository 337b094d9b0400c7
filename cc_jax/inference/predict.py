"""Predict density maps: samples of the people per cell for every image of a set."""

import dataclasses
import io
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from cc_jax.data import buckets
from cc_jax.distributed import mesh, processes
from cc_jax.inference import tiling
from cc_jax.units import cells_along, people_per_cell


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a counter says of one image.

    Attributes:
      id: the image's name in its dataset.
      index: its position in the dataset.
      samples: people per cell, float32 [S, h, w].
      true: the labelled count inside the ROI; nan without labels.
      embedding: describes what kind of image it is, float32 [C]; see `CountingModel.embed`.
      points: the labelled heads inside the ROI, (x, y) in pixels of the resized image, float32 [N, 2]; empty without
        labels.
    """

    id: str
    index: int
    samples: np.ndarray
    true: float
    embedding: np.ndarray
    points: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Count of each sample, in people, float64 [S]."""
        return self.samples.sum((1, 2), dtype=np.float64)

    @property
    def density(self) -> np.ndarray:
        """Mean over the samples, in people per cell, float32 [h, w]."""
        return self.samples.mean(0)

    @property
    def uncertainty(self) -> np.ndarray:
        """Standard deviation over the samples, in people per cell, float32 [h, w]."""
        return self.samples.std(0)


@dataclasses.dataclass(frozen=True)
class Batching:
    """How images are put together for the network.

    Attributes:
      batch_size: images in a batch; rounded up to a multiple of the number of devices.
      max_buckets: the number of padded image shapes, and thus of compiled programs.
      threads: that read and decode images.
    """

    batch_size: int
    max_buckets: int
    threads: int


def make_sampler(network, memory_gib: float, empty_below: float = 0.0) -> Callable:
    """Return the function that counts a batch of images; it compiles a program for each shape.

    Args:
      network: `build.CountingNetwork`.
      memory_gib: GiB that the intermediate results may take; images that need more are counted in tiles (see tiling.py).
      empty_below: cells in which the mean over the samples is fewer people count as empty. A network trained with squared
        errors leaves a little everywhere it is unsure: 0.01 people in each of the 6,000 cells of a street are 60.

    The function is `sample(variables, image [B,H,W,3], roi [B,H,W,1]) -> (people per cell [S,B,h,w], embedding [B,C])`.
    """

    @jax.jit
    def sample(variables, image, roi):
        # Always the same key, so that random draws (MC-Dropout) give the same image the same count.
        drawn = network.draw(variables, image, roi, jax.random.key(0), train=False)
        return people_per_cell(drawn["density"][..., 0], network.label_scale), drawn["embedding"].mean(0)

    counted = tiling.make_sampler(network, sample, memory_gib)
    if not empty_below:
        return counted

    def without_haze(variables, image, roi):
        samples_SxBxhxw, embedding = counted(variables, image, roi)
        return samples_SxBxhxw * (samples_SxBxhxw.mean(0) >= empty_below), embedding

    return without_haze


def make_embed(network) -> Callable:
    """Return the jitted `embed(variables, image [B,H,W,3], roi [B,H,W,1]) -> embedding [B,C]`, which counts nothing.

    Args:
      network: `build.CountingNetwork`.
    """

    @jax.jit
    def embed(variables, image, roi):
        return network.draw(variables, image, roi, jax.random.key(0), train=False)["embedding"].mean(0)

    return embed


def predict_examples(
    sampler: Callable, variables: Any, examples: Any, batching: Batching, progress: Callable = iter
) -> Iterator[Prediction]:
    """Yield the predictions of all examples, grouped by padded shape rather than in the examples' order.

    Several processes share the work, and each of them yields all predictions.

    Args:
      sampler: `make_sampler`'s.
      variables: the counter's, on this process's devices.
      examples: `data.examples.Examples`, or another sequence of examples with `sizes`.
      progress: wraps the iterator over batches, for a progress bar.
    """
    mine = _predict_share(sampler, variables, examples, batching, progress)
    if jax.process_count() == 1:
        yield from mine
    else:
        yield from map(_from_bytes, processes.allgather_stream(map(_to_bytes, mine)))


def _predict_share(sampler, variables, examples, batching, progress) -> Iterator[Prediction]:
    """Yield the predictions of this process's share of the examples."""
    local = mesh.make_mesh(jax.local_devices())
    batch_size = -(-batching.batch_size // local.size) * local.size
    shapes = buckets.choose_buckets(examples.sizes, max_buckets=batching.max_buckets)
    batches = buckets.evaluation_batches(
        examples,
        processes.share(len(examples)),
        batch_size=batch_size,
        buckets=shapes,
        threads=batching.threads,
    )
    for batch in progress(batches):
        image, roi = mesh.put_batch(local, (batch["image"], batch["roi"]))
        samples, embedding = map(np.asarray, sampler(variables, image, roi))
        yield from _split_batch(batch, samples, embedding)


def _split_batch(batch: dict, samples_SxBxHxW: np.ndarray, embedding_BxC: np.ndarray) -> Iterator[Prediction]:
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
