"""Batches of images of many sizes, padded to a few shapes, so that few programs have to be compiled.

Images are padded at the bottom and at the right. "roi" is 0 on the padding and outside the dataset's region of interest.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from cc_jax.data.prefetch import prefetch
from cc_jax.data.resizing import KEEP_SIZE, Example, ResizeRule, Size, unlabelled


def choose_buckets(sizes: Sequence[Size], *, max_buckets: int, multiple: int = 16) -> list[Size]:
    """Choose shapes that cover all sizes with little padding.

    Greedy: at first every size is a shape of its own. Then the two shapes whose union adds the fewest padded pixels are
    merged, until few enough are left.

    Args:
      sizes: (height, width) of every image.
      max_buckets: Largest number of shapes.
      multiple: Sides are multiples of this.

    Returns:
      The shapes, sorted.
    """
    if max_buckets < 1:
        raise ValueError(f"max_buckets={max_buckets}: it must be at least 1")
    step = multiple
    # Merging is quadratic in the number of shapes, so many sizes are rounded more coarsely.
    while True:
        rounded = -(-np.asarray(sizes, np.int64).reshape(-1, 2) // step) * step
        shapes, counts = np.unique(rounded, axis=0, return_counts=True)
        if len(shapes) <= max(256, max_buckets):
            break
        step += multiple
    while len(shapes) > max_buckets:
        shapes, counts = _merge_nearest(shapes, counts)
    return sorted((int(height), int(width)) for height, width in shapes)


def _merge_nearest(shapes_Kx2: np.ndarray, counts_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge the two shapes whose union adds the fewest padded pixels."""
    areas = shapes_Kx2.prod(1)
    union = np.maximum(shapes_Kx2[:, None], shapes_Kx2[None]).prod(2)
    cost = (union - areas[:, None]) * counts_K[:, None] + (union - areas[None]) * counts_K[None]
    cost[np.tril_indices(len(cost))] = np.iinfo(cost.dtype).max
    a, b = np.unravel_index(cost.argmin(), cost.shape)
    rest = np.delete(np.arange(len(shapes_Kx2)), [a, b])
    merged = np.maximum(shapes_Kx2[a], shapes_Kx2[b])
    return np.vstack([shapes_Kx2[rest], merged]), np.append(counts_K[rest], counts_K[a] + counts_K[b])


def bucket_of(size: Size, buckets: Sequence[Size]) -> Size:
    """Return the smallest bucket that covers `size`.

    Raises:
      ValueError: No bucket covers it.
    """
    covering = [bucket for bucket in buckets if bucket[0] >= size[0] and bucket[1] >= size[1]]
    if not covering:
        raise ValueError(f"no bucket of {list(buckets)} covers an image of {tuple(size)}")
    return min(covering, key=lambda bucket: (bucket[0] * bucket[1], bucket))


def single(
    rgb: UInt8[np.ndarray, "H W 3"], shape: Size, resize_rule: ResizeRule = KEEP_SIZE
) -> dict[str, Any]:
    """Return an RGB array as a batch of one image, padded to `shape`. See `evaluation_batches` for its fields."""
    return _stack([unlabelled(rgb, resize_rule)], [0], 1, shape)


def evaluation_batches(
    examples: Any,
    indices: Sequence[int],
    *,
    batch_size: int,
    buckets: Sequence[Size],
    threads: int = 2,
) -> Iterator[dict[str, Any]]:
    """Yield uncropped examples in batches of one bucket each, read and decoded in the background.

    Args:
      examples: A sequence with `sizes`, see data/examples.py.
      indices: Indices of the examples.
      batch_size: Number of images in a batch. The last batch of a bucket is filled up with empty examples, which have
        index -1, id "", size 0 and roi 0.
      buckets: Shapes from `choose_buckets` for these sizes.
      threads: Number of threads that read and decode.

    Yields:
      A dict:
        id: list of str.
        index: int64 [B], index into `examples`.
        image: uint8 [B, H, W, 3], RGB.
        roi: uint8 [B, H, W, 1], 1 inside the region of interest.
        size: int64 [B, 2], height and width without padding.
        points: list of float32 [N, 2], head points (x, y).
        labelled: bool [B].
    """
    sizes = examples.sizes
    groups: dict[Size, list[int]] = {bucket: [] for bucket in sorted(set(buckets))}
    for index in indices:
        groups[bucket_of(sizes[index], buckets)].append(index)
    plan = [
        (bucket, group[at : at + batch_size])
        for bucket, group in groups.items()
        for at in range(0, len(group), batch_size)
    ]

    def make(i: int) -> dict[str, Any]:
        bucket, group = plan[i]
        return _stack([examples[index] for index in group], group, batch_size, bucket)

    return prefetch(make, 0, len(plan), threads=threads, depth=threads + 1)


def _stack(examples: list[Example], indices: Sequence[int], batch_size: int, shape: Size) -> dict[str, Any]:
    """Pad examples to `shape` and stack them."""
    image = np.zeros((batch_size, *shape, 3), np.uint8)
    roi = np.zeros((batch_size, *shape, 1), np.uint8)
    size = np.zeros((batch_size, 2), np.int64)
    for b, example in enumerate(examples):
        height, width = example["image"].shape[:2]
        image[b, :height, :width] = example["image"]
        roi[b, :height, :width, 0] = example["roi"]
        size[b] = height, width
    missing = batch_size - len(examples)
    return {
        "id": [example["id"] for example in examples] + [""] * missing,
        "index": np.array([*indices, *[-1] * missing], np.int64),
        "image": image,
        "roi": roi,
        "size": size,
        "points": [example["points"] for example in examples] + [np.zeros((0, 2), np.float32)] * missing,
        "labelled": np.array([example["labelled"] for example in examples] + [False] * missing),
    }
