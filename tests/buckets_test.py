"""Buckets: shapes that cover all sizes, and batches padded to them."""

import numpy as np
import pytest
from frames_of import Records, record_of
from hypothesis import given, settings
from hypothesis import strategies as st

from cc_jax.data import buckets, images
from cc_jax.data.examples import Examples
from cc_jax.data.resizing import ResizeRule


def noise_record(i, height, width, **fields):
    """Return a record of noise with i heads."""
    rng = np.random.default_rng(i)
    image = rng.integers(1, 256, (height, width, 3), dtype=np.uint8)
    heads = rng.uniform(0, 1, (i, 2)) * [width, height]
    return record_of(image, heads, id=f"set/{i}") | fields


SIZES = [(40, 60), (41, 60), (60, 40), (100, 90), (39, 58), (99, 90), (40, 60)]
RECORDS = Records(noise_record(i, *size) for i, size in enumerate(SIZES))
EXAMPLES = Examples(RECORDS)
SHAPES = buckets.choose_buckets(SIZES, max_buckets=3)

sizes_of = st.lists(st.tuples(st.integers(1, 900), st.integers(1, 900)), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(sizes_of, st.integers(1, 6), st.sampled_from([8, 16, 64]))
def test_buckets_cover_all_sizes(sizes, max_buckets, multiple):
    chosen = buckets.choose_buckets(sizes, max_buckets=max_buckets, multiple=multiple)
    assert 1 <= len(chosen) <= max_buckets and len(set(chosen)) == len(chosen)
    assert all(side % multiple == 0 for bucket in chosen for side in bucket)
    for size in sizes:
        bucket = buckets.bucket_of(size, chosen)
        assert bucket[0] >= size[0] and bucket[1] >= size[1]
        assert all(
            b[0] * b[1] >= bucket[0] * bucket[1] for b in chosen if b[0] >= size[0] and b[1] >= size[1]
        )


def test_enough_buckets_waste_nothing_and_few_waste_little():
    sizes = [(768, 1024)] * 50 + [(1024, 768)] * 20 + [(760, 1010)] * 10 + [(300, 400)] * 5
    assert buckets.choose_buckets(sizes, max_buckets=4) == [(304, 400), (768, 1024), (1024, 768)]
    assert buckets.choose_buckets(sizes, max_buckets=2) == [(768, 1024), (1024, 768)]
    assert buckets.choose_buckets(sizes, max_buckets=1) == [(1024, 1024)]


def test_thousands_of_sizes_are_covered():
    rng = np.random.default_rng(0)
    sizes = [tuple(size) for size in rng.integers(200, 4000, (2000, 2)).tolist()]
    chosen = buckets.choose_buckets(sizes, max_buckets=8)
    assert len(chosen) == 8 and all(buckets.bucket_of(size, chosen) for size in sizes)


def test_a_size_that_no_bucket_covers():
    with pytest.raises(ValueError, match="no bucket"):
        buckets.bucket_of((50, 500), SHAPES)
    with pytest.raises(ValueError, match="at least 1"):
        buckets.choose_buckets(SIZES, max_buckets=0)


@pytest.mark.parametrize("threads", [0, 2])
def test_every_image_comes_once_padded_to_its_bucket(threads):
    batches = list(
        buckets.evaluation_batches(EXAMPLES, range(7), batch_size=2, buckets=SHAPES, threads=threads)
    )
    assert sorted(i for batch in batches for i in batch["index"] if i >= 0) == list(range(7))
    assert {batch["image"].shape[1:3] for batch in batches} <= set(SHAPES)
    for batch in batches:
        assert batch["image"].shape[0] == batch["roi"].shape[0] == len(batch["id"]) == 2
        for b, index in enumerate(batch["index"]):
            _check_slot(batch, b, index)


def _check_slot(batch, b, index):
    height, width = batch["size"][b]
    if index < 0:
        assert not batch["image"][b].any() and not batch["roi"][b].any() and (height, width) == (0, 0)
        assert batch["id"][b] == "" and len(batch["points"][b]) == 0 and not batch["labelled"][b]
        return
    assert (height, width) == SIZES[index] and batch["id"][b] == f"set/{index}" and batch["labelled"][b]
    np.testing.assert_array_equal(
        batch["image"][b, :height, :width], images.read_image(RECORDS[index]["image"])
    )
    assert batch["roi"][b].sum() == height * width == batch["roi"][b, :height, :width].sum()
    assert not batch["image"][b, height:].any() and not batch["image"][b, :, width:].any()
    assert len(batch["points"][b]) == index


def test_a_subset_of_resized_examples():
    examples = Examples(RECORDS, ResizeRule(max_side=50))
    fitted = examples.sizes
    shapes = buckets.choose_buckets(fitted, max_buckets=2)
    batches = list(buckets.evaluation_batches(examples, [3, 1], batch_size=1, buckets=shapes, threads=0))
    assert sorted(int(batch["index"][0]) for batch in batches) == [1, 3]
    for batch in batches:
        index = batch["index"][0]
        assert tuple(batch["size"][0]) == fitted[index] and batch["size"].max() <= 50
        expected = RECORDS[index]["points"] * (np.array(fitted[index]) / SIZES[index])[::-1]
        np.testing.assert_allclose(batch["points"][0], expected, rtol=1e-5)


def test_the_roi_is_zero_outside_the_polygon():
    polygon = np.float32([[0, 0], [30, 0], [30, 40], [0, 40]])
    record = noise_record(4, 40, 60, roi=polygon, points=np.float32([[10, 10], [50, 10]]))
    examples = Examples(Records([record]))
    (batch,) = buckets.evaluation_batches(examples, [0], batch_size=1, buckets=[(48, 64)], threads=0)
    assert batch["roi"][0, :40, :30].all() and not batch["roi"][0, :, 31:].any()
    np.testing.assert_allclose(batch["points"][0], [[10, 10]])


def test_every_record_is_read_once():
    class Counted(Records):
        reads, sizes = 0, SIZES

        def __getitem__(self, i):
            Counted.reads += 1
            return super().__getitem__(i)

    examples = Examples(Counted(RECORDS))
    list(buckets.evaluation_batches(examples, range(7), batch_size=4, buckets=SHAPES, threads=0))
    assert Counted.reads == 7


def test_an_array_is_batched_as_its_record():
    frame = ResizeRule(max_side=60)
    (batch,) = buckets.evaluation_batches(
        Examples(RECORDS, frame), [3], batch_size=1, buckets=[(64, 64)], threads=0
    )
    single = buckets.single(images.read_image(RECORDS[3]["image"]), (64, 64), frame)
    for name in ("image", "roi", "size"):
        np.testing.assert_array_equal(single[name], batch[name])
