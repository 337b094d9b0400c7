"""What watches a run: its log, its speed, its profile, its loss, and the signal to stop."""

import json
import math
import pathlib
import signal
import sys
import threading

import jax

from cc_jax.data.files import write_atomic
from cc_jax.distributed import processes
from cc_jax.errors import ConfigError
from cc_jax.training import profiling
from cc_jax.training.run import Run

# A loss so many times the first one is finite, but training does not recover from it.
_DIVERGED = 1000.0


class Monitor:
    """Watches a run from its first step to its last. Close it then.

    Args:
      run: the run.
      done: the steps that are done.

    Attributes:
      log: writes log.jsonl.
      peak: the operations a second that all devices could do.
      trace: called before each step; writes a profile of `config.profile_steps`. See `profiling.tracer`.
    """

    def __init__(self, run: Run, done: int):
        config = run.config
        self.log = Log(run.layout.log, done)
        self.peak = profiling.matrix_rate(config.model.dtype) * run.mesh.size
        self.trace = profiling.tracer(config.profile_steps, run.layout.profile)
        self._log_every, self._sigterm = config.log_every, _Sigterm()

    def is_logged(self, step: int, end: int) -> bool:
        """Return whether `step` of a stage that ends with step `end` has a row in the log."""
        return step % self._log_every == 0 or step == end

    def is_stopping(self, logged: bool) -> bool:
        """Return whether SIGTERM has come to any process of the run. All processes call it together.

        Of several processes only some may have got the signal. They agree at logged steps, where they wait for the
        device anyway.
        """
        return (logged or jax.process_count() == 1) and processes.any_of(self._sigterm.came)

    def write(self, row: dict) -> None:
        """Log a row, and print it if there is no progress bar."""
        self.log.write(row)
        if not sys.stderr.isatty():
            words = (f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())
            print("  ".join(words), flush=True)

    def close(self) -> None:
        """Give SIGTERM back to whoever handled it before."""
        self._sigterm.close()


class Log:
    """log.jsonl: one row for each logged step.

    Args:
      path: the file. Rows of steps after `done` are dropped: a resumed run writes them again.
      done: the steps that are done.
    """

    def __init__(self, path: pathlib.Path, done: int):
        self.path = path
        kept = []
        if path.exists():
            # A kill can cut the last line.
            lines = [line for line in path.read_text().splitlines() if line.endswith("}")]
            kept = [line for line in lines if json.loads(line)["step"] <= done]
        write_atomic(path, "".join(line + "\n" for line in kept))

    def write(self, row: dict) -> None:
        """Append a row. Only the first process does."""
        if jax.process_index() == 0:
            with open(self.path, "a") as file:
                file.write(json.dumps(row) + "\n")


def check_loss(row: dict, first: float) -> None:
    """Raise ConfigError if a logged loss is not finite or has diverged. The state is not saved before this check.

    Args:
      row: a row of log.jsonl.
      first: the loss of the first row since the stage was entered or resumed.
    """
    if math.isfinite(row["loss"]) and row["loss"] <= _DIVERGED * abs(first):
        return
    raise ConfigError(
        f"the loss is {row['loss']:.3g} at step {row['step']} of {row['stage']}, and it began at {first:.3g}: lower "
        "config.optimizer.learning_rate; the last checkpoint is unchanged"
    )


class _Sigterm:
    """Notes SIGTERM instead of ending the process.

    Attributes:
      came: whether the signal has come.
    """

    def __init__(self):
        self.came, self._before = False, None
        # Python runs signal handlers in the main thread alone, and only there can they be set.
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._note)

    def _note(self, number: int, frame: object) -> None:
        del number, frame
        self.came = True

    def close(self) -> None:
        """Restore the handler that was there before."""
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
