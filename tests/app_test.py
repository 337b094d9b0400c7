"""Start-up code shared by the programs."""

import ctypes
import importlib
import pathlib
import subprocess
import sys

import programs
import pytest
from conftest import ROOT

from cc_jax import app
from cc_jax.errors import ConfigError

_TOUCH = """
import resource
import numpy as np
from cc_jax import app

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        np.ones(2**24)  # 128 MiB, 32,768 pages of 4 KiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

mapped = faults()
app.keep_memory()
faults()
print(mapped, faults())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_freed_memory_is_reused_without_new_pages():
    # NumPy requests huge pages if it can. With this switch the pages are small, and page faults count them.
    told = subprocess.run(
        [sys.executable, "-c", _TOUCH],
        capture_output=True, text=True, check=True, env={"NUMPY_MADVISE_HUGEPAGE": "0", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    mapped, kept = map(int, told.stdout.split())
    assert mapped > 8 * 2**14
    assert kept < mapped / 100


def test_a_config_file_that_exists_wins_over_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = str(ROOT / "configs" / "demo.py")
    assert app.find_config("demo") == shipped
    assert app.find_config("demo:3seeds") == f"{shipped}:3seeds"
    (tmp_path / "demo").touch()
    assert app.find_config("demo:3seeds") == "demo:3seeds"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("dmeo:smoke", "did you mean 'demo'?"),
        ("configs/shb_to_sh.py", "did you mean 'shb_to_sha'?"),
        ("zzz", "names: ablation, counter, default, demo,"),
        ("", "names: ablation, counter, default, demo,"),
    ],
)
def test_an_unknown_config_names_the_known_ones(value, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="there is no such file") as caught:
        app.find_config(value)
    assert f"--config={value}: " in str(caught.value) and said in str(caught.value)


def test_a_config_that_cannot_be_loaded_is_one_line(tmp_path):
    """Neither a folder, nor a file without rights, nor one with an error ends in a traceback."""
    (tmp_path / "broken.py").write_text(
        "def get_config():\n    return 1 / 0 if len('x') == 2 else int('seven')\n"
    )
    (tmp_path / "imports.py").write_text("from configs import no_such_config\n")
    (tmp_path / "key.py").write_text("def get_config():\n    return {}['missing']\n")
    for config, said in (
        (["broken.py"], "invalid literal"),
        (["imports.py"], "no_such_config"),
        (["key.py"], "the config file raised KeyError: missing"),
        (["."], "no such file"),
        (["demo", "--config.method.nam=ours"], 'there is no field config.method.nam: Did you mean "name"'),
        (["demo", "--config.zzz=1"], "there is no field config.zzz\n"),
    ):
        command = ["-m", "cc_jax.train", f"--config={config[0]}", *config[1:], "--workdir=x"]
        found = programs.run(command, cwd=tmp_path)
        assert found.returncode == 2 and found.stderr.count("\n") == 1, found.stderr
        assert found.stderr.startswith("cc_jax.train: ") and said in found.stderr


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder where Python does not find the checkout's `configs`, as with an installed package."""
    monkeypatch.chdir(tmp_path)
    without = [entry for entry in sys.path if not pathlib.Path(entry, "configs").is_dir()]
    monkeypatch.setattr(sys, "path", [str(tmp_path), *without])
    before = {
        name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "configs"
    }
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "configs"]:
        del sys.modules[name]
    sys.modules.update(before)


@pytest.mark.parametrize(
    "own", [(), ("configs/__init__.py", "configs/mine.py"), ("configs/mine.py",), ("configs.py",)]
)
def test_configs_are_importable_beside_a_package_of_the_same_name(own, elsewhere):
    """The user's own `configs` keeps what it has. A module of that name cannot hold config files."""
    for name in own:
        path = elsewhere / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("where = 'here'\n")
    app.make_configs_importable()
    app.make_configs_importable()
    shipped = importlib.import_module("configs.shb_to_sha")
    assert shipped.__file__ == str(ROOT / "configs" / "shb_to_sha.py")
    if "configs/mine.py" in own:
        assert importlib.import_module("configs.mine").where == "here"


def test_flags_defined_for_a_program_stand_in_its_help():
    found = subprocess.run(
        [sys.executable, "-m", "cc_jax.predict", "--help"], capture_output=True, text=True, cwd=ROOT
    )
    assert "\n  --calibrate_on: " in found.stdout and "\n  --debug: " in found.stdout
