"""Benchmarks: both sides do the same job, and the rows are right."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import programs
import pytest
import scipy.io

from cc_jax import registry
from cc_jax.data import images, resizing
from cc_jax.data.density import Density
from cc_jax.data.scenes import crowds
from cc_jax.models import sfcn
from cc_jax.tools import bench
from cc_jax.tools.bench.suites import density as suite
from cc_jax.tools.bench.suites import memory as memory_suite
from cc_jax.tools.bench.suites import pipeline as pipeline_suite
from cc_jax.tools.bench.suites import predict as predict_suite
from cc_jax.tools.bench.suites import scaling as scaling_suite
from cc_jax.tools.bench.suites import step as step_suite
from cc_jax.tools.bench.suites import uncertainty as uncertainty_suite
from cc_jax.uncertainty import masksembles

FIELDS = [
    "suite",
    "case",
    "ours_s",
    "reference",
    "reference_s",
    "ratio",
    "goal",
    "ours_range_s",
    "reference_range_s",
]


def run(*flags):
    return programs.run(["-m", "cc_jax.tools.bench", *flags])


@pytest.mark.parametrize("kernel", ["fixed", "adaptive"])
def test_both_sides_draw_the_same_map(kernel):
    """The maps are equal, except at the border, where the reference loses mass."""
    points = np.random.default_rng(0).uniform(70, 130, (12, 2))
    density = Density(kernel=kernel)
    theirs = suite.reference_map(density, points, 200, 210, density.sigmas(points))
    np.testing.assert_allclose(density.map(points, 200, 210, stride=1), theirs, atol=1e-6)
    np.testing.assert_allclose(density.map(points, 200, 210, stride=8), suite.pool(theirs, 8), atol=1e-5)


def test_the_reference_loses_what_the_border_cuts():
    points = np.array([[0.0, 0.0]])
    assert suite.reference_map(Density(), points, 50, 50, np.array([4.0])).sum() < 0.4


def test_pool_sums_cut_cells():
    pooled = suite.pool(np.ones((10, 17)), 8)
    np.testing.assert_array_equal(pooled, [[64, 64, 8], [16, 16, 2]])


def test_rows_are_consistent(monkeypatch):
    frame = (np.random.default_rng(0).uniform(0, 60, (5, 2)), 64, 80)
    rows = suite._rows(Density(), [frame] * 3, "tiny")
    assert [row.case for row in rows] == ["fixed kernel, 1/1 size, tiny", "fixed kernel, 1/8 size, tiny"]
    for row in rows:
        assert row.suite == "density" and row.ratio == pytest.approx(row.theirs.median / row.ours.median)


def test_alternate_takes_medians_in_turn(monkeypatch):
    clock = iter([0, 1, 10, 12, 20, 29, 30, 35, 40, 43, 50, 54])  # a: 1, 9, 3; b: 2, 5, 4
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(clock))
    order = []
    runs = {name: (lambda name=name: order.append(name)) for name in "ab"}
    assert bench.alternate(runs, 3) == {"a": bench.Times(3, 1, 9), "b": bench.Times(4, 2, 5)}
    assert order == list("ababab")


def test_suites_are_found_by_file_name():
    expected = ["density", "memory", "pipeline", "predict", "scaling", "step", "uncertainty"]
    assert registry.names("tools.bench.suites") == expected


def test_frames_of_the_downloaded_set(real_data):
    frames, what = suite._frames(bench.Options(manual_dir=real_data / "shanghaitech"))
    assert len(frames) == 3 and "ShanghaiTech A" in what
    assert all(len(points) in range(300, 500) for points, _, _ in frames)  # the median of the training set


def test_wrong_flags_end_in_one_line(tmp_path):
    for flags, words in [
        ((), "--suite=NAME is missing"),
        (("--suite=densty",), "density"),
        (("--suite=density", f"--manual_dir={tmp_path}"), "part_A"),
    ]:
        done = run(*flags)
        assert done.returncode == 2 and words in done.stderr and len(done.stderr.splitlines()) == 1, done


def small_set(folder):
    """Write three small images in the layout of ShanghaiTech A."""
    for name in ("images", "ground-truth"):
        (folder / "part_A" / "train_data" / name).mkdir(parents=True)
    for i in range(3):
        part, rng = folder / "part_A" / "train_data", np.random.default_rng(i)
        images.write_image(part / "images" / f"IMG_{i}.jpg", np.zeros((64, 80, 3), np.uint8))
        info = np.empty((1, 1), object)
        info[0, 0] = {"location": rng.uniform(0, 64, (5 + i, 2)), "number": 5 + i}
        scipy.io.savemat(part / "ground-truth" / f"GT_IMG_{i}.mat", {"image_info": info})


def test_the_command_prints_and_writes_rows(tmp_path):
    small_set(tmp_path)
    done = run("--suite=density", f"--json={tmp_path / 'bench.json'}", f"--manual_dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "bench.json").read_text())
    assert len(rows) == 4 and all(list(row) == FIELDS for row in rows)
    assert "ShanghaiTech A, 6/5/7 heads" in rows[0]["case"]
    assert all(row["case"] in done.stdout for row in rows)


def test_without_data_the_case_says_so():
    frames, what = suite._frames(bench.Options())
    assert what == "378 random heads in 704x1024"
    assert all((len(points), height, width) == (378, 704, 1024) for points, height, width in frames)


def test_the_peers_crops_are_ours(tmp_path):
    """From one image and one random generator, both sides of the pipeline suite make the same crop."""
    drawn = crowds.render(0, 4, look="target", height=352, width=512)
    record = {
        "id": "0", "image": images.encode_image(drawn.image, ".jpg", 95), "points": drawn.points, "labelled": True,
        "roi": np.zeros((0, 2), np.float32), "height": 352, "width": 512,
    }  # fmt: skip
    peers = pipeline_suite.PeerDataset([record], tmp_path)
    for i in range(6):
        ours = pipeline_suite._AUGMENT(resizing.decode(record), np.random.default_rng(i), Density())
        image, target = peers[i]
        # PIL and OpenCV have different JPEG libraries, and the noise amplifies their difference.
        assert np.abs(image.astype(int) - ours["image"]).mean() < 1.0
        # The reference's kernels are cut at the border and stretched with the image.
        inner = (slice(3, -3), slice(3, -3))
        mine, theirs = ours["density"][..., 0][inner].ravel(), target[inner].ravel()
        assert mine.sum() < 1 or np.corrcoef(mine, theirs)[0, 1] > 0.97


@pytest.mark.slow
def test_the_tiled_batch_gives_the_samples_of_our_members(monkeypatch):
    """Both ways of the uncertainty suite give the same samples, and its rows are complete."""
    monkeypatch.setattr(uncertainty_suite, "_SIZE", (40, 48))
    monkeypatch.setattr(uncertainty_suite, "_WIDTH", 0.125)
    monkeypatch.setattr(uncertainty_suite, "_ROUNDS", 1)
    rows = uncertainty_suite.run(bench.Options())
    assert [row.case.split(",")[0] for row in rows] == [
        "masksembles", "mc_dropout", "deep_ensemble", "tiled batch",
    ]  # fmt: skip
    assert all(
        row.ratio == row.ours.median / row.theirs.median and row.reference == "one pass" for row in rows
    )
    model = sfcn.Model(width=0.125)
    way = masksembles.Uncertainty(members=3, scale=2.0)
    variables = uncertainty_suite._variables(way, model)
    image = np.random.default_rng(0).integers(0, 256, (1, 40, 48, 3), np.uint8)
    ours, tiled = (
        uncertainty_suite._drawn(draw, model, variables, image)()
        for draw in (way.draw, uncertainty_suite._tiled)
    )
    for a, b in zip(ours, tiled, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_torchs_sfcn_is_ours(monkeypatch):
    """With the same weights, `predict` gives the same count and `step` the same loss on both sides."""
    pytest.importorskip("torch", reason="torch is not installed")
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)
    ours, variables = predict_suite.our_count(0.125, "float32", image)
    noise = iter(np.random.default_rng(1).normal(size=(200,)))
    variables["params"] = jax.tree.map(lambda x: x + np.float32(0.01 * abs(next(noise))), variables["params"])
    theirs = predict_suite.torch_counts(variables, image, half=False)
    model = sfcn.Model(width=0.125)
    expected = jax.jit(model.apply)(variables, image, np.ones((1, 64, 96, 1)))["density"].sum() * 64 / 100
    assert ours() >= 0 and set(theirs) == {"NCHW", "channels_last"}
    for count in theirs.values():
        assert count() == pytest.approx(float(expected), rel=1e-4) and expected > 1
    batch = step_suite.batch_of(2, 64)
    step, operations, start = step_suite.step_of(0.125, "float32", batch)
    loss = step()
    for torchs in step_suite.torch_steps(start, batch, compiled=False).values():
        assert torchs() == pytest.approx(loss, rel=1e-4)
    assert operations > 1e7
    (gradients, _) = step_suite.scans_of(0.125, "float32", 2, 64)()
    assert jax.tree.map(jnp.shape, gradients["params"]) == jax.tree.map(jnp.shape, start["params"]["spatial"])


@pytest.mark.slow
def test_suites_in_other_processes(monkeypatch, environment):
    few, much = memory_suite._count("tiny", 256, 1.0)
    assert few >= 0 and 0.1 < much < 3
    monkeypatch.setattr(scaling_suite.os, "environ", environment)
    with scaling_suite._simulated(2, 2, 64) as step:
        losses = [step() for _ in range(3)]
    one = scaling_suite.step_on(1, 2, 64)
    assert losses == pytest.approx([one() for _ in range(3)], rel=1e-3) and losses[2] < losses[0]
