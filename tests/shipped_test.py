"""Every module can be imported, every config built, every program prints its help, and ruff finds nothing."""

import ast
import importlib
import json
import pathlib
import re
import subprocess
import sys

import jaxtyping
import numpy as np
import pytest
from conftest import ROOT

from cc_jax import cli, registry
from cc_jax.data import density
from cc_jax.errors import UserError
from cc_jax.report.paper_results import PUBLISHED

# Packages for side-by-side comparisons. Only benchmark suites may need one.
EXTRAS = ("torch", "masksembles", "mitsuba")
# Where they may be missing.
OPTIONAL = ("cc_jax.tools.bench.", "cc_jax.tools.people.")


def module_name(path: pathlib.Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] in ("__init__", "__main__") else parts)


PATHS = sorted((ROOT / "cc_jax").rglob("*.py"))
BINARIES = sorted(module_name(path) for path in PATHS if '__name__ == "__main__"' in path.read_text())
LIBRARIES = sorted({module_name(path) for path in PATHS} - set(BINARIES))
CONFIGS = sorted(path.stem for path in (ROOT / "configs").glob("*.py") if path.stem != "__init__")


def run(*command, **options):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **options)


def config_args(name: str) -> list[str | None]:
    """The arguments that the docstrings of a config name: `configs/demo.py:smoke`, or "smoke" in that of get_config."""
    module = importlib.import_module(f"configs.{name}")
    shown = re.findall(rf"configs/{name}\.py:(\w+)", module.__doc__ or "")
    listed = re.findall(r'"(\w+)"', module.get_config.__doc__ or "")
    return [None, *dict.fromkeys(shown + listed)]


def test_every_module_can_be_imported():
    """In a process of its own, where nothing has been imported before."""
    code = (
        "import importlib, json, sys\n"
        "failed = {}\n"
        "for name in json.load(sys.stdin):\n"
        "    try:\n"
        "        importlib.import_module(name)\n"
        "    except Exception as error:\n"
        "        failed[name] = [repr(error), getattr(error, 'name', None)]\n"
        "print(json.dumps(failed))"
    )
    assert len(LIBRARIES) > 30
    found = run(sys.executable, "-c", code, input=json.dumps(LIBRARIES), check=True)
    failed = json.loads(found.stdout.splitlines()[-1])
    wrong = {n: e for n, (e, of) in failed.items() if not (n.startswith(OPTIONAL) and of in EXTRAS)}
    assert not wrong


def test_binaries_are_found():
    assert {"cc_jax.train", "cc_jax.evaluate", "cc_jax.predict", "cc_jax.tabulate"} <= set(BINARIES)


@pytest.mark.parametrize("binary", BINARIES)
def test_help(binary):
    found = run(sys.executable, "-m", binary, "--help")
    assert found.returncode == 0, found.stderr
    assert f"python -m {binary}" in found.stdout and "flags:" in found.stdout
    for command, module in cli.COMMANDS.items():
        if module == binary:
            flags = re.findall(r"^  --(\w+):", found.stdout, re.MULTILINE)
            assert cli.flag_names(command) == sorted([*flags, "help"])


@pytest.mark.parametrize("binary", BINARIES)
def test_an_unknown_flag_is_one_line_and_exit_code_2(binary):
    found = run(sys.executable, "-m", binary, "--no_such_flag=1")
    assert found.returncode == 2 and "no_such_flag" in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1, found.stderr


