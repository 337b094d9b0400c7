"""Files that are written completely or not at all, and locks between processes."""

import contextlib
import fcntl
import os
import pathlib
import tempfile
from collections.abc import Iterator

from cc_jax.errors import Busy, ConfigError


def write_atomic(path: str | os.PathLike, content: str | bytes) -> None:
    """Write a file in one step: whenever the process is killed, the file has its old content or its new one.

    Folders that do not exist are created.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes a file that only its owner can read.
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        pathlib.Path(temporary).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def lock(folder: pathlib.Path, name: str, *, flag: str = "--data_dir", wait: bool = True) -> Iterator[None]:
    """Hold a lock that one process at a time can have. The kernel releases it when the process dies.

    Args:
      folder: Where the lock file is. The folder is created if it does not exist.
      name: Name of the lock.
      flag: The flag that names the folder in errors.
      wait: Wait until the lock is free.

    Raises:
      ConfigError: The folder cannot be written to.
      Busy: Another process holds the lock, and `wait` is False.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / f".{name}.lock", "a")  # noqa: SIM115
    except OSError as error:
        raise ConfigError(f"{flag}={folder}: cannot be written: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"{flag}={folder}: another process is working there") from None
        yield
