"""What the processes of a run tell each other. With a single process, nothing is sent."""

import contextlib
import itertools
import re
from collections.abc import Iterable, Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

from cc_jax.errors import ConfigError, LostPeer

_LOST = re.compile(
    r"Gloo|NCCL|heartbeat|Connection (closed|reset|refused)|coordination service", re.IGNORECASE
)
# Bytes that a process sends at once.
_CHUNK = 2**25


def connect(coordinator: str | None, processes: int | None, process: int | None, heartbeat: int) -> None:
    """Make this process one of several of a run. Call it before anything else that uses JAX.

    If `coordinator`, `processes` and `process` are None, they come from SLURM, Open MPI, Kubernetes or the metadata of a TPU
    (see `jax.distributed.initialize`).

    Args:
      coordinator: "host:port" of the first process.
      processes: how many processes there are.
      process: which of them this is, counted from 0.
      heartbeat: seconds after which a process that does not answer ends all others.

    Raises:
      ConfigError: the addresses are not known, or the other processes cannot be reached.
    """
    try:
        jax.distributed.initialize(coordinator, processes, process, heartbeat_timeout_seconds=heartbeat)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(
            f"--distributed: {' '.join(str(error).split())} Give --coordinator=HOST:PORT --processes=N --process=I, or "
            "start the processes with SLURM, Open MPI or Kubernetes, or on a TPU"
        ) from error


@contextlib.contextmanager
def translate_peer_errors() -> Iterator[None]:
    """Raise LostPeer if the block fails because another process has ended. Other errors pass unchanged.

    If a device waits for a device of the lost process, JAX's heartbeat ends this process instead.
    """
    try:
        yield
    # XLA has no type of its own for this error.
    except (ValueError, RuntimeError) as error:
        if jax.process_count() == 1 or not _LOST.search(str(error)):
            raise
        raise LostPeer(
            f"another process of this run has ended ({str(error).splitlines()[0][:200]}): its output says why; the "
            "same command resumes from the last checkpoint"
        ) from error


def any_of(mine: bool) -> bool:
    """Return whether `mine` is true in any process. All processes have to call it together."""
    if jax.process_count() == 1:
        return mine
    return bool(multihost_utils.process_allgather(np.bool_(mine)).any())


def share(length: int) -> range:
    """Return the indices below `length` that are this process's own. Each index belongs to one process."""
    return range(jax.process_index(), length, jax.process_count())


def allgather_stream(items: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the items of all processes, in the same order in every process, while they are made.

    All processes have to iterate to the end. They may have different numbers of items, or none.
    """
    items = iter(items)
    while True:
        some, size = [], 0
        for item in items:
            some.append(item)
            size += len(item)
            if size >= _CHUNK:
                break
        lengths = _gathered(np.array([len(item) for item in some], np.int32))
        if not any(map(len, lengths)):
            return
        sent = _gathered(np.frombuffer(b"".join(some), np.uint8))
        for own, data in zip(lengths, sent, strict=True):
            for end, length in zip(itertools.accumulate(own.tolist()), own.tolist(), strict=True):
                yield data[end - length : end].tobytes()


def _gathered(mine: np.ndarray) -> list[np.ndarray]:
    """The one-dimensional array of each process. The lengths may differ."""
    lengths = multihost_utils.process_allgather(np.int32(len(mine)))
    padded = np.pad(mine, (0, int(lengths.max()) - len(mine)))
    every = multihost_utils.process_allgather(padded) if len(padded) else padded[None].repeat(len(lengths), 0)
    return [one[:length] for one, length in zip(np.asarray(every), lengths.tolist(), strict=True)]