@pytest.mark.parametrize("binary", BINARIES)
def test_main_is_the_last_line(binary):
    path = ROOT / f"{binary.replace('.', '/')}.py"
    path = path if path.exists() else path.with_suffix("") / "__main__.py"
    assert re.search(
        r'\nif __name__ == "__main__":\n    app\.run\(main(, positional=True)?\)\n$', path.read_text()
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_config(name):
    """Each documented argument gives a config whose plug-ins exist and whose fields are those of default.py."""
    from configs import default

    module = importlib.import_module(f"configs.{name}")
    assert (module.__doc__ or "").strip(), "a config's docstring is its notebook page"
    fields = set(_names(default.get_config()))
    for arg in config_args(name):
        config = module.get_config(arg) if arg else module.get_config()
        assert fields <= set(_names(config)) and config.is_locked is not None
        for method in config.sweep.methods or (config.method.name,):
            assert method in registry.names("methods")
        assert config.model.name in registry.names("models")
        assert config.uncertainty.name in registry.names("uncertainty")
        # The config is written to config.json.
        json.dumps(config.to_dict())


@pytest.mark.parametrize("name", [name for name in CONFIGS if name.startswith("gcc_to_")])
def test_the_page_of_a_pair_in_the_paper_gives_its_numbers(name):
    module = importlib.import_module(f"configs.{name}")
    for method, (mae, rmse) in PUBLISHED[module.get_config("gpu").target.dataset].items():
        (line,) = re.findall(
            rf"^  {re.escape(registry.about('methods', method).display_name)} +(\d.*)$",
            module.__doc__,
            re.MULTILINE,
        )
        assert re.sub(" +", " ", line).startswith(f"{mae:.1f} / {rmse:.1f}" if rmse else f"{mae:.1f}")


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "default"])
def test_config_refuses_a_wrong_argument(name):
    module = importlib.import_module(f"configs.{name}")
    assert "smoke" in config_args(name), "every config takes :smoke"
    with pytest.raises((ValueError, UserError), match="smoke"):
        module.get_config("smoek")


def test_annotations_are_checked_while_the_tests_run():
    """By the import hook of conftest.py: array shapes and all other types."""
    with pytest.raises(jaxtyping.TypeCheckError, match="points_Nx2"):
        density.Density().sigmas(np.zeros((4, 3)))
    with pytest.raises(jaxtyping.TypeCheckError, match="kind"):
        registry.names(1)


@pytest.mark.parametrize("check", [("check",), ("format", "--check")], ids=lambda check: check[0])
def test_ruff(check):
    found = run(sys.executable, "-m", "ruff", *check, "--no-cache", ".")
    assert found.returncode == 0, found.stdout[-3000:]


def test_requirements_declare_what_is_imported():
    """Packages that cc_jax imports at module level are in requirements.txt, with bounds."""
    text = (ROOT / "requirements.txt").read_text()
    names = re.findall(r"^([A-Za-z0-9_-]+)([^#;\n]*)", text, re.MULTILINE)
    assert all(">=" in bounds for _, bounds in names)
    declared = {name.lower().replace("-", "_") for name, _ in names}
    packages = {"opencv_python_headless": "cv2", "absl_py": "absl", "orbax_checkpoint": "orbax"}
    provided = (
        {packages.get(name, name) for name in declared} | set(sys.stdlib_module_names) | {"cc_jax", "configs"}
    )
    missing = {
        (module_name(path), top) for path in PATHS for top in _top_level_imports(path) if top not in provided
    }
    assert {m for m in missing if not (m[0].startswith(OPTIONAL) and m[1] in EXTRAS)} == set()


def test_a_requirement_file_is_installed_again_only_when_it_changes(tmp_path):
    """Tests the stamps of launch/venv.sh with an interpreter that only records what it is asked to install."""
    (tmp_path / "launch").mkdir()
    (tmp_path / "launch" / "venv.sh").write_text((ROOT / "launch" / "venv.sh").read_text())
    (tmp_path / "requirements.txt").write_text("numpy\n")
    fake = tmp_path / ".venv" / "bin" / "python"
    fake.parent.mkdir(parents=True)
    fake.write_text(
        "#!/bin/bash\n"
        f'if [ "$1" = -m ]; then echo "$@" >>{tmp_path}/asked; exit "${{FAIL:-0}}"; fi\n'
        f'exec {sys.executable} "$@"\n'
    )
    fake.chmod(0o755)

    def ensure(**env):
        command = f"source {tmp_path}/launch/venv.sh; ensure_venv requirements.txt"
        found = run("bash", "-c", command, env={"PATH": "/usr/bin:/bin", **env})
        asked = tmp_path / "asked"
        return found.returncode, len(asked.read_text().splitlines()) if asked.exists() else 0

    assert ensure(FAIL="1") == (2, 1)
    # The failed installation left no stamp; the successful one did.
    assert ensure() == (0, 2)
    assert ensure() == (0, 2)
    (tmp_path / "requirements.txt").write_text("numpy>=2\n")
    assert ensure() == (0, 3)


def _names(config, prefix=""):
    for name, value in config.items():
        yield f"{prefix}{name}"
        if hasattr(value, "items"):
            yield from _names(value, f"{prefix}{name}.")


def _top_level_imports(path: pathlib.Path) -> set[str]:
    nodes = ast.parse(path.read_text()).body
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    origins = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in plain | origins if name}
