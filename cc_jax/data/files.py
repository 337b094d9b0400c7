"""Files that are whole or not there."""

import contextlib
import fcntl
import os
import pathlib
import tempfile
from collections.abc import Iterator

from cc_jax.errors import Busy, ConfigError


def write_atomic(path: str | os.PathLike, content: str | bytes) -> None:
    """Writes a file so that a kill at any moment leaves the old content or the new, never a part."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's 0600 would hide the file from the group
        os.replace(temporary, path)
    except BaseException:
        pathlib.Path(temporary).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def lock(folder: pathlib.Path, name: str, *, flag: str = "--data_dir", wait: bool = True) -> Iterator[None]:
    """Held by one process at a time; the kernel lets go of it when that process dies, however it dies.

    Makes the folder. Raises ConfigError, naming `flag`, where it cannot be written, and Busy where another process holds
    it and we are not to `wait`.
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
            raise Busy(f"{flag}={folder}: another process is at work there") from None
        yield
