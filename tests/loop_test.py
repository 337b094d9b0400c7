"""The training loop on the smoke config: a run that is killed in any stage ends with the bits of an uninterrupted run."""

import json
import signal

import fake_runs
import jax
import numpy as np
import programs
import pytest
from frames_of import record_of

from cc_jax import build
from cc_jax.data import sources
from cc_jax.data.examples import Examples
from cc_jax.distributed import mesh
from cc_jax.errors import CheckpointError, ConfigError
from cc_jax.methods.base import Stage, TrainSet
from cc_jax.models.parts.pretrained import Encoder, write_encoder
from cc_jax.training import datasets, loop, monitor, step
from cc_jax.training.batches import Batches
from cc_jax.training.spans import Span
from cc_jax.workdir.config import check_fields, write_config
from configs import demo


def not_called(*arguments):
    raise AssertionError("only the fields of the stage are read here")


STAGE = Stage("one", 8, not_called, not_called)


# The training binary, which sends itself a signal when it has written the log row of a step, or the pseudo labels of a
# stage.
KILLED = """
import os, signal, sys
from cc_jax.training import monitor, pseudo_labels
kind, moment = sys.argv.pop(1).split(":")
die = lambda: os.kill(os.getpid(), signal.SIGNAL)
write, save = monitor.Log.write, pseudo_labels.save
def writing(self, row):
    write(self, row)
    if kind == "step" and row["step"] == int(moment): die()
def saving(path, labels):
    save(path, labels)
    if kind == "labels" and path.stem == moment: die()
monitor.Log.write, pseudo_labels.save = writing, saving
from cc_jax import app, train
app.run(train.main)
"""


def train(environment, workdir, *more, kill="", signal_name="SIGKILL", method="ours"):
    command = ["-m", "cc_jax.train"] if not kill else ["-c", KILLED.replace("SIGNAL", signal_name), kill]
    arguments = [*programs.SMALL_RUN, f"--workdir={workdir}", f"--config.method.name={method}", *more]
    return programs.run([*command, *arguments], env=environment)


def rows(workdir):
    return json.loads((workdir / "results.json").read_text())


