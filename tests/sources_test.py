"""Prepared datasets: records, slices, threads, pickles, and damage that is found when a dataset is opened."""

import concurrent.futures
import dataclasses
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import ROOT
from raw_trees import shanghaitech

from cc_jax.data import preparation, sources, storage
from cc_jax.data.builders import synthetic
from cc_jax.data.images import encode_image, read_image
from cc_jax.data.scenes import crowds
from cc_jax.errors import ConfigError, InputError

POINTS = {"train": {n: [(10 + n, 20), (80, 5 + n)] for n in range(1, 8)}, "test": {1: [(50, 30)], 2: []}}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    raw = shanghaitech(tmp_path_factory.mktemp("raw"), POINTS)
    data_dir = tmp_path_factory.mktemp("data")
    preparation.prepare("shanghaitech/part_a", raw, data_dir)
    return data_dir


@pytest.fixture
def own_data_dir(tmp_path):
    """Return a dataset that the test may damage."""
    preparation.prepare("shanghaitech/part_a", shanghaitech(tmp_path / "raw", POINTS), tmp_path / "data")
    return tmp_path / "data"


def shard(data_dir, split="train") -> pathlib.Path:
    (path,) = data_dir.rglob(f"*{split}.array_record*")
    return path


def test_records_are_what_the_raw_files_hold(data_dir):
    source = sources.open_source("shanghaitech/part_a", "train", data_dir)
    assert len(source) == 7 and source.sizes == [(60, 100)] * 7
    assert source.name == "shanghaitech/part_a" and source.split == "train"
    for record in source:
        assert set(record) == {"id", "image", "points", "roi", "labelled", "height", "width"}
        number = int(record["id"].removeprefix("train_IMG_"))
        np.testing.assert_array_equal(record["points"], np.float32(POINTS["train"][number]))
        assert record["points"].dtype == record["roi"].dtype == np.float32 and record["roi"].shape == (0, 2)
        assert record["labelled"] is True and (record["height"], record["width"]) == (60, 100)
        assert isinstance(record["image"], bytes) and read_image(record["image"]).shape == (60, 100, 3)


def test_an_image_without_people_keeps_its_shape(data_dir):
    source = sources.open_source("shanghaitech/part_a", "test", data_dir)
    (empty,) = [record for record in source if record["id"] == "test_IMG_2"]
    assert empty["points"].shape == (0, 2) and empty["labelled"]


def test_slices_are_parts_of_the_split(data_dir):
    def ids(split):
        return [record["id"] for record in sources.open_source("shanghaitech/part_a", split, data_dir)]

    assert ids("train[:3]") == ids("train")[:3] and ids("train[3:]") == ids("train")[3:]
    assert ids("train[:50%]") + ids("train[50%:]") == ids("train")
    assert sorted(ids("train+test")) == sorted(ids("train") + ids("test"))


def test_indices_count_from_both_ends_and_stop(data_dir):
    source = sources.open_source("shanghaitech/part_a", "train[:3]", data_dir)
    assert source[-1]["id"] == source[2]["id"]
    for index in (3, -4):
        with pytest.raises(IndexError):
            source[index]


def test_reads_from_threads_and_after_pickling_are_the_same(data_dir):
    source = sources.open_source("shanghaitech/part_a", "train", data_dir)
    copy = pickle.loads(pickle.dumps(source))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: copy[i]["image"], [i % 7 for i in range(200)]))
    assert found == [source[i % 7]["image"] for i in range(200)]


@pytest.mark.parametrize("split", ["valid", "train[:x]", "train[:0]", "test[9:]", ""])
def test_a_wrong_split_lists_the_right_ones(data_dir, split):
    with pytest.raises(ConfigError, match=r"train \(7\), test \(2\)"):
        sources.open_source("shanghaitech/part_a", split, data_dir)


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ("shanhaitech/part_a", "did you mean 'shanghaitech'.*unity_crowd"),
        ("shanghaitech", "shanghaitech/part_a, shanghaitech/part_b"),
        ("shanghaitech/part_c", "shanghaitech/part_a, shanghaitech/part_b"),
        ("unity_crowd/x", "unity_crowd has no configs"),
        ("unity_crowd", "run: python -m cc_jax.prepare --dataset=unity_crowd --manual_dir="),
        ("../etc", "is not a dataset name"),
        ("folder/../x", "is not a dataset name"),
        ("", "is not a dataset name"),
    ],
)
def test_a_wrong_dataset_says_what_to_do(data_dir, dataset, said):
    with pytest.raises(ConfigError, match=said) as caught:
        sources.open_source(dataset, "train", data_dir)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0.0, 0.4, 0.999])
def test_a_shard_cut_short_is_refused_when_opened(own_data_dir, keep):
    path = shard(own_data_dir)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(InputError, match=f"{path.name}: is damaged or cut short.*--overwrite"):
        sources.open_source("shanghaitech/part_a", "test", own_data_dir)  # found for either split
    preparation.prepare("shanghaitech/part_a", own_data_dir.parent / "raw", own_data_dir, overwrite=True)
    assert (
        len(sources.open_source("shanghaitech/part_a", "train", own_data_dir)) == 7
    )  # what the error advises works


