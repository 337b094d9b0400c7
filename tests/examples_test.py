"""Cached examples: the same batches bit for bit with a cache in memory, in a folder, or in another process."""

import pickle

import numpy as np
import pytest
from frames_of import Records, record_of

from cc_jax.data import examples, pipeline, resizing, transforms
from cc_jax.data.density import Density
from cc_jax.data.examples import Examples
from cc_jax.data.resizing import ResizeRule
from cc_jax.data.scenes import crowds
from cc_jax.errors import ConfigError, InputError

SIDE, FRAME = 96, ResizeRule(max_side=80)
SMALL = 80 * 80 * 3


@pytest.fixture(scope="module")
def records():
    drawn = [crowds.render(3, i, look="target", height=SIDE, width=SIDE) for i in range(6)]
    return Records(record_of(one.image, one.points, id=f"{i}", suffix=".jpg") for i, one in enumerate(drawn))


@pytest.fixture
def reads(monkeypatch):
    """Return the list of the names of decoded images."""
    calls = []
    kept = resizing.read_image
    monkeypatch.setattr(
        resizing, "read_image", lambda data, name, **k: calls.append(name) or kept(data, name=name, **k)
    )
    return calls


def batches_of(one, photometric=0.0, count=5):
    augment = transforms.Augment(crop=80, unscaled_share=0.5, scale_max=1.5, photometric=photometric)
    dataset = pipeline.train_dataset(one, augment=augment, density=Density(), seed=1)
    return [pipeline.batch_at(dataset, i, batch_size=4) for i in range(count)]  # several epochs


@pytest.mark.parametrize("limit", [0, 3 * SMALL, 10**9, None])
@pytest.mark.parametrize("photometric", [0.0, 1.0])
def test_batches_do_not_depend_on_the_cache(records, limit, photometric, tmp_path):
    """Includes crops as large as the image: they share the cached pixels, which must not be modified."""
    where = {"folder": tmp_path} if limit is None else {"limit": limit}
    kept = batches_of(Examples(records, FRAME, **where), photometric)
    for one, other in zip(batches_of(Examples(records, FRAME), photometric), kept, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_the_memory_cache_is_limited(records, reads):
    kept = Examples(records, FRAME, limit=2 * SMALL + 100)
    for _ in range(3):
        assert [kept[i]["id"] for i in range(4)] == ["0", "1", "2", "3"]
    assert reads == ["0", "1", "2", "3", "2", "3", "2", "3"]
    assert kept[0]["image"] is kept[0]["image"] and kept.sizes == [(80, 80)] * 6 and kept.name == "set"
    with pytest.raises(ValueError, match="read-only"):
        kept[0]["image"][0] = 1


def test_a_folder_serves_later_runs(records, reads, tmp_path):
    for _ in range(2):  # the second run finds the files
        kept = Examples(records, FRAME, folder=tmp_path)
        for i in [0, 1, 0]:
            example, plain = kept[i], resizing.decode(records[i], FRAME)
            for name in ("image", "points", "roi"):
                np.testing.assert_array_equal(example[name], plain[name])
    assert (reads.count("0"), reads.count("1")) == (5, 3)  # once for the folder, otherwise by `plain`
    with pytest.raises(ValueError, match="read-only"):
        kept[0]["image"][0] = 1


def test_each_copy_split_and_size_has_its_own_folder(records, tmp_path):
    Examples(records, FRAME, folder=tmp_path)
    Examples(Records(records), FRAME, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    Examples(Records(records, fingerprint="2"), FRAME, folder=tmp_path)
    Examples(Records(records, split="test"), FRAME, folder=tmp_path)
    Examples(records, ResizeRule(max_side=64), folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


def test_a_damaged_or_unusable_cache_folder_is_named(records, tmp_path):
    kept = Examples(records, FRAME, folder=tmp_path / "cache")
    kept[0]
    (path,) = (tmp_path / "cache").rglob("0.npy")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"0\.npy: cannot be read"):
        kept[0]
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"config\.cache_dir"):
        Examples(records, FRAME, folder=tmp_path / "file")


def test_a_full_disk_is_named(records, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(examples, "write_atomic", full)
    with pytest.raises(ConfigError, match=r"config\.cache_dir: .*0\.npy .*No space left"):
        Examples(records, FRAME, folder=tmp_path)[0]


def test_pickles_leave_the_cache_behind(records, reads):
    kept = Examples(records, FRAME, limit=10**9)
    kept[0]
    size = len(pickle.dumps(kept))
    assert size < sum(len(record["image"]) for record in records) + 10_000
    again = pickle.loads(pickle.dumps(kept))
    np.testing.assert_array_equal(again[0]["image"], kept[0]["image"])
    assert reads == ["0", "0"]
