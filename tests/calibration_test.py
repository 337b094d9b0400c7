"""Calibration on counted images: reading a CSV file or a set, the intervals, the warnings, and what commands write."""

import csv
import json
import shutil

import numpy as np
import programs
import pytest
from counter_test import make_workdir
from raw_trees import shanghaitech

from cc_jax import Counter
from cc_jax.counting.evaluate_workdir import evaluate_workdir
from cc_jax.data import images, preparation
from cc_jax.data.scenes import crowds
from cc_jax.errors import CheckpointError, ConfigError, InputError
from cc_jax.evaluation import calibration, conformal
from cc_jax.evaluation.counts_file import read_counts


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return make_workdir(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """The CSV file of twelve counted images of one kind."""
    folder = tmp_path_factory.mktemp("counted")
    lines = ["image,count"]
    for i in range(12):
        drawn = crowds.render(5, i, look="target", height=96, width=128)
        images.write_image(folder / f"{i}.png", drawn.image)
        lines.append(f"{i}.png,{len(drawn.points)}")
    (folder / "counts.csv").write_text("\n".join(lines) + "\n")
    return folder / "counts.csv"


def run(module, *flags):
    return programs.run(["-m", f"cc_jax.{module}", *flags])


def test_intervals_are_those_of_the_counted_images(workdir, counted):
    counter = Counter.load(workdir)
    found = [counter.count(path) for path, _ in read_counts(counted)]
    true = np.array([count for _, count in read_counts(counted)])
    counter.calibrate(str(counted))
    errors = conformal.calibrate(true, np.array([f.count for f in found]), np.array([f.std for f in found]))
    assert errors.factor > 1.2  # an untrained counter finds few people
    for i in (0, 7):
        before, one = found[i], counter.count(counted.parent / f"{i}.png")
        low, high = errors.interval(before.count, before.std, 0.9)
        assert (one.low, one.high) == pytest.approx((float(low), float(high)), rel=1e-3)
        assert (one.count, one.std, one.density.sum()) == pytest.approx(
            (errors.factor * before.count, errors.factor * before.std, one.count), rel=1e-3
        )
        np.testing.assert_allclose(one.density, errors.factor * before.density, rtol=1e-3)
    again = [counter.count(path) for path, _ in read_counts(counted)]
    assert sum(one.low <= t <= one.high for one, t in zip(again, true, strict=True)) >= 11


def test_a_picture_under_another_name_counts_once(workdir, counted, tmp_path):
    counter = Counter.load(workdir)
    once = counter.calibrate(str(counted))
    lines = counted.read_text().splitlines()
    for path, _ in read_counts(counted):
        shutil.copy(path, tmp_path)
    for i in (0, 3):
        shutil.copy(tmp_path / f"{i}.png", tmp_path / f"copy{i}.png")
        lines.append(f"copy{i}.png,{lines[1 + i].split(',')[1]}")
    (tmp_path / "counts.csv").write_text("\n".join(lines))
    twice = counter.calibrate(str(tmp_path / "counts.csv"))
    np.testing.assert_allclose(twice.errors.scores, once.errors.scores, rtol=1e-5)
    assert "calibrated on 12 images" in twice.describe(0.9) and "2 more show a picture again" in twice.on


def test_it_is_kept_and_belongs_to_its_weights(workdir, counted, tmp_path):
    counter = Counter.load(workdir)
    counter.calibrate(str(counted)).save(tmp_path)
    loaded = calibration.load(tmp_path, counter.weights_sha256)
    np.testing.assert_array_equal(loaded.errors.scores, counter.calibration.errors.scores)
    np.testing.assert_array_equal(loaded.errors.counted, counter.calibration.errors.counted)
    assert loaded.errors.factor == counter.calibration.errors.factor != 1
    left = loaded.without_factor()
    left.save(tmp_path)
    again = calibration.load(tmp_path, counter.weights_sha256)
    assert again.errors.counted is None and again.errors.factor == 1
    assert "multiplied" in loaded.describe(0.9) and "multiplied" not in again.describe(0.9)
    np.testing.assert_array_equal(loaded.embeddings, counter.calibration.embeddings)
    assert loaded.on == str(counted) and calibration.load(tmp_path / "none", "") is None
    with pytest.raises(CheckpointError, match="other weights"):
        calibration.load(tmp_path, "0" * 64)
    (tmp_path / "calibration.npz").write_bytes(b"PK")
    with pytest.raises(CheckpointError, match="damaged"):
        calibration.load(tmp_path, counter.weights_sha256)


def test_images_of_another_kind_are_told():
    rng = np.random.default_rng(0)
    known = rng.normal(size=(30, 64)).astype(np.float32)
    one = calibration.Calibrated(conformal.Calibration("count", np.ones(30)), known, "these", "")
    alike = np.mean([one.is_out_of_distribution(np.float32(rng.normal(size=64))) for _ in range(2000)])
    assert alike < 0.08  # 1 / 31 is expected
    assert (
        np.mean([one.is_out_of_distribution(np.float32(rng.normal(1.5, 1, 64))) for _ in range(200)]) > 0.95
    )
    assert not calibration.Calibrated(one.errors, known[:1], "one", "").is_out_of_distribution(
        np.full(64, 99.0, np.float32)
    )


@pytest.mark.parametrize(
    "text, message",
    [
        ("image,count\n0.png,many\n", "line 2: 'many' is not a number"),
        ("image,count\n0.png,3\n", "only 1 counted images; intervals of 90% need at least 9"),
    ],
)
def test_what_is_wrong_with_the_counts_is_said(workdir, counted, text, message):
    path = counted.parent / "wrong.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        Counter.load(workdir).calibrate(str(path))


def test_a_set_without_a_split_is_refused(workdir):
    with pytest.raises(ConfigError, match="DATASET:SPLIT"):
        Counter.load(workdir).calibrate("shanghaitech/part_a")


def test_predict_calibrates_and_the_counter_uses_it_from_then_on(workdir, counted, tmp_path):
    photo = counted.parent / "3.png"
    plain = Counter.load(workdir).count(photo)
    flags = f"--workdir={workdir}", f"--input={photo}", f"--output={tmp_path}", f"--calibrate_on={counted}"
    done = run("predict", *flags)
    assert done.returncode == 0, done.stderr
    counter = Counter.load(workdir)
    at_its_own_level = run(
        "predict", f"--workdir={workdir}", f"--input={photo}", f"--output={tmp_path / 'own'}", "--noset_level"
    )
    assert at_its_own_level.returncode == 0, at_its_own_level.stderr
    (workdir / "calibration.npz").unlink()
    result = json.loads((tmp_path / "counts.json").read_text())
    (row,) = result["counts"]
    assert result["intervals"] == counter.calibration.describe(0.9) and result["intervals"] in done.stdout
    assert "90% intervals are calibrated on 12 images" in result["intervals"]
    found = counter.count(photo)
    for name in ("count", "low", "high"):
        assert row[name] == pytest.approx(getattr(found, name), rel=1e-6)
    assert result["factor"] == counter.calibration.errors.factor > 1.2
    assert found.count == pytest.approx(result["factor"] * plain.count) and found.high > plain.high
    own = json.loads((tmp_path / "own" / "counts.json").read_text())
    assert own["factor"] == 1 and "calibrated on 12 images" in own["intervals"]
    assert own["counts"][0]["count"] == pytest.approx(plain.count) and own["counts"][0]["high"] > plain.high


def test_evaluate_covers_as_promised_and_keeps_its_own_results(workdir, tmp_path, capsys):
    rng = np.random.default_rng(0)
    frames = {
        split: {i: rng.uniform(5, 55, (rng.integers(2, 20), 2)).tolist() for i in range(30)}
        for split in ("train", "test")
    }
    preparation.prepare("shanghaitech/part_a", shanghaitech(tmp_path / "raw", frames), tmp_path / "data")
    folder = evaluate_workdir(
        workdir, dataset="shanghaitech/part_a", data_dir=str(tmp_path / "data"),
        calibrate_on="shanghaitech/part_a:train",
    )  # fmt: skip
    (workdir / "calibration.npz").unlink()
    printed = capsys.readouterr().out
    assert "90% intervals are calibrated on 30 images of shanghaitech/part_a:train" in printed
    assert "of 30 images do not look like them" in printed
    assert folder.parent == workdir / "evaluations" and folder.name.endswith("_calibrated")
    row = json.loads((folder / "results.json").read_text())[-1]
    assert row["interval_coverage"] >= 0.7 and not (workdir / "results.json").exists()
    page = (folder / "report.html").read_text()
    assert "90% intervals are calibrated on 30 images of shanghaitech/part_a:train" in page
    assert "What the network predicts" in page
    assert page.count("no such file") == 1  # the fixture has no log.jsonl
    for images_, code in ((20, 0), (31, 2)):
        path = folder / "predictions.csv"
        shown = run(
            "tools.coverage", f"--counted={path}", f"--test={path}", f"--images={images_}", "--draws=5"
        )
        assert shown.returncode == code, shown.stderr
    assert "31: " in shown.stderr and "30 labelled images" in shown.stderr
    with open(folder / "predictions.csv") as file:
        assert list(csv.DictReader(file).fieldnames) == ["id", "true", "count", "std", "low", "high"]
