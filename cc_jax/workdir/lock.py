"""One process at a time trains in a workdir: two would overwrite each other's checkpoints."""

import contextlib
import pathlib
from collections.abc import Iterator

import jax
from jax.experimental import multihost_utils

from cc_jax.data import files
from cc_jax.errors import Busy


@contextlib.contextmanager
def hold(workdir: pathlib.Path) -> Iterator[None]:
    """Hold the workdir within the block. The first process of a run holds it for all of them.

    Raises:
      Busy: another run holds it. Every process of this run raises.
    """
    busy = None
    with contextlib.ExitStack() as stack:
        if jax.process_index() == 0:
            try:
                stack.enter_context(files.lock(workdir, "train", flag="--workdir", wait=False))
            except Busy as error:
                busy = error
        taken = busy is not None
        if jax.process_count() > 1:
            taken = bool(multihost_utils.broadcast_one_to_all(taken))
        if taken:
            raise Busy(
                f"--workdir={workdir}: another process is training there: wait for it, or name another workdir"
            )
        yield