def test_a_missing_shard_is_refused_when_opened(own_data_dir):
    shard(own_data_dir).unlink()
    with pytest.raises(InputError, match="is missing"):
        sources.open_source("shanghaitech/part_a", "train", own_data_dir)


def test_a_damaged_record_is_an_error_and_no_wrong_image(own_data_dir):
    source = sources.open_source("shanghaitech/part_a", "train", own_data_dir)
    image, path = source[3]["image"], shard(own_data_dir)
    content = bytearray(path.read_bytes())
    content[content.index(image[200:260]) + 30] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        for record in sources.open_source("shanghaitech/part_a", "train", own_data_dir):
            assert record["image"]


def small(monkeypatch, **changes):
    """Reduce the synthetic datasets to a few small images."""
    configs = [
        synthetic.Config(
            name=domain, domain=domain, **{"train": 6, "test": 2, "height": 64, "width": 96, **changes}
        )
        for domain in ("source", "target")
    ]
    monkeypatch.setattr(synthetic.Builder, "BUILDER_CONFIGS", configs)
    monkeypatch.setattr(synthetic.Builder, "builder_configs", {config.name: config for config in configs})


def test_synthetic_sets_are_drawn_on_first_use_and_found_on_the_second(monkeypatch, tmp_path, capsys):
    small(monkeypatch)
    source = sources.open_source("synthetic/source", "train", tmp_path)
    assert "drawing synthetic/source" in capsys.readouterr().out
    again = sources.open_source("synthetic/source", "test", tmp_path)
    assert capsys.readouterr().out == ""
    assert len(source) == 6 and len(again) == 2 and source.sizes[0] == (64, 96)
    record = next(record for record in source if record["id"] == "train_00004")
    scene = crowds.render(0, 4, look="source", height=64, width=96)
    np.testing.assert_array_equal(record["points"], scene.points)
    assert record["image"] == encode_image(scene.image, ".jpg", 95)
    tests = {record["image"] for record in again}
    assert not tests & {record["image"] for record in source}


def test_the_validation_set_is_more_of_the_target_and_none_of_it():
    sets = {config.name: config for config in synthetic.Builder.BUILDER_CONFIGS}
    validation, target = sets["validation"], sets["target"]
    assert validation.domain == target.domain and not validation.train
    small = [dataclasses.replace(config, height=32, width=48) for config in (validation, target)]
    ours, its = (
        {
            frame.image
            for split in ("train", "test")
            for frame in synthetic._draw_split(config, split, range(4))
        }
        for config in small
    )
    assert len(ours) == len(its) == 8 and not ours & its


def test_the_default_folder_is_that_of_tfds(monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "/some/where")
    assert sources.default_data_dir() == pathlib.Path("/some/where")
    monkeypatch.delenv("TFDS_DATA_DIR")
    assert sources.default_data_dir() == pathlib.Path.home() / "tensorflow_datasets"


OPEN = "import sys; from cc_jax.data import sources; print(len(sources.open_source(sys.argv[1], 'train', sys.argv[2])))"


@pytest.fixture
def preparing(tmp_path):
    """Start processes that prepare the same folder of many images. Those still running at the end are killed."""
    from raw_trees import save_picture

    for number in range(60):
        save_picture(tmp_path / "raw" / f"{number}.png", [(number, 10)], size=(400, 600))
    command = [
        sys.executable,
        "-m",
        "cc_jax.prepare",
        "--dataset=folder/x",
        f"--manual_dir={tmp_path / 'raw'}",
    ]
    started = []

    def start():
        process = subprocess.Popen(
            [*command, f"--data_dir={tmp_path / 'data'}"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        started.append(process)
        return process

    yield tmp_path / "data", start
    for process in started:
        process.kill()
        process.wait()


def test_several_processes_prepare_the_same_dataset(preparing):
    data_dir, start = preparing
    outputs = [process.communicate(timeout=120)[0].decode() for process in [start(), start(), start()]]
    assert all("60 images" in output for output in outputs), outputs
    assert len(sources.open_source("folder/x", "train", data_dir)) == 60
    assert not list(data_dir.glob(".*incomplete*"))


def test_a_killed_process_leaves_no_incomplete_dataset(preparing):
    """The process is killed when its working folder appears. The next process writes the whole dataset."""
    data_dir, start = preparing
    process = start()
    deadline = time.monotonic() + 60
    while not (data_dir / ".folder-x.incomplete" / "folder").exists() and time.monotonic() < deadline:
        if process.poll() is not None:  # has finished already, so the dataset is complete
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    builder = sources.make_builder("folder/x", data_dir)
    if not storage.is_prepared(builder):
        assert not pathlib.Path(builder.data_path).exists()
        with pytest.raises(ConfigError, match="is not prepared"):
            sources.open_source("folder/x", "train", data_dir)
    assert b"60 images" in start().communicate(timeout=120)[0]
    assert len(sources.open_source("folder/x", "train", data_dir)) == 60
    assert not list(data_dir.glob(".*incomplete*"))


def test_opening_imports_neither_tensorflow_nor_jax(data_dir):
    code = OPEN + "; assert not {'tensorflow', 'jax'} & set(sys.modules)"
    command = [sys.executable, "-c", code, "shanghaitech/part_a", str(data_dir)]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "7\n"
