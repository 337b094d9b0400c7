"""Training batches: a function of (seed, i), whatever the threads, processes and order of access."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.io
from absl import flags
from frames_of import Records, record_of

from cc_jax.data import images, pipeline
from cc_jax.data.density import Density
from cc_jax.data.examples import Examples
from cc_jax.data.transforms import Augment
from cc_jax.errors import ConfigError, InputError

DENSITY = Density()
AUGMENT = Augment(crop=64, scale_min=0.7, scale_max=1.4, photometric=0.6, grey=0.2)
PLAIN = Augment(crop=64, flip=False)


def record_number(i, height=80, width=104):
    """Return record i. Its color encodes i, and it has i heads."""
    heads = np.random.default_rng(i).uniform(0, 1, (i, 2)) * [width, height]
    return record_of(np.full((height, width, 3), 10 * i, np.uint8), heads, id=f"set/{i}")


RECORDS = Records(record_number(i) for i in range(7))


def dataset(seed=0, augment=AUGMENT, **fields):
    return pipeline.train_dataset(Examples(RECORDS), augment=augment, density=DENSITY, seed=seed, **fields)


def number_of(crop):
    return int(crop["image"][0, 0, 0]) // 10


def same(a, b):
    return a.keys() == b.keys() and all((a[name] == b[name]).all() for name in a)


def test_element_is_a_function_of_seed_and_index():
    first, again, other = dataset(5), dataset(5), dataset(6)
    backwards = {j: again[j] for j in reversed(range(21))}
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(first.__getitem__, list(range(21)) * 3))
    for j in range(21):
        assert same(first[j], backwards[j])
        assert all(same(first[j], threaded[j + 21 * k]) for k in range(3))
    assert not all(same(first[j], other[j]) for j in range(21))


def test_every_epoch_shows_every_image_in_another_order():
    crops = dataset(augment=PLAIN)
    epochs = [[number_of(crops[7 * e + k]) for k in range(7)] for e in range(4)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert len(crops) > 10**9


def test_an_image_is_cropped_anew_each_epoch():
    one = pipeline.train_dataset(Examples(RECORDS[6:]), augment=PLAIN, density=DENSITY, seed=0)
    assert len({one[j]["density"].tobytes() for j in range(12)}) > 6


@pytest.mark.parametrize("process_count", [1, 2, 4])
def test_the_global_batch_does_not_depend_on_the_processes(process_count):
    crops = dataset(3)
    whole = pipeline.batch_at(crops, 5, batch_size=8)
    parts = [
        pipeline.batch_at(crops, 5, batch_size=8, process_index=p, process_count=process_count)
        for p in range(process_count)
    ]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in whole}
    assert same(whole, joined)
    for k in range(8):
        assert same({name: array[k] for name, array in whole.items()}, crops[40 + k])


def test_a_batch_that_cannot_be_shared_is_refused():
    for processes in (3, 16):
        with pytest.raises(ConfigError, match="batch size 8"):
            pipeline.batch_at(dataset(), 0, batch_size=8, process_count=processes)


@pytest.fixture
def parsed_flags():
    """grain's worker processes require parsed flags."""
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


def test_batches_of_other_processes_are_the_same(parsed_flags, tmp_path):
    crops = pipeline.train_dataset(
        Examples(RECORDS, folder=tmp_path), augment=AUGMENT, density=DENSITY, seed=1
    )

    def make(i):
        return pipeline.batch_at(crops, i, batch_size=4)

    expected = [make(i) for i in range(3, 12)]
    for how in ({"threads": 0}, {"threads": 3}, {"workers": 2}):
        assert all(same(a, b) for a, b in zip(pipeline.batches(make, 3, 12, **how), expected, strict=True))


def test_an_error_in_another_process_is_the_same(parsed_flags):
    crops = pipeline.train_dataset(
        Examples([{**RECORDS[1], "image": RECORDS[1]["image"][:-30]}]), augment=PLAIN, density=DENSITY, seed=0
    )
    with pytest.raises(InputError, match="set/1"):
        next(pipeline.batches(crops.__getitem__, 0, 4, workers=1))


def pseudo_labels(ids):
    grid = (10, 13)  # for 80x104 pixels
    return {i: (np.full(grid, int(i.split("/")[1]) / 64, np.float32), np.ones(grid, np.float32)) for i in ids}


def test_only_images_with_a_pseudo_label_are_drawn():
    crops = dataset(augment=PLAIN, pseudo=pseudo_labels(["set/2", "set/5"]))
    seen = [number_of(crops[j]) for j in range(8)]
    assert sorted(seen) == [2] * 4 + [5] * 4
    for j in range(8):
        assert crops[j]["density"].sum() == pytest.approx(number_of(crops[j]))  # 64 cells of number / 64
    by_function = dataset(augment=PLAIN, pseudo=lambda i: pseudo_labels([i])[i])
    assert sorted(number_of(by_function[j]) for j in range(7)) == list(range(7))


def test_nothing_to_draw_from():
    with pytest.raises(ConfigError, match="no image to train on"):
        dataset(pseudo={})
    with pytest.raises(ConfigError, match="no image to train on"):
        pipeline.train_dataset([], augment=PLAIN, density=DENSITY, seed=0)


def test_a_damaged_image_is_named():
    damaged = {**RECORDS[1], "image": RECORDS[1]["image"][:-30]}
    crops = pipeline.train_dataset(Examples([damaged]), augment=PLAIN, density=DENSITY, seed=0)
    with pytest.raises(InputError, match="set/1"):
        crops[0]


def test_real_images(real_data):
    """Densities of crops of real images sum to whole numbers."""
    folder = real_data / "shanghaitech" / "part_A" / "train_data"
    records = []
    for i in range(1, 9):
        data = (folder / "images" / f"IMG_{i}.jpg").read_bytes()
        heads = scipy.io.loadmat(folder / "ground-truth" / f"GT_IMG_{i}.mat")["image_info"][0, 0][0, 0][0]
        records.append(record_of(images.read_image(data), heads, id=f"{i}") | {"image": data})
    crops = pipeline.train_dataset(
        Examples(records), augment=Augment(crop=256, scale_min=0.7, scale_max=1.3), density=DENSITY, seed=0
    )
    batch = pipeline.batch_at(crops, 0, batch_size=8)
    assert batch["image"].shape == (8, 256, 256, 3) and batch["density"].shape == (8, 32, 32, 1)
    counts = batch["density"].sum((1, 2, 3), dtype=np.float64)
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-4)
    assert counts.max() > 20 and batch["image"].std() > 20
