"""One process a workdir: two that train in one folder would overwrite each other's checkpoints."""

import contextlib
import fcntl
import pathlib
import sys
from collections.abc import Iterator

import jax
from jax.experimental import multihost_utils

from cc_jax.errors import Busy


@contextlib.contextmanager
def hold(workdir: pathlib.Path) -> Iterator[None]:
    """Holds `workdir/lock` within the block; the system lets go of it when the process ends, however it does.

    Of several hosts the first holds it for all. Raises Busy, on every host, where another process does.
    """
    free = True
    with contextlib.ExitStack() as stack:
        if jax.process_index() == 0:
            workdir.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(open(workdir / "lock", "a"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                free = False
            except OSError as error:
                print(
                    f"warning: {workdir} cannot be locked ({error.strerror}): see to it that no other process trains there",
                    file=sys.stderr,
                )
        if jax.process_count() > 1:
            free = bool(multihost_utils.broadcast_one_to_all(free))
        if not free:
            raise Busy(f"another process is training in {workdir}: wait for it, or name a new --workdir")
        yield
