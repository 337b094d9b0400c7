"""The console command `cc-jax`."""

import subprocess
import sys

import pytest
from conftest import ROOT

import cc_jax
from cc_jax import cli


@pytest.fixture
def call(monkeypatch, capsys):
    """Calls `cc-jax ARGUMENTS` in this process: (exit code, standard output, standard error)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cc-jax", *arguments])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return run


def fresh(code: str, *arguments: str):
    """Runs Python code in a process of its own, with `arguments` on its command line."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


RUN = "from cc_jax.cli import main; main()"


def test_help_has_a_line_for_every_command(call):
    for name in ("--help", "-h", "help"):
        code, out, err = call(name)
        assert (code, err) == (0, "")
        listed = dict(line.split(maxsplit=1) for line in out.partition("commands:\n")[2].splitlines())
        assert list(listed) == list(cli.COMMANDS)
        assert all(len(line) > 20 and "usage" not in line for line in listed.values())


def test_help_needs_the_standard_library_alone():
    code = "import sys; before = set(sys.modules); from cc_jax import cli; cli.main(); print(*set(sys.modules) - before)"
    tops = {name.partition(".")[0] for name in fresh(code, "--help").stdout.splitlines()[-1].split()}
    assert tops <= set(sys.stdlib_module_names) | {"cc_jax"}


def test_version(call):
    assert call("--version") == (0, f"cc-jax {cc_jax.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no command given"),
        (("trian", "--config=x"), "no command 'trian' (did you mean 'train'?)"),
        (("--workdir=x",), "no command '--workdir=x'; the commands are: train, evaluate"),
        (("completion",), "bash, zsh, fish"),
        (("completion", "tcsh"), "bash, zsh, fish"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(arguments, said, call):
    code, out, err = call(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1) and said in err and err.startswith("cc-jax: ")


def test_a_command_is_its_program():
    """Its help with the name that was typed, its messages, its exit code."""
    by_name = fresh(RUN, "predict", "--help")
    module = subprocess.run(
        [sys.executable, "-m", "cc_jax.predict", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert by_name.returncode == module.returncode == 0
    assert (
        by_name.stdout == module.stdout.replace("python -m cc_jax.predict", "cc-jax predict") != module.stdout
    )
    wrong = fresh(RUN, "predict", "--inptu=x")
    assert wrong.returncode == 2 and wrong.stderr.startswith(
        "cc-jax predict: Unknown command line flag 'inptu'"
    )


def test_a_package_that_is_not_installed_is_one_line():
    """Of an extra; a module that no extra brings is a bug, and its traceback is shown."""
    code = """
import importlib.metadata, sys
importlib.metadata.requires = lambda name: ["h5py<4; extra == 'all'", "h5py<4,>=3.12; extra == 'train'", "numpy>=2"]
sys.modules[sys.argv.pop(1)] = None
from cc_jax.cli import main
main()
"""
    missing = fresh(code, "h5py", "convert", "--source=x", "--output=y")
    assert missing.returncode == 2 and missing.stderr.count("\n") == 1
    assert missing.stderr == 'cc-jax convert: h5py is not installed; run: pip install "cc-jax[train]"\n'
    bug = fresh(code, "numpy", "convert", "--source=x", "--output=y")
    assert bug.returncode == 1 and "Traceback" in bug.stderr


def completed(words: list[str]) -> list[str]:
    """What bash offers for the last word."""
    quoted = " ".join(f"'{word}'" for word in words)
    script = f"{cli.completion('bash')}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _cc_jax; echo ${{COMPREPLY[@]}}"
    found = subprocess.run(["bash", "-uc", script], capture_output=True, text=True, check=True)
    return found.stdout.split()


def test_bash_completes_commands_and_flags():
    assert completed(["cc-jax", "t"]) == ["train", "tabulate"]
    assert completed(["cc-jax", ""]) == [*cli.COMMANDS, "completion"]
    assert completed(["cc-jax", "predict", "--ou"]) == ["--output"]
    assert completed(["cc-jax", "predict", "--cal"]) == ["--calibrate_on"]
    assert completed(["cc-jax", "predict", "--dataset"]) == []
    assert completed(["cc-jax", "completion", "f"]) == ["fish"]


def test_zsh_uses_the_script_of_bash_and_fish_names_the_same_words():
    assert cli.completion("zsh") == f"autoload -U +X bashcompinit && bashcompinit\n{cli.completion('bash')}"
    fish = cli.completion("fish")
    for command in cli.COMMANDS:
        (line,) = [line for line in fish.splitlines() if f"from {command}'" in line]
        assert line.endswith(f" -a '{' '.join('--' + name for name in cli.flag_names(command))}'")
