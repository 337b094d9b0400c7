"""Images of many sizes in batches of a few padded shapes, so that few programs are compiled.

Frames are padded at the bottom and the right; "roi" is 0 on padding and outside the dataset's ROI.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from cc_jax.data.prefetch import prefetch
from cc_jax.data.resizing import WHOLE, Example, ResizeRule, Size, unlabelled


def choose_buckets(sizes: Sequence[Size], *, max_buckets: int, multiple: int = 16) -> list[Size]:
    """At most `max_buckets` shapes, sides multiples of `multiple`, that cover all sizes with little padding.

    Greedy: every size is a bucket at first; the two whose union adds the fewest padded pixels merge until few
    enough are left.
    """
    if max_buckets < 1:
        raise ValueError(f"max_buckets={max_buckets}: at least one")
    step = multiple
    while True:  # many sizes are told apart more coarsely: merging is quadratic in their number
        rounded = -(-np.asarray(sizes, np.int64).reshape(-1, 2) // step) * step
        shapes, counts = np.unique(rounded, axis=0, return_counts=True)
        if len(shapes) <= max(256, max_buckets):
            break
        step += multiple
    while len(shapes) > max_buckets:
        shapes, counts = _merge_nearest(shapes, counts)
    return sorted((int(height), int(width)) for height, width in shapes)


def _merge_nearest(shapes_Kx2: np.ndarray, counts_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The shapes with the two merged that cost the fewest further pixels of padding."""
    areas = shapes_Kx2.prod(1)
    union = np.maximum(shapes_Kx2[:, None], shapes_Kx2[None]).prod(2)
    cost = (union - areas[:, None]) * counts_K[:, None] + (union - areas[None]) * counts_K[None]
    cost[np.tril_indices(len(cost))] = np.iinfo(cost.dtype).max
    a, b = np.unravel_index(cost.argmin(), cost.shape)
    rest = np.delete(np.arange(len(shapes_Kx2)), [a, b])
    merged = np.maximum(shapes_Kx2[a], shapes_Kx2[b])
    return np.vstack([shapes_Kx2[rest], merged]), np.append(counts_K[rest], counts_K[a] + counts_K[b])


def bucket_of(size: Size, buckets: Sequence[Size]) -> Size:
    """The smallest bucket that covers `size`. Raises ValueError if none does."""
    covering = [bucket for bucket in buckets if bucket[0] >= size[0] and bucket[1] >= size[1]]
    if not covering:
        raise ValueError(f"no bucket of {list(buckets)} covers an image of {tuple(size)}")
    return min(covering, key=lambda bucket: (bucket[0] * bucket[1], bucket))


def single(rgb: UInt8[np.ndarray, "H W 3"], shape: Size, resize_rule: ResizeRule = WHOLE) -> dict[str, Any]:
    """One RGB array as a batch of one (see `evaluation_batches`), padded to `shape`."""
    return _stack([unlabelled(rgb, resize_rule)], [0], 1, shape)


def evaluation_batches(
    examples: Any,
    indices: Sequence[int],
    *,
    batch_size: int,
    buckets: Sequence[Size],
    threads: int = 2,
) -> Iterator[dict[str, Any]]:
    """The examples of `indices`, whole, in batches of one bucket each; read and decoded ahead on threads.

    Args:
      examples: a sequence with `sizes`, see data/examples.py.
      buckets: of `choose_buckets`, on these sizes.

    Yields:
      {"id": list of str, "index": int64 [B], "image": uint8 [B, H, W, 3], "roi": uint8 [B, H, W, 1], "size": int64
      [B, 2] (height, width of the frame without padding), "points": list of float32 [N, 2], "labelled": bool [B]}.
      A bucket's last batch is filled up with empty examples: index -1, id "", size 0, roi 0.
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
    """Examples of at most `shape` as one padded batch."""
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