@pytest.fixture(scope="module")
def uninterrupted(environment, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole") / "run"
    result = train(environment, workdir)
    assert result.returncode == 0, result.stderr
    return workdir


@pytest.mark.slow
def test_kill_9_in_every_stage_changes_no_bit(uninterrupted, environment, tmp_path):
    workdir = tmp_path / "run"
    for kill in ("step:3", "labels:round1", "step:5", "step:7"):
        assert train(environment, workdir, kill=kill).returncode == -signal.SIGKILL
    result = train(environment, workdir)
    assert result.returncode == 0, result.stderr
    assert rows(workdir) == rows(uninterrupted)
    assert (workdir / "predictions.csv").read_text() == (uninterrupted / "predictions.csv").read_text()
    steps = [json.loads(line)["step"] for line in (workdir / "log.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 9))


@pytest.mark.slow
def test_sigterm_saves_and_exits_75(uninterrupted, environment, tmp_path):
    workdir = tmp_path / "run"
    result = train(environment, workdir, kill="step:3", signal_name="SIGTERM")
    assert result.returncode == 75, result.stderr
    assert "the same command resumes" in result.stderr
    assert (workdir / "manifests" / "3.json").is_file()
    assert train(environment, workdir).returncode == 0
    assert rows(workdir) == rows(uninterrupted)


class Killed(BaseException):
    """Ends a run in this process at the place where a kill would end another process."""


@pytest.fixture
def smoke(environment, monkeypatch):
    """The config that `train` uses, for runs in this process."""
    monkeypatch.setenv("TFDS_DATA_DIR", environment["TFDS_DATA_DIR"])
    config = demo.get_config("smoke")
    config.log_every, config.checkpoint.every = 1, 2
    config.model.tiny.spatial_kernel_size, config.augment.crop, config.optimizer.name = 0, 64, "adamw"
    config.resize.max_side = 128
    return config


def killed(config, workdir, step):
    """Train until the log row of `step` is written."""

    def write(self, row):
        if row["step"] == step:
            raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(monitor.Log, "write", write)
        loop.train_and_adapt(config, workdir)


@pytest.mark.slow
def test_two_sources_and_two_targets_and_a_kill_between(smoke, tmp_path):
    """The counter adapts to all targets together and is evaluated on each; the row of the config's own target comes last."""
    smoke.source.extra_datasets = (("synthetic/target", "train[200:208]", 0.5),)
    smoke.target.extra_datasets = (("synthetic/source", "train[100:108]", "test[:4]", 1.0),)
    whole = loop.train_and_adapt(smoke, tmp_path / "whole")
    killed(smoke, tmp_path / "run", step=5)
    rows = loop.train_and_adapt(smoke, tmp_path / "run")
    assert rows == whole
    found = [(row["target"], row["split"], row["images"]) for row in rows[-2:]]
    assert found == [("synthetic/source", "test[:4]", 4), ("synthetic/target", "test[:8]", 8)]
    assert rows[-1]["source"] == "synthetic/source train[:16] + synthetic/target train[200:208]"
    counted = (tmp_path / "run" / "predictions_synthetic_source_test_4.csv").read_text().splitlines()
    assert len(counted) == 1 + 4
    ids = np.load(tmp_path / "run/stages/round1.npz")["target/ids"]
    assert sorted({id.rpartition(":")[0] for id in ids}) == [
        "synthetic/source train[100:108]", "synthetic/target train[:16]",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_dataset_that_changed_is_refused_unless_told_otherwise(smoke, tmp_path, monkeypatch):
    """The records are the same, but their fingerprint is that of other raw files."""
    smoke.steps, smoke.method.name = 4, "no_adapt"
    killed(smoke, tmp_path, step=3)
    open_source = datasets.sources.open_source

    def another_copy(dataset, split, *where):
        records = open_source(dataset, split, *where)
        records.fingerprint += " another" * (dataset == "synthetic/target")
        return records

    monkeypatch.setattr(datasets.sources, "open_source", another_copy)
    words = "another copy of synthetic/target train\\[:16\\], synthetic/target test\\[:8\\].*any_data"
    with pytest.raises(CheckpointError, match=words):
        loop.train_and_adapt(smoke, tmp_path)
    smoke.checkpoint.any_data = True
    assert loop.train_and_adapt(smoke, tmp_path)[-1]["step"] == 4


def test_a_finished_run_is_left_alone_whatever_the_config(tmp_path, capsys):
    config = demo.get_config("smoke")
    fake_runs.workdir(tmp_path / "run")
    (tmp_path / "run/config.json").unlink()
    write_config(tmp_path / "run", config)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    for method in ("ours", "no_adapt"):
        config.method.name = method
        assert loop.train_and_adapt(config, tmp_path / "run") == rows(tmp_path / "run")
        said = capsys.readouterr().out
        assert "is finished: nothing to train" in said
        assert ("method.name is 'ours', now 'no_adapt'" in said) == (method == "no_adapt")
    assert {path: path.read_bytes() for path in before} == before


def test_an_unfinished_run_is_not_continued_with_another_config(tmp_path):
    config = demo.get_config("smoke")
    write_config(tmp_path, config)
    config.optimizer.learning_rate = 0.5
    with pytest.raises(ConfigError, match="optimizer.learning_rate is 0.001, now 0.5.*new --workdir"):
        loop.train_and_adapt(config, tmp_path)


def test_what_could_not_begin_does_not_hold_the_workdir(smoke, tmp_path):
    smoke.target.dataset = "folder/nowhere"
    with pytest.raises(ConfigError, match="folder/nowhere"):
        loop.train_and_adapt(smoke, tmp_path)
    assert not (tmp_path / "config.json").exists()


@pytest.mark.parametrize("tensors, words", [(None, "no pretrained weights at"), ({}, "has no such tensor")])
def test_no_step_is_compiled_for_weights_that_do_not_fit(tensors, words, smoke, tmp_path, monkeypatch):
    monkeypatch.setattr(step.StepCompiler, "begin", None)
    config = smoke
    config.model.pretrained = str(tmp_path / "encoder.safetensors")
    if tensors is not None:
        norm = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
        write_encoder(config.model.pretrained, Encoder("none", "a test", tensors, *norm))
    with pytest.raises(ConfigError, match=words):
        loop.train_and_adapt(config, tmp_path / "run")


def test_target_labels_do_not_reach_an_unsupervised_method(uninterrupted, smoke, tmp_path, monkeypatch):
    """With other head points in the target, training ends with the same bits."""
    open_source = datasets.sources.open_source

    def moved(dataset, split, *where):
        records = open_source(dataset, split, *where)
        return Moved(records) if "target" in dataset and "train" in split else records

    monkeypatch.setattr(datasets.sources, "open_source", moved)
    found = loop.train_and_adapt(smoke, tmp_path / "run")
    assert found[-1]["weights_sha256"] == rows(uninterrupted)[-1]["weights_sha256"]


def test_sigterm_is_noted_while_a_run_is_watched_and_given_back_then():
    before = signal.getsignal(signal.SIGTERM)
    watch = monitor._Sigterm()
    assert not watch.came
    signal.raise_signal(signal.SIGTERM)
    assert watch.came
    watch.close()
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), 1e20])
def test_a_loss_that_has_left_all_bounds_ends_the_run_in_one_line(loss):
    row = {"step": 40, "stage": "round1", "loss": loss}
    with pytest.raises(ConfigError, match="step 40 of round1.*learning_rate"):
        monitor.check_loss(row, first=0.5)


def test_a_loss_that_moves_as_losses_do_is_no_error():
    for loss in (0.0, 0.5, 50.0):
        monitor.check_loss({"step": 40, "stage": "round1", "loss": loss}, first=0.5)


def test_the_last_steps_of_a_set_see_plain_crops():
    image = np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)
    examples = Examples([record_of(image, [(80, 80)])])
    sets = {name: TrainSet(examples) for name in ("source", "target")}

    def batches(share):
        config = demo.get_config("smoke")
        config.target.end.share = share
        batches = Batches(config, mesh.make_mesh()).stream(Span(STAGE), sets, 0)
        return [jax.device_get(batch) for batch in batches]

    never, quarter, always = batches(0.0), batches(0.25), batches(1.0)
    for i, (a, b, c) in enumerate(zip(never, quarter, always, strict=True)):
        np.testing.assert_array_equal(b["target"]["image"], (a if i < 6 else c)["target"]["image"])
        np.testing.assert_array_equal(b["source"]["image"], a["source"]["image"])
        assert (a["target"]["image"] != c["target"]["image"]).any()


