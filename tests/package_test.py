"""What `pip install` gives: metadata, requirements, and a wheel that works outside of a checkout."""

import functools
import operator
import os
import pathlib
import re
import subprocess
import sys
import tomllib
import zipfile

import hatchling.build
import pytest
from conftest import ROOT

import cc_jax

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def requirements(path: str) -> list[str]:
    lines = [line.partition("#")[0].strip() for line in (ROOT / path).read_text().splitlines()]
    return [line.replace('"', "'") for line in lines if line]


def test_requirement_files_say_what_pyproject_says():
    assert sorted(requirements("requirements.txt")) == sorted(PROJECT["dependencies"] + EXTRAS["train"])
    assert sorted(requirements("tests/requirements.txt")) == sorted(EXTRAS["test"])
    # Its first line installs the checkout itself.
    assert sorted(requirements("docs/requirements.txt")[1:]) == sorted(EXTRAS["docs"])


def test_every_requirement_has_its_reason():
    for path in ("requirements.txt", "tests/requirements.txt"):
        lines = (ROOT / path).read_text().splitlines()
        assert all(line.startswith("#") or re.search(r"  # \w", line) for line in lines), path


def test_the_version_stands_in_every_place_that_names_it():
    assert f"\nversion: {cc_jax.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert re.search(rf"\b{re.escape(cc_jax.__version__)}\b", (ROOT / "CHANGELOG.md").read_text())


def test_the_renamed_fields_of_the_changelog_exist():
    """The right column of its table of config fields."""
    from configs import default

    table = (
        (ROOT / "CHANGELOG.md")
        .read_text()
        .partition("Config fields were renamed")[2]
        .partition("Modules and")[0]
    )
    cells = [cell for line in table.splitlines() if "`" in line for cell in line.split("|")[1:3]]
    fields = [
        [re.findall(r"`config\.([\w.]+?)(?:\.\*)?`", cell) for cell in cells[side::2]] for side in (0, 1)
    ]
    config = default.get_config()
    for old, new in zip(*(sum(side, []) for side in fields), strict=True):
        assert functools.reduce(operator.getitem, new.split("."), config) is not None, new
        with pytest.raises(KeyError):
            functools.reduce(operator.getitem, old.split("."), config)


def test_all_is_every_extra_of_a_user():
    (every,) = EXTRAS["all"]
    named = re.fullmatch(r"cc-jax\[(.+)\]", every)[1].split(",")
    assert set(named) == set(EXTRAS) - {"all", "docs", "test", "people"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> pathlib.Path:
    """The wheel's files, as pip unpacks them."""
    folder = tmp_path_factory.mktemp("wheel")
    before = os.getcwd()
    os.chdir(ROOT)
    try:
        wheel = hatchling.build.build_wheel(str(folder))
    finally:
        os.chdir(before)
    with zipfile.ZipFile(folder / wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_the_package_and_nothing_else(installed):
    def files(folder):
        found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {str(path.relative_to(folder)) for path in found}

    configs = {f"configs/{name}" for name in files(ROOT / "configs")}
    assert files(installed / "cc_jax") == files(ROOT / "cc_jax") | configs
    (metadata,) = [path for path in installed.iterdir() if path.name != "cc_jax"]
    assert metadata.name == f"cc_jax-{cc_jax.__version__}.dist-info"
    assert {path.name for path in (metadata / "licenses").iterdir()} == {"LICENSE", "NOTICE"}
    assert "cc-jax = cc_jax.cli:main" in (metadata / "entry_points.txt").read_text()


def cc_jax_command(installed: pathlib.Path, folder: pathlib.Path, *arguments: str):
    """The console command of the unpacked wheel, called in `folder`."""
    command = [sys.executable, "-P", "-c", "from cc_jax.cli import main; main()", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


OWN = """
from configs import default, demo

def get_config(arg=None):
    config = default.get_config()
    config.steps = demo.get_config(arg).steps + 1
    return config
"""


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("demo:3seeds", "--workdir is missing"),
        ("mine.py:smoke", "--workdir is missing"),
        ("configs/other.py", "--workdir is missing"),
        ("demo:smoek", "smoke"),
        ("configs/demo.py", "did you mean 'demo'?"),
    ],
)
def test_an_installed_package_finds_configs_by_name(config, said, installed, tmp_path):
    """A config that loads gets to the next complaint; a config file of one's own imports the shipped ones."""
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "other.py").write_text(OWN)
    found = cc_jax_command(installed, tmp_path, "train", f"--config={config}")
    assert found.returncode == 2 and found.stderr.count("\n") == 1, found.stderr
    assert found.stderr.startswith("cc-jax train: ") and said in found.stderr
