"""Damage that orbax does not notice: flipped bits, missing files, wrong shapes, unfinished steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cc_jax.errors import CheckpointError
from cc_jax.workdir.checkpoints import Checkpoints


def items(value):
    return {"counter": {"a": jnp.full((64,), value, jnp.float32)}, "training": {"step": jnp.int32(value)}}


ABSTRACT = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), items(0))


@pytest.fixture
def saved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = []
    # A relative path, with which orbax alone would fail.
    checkpoints = Checkpoints("work", keep=2, say=said.append)
    for step in (1, 2, 3):
        checkpoints.save(step, items(step), stage="s", counted=step)
    checkpoints.close()
    return Checkpoints("work", keep=2, say=said.append), said


def biggest(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def test_round_trip_and_keep(saved):
    checkpoints, _ = saved
    assert checkpoints.latest() == 3
    restored = checkpoints.restore(3, ABSTRACT)
    np.testing.assert_array_equal(restored["counter"]["a"], np.full(64, 3, np.float32))
    assert int(restored["training"]["step"]) == 3
    assert sorted(p.stem for p in checkpoints.layout.manifests.iterdir()) == ["2", "3"]
    assert checkpoints.stage(3) == "s"


def test_counter_alone(saved):
    checkpoints, _ = saved
    restored = checkpoints.restore(3, {"counter": ABSTRACT["counter"]})
    assert set(restored) == {"counter"}


def test_another_copy_of_a_dataset_is_refused_by_name(tmp_path):
    checkpoints = Checkpoints(tmp_path, datasets={"a train": "1", "b train": "2"})
    checkpoints.save(1, items(1), stage="s", counted=1)
    checkpoints.check_datasets(1)
    with pytest.raises(CheckpointError, match="another copy of b train: .*any_data"):
        Checkpoints(tmp_path, datasets={"a train": "1", "b train": "3"}).check_datasets(1)


def test_a_flipped_bit_is_found_and_the_older_step_used(saved):
    checkpoints, said = saved
    path = biggest(checkpoints.layout.checkpoints / "3" / "counter")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert checkpoints.latest() == 2
    assert "3" in said[0] and "has changed" in said[0]


def test_all_damaged_is_an_error(saved):
    checkpoints, _ = saved
    for step in ("2", "3"):
        biggest(checkpoints.layout.checkpoints / step).unlink()
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoints.latest()


def test_a_step_without_a_manifest_is_no_checkpoint(saved):
    checkpoints, _ = saved
    (checkpoints.layout.checkpoints / "7").mkdir()
    (checkpoints.layout.manifests / "3.json").unlink()
    assert checkpoints.latest() == 2


def test_saving_again_after_a_fall_back_sets_the_newer_aside(saved):
    checkpoints, _ = saved
    (checkpoints.layout.manifests / "3.json").unlink()
    checkpoints.save(3, items(33), stage="s", counted=3)
    assert float(checkpoints.restore(3, ABSTRACT)["counter"]["a"][0]) == 33
    assert [p.name for p in checkpoints.layout.set_aside.iterdir()] == ["3-0"]


@pytest.mark.parametrize("shape, dtype", [((65,), jnp.float32), ((64,), jnp.bfloat16)])
def test_other_shapes_and_types_are_refused(saved, shape, dtype):
    checkpoints, _ = saved
    other = {"counter": {"a": jax.ShapeDtypeStruct(shape, dtype)}, "training": ABSTRACT["training"]}
    with pytest.raises(CheckpointError, match="does not fit"):
        checkpoints.restore(3, other)


def test_nothing_saved(tmp_path):
    assert Checkpoints(tmp_path).latest() is None
