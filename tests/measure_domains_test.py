"""`cc_jax.tools.measure_domains` through the binary: what it writes, and what it refuses."""

import pathlib

import numpy as np
import programs
import pytest
from counter_test import make_workdir

from cc_jax import Counter
from cc_jax.counting.evaluate_workdir import evaluate_workdir
from cc_jax.workdir import results


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    source = {"dataset": "synthetic/source", "split": "train[:12]"}
    target = {"dataset": "synthetic/target", "split": "train[:4]"}
    changes = {"source": source, "target": target, "model": {"tiny": {"spatial_kernel_size": 0}}}
    return make_workdir(tmp_path_factory.mktemp("work"), **changes)


def measure(workdir: pathlib.Path, environment, *more: str):
    return programs.run(
        ["-m", "cc_jax.tools.measure_domains", f"--workdir={workdir}", *more], env=environment
    )


def test_intervals_come_from_other_kinds_of_images_from_then_on(workdir, environment, capsys):
    photo = np.random.default_rng(0).integers(0, 255, (96, 128, 3)).astype(np.uint8)
    before = Counter.load(workdir).count(photo)
    sets = ["--on=synthetic/source:test[:8]", "--on=synthetic/target:test[:8]", "--looks=6"]
    done = measure(workdir, environment, *sets)
    assert done.returncode == 0, done.stderr
    assert "synthetic/source:test[:8]  8  6  " in done.stdout and "12 other kinds of images" in done.stdout
    assert "images that would be called unusual" in done.stdout
    counter = Counter.load(workdir)
    after = counter.count(photo)
    assert before.p_typical is None and after.p_typical is not None and 1 / 13 <= after.p_typical <= 1
    assert (before.interval_kind, after.interval_kind) == ("members", "domains")
    assert after.count == before.count and after.low < after.count < after.high
    assert after.high - after.low > before.high - before.low
    assert "other kinds of images" in counter.describe_intervals()
    rows = {}
    for split in ("test[:8]", "train[16:24]"):
        told = {"dataset": "synthetic/target", "split": split, "data_dir": environment["TFDS_DATA_DIR"]}
        folder = evaluate_workdir(workdir, **told)
        assert folder.name.endswith("_domains")
        rows[split] = results.read_predictions(folder / "predictions.csv")
        (result,) = results.read_results(folder)
        assert result["interval_kind"] == "domains"
        held = [row.low <= row.true <= row.high for row in rows[split]]
        assert result["interval_coverage"] == np.mean(held)
        assert ("took part" in capsys.readouterr().out) == (split == "test[:8]")
    # Counted images of the place go before them.
    counter.calibrate("synthetic/target:train[16:28]", environment["TFDS_DATA_DIR"])
    assert counter.count(photo).interval_kind == "counts"


@pytest.mark.parametrize(
    "on, words",
    [
        ((), "--on: name a labelled set"),
        (("--on=synthetic/source:train[20:30]",), "was trained on it"),
        (("--on=synthetic/target:train[:2]",), "was trained on it"),
        (("--on=synthetic/target",), "write DATASET:SPLIT"),
        (("--on=nothing/known:test",), "nothing/known"),
    ],
)
def test_what_it_refuses(on, words, workdir, environment):
    done = measure(workdir, environment, *on)
    assert done.returncode == 2 and words in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
