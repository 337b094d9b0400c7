"""`python -m cc_jax.prepare`: its output and exit codes, and that a second run changes nothing."""

import programs
import pytest
from raw_trees import save_picture, shanghaitech

from cc_jax.data import preparation, sources
from cc_jax.errors import ConfigError

FRAMES = {"train": {1: [(10, 20), (30, 40)], 2: [(50, 50)]}, "test": {1: [(5, 5)]}}


def prepare(*args):
    return programs.run(["-m", "cc_jax.prepare", *args])


def test_prepare_then_again_then_overwrite(tmp_path):
    raw = shanghaitech(tmp_path / "raw", FRAMES)
    args = ["--dataset=shanghaitech/part_a", f"--manual_dir={raw}", f"--data_dir={tmp_path / 'data'}"]
    first = prepare(*args)
    assert first.returncode == 0 and first.stderr == "", first.stderr
    assert "shanghaitech/part_a is prepared in" in first.stdout
    assert "train: 2 images, 3 people; DIFFERS from the published 300 images, 162,413 people" in first.stdout
    assert "298 of 300 images are missing: IMG_3 - IMG_300" in first.stdout
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*.array_record*")}
    again = prepare(*args)
    assert again.returncode == 0 and "already prepared" in again.stdout
    assert again.stdout.splitlines()[1:] == first.stdout.splitlines()[1:]
    assert files == {path: path.stat().st_mtime_ns for path in files}
    assert "is prepared in" in prepare(*args, "--overwrite").stdout
    assert all(path.stat().st_mtime_ns > time for path, time in files.items())


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--dataset=shanghaitech/part_a", "--manual_dir=/no/where"], 2, "there is no such folder"),
        (["--dataset=shanghaitech/part_a"], 2, "needs its raw files"),
        (["--dataset=shanhaitech/part_a", "--manual_dir=/"], 2, "unity_crowd"),
        (["--manual_dir=/"], 2, "--dataset is missing"),
        (["--dataset=unity_crowd", "--manual_dir=/", "extra"], 2, "unexpected argument"),
        (["--dataset=unity_crowd", "--manualdir=/"], 2, "manualdir"),
    ],
)
def test_wrong_usage_is_one_line(tmp_path, args, code, said):
    result = prepare(*args, f"--data_dir={tmp_path / 'data'}")
    assert result.returncode == code and result.stdout == ""
    assert said in result.stderr and len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "data").exists()


def test_a_bad_raw_file_is_exit_code_3(tmp_path):
    raw = shanghaitech(tmp_path / "raw", FRAMES)
    (raw / "part_A_final/train_data/ground_truth/GT_IMG_2.mat").unlink()
    args = ["--dataset=shanghaitech/part_a", f"--manual_dir={raw}", f"--data_dir={tmp_path / 'data'}"]
    result = prepare(*args)
    assert result.returncode == 3 and len(result.stderr.strip().splitlines()) == 1
    assert "IMG_2.jpg: has no label file" in result.stderr and not (tmp_path / "data").exists()


def test_an_unwritable_data_dir_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        preparation.prepare(
            "shanghaitech/part_a", shanghaitech(tmp_path / "raw", FRAMES), tmp_path / "file/data"
        )


def test_one_name_for_two_folders_is_refused(tmp_path):
    for name, count in (("a", 2), ("b", 3)):
        for i in range(count):
            save_picture(tmp_path / name / f"{i}.jpg", [])
    data = tmp_path / "data"
    preparation.prepare("folder/mine", tmp_path / "a", data)
    with pytest.raises(ConfigError, match="made from other files.*--overwrite.*folder/NAME"):
        preparation.prepare("folder/mine", tmp_path / "b", data)
    assert len(sources.open_source("folder/mine", "train", data)) == 2
    preparation.prepare("folder/other", tmp_path / "b", data)
    preparation.prepare("folder/mine", tmp_path / "b", data, overwrite=True)
    assert [len(sources.open_source(f"folder/{n}", "train", data)) for n in ("mine", "other")] == [3, 3]


def test_a_failed_overwrite_leaves_the_old_one(tmp_path):
    raw, data = shanghaitech(tmp_path / "raw", FRAMES), tmp_path / "data"
    preparation.prepare("shanghaitech/part_a", raw, data)
    (raw / "part_A_final/train_data/images/IMG_1.jpg").write_bytes(b"\xff\xd8\xff")
    assert (
        prepare(
            "--dataset=shanghaitech/part_a", f"--manual_dir={raw}", f"--data_dir={data}", "--overwrite"
        ).returncode
        == 3
    )
    assert len(sources.open_source("shanghaitech/part_a", "train", data)) == 2
