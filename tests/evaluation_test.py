"""Evaluation: a trained counter's errors, scenes apart, and a region of interest that decides who counts."""

import functools

import jax
import numpy as np
import programs
import pytest
from counter_test import make_workdir
from frames_of import Records, record_of
from kept_scenes import drawn
from raw_trees import nwpu, picture, save_points, worldexpo10

from cc_jax import build
from cc_jax.data import images, preparation, sources
from cc_jax.data.density import Density
from cc_jax.data.examples import Examples
from cc_jax.distributed import mesh
from cc_jax.evaluation.evaluate import TrainedCounter, counter_variables, evaluate_examples
from cc_jax.inference.predict import make_sampler
from cc_jax.optimization import rngs
from configs import demo

HALF = [(0, 0), (50, 0), (50, 60), (0, 60)]
FRAMES = {
    "test": {
        "104207/1": [(70, 12), (20, 50)],
        "104207/2": [(10, 10), (20, 20), (30, 30)],
        "200608/1": [(60, 30)],  # nobody in the region
    }
}


@pytest.fixture(scope="module")
def counter():
    """An untrained counter and its config."""
    config = demo.get_config()
    network = build.counting_network(config)
    state = build.fresh_state(config, network, mesh.make_mesh())
    sampler = make_sampler(network, config.evaluation.memory_gib)
    return config, TrainedCounter(sampler, counter_variables(state), "last", 1)


def evaluate(counter, raw, data_dir):
    preparation.prepare("worldexpo10", raw, data_dir)
    records = Examples(sources.open_source("worldexpo10", "test", data_dir))
    found = evaluate_examples(*counter, records)
    return found.counts, found.results


SIDE, STEPS, BATCH = 128, 120, 8
SCENES = {"look": "source", "height": SIDE, "width": SIDE}


def crops_of(drawn_scenes):
    """A batch of the scenes as training gives it to a method."""
    density = Density()
    maps = np.stack([density.map(one.points, SIDE, SIDE) for one in drawn_scenes])[..., None]
    return {
        "image": np.stack([one.image for one in drawn_scenes]),
        "roi": np.ones((len(drawn_scenes), SIDE, SIDE, 1), np.uint8),
        "density": maps,
        "weight": np.ones_like(maps),
    }


@pytest.mark.slow
def test_a_counter_trained_for_120_steps_beats_the_best_constant(optimized_programs):
    """120 steps on 96 scenes, evaluated on 48 others. What has learned nothing has a correlation near 0."""
    config = demo.get_config()
    config.method.name, config.uncertainty.name, config.steps = "no_adapt", "single", STEPS
    config.optimizer.learning_rate = 3e-3
    config.evaluation.counted_images = 0
    config.model.tiny.spatial_kernel_size = 0  # compiles in half of the time
    network, method = build.counting_network(config), build.method(config)
    state = build.fresh_state(config, network, mesh.make_mesh(jax.devices()[:1]), method)

    @functools.partial(jax.jit, donate_argnums=0)
    def train_step(state, batch):
        rng = rngs.stream(rngs.root(config.seed), "update", state.step)
        state, _ = method.labelled_update("source", state, {"source": batch}, rng, network.draw)
        return state.replace(step=state.step + 1)

    crops, order = crops_of(drawn(96, 1, **SCENES)), np.random.default_rng(0)
    for _ in range(STEPS):
        chosen = order.choice(96, BATCH, replace=False)
        state = train_step(state, {name: values[chosen] for name, values in crops.items()})

    records = [record_of(one.image, one.points, id=str(i)) for i, one in enumerate(drawn(48, 8, **SCENES))]
    records = Records(records, split="test")
    records.scenes_apart = False
    sampler = make_sampler(network, config.evaluation.memory_gib)
    counter = TrainedCounter(sampler, counter_variables(state), "source", STEPS)
    (row,) = evaluate_examples(config, counter, Examples(records)).results
    assert row["images"] == 48 and row["mae_constant"] > 20
    assert row["mae"] < 0.8 * row["mae_constant"] and row["pearson"] > 0.7


def test_each_scene_has_a_row_and_their_mean_is_the_last(counter, tmp_path):
    rows, found = evaluate(counter, worldexpo10(tmp_path / "raw", FRAMES, HALF), tmp_path / "data")
    assert {row.id: row.true for row in rows} == {"104207/1": 1, "104207/2": 3, "200608/1": 0}
    error = {row.id: abs(row.count - row.true) for row in rows}
    first = (error["104207/1"] + error["104207/2"]) / 2
    assert [(row["split"], row["images"]) for row in found] == [
        ("test/104207", 2),
        ("test/200608", 1),
        ("test", 3),
    ]
    np.testing.assert_allclose(
        [row["mae"] for row in found], [first, error["200608/1"], (first + error["200608/1"]) / 2]
    )


def test_a_split_whose_labels_are_kept_gives_what_the_server_takes(tmp_path):
    """NWPU-Crowd's test images, through the binary."""
    workdir = make_workdir(tmp_path / "work")
    raw = nwpu(tmp_path / "raw", {"train": {1: [(3, 3)]}, "test": {5109: [], 3610: []}})
    preparation.prepare("nwpu", raw, tmp_path / "data")
    command = ["-m", "cc_jax.evaluate", f"--workdir={workdir}", "--dataset=nwpu"]
    result = programs.run([*command, f"--data_dir={tmp_path / 'data'}"])
    assert result.returncode == 0 and "has no labels: wrote" in result.stdout, result.stderr
    (path,) = workdir.rglob("submission.txt")
    lines = [line.split(" ") for line in path.read_text().splitlines()]
    assert [number for number, _ in lines] == ["3610", "5109"] and all(
        float(count) >= 0 for _, count in lines
    )


def test_what_is_outside_the_region_changes_neither_estimate_nor_truth(counter, tmp_path):
    before, _ = evaluate(counter, worldexpo10(tmp_path / "a", FRAMES, HALF), tmp_path / "data_a")
    raw = worldexpo10(tmp_path / "b", FRAMES, HALF)
    for id, points in FRAMES["test"].items():
        more = [*points, (80, 40), (90, 20), (99, 59)]
        image = picture(more)
        image[:, 51:] = 255 - image[:, 51:]
        images.write_image(raw / f"test_frame/{id}.jpg", image, quality=100)
        save_points(raw / f"test_label/{id}.mat", "point_position", more)
    after, _ = evaluate(counter, raw, tmp_path / "data_b")
    for old, new in zip(before, after, strict=True):
        assert old.true == new.true
        # JPEG carries a little across the borders of its blocks.
        assert new.count == pytest.approx(old.count, rel=0.02)
    region = [(x + 50, y) for x, y in HALF]
    moved, _ = evaluate(counter, worldexpo10(tmp_path / "c", FRAMES, region), tmp_path / "data_c")
    assert {row.id: row.true for row in moved} == {"104207/1": 1, "104207/2": 0, "200608/1": 1}
    assert all(abs(a.count / b.count - 1) > 0.02 for a, b in zip(before, moved, strict=True))
