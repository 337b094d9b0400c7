"""The lock of a workdir: a second process is refused, and a killed process releases it."""

import subprocess
import sys

import pytest
from conftest import ROOT

from cc_jax.errors import Busy, ConfigError
from cc_jax.workdir import lock

HOLD = """
import pathlib, sys
from cc_jax.workdir import lock
with lock.hold(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_workdir_is_one_process_s(tmp_path):
    folder = tmp_path / "run"
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert other.stdout.readline() == "held\n"
    with pytest.raises(Busy, match="another process"), lock.hold(folder):
        pass
    other.kill()
    other.wait()
    with lock.hold(folder):
        pass


def test_it_is_let_go_of_after_an_error(tmp_path):
    for _ in range(2):
        with pytest.raises(ConfigError, match="mine"), lock.hold(tmp_path):
            raise ConfigError("mine")
