"""Run the project's programs in processes of their own that need not import JAX and the other libraries anew.

A server process has imported them once and forks for each program (multiprocessing's "forkserver"). A program that is run
here is otherwise like `python -m MODULE`: it has its own arguments, environment, folder, output, signals and exit code. What
a program imports is therefore tested elsewhere (extras_test.py, flow_test.py, shipped_test.py). JAX has read its variables
when the server imported it; of those that a test sets, JAX_NUM_CPU_DEVICES alone is applied again.
"""

import atexit
import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
import types
from collections.abc import Mapping, Sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent
# None of them starts a Python thread or touches a device.
PRELOADED = [
    "programs",
    "cc_jax.training.sweep",
    "cc_jax.counting.files",
    "cc_jax.counting.counter",
    "cc_jax.report.page",
]

# Flags of a training run that several tests start, so that they share its compiled programs: OURS with two rounds, 8 steps.
# Compiling the scans of the spatial encoder and Muon would take as long as compiling all the rest, and counting images of
# their own size longer than training.
SMALL_RUN = [
    "--config=configs/demo.py:smoke", "--config.log_every=1", "--config.checkpoint.every=2", "--config.augment.crop=64",
    "--config.model.tiny.spatial_kernel_size=0", "--config.optimizer.name=adamw", "--config.resize.max_side=128",
]  # fmt: skip

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(PRELOADED)


class Program:
    """A running program, with the methods of `subprocess.Popen` that the tests need.

    Args:
      arguments: `-m MODULE ...` or `-c CODE ...`, as Python takes them.
      env: all environment variables; those of this process if None.
      cwd: the folder in which it runs.
    """

    def __init__(
        self, arguments: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: pathlib.Path = ROOT
    ):
        self.args = list(map(str, arguments))
        self._folder = tempfile.TemporaryDirectory()
        self._outputs = [os.path.join(self._folder.name, name) for name in ("stdout", "stderr")]
        self._process = _server.Process(
            target=_run, args=(self.args, dict(env or os.environ), str(cwd), *self._outputs)
        )
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Wait for the end and return what was written to standard output and to standard error."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        said = [pathlib.Path(path).read_text() for path in self._outputs]
        return said[0], said[1]


def run(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: pathlib.Path = ROOT,
    timeout: float = 600,
) -> subprocess.CompletedProcess:
    """Run a program to its end, as `subprocess.run` does with captured text."""
    program = Program(arguments, env=env, cwd=cwd)
    try:
        stdout, stderr = program.communicate(timeout)
    finally:
        program.kill()
    return subprocess.CompletedProcess(program.args, program.returncode, stdout, stderr)


def _run(arguments: list[str], env: dict[str, str], cwd: str, stdout: str, stderr: str) -> None:
    """Be the program; runs in the forked process."""
    for path, stream in ((stdout, 1), (stderr, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    if "JAX_NUM_CPU_DEVICES" in env:
        import jax

        jax.config.update("jax_num_cpu_devices", int(env["JAX_NUM_CPU_DEVICES"]))
    kind, what, *rest = arguments
    sys.path.insert(0, cwd)
    sys.argv = [what if kind == "-m" else "-c", *rest]
    try:
        if kind == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            sys.modules["__main__"] = main = types.ModuleType("__main__")
            exec(compile(what, "<string>", "exec"), main.__dict__)
    finally:
        # multiprocessing ends a process without them.
        sys.stdout.flush()
        atexit._run_exitfuncs()
