"""Packed counters: the same counts as the workdir, and one clear line for every damage."""

import json

import jax
import numpy as np
import programs
import pytest
from counter_test import make_workdir

from cc_jax.counting.counter import Counter
from cc_jax.data.scenes import crowds
from cc_jax.errors import CheckpointError
from cc_jax.workdir.layout import Layout
from cc_jax.workdir.packed import Packed, read_packed, write_packed


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return make_workdir(tmp_path_factory.mktemp("work"))


@pytest.fixture
def packed(workdir, tmp_path):
    trained = Counter.load(workdir)
    write_packed(tmp_path, Packed(trained.config, trained.variables, trained.step, trained.stage))
    return tmp_path


def test_it_counts_as_the_workdir_does(workdir, packed):
    image = crowds.render(5, 0, look="target", height=96, width=128).image
    trained, found = Counter.load(workdir), Counter.load(packed)
    assert (found.step, found.stage) == (trained.step, trained.stage) == (5, "stage1")
    a, b = trained.count(image), found.count(image)
    np.testing.assert_allclose(b.density, a.density, atol=5e-3 * a.density.max())
    assert b.count == pytest.approx(a.count, rel=5e-3) and b.count != a.count
    # Half precision of the parameters alone: masks and normalization are as they were.
    for collection in trained.variables.keys() - {"params"}:
        jax.tree.map(
            np.testing.assert_array_equal, found.variables[collection], trained.variables[collection]
        )


def test_packing_a_packed_counter_changes_no_bit(packed, tmp_path):
    first = Counter.load(packed)
    write_packed(tmp_path / "again", Packed(first.config, first.variables, first.step, first.stage))
    assert Counter.load(tmp_path / "again").weights_sha256 == first.weights_sha256
    assert (tmp_path / "again/config.json").read_text() == (packed / "config.json").read_text()


def test_without_a_folder_it_is_the_installed_counter(packed, tmp_path, monkeypatch):
    monkeypatch.setattr("cc_jax.workdir.packed.SHIPPED", packed)
    assert Counter.load().weights_sha256 == Counter.load(packed).weights_sha256
    monkeypatch.setattr("cc_jax.workdir.packed.SHIPPED", tmp_path / "none")
    with pytest.raises(CheckpointError, match="without a counter: name the --workdir"):
        Counter.load()


def test_no_path_of_the_machine_is_handed_on(packed, tmp_path):
    found = read_packed(packed)
    with found.config.unlocked():
        found.config.data_dir, found.config.cache_dir = "/home/me/data", "/home/me/cache"
        found.config.model.pretrained = "/home/me/weights/encoder.safetensors"
    write_packed(tmp_path / "again", found)
    assert "/home/me" not in (tmp_path / "again/config.json").read_text()
    assert read_packed(tmp_path / "again").config.model.pretrained == "encoder.safetensors"
    assert found.config.data_dir == "/home/me/data"


def test_half_a_file_is_named(packed):
    path = Layout(packed).packed
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="counter.safetensors cannot be read.*install or copy it again"):
        Counter.load(packed)


def test_a_config_of_another_network_does_not_fit(packed):
    path = packed / "config.json"
    config = json.loads(path.read_text())
    config["model"]["tiny"]["width"] = 0.25
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="counter.safetensors does not fit the network of its config"):
        Counter.load(packed)


def test_a_value_beyond_half_precision_is_refused(packed, tmp_path):
    found = read_packed(packed)
    variables = jax.tree.map(lambda x: x, found.variables)
    variables["params"] = jax.tree.map(lambda x: x + 1e6, variables["params"])
    with pytest.raises(CheckpointError, match="not finite in half precision"):
        write_packed(tmp_path / "large", found._replace(variables=variables))
    assert not Layout(tmp_path / "large").packed.exists()


def test_the_program(workdir, tmp_path):
    done = programs.run(
        ["-m", "cc_jax.tools.pack", f"--workdir={workdir}", f"--output={tmp_path / 'counter'}"]
    )
    assert done.returncode == 0, done.stderr
    found = Counter.load(tmp_path / "counter")
    assert f"5 steps, weights {found.weights_sha256}" in done.stdout
