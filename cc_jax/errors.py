"""Errors that a person reads, each with the exit code that DESIGN.md gives it."""


class UserError(Exception):
    """One clear line: what is wrong, where, why, what to do. `app.run` prints it and exits with `exit_code`."""

    exit_code = 2


class ConfigError(UserError):
    """A flag, a config field, or a path named by one is wrong."""

    exit_code = 2


class Busy(ConfigError):
    """Another process is at work in the folder."""


class InputError(UserError):
    """Some inputs cannot be read; what could be done with the others was done."""

    exit_code = 3


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, or does not fit the model."""

    exit_code = 4


class Preempted(UserError):
    """The run was asked to stop and has saved; the same command goes on."""

    exit_code = 75


class LostPeer(Preempted):
    """Another process of the run has ended; what was saved last is there."""


def missing_extra(package: str | None, extra: str) -> ConfigError:
    """Return the error for a package that is not installed because it belongs to an extra of cc-jax.

    Args:
      package: The package that could not be imported.
      extra: The extra that installs it, such as "train".
    """
    return ConfigError(f'{package} is not installed; run: pip install "cc-jax[{extra}]"')
