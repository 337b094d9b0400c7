"""Workdirs outlive a version: those of older versions are read, counted with and resumed; config.json."""

import csv
import json
import pathlib
import shutil
import subprocess
import sys

import programs
import pytest
from conftest import ROOT
from workdirs import make

import cc_jax
from cc_jax import Counter
from cc_jax.data import preparation
from cc_jax.errors import CheckpointError, ConfigError
from cc_jax.training import loop
from cc_jax.workdir import migrations
from cc_jax.workdir.config import check_same_run, differences, read_config, write_config
from cc_jax.workdir.layout import Layout
from configs import default

FROZEN = ROOT / "tests" / "workdirs"
VERSIONS = sorted(path.parent.name for path in FROZEN.glob("*/expected.json"))
TOLERANCE = {"rel": 2e-3, "abs": 1e-3}  # other machines sum in another order


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """The images that the frozen runs were trained on, prepared."""
    folder = tmp_path_factory.mktemp("data")
    preparation.prepare("folder/frozen", FROZEN / "images", folder)
    return folder


@pytest.fixture(params=VERSIONS)
def frozen(request, tmp_path):
    """(a copy of the workdir of a version, what that version counted with it)."""
    workdir = shutil.copytree(FROZEN / request.param / "workdir", tmp_path / "workdir")
    return workdir, json.loads((FROZEN / request.param / "expected.json").read_text())


def test_the_last_versions_are_there():
    assert {"0.1", cc_jax.__version__.rpartition(".")[0]} <= set(VERSIONS)


def test_a_counter_of_an_older_version_counts_as_it_did(frozen):
    workdir, expected = frozen
    found = make.counts(workdir)
    assert list(found) == list(expected["stopped"])
    for name, numbers in found.items():
        assert numbers == pytest.approx(expected["stopped"][name], **TOLERANCE)


def test_training_resumes_where_an_older_version_stopped(frozen, data_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))
    workdir, expected = frozen
    rows = loop.train_and_adapt(make.get_config(), workdir)
    assert rows[-1]["mae"] == pytest.approx(expected["mae"], **TOLERANCE)
    for name, numbers in make.counts(workdir).items():
        assert numbers == pytest.approx(expected["finished"][name], **TOLERANCE)
    steps = [json.loads(line)["step"] for line in Layout(workdir).log.read_text().splitlines()]
    assert steps == list(range(1, 9))
    assert json.loads(Layout(workdir).config.read_text())["version"] == cc_jax.__version__


@pytest.mark.slow
def test_evaluate_and_predict_read_an_older_workdir(frozen, data_dir, environment, tmp_path):
    workdir, expected = frozen
    evaluate = ["evaluate", f"--workdir={workdir}", f"--output={tmp_path / 'evaluated'}"]
    predict = ["predict", f"--workdir={workdir}", f"--input={FROZEN / 'images/test'}", "--overlays=False"]
    for name, *flags in (evaluate, [*predict, f"--output={tmp_path / 'predicted'}"]):
        done = programs.run(
            ["-m", f"cc_jax.{name}", *flags], env={**environment, "TFDS_DATA_DIR": str(data_dir)}
        )
        assert done.returncode == 0, done.stderr
    for path in (tmp_path / "evaluated/predictions.csv", tmp_path / "predicted/counts.csv"):
        with open(path, newline="") as file:
            found = [[float(row[name]) for name in ("count", "low", "high")] for row in csv.DictReader(file)]
        for numbers, known in zip(found, expected["stopped"].values(), strict=True):
            assert numbers == pytest.approx(known, **TOLERANCE)


def test_a_config_has_its_names_of_today():
    before = {
        "frame.max_side": 1024, "source.also": [["a", "train", 1.0]], "target.native": 0.25, "model.tiny.sweep": 9,
        "evaluation.also": [], "frames": 1, "source.alsoran": 2,
    }  # fmt: skip
    assert migrations.migrate(before, "0.1") == {
        "resize.max_side": 1024, "source.extra_datasets": [["a", "train", 1.0]], "target.unscaled_share": 0.25,
        "model.tiny.spatial_kernel_size": 9, "evaluation.extra_datasets": [], "frames": 1, "source.alsoran": 2,
    }  # fmt: skip
    assert migrations.migrate(before, "0.2") == before


def test_every_renamed_field_of_the_frozen_config_arrives():
    """Each value of the file of 0.1 stands in the config of today under the name that the table gives."""
    path = FROZEN / "0.1" / "workdir"
    old, new = json.loads(Layout(path).config.read_text()), read_config(path)
    assert new.resize.to_dict() == old["frame"]
    assert new.source.unscaled_share == old["source"]["native"]
    assert new.model.tiny.spatial_kernel_size == old["model"]["tiny"]["sweep"] == 0
    assert not differences(new, make.get_config())


