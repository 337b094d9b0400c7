"""What an evaluation leaves behind: a stage's rows and files, and where `evaluate` puts its own."""

import json
import types

import jax.numpy as jnp
import numpy as np
import pytest
from fake_runs import row
from frames_of import Records, blobs, record_of

from cc_jax.counting import evaluate_workdir as evaluating
from cc_jax.data.examples import Examples
from cc_jax.data.resizing import ResizeRule
from cc_jax.errors import CheckpointError, ConfigError
from cc_jax.evaluation import calibration, conformal, counted_images
from cc_jax.evaluation.evaluate import weights_sha256
from cc_jax.evaluation.files import choose_images
from cc_jax.evaluation.stages import StageEnd, evaluate_stage
from cc_jax.inference.predict import Prediction
from cc_jax.report.runs import read_run
from cc_jax.workdir import panels, results
from configs import demo

PARAMS = {"scale": jnp.float32(0.5)}
SPREAD = (0.9, 1.1)  # of the fake sampler's two samples
# Half width of their 90 % interval as a share of the count: Student's t with one degree of freedom is 6.313752.
HALF = 6.313752 * np.std(SPREAD, ddof=1) * np.sqrt(1.5)


def fake_sampler(variables, image, roi):
    """People in proportion to the brightness: exactly `scale` times the heads of `blobs`."""
    del roi
    people_of_a_blob = np.asarray(blobs([(100, 60)]), np.float64)[..., 0].sum()
    bright = np.asarray(image, np.float64)[..., 0]
    batch, height, width = bright.shape
    cells = bright.reshape(batch, height // 8, 8, width // 8, 8).sum((2, 4)) / people_of_a_blob
    cells *= float(variables["params"]["scale"])
    return np.stack([share * cells for share in SPREAD]).astype(np.float32), np.zeros((batch, 4), np.float32)


def examples(name, split, *numbers, labelled=True, submission=None):
    """Images with that many heads each, far enough apart that their blobs do not overlap."""
    places = [(40 + 60 * x, 30 + 60 * y) for x in range(3) for y in range(2)]
    records = Records(
        [
            record_of(blobs(places[:n], 128, 208), places[:n], id=f"scene/{i}", labelled=labelled)
            for i, n in enumerate(numbers)
        ],
        name=name,
        split=split,
    )
    records.scenes_apart, records.submission = False, submission
    return records


class FakeCounter(evaluating.Counter):
    """A counter with the given fields, which it does not load."""

    def __init__(self, **fields):
        vars(self).update(fields)


TARGET, OTHER = examples("target", "test", 2, 4, 6), examples("other", "test", 4, 2)


@pytest.fixture
def state():
    return types.SimpleNamespace(step=8, ema=PARAMS, variables=lambda params: {"params": params})


@pytest.fixture
def config():
    config = demo.get_config("smoke")
    config.evaluation.batch_size, config.evaluation.counted_images = 2, 0
    return config


def test_a_stage_is_evaluated_on_all_sets(config, state, tmp_path, capsys):
    tests = [Examples(TARGET), Examples(OTHER)]
    rows = evaluate_stage(config, tmp_path, StageEnd("round1", 8, 6), state, tests, fake_sampler)
    assert [(r["target"], r["images"], r["stage"], r["step"]) for r in rows] == [
        ("other", 2, "round1", 6),
        ("target", 3, "round1", 6),
    ]
    assert rows[1]["mae"] == pytest.approx(2, rel=1e-4) and rows[1]["bias"] == pytest.approx(-2, rel=1e-4)
    assert rows[1]["mae_scaled"] == pytest.approx(0, abs=1e-3)
    assert rows[1]["interval_width"] == pytest.approx(2 * (1 + HALF), rel=1e-4)  # cut at 0
    assert rows[1]["weights_sha256"] == weights_sha256(PARAMS)
    assert results.read_stage_rows(tmp_path, "round1") == rows
    counts = results.read_predictions(tmp_path / "predictions.csv")
    assert [(p.id, p.true) for p in counts] == [("scene/0", 2), ("scene/1", 4), ("scene/2", 6)]
    assert [p.count for p in counts] == pytest.approx([1, 2, 3], rel=1e-4)
    others = results.read_predictions(tmp_path / "predictions_other_test.csv")
    assert [(p.true, round(p.count, 3)) for p in others] == [(4, 2.0), (2, 1.0)]
    assert results.read_uncertainty(tmp_path)["images"]["n"] == 3
    assert not (tmp_path / "results.json").exists()  # the run has not finished
    printed = capsys.readouterr().out
    assert (
        "on other test (2 images" in printed and "on target test (3 images, after round1, step 6)" in printed
    )


def test_ten_counted_training_images_set_the_level(config, state, tmp_path, capsys, monkeypatch):
    """The counter finds half of the people in all of them, so ten counts mend most of its error."""
    counted = Examples(examples("target", "train", *range(1, 7), *range(1, 7)))
    monkeypatch.setattr(counted_images, "open_counted", lambda config, tested: counted)
    (found,) = evaluate_stage(
        config, tmp_path, StageEnd("round1", 8, 6), state, [Examples(TARGET)], fake_sampler
    )
    assert found["mae"] == pytest.approx(2, rel=1e-4) and found["interval_kind"] == "members"
    assert found["mae_10_counts"] < 1 and 0 < found["mae_10_counts_spread"] < 0.2
    assert f"with 10 counts {found['mae_10_counts']:.2f}" in capsys.readouterr().out
    errors = results.read_errors_with_counts(tmp_path)
    assert list(errors) == ["0", "1", "2", "3", "5", "10"]
    assert errors["0"]["mean"] == pytest.approx(2, rel=1e-4)
    assert errors["10"]["mean"] == found["mae_10_counts"]


def test_the_panels_show_the_images_of_their_roles(config, state, tmp_path):
    evaluate_stage(config, tmp_path, StageEnd("round1", 8, 6), state, [Examples(TARGET)], fake_sampler)
    found = {panel.role: panel for panel in panels.read_panels(tmp_path)}
    ids = {role: panel.id for role, panel in found.items()}
    assert ids == {
        "best": "scene/0", "middle": "scene/1", "worst": "scene/2",
        "sparse": "scene/0", "typical": "scene/1", "dense": "scene/2",
    }  # fmt: skip
    assert found["worst"].true.sum() == pytest.approx(6, rel=1e-4)
    assert found["worst"].estimate.sum() == pytest.approx(3, rel=1e-4)
    np.testing.assert_allclose(found["worst"].uncertainty, 0.1 * found["worst"].estimate, rtol=1e-4)


def test_images_are_chosen_by_error_and_by_count():
    """Of eleven labelled images; the twelfth has no labels."""
    rng = np.random.default_rng(0)
    true, error = rng.permutation(11) * 10.0, rng.permutation(11)
    predictions = [
        Prediction(str(i), i, np.full((2, 1, 1), t + e), t, np.zeros(2), np.zeros((0, 2)))
        for i, (t, e) in enumerate(zip(true, error, strict=True))
    ]
    predictions.append(
        Prediction("none", 11, np.ones((2, 1, 1)), float("nan"), np.zeros(2), np.zeros((0, 2)))
    )
    chosen = choose_images(predictions)
    assert [error[chosen[role].index] for role in panels.BY_ERROR] == [0, 5, 10]
    assert [true[chosen[role].index] for role in panels.BY_COUNT] == [10, 50, 90]


def test_an_evaluated_stage_is_not_evaluated_again(config, state, tmp_path):
    results.write_stage_rows(tmp_path, "round1", [row()])
    later = types.SimpleNamespace(step=99)
    assert evaluate_stage(config, tmp_path, StageEnd("round1", 8, 6), later, [], None) == [row()]


def test_a_stage_whose_weights_are_gone_is_named(config, state, tmp_path):
    with pytest.raises(CheckpointError, match=r"stages/stage1.json is missing.* new workdir"):
        evaluate_stage(config, tmp_path, StageEnd("stage1", 4, 4), state, [Examples(TARGET)], fake_sampler)


@pytest.fixture
def workdir(config, tmp_path, monkeypatch):
    """A workdir with a fake counter, whose sets are `TARGET` and `OTHER`."""
    config.target.dataset, config.target.test_split, config.method.name = "target", "test", "ours"
    sets = {"target": TARGET, "other": OTHER}
    counter = FakeCounter(
        config=config, sampler=fake_sampler, variables={"params": PARAMS}, stage="round1", step=8, resize_rule=ResizeRule(),
        interval_level=0.9, calibration=None, domains=None,
    )  # fmt: skip

    def calibrate(on, data_dir, progress, *, set_level):
        assert not set_level  # the option reaches the counter
        errors = conformal.Calibration("constant", np.full(20, 2.5))
        counter.calibration = calibration.Calibrated(errors, np.zeros((20, 4)), on, "")
        return counter.calibration

    counter.calibrate = calibrate
    monkeypatch.setattr(evaluating.Counter, "load", lambda workdir: counter)
    monkeypatch.setattr(evaluating.sources, "open_source", lambda name, split, data_dir: sets[name])
    monkeypatch.setitem(sets, "unlabelled", examples("unlabelled", "test", 2, labelled=False, submission=str))
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def finish(workdir):
    """Results as training leaves them: an earlier stage, another set, the target."""
    rows = [
        row(stage="stage1", target="target", mae=9.0), row(stage="round1", target="other", mae=8.0),
        row(stage="round1", target="target", mae=7.0),
    ]  # fmt: skip
    results.write_results(workdir, rows)
    return rows


def test_a_finished_run_on_its_own_target_is_updated(workdir):
    earlier = finish(workdir)
    assert evaluating.evaluate_workdir(workdir) == workdir
    found = results.read_results(workdir)
    assert found[:2] == earlier[:2] and len(found) == 3
    assert (found[2]["target"], found[2]["stage"]) == ("target", "round1")
    assert found[2]["mae"] == pytest.approx(2, rel=1e-4)
    assert (workdir / "report.html").is_file() and not (workdir / "evaluations").exists()


@pytest.mark.parametrize(
    "finished, options, folder",
    [
        (False, {}, "target_test_8"),
        (True, {"dataset": "other"}, "other_test_8"),
        (True, {"calibrate_on": "other:test", "set_level": False}, "target_test_8_calibrated"),
        (False, {"dataset": "other", "split": "test"}, "other_test_8"),
    ],
)
def test_other_results_go_below_the_workdir(workdir, finished, options, folder):
    before = finish(workdir) if finished else []
    output = evaluating.evaluate_workdir(workdir, **options)
    assert output == workdir / "evaluations" / folder
    assert results.finished_rows(workdir) == before and not (workdir / "predictions.csv").exists()
    (found,) = results.read_results(output)
    assert found["target"] == options.get("dataset", "target")
    run = read_run(output)
    assert len(run.predictions) == len(OTHER if "dataset" in options else TARGET) and len(run.panels) == 6
    if "calibrate_on" in options:
        assert (workdir / "calibration.npz").is_file()
        assert [p.high - p.count for p in run.predictions] == pytest.approx([2.5] * 3)
        assert "calibrated on 20 images of other:test" in run.reliability["images"]["calibration"]


def test_the_output_folder_can_be_named(workdir, tmp_path):
    before = finish(workdir)
    output = evaluating.evaluate_workdir(workdir, output=tmp_path / "elsewhere")
    assert output == tmp_path / "elsewhere" and len(results.read_results(output)) == 1
    assert results.read_results(workdir) == before
    for options in ({"dataset": "other"}, {"calibrate_on": "other:test"}):
        with pytest.raises(ConfigError, match="name another folder"):
            evaluating.evaluate_workdir(workdir, output=workdir, **options)
    assert results.read_results(workdir) == before


def test_an_unfinished_run_does_not_become_finished(workdir):
    with pytest.raises(ConfigError, match="name another folder"):
        evaluating.evaluate_workdir(workdir, output=workdir)
    assert not list(workdir.iterdir())


def test_a_set_without_labels_gives_a_submission(workdir):
    output = evaluating.evaluate_workdir(workdir, dataset="unlabelled")
    (counted,) = json.loads((output / "submission.txt").read_text().replace("'", '"').replace("None", "null"))
    assert counted["id"] == "scene/0" and counted["count"] == pytest.approx(1, rel=1e-4)
    assert not (output / "results.json").exists()
