"""Errors meant for users. Each class has its own exit code."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Base class: one line that says what is wrong, where, why, and what to do.

    `app.run` prints that line and exits with `exit_code`.
    """

    exit_code = 2


class ConfigError(UserError):
    """A flag, a config field, or a path given by one of them is wrong."""

    exit_code = 2


class Busy(ConfigError):
    """Another process is working in the same folder."""


class InputError(UserError):
    """Some inputs cannot be read. All other inputs have been processed."""

    exit_code = 3


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, or does not fit the model."""

    exit_code = 4


class Preempted(UserError):
    """The run received a signal to stop and has saved a checkpoint. The same command resumes it."""

    exit_code = 75


class LostPeer(Preempted):
    """Another process of a distributed run has ended. The same command resumes from the last checkpoint."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'NAME'?)" with the known name that is most like `name`, or "" if none is like it."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def missing_extra(package: str | None, extra: str) -> ConfigError:
    """Return the error for a package that is not installed because it belongs to an extra of cc-jax.

    Args:
      package: The package that could not be imported.
      extra: The extra that installs it, such as "train".
    """
    return ConfigError(f'{package} is not installed; run: pip install "cc-jax[{extra}]"')