@pytest.mark.parametrize(
    "version, own, words",
    [
        ("0.3.0", "0.2.0", "newer than this version .0.2.0.: upgrade"),
        ("1.0.0", "0.9.0", "newer than this version"),
        ("0.1", "0.4.0", "too old for this version .0.4.0.: use an older cc_jax"),
        ("0.9.0", "1.0.0", "too old"),
    ],
)
def test_versions_that_are_not_read(version, own, words):
    with pytest.raises(CheckpointError, match=words):
        migrations.check_readable(version, "runs/a", own)


@pytest.mark.parametrize("version, own", [("0.1", "0.3.9"), ("0.2.7", "0.2.0"), ("0.9.0", "0.11.0")])
def test_versions_that_are_read(version, own):
    migrations.check_readable(version, "runs/a", own)


def edited(workdir: pathlib.Path, **changes) -> pathlib.Path:
    """The config in `workdir`, with some of its fields replaced at the top."""
    path = Layout(workdir).config
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return workdir


def test_a_newer_workdir_ends_in_one_line_for_every_command(tmp_path):
    write_config(tmp_path, default.get_config())
    edited(tmp_path, version="9.0.0")
    for read in (Counter.load, lambda workdir: loop.train_and_adapt(default.get_config(), workdir)):
        with pytest.raises(CheckpointError, match="9.0.0, which is newer") as raised:
            read(tmp_path)
        assert raised.value.exit_code == 4 and "\n" not in str(raised.value)


@pytest.mark.parametrize("content", ["{", "[]", '{"version": "new"}', '{"version": 2}'])
def test_a_damaged_config(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match="config.json is damaged"):
        read_config(tmp_path)


def test_what_is_written_is_read(tmp_path):
    config = default.get_config()
    config.steps, config.source.extra_datasets = 123, (("a", "train", 0.5),)
    write_config(tmp_path, config)
    found = read_config(tmp_path)
    assert "version" not in found
    assert found.steps == 123 and not differences(found, config)


def test_a_field_of_today_that_a_workdir_lacks_has_its_default(tmp_path):
    config = default.get_config()
    write_config(tmp_path, config)
    fields = config.to_dict()
    del fields["evaluation"]["memory_gib"], fields["target"]["end"], fields["optimizer"]["clip"]
    edited(tmp_path, **{name: fields[name] for name in ("evaluation", "target", "optimizer")})
    assert "clip" not in json.loads(Layout(tmp_path).config.read_text())["optimizer"]
    assert read_config(tmp_path).to_dict() == {**json.loads(json.dumps(config.to_dict()))}
    check_same_run(tmp_path, config)
    config.optimizer.clip = 1.0
    with pytest.raises(ConfigError, match=r"optimizer.clip is 0.0, now 1.0"):
        check_same_run(tmp_path, config)


def test_fields_that_a_run_does_not_use_do_not_make_it_another(tmp_path):
    config = default.get_config()
    write_config(tmp_path, config)
    config.method.gp.bank, config.model.sfcn.width = 7, 0.5
    config.uncertainty.mc_dropout.rate, config.uncertainty.name = 0.9, "masksembles"
    config.log_every, config.sweep.seeds = 3, (1, 2)
    config.method.new = {"field": 1}
    check_same_run(tmp_path, config)
    config.method.ours.rule = "none"
    with pytest.raises(ConfigError, match="method.ours.rule is 'stratified', now 'none'"):
        check_same_run(tmp_path, config)


def test_a_plug_in_that_another_one_names_is_used(tmp_path):
    config = default.get_config()
    config.method.mixup = {"alpha": 0.2, "inner": "ours", "others": ("gp",)}
    config.method.name = "mixup"
    write_config(tmp_path, config)
    config.method.bla.critic_rate = 1.0
    check_same_run(tmp_path, config)
    config.method.gp.bank = 7
    with pytest.raises(ConfigError, match="method.gp.bank is 1024, now 7"):
        check_same_run(tmp_path, config)


def test_a_program_elsewhere_reads_a_workdir(tmp_path):
    """In another folder, with a package `configs` of its own, as a program that uses an installed cc_jax may have."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/__init__.py").write_text("")
    code = (
        f"import pathlib, sys\nsys.path.append({str(ROOT)!r})\n"
        "from cc_jax.workdir.config import read_config\n"
        f"print(read_config(pathlib.Path({str(FROZEN / '0.1/workdir')!r})).evaluation.memory_gib)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "2.0\n"