@pytest.mark.parametrize(
    "unscaled_share, photometric, tone", [(1.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.7, 0.0), (1.0, 0.0, 0.8)]
)
def test_scale_and_photometry_of_the_last_steps_are_set_apart(unscaled_share, photometric, tone):
    """The last steps are those of a run that has such crops from the beginning, and the first steps are not."""
    image = np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)
    sets = {name: TrainSet(Examples([record_of(image, [(80, 80)])])) for name in ("source", "target")}

    def last_and_first(**changes):
        config = demo.get_config("smoke")
        config.source.update(scale_min=0.7, scale_max=1.4, unscaled_share=0.5, photometric=1.0, **changes)
        batches = list(Batches(config, mesh.make_mesh()).stream(Span(STAGE), sets, 0))
        return [jax.device_get(batches[i]["source"]["image"]) for i in (-1, 0)]

    end = {"share": 0.5, "unscaled_share": unscaled_share, "photometric": photometric, "tone": tone}
    last, first = last_and_first(end=end)
    as_always, other = last_and_first(end={"share": 0.0})
    np.testing.assert_array_equal(first, other)
    assert (last != as_always).any()
    throughout, _ = last_and_first(end={**end, "share": 1.0})
    np.testing.assert_array_equal(last, throughout)
    without_tone, _ = last_and_first(end={**end, "tone": 0.0})
    assert (last != without_tone).any() == (tone > photometric)


def test_a_step_is_compiled_before_there_is_a_state_or_a_batch():
    config = demo.get_config("smoke")
    config.model.tiny.spatial_kernel_size = 0
    network, method, device_mesh = build.counting_network(config), build.method(config), mesh.make_mesh()
    abstract = build.abstract_state(config, network, device_mesh, method)
    makes_batches = Batches(config, device_mesh)
    compiler = step.StepCompiler(network, abstract, makes_batches)
    _, *rounds = method.stages()
    assert all(compiler.begin(stage) is compiler.begin(rounds[0]) for stage in rounds)
    compiled = compiler.begin(rounds[0]).result()
    assert compiled.operations > 0

    image = np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)
    sets = {name: TrainSet(Examples([record_of(image, [(80, 80)])])) for name in ("source", "target")}
    batch = next(makes_batches.stream(Span(rounds[0]), sets, 0))
    state = build.fresh_state(config, network, device_mesh, method).replace(txs=abstract.txs)
    state, means = compiled.run(state, batch)
    assert int(state.step) == 1 and np.isfinite(means.compute()["loss"])


class Moved(sources.Source):
    """Records whose head points have moved to one place."""

    def __init__(self, records):
        self.records = records

    def __getattr__(self, name):
        return getattr(self.records, name)

    def __len__(self):
        return len(self.records)

    def __getitem__(self, i):
        record = self.records[i]
        return {**record, "points": record["points"] * 0 + 17}


@pytest.mark.slow
def test_an_ensemble_on_two_devices_ends_where_it_does_on_one(tmp_path, environment):
    """With the members split over the devices; devices_test.py splits the batch."""
    flags = [
        *programs.SMALL_RUN, "--config.steps=4", "--config.method.name=no_adapt", "--config.target.test_split=test[:4]",
        "--config.uncertainty.name=deep_ensemble", "--config.uncertainty.deep_ensemble.members=2",
    ]  # fmt: skip
    ended = []
    for devices, shard in ((1, False), (2, True)):
        workdir = tmp_path / f"{devices}-{shard}"
        own = [f"--config.uncertainty.deep_ensemble.shard={shard}", f"--workdir={workdir}"]
        done = programs.run(
            ["-m", "cc_jax.train", *flags, *own], env={**environment, **mesh.fake_devices(devices)}
        )
        assert done.returncode == 0, done.stderr
        ended.append(json.loads((workdir / "results.json").read_text())[-1])
    alone, split = ended
    assert split["mae"] == pytest.approx(alone["mae"], rel=1e-3)
    assert split["interval_width"] == pytest.approx(alone["interval_width"], rel=1e-2)


@pytest.mark.parametrize(
    "name, value",
    [
        ("steps", 0),
        ("workers", -1),
        ("cache_gib", -0.5),
        ("label_scale", 0.0),
        ("augment.crop", 100),
        ("source.batch_size", 0),
    ],
)
def test_values_that_would_fail_hours_later(name, value):
    config = demo.get_config("smoke")
    config.update_from_flattened_dict({name: value})
    with pytest.raises(ConfigError, match=rf"config\.{name}={value}"):
        check_fields(config)
