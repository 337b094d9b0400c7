"""What the processes of one run tell each other; with one process, nothing."""

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
_CHUNK = 2**25  # bytes that a process sends at once


def connect(coordinator: str | None, processes: int | None, process: int | None, heartbeat: int) -> None:
    """Makes this process one of several of one run; before JAX does anything else.

    Args:
      coordinator: "host:port" of the first process, how many there are and which this is; where they are None, SLURM, Open
        MPI, Kubernetes or the TPU's metadata say it (`jax.distributed.initialize`).
      heartbeat: seconds after which a process that no longer answers ends all others.

    Raises ConfigError where nobody says it, or the others cannot be reached.
    """
    try:
        jax.distributed.initialize(coordinator, processes, process, heartbeat_timeout_seconds=heartbeat)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(
            f"--distributed: {' '.join(str(error).split())} Give --coordinator=HOST:PORT --processes=N --process=I, or "
            "start it where SLURM, Open MPI, Kubernetes or a TPU says so"
        ) from error


@contextlib.contextmanager
def translate_peer_errors() -> Iterator[None]:
    """Raises LostPeer where the block fails because another process has ended; what else fails is as it was.

    Where a device waits for the other's, JAX's own heartbeat ends this process instead.
    """
    try:
        yield
    except (ValueError, RuntimeError) as error:  # of XLA's, which has no type of its own for it
        if jax.process_count() == 1 or not _LOST.search(str(error)):
            raise
        raise LostPeer(
            f"another process of this run has ended ({str(error).splitlines()[0][:200]}): see what it said; the same "
            "command goes on from the last checkpoint"
        ) from error


def any_of(mine: bool) -> bool:
    """Whether it is so in any process; all of them have to ask."""
    if jax.process_count() == 1:
        return mine
    return bool(multihost_utils.process_allgather(np.bool_(mine)).any())


def share(length: int) -> range:
    """Indices of `length` things that are this process's own: each belongs to one."""
    return range(jax.process_index(), length, jax.process_count())


def allgather_stream(items: Iterable[bytes]) -> Iterator[bytes]:
    """The items of all processes, in the same order on each, handed round as they come.

    All processes have to take them to the end; one may have more than another, or none.
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
    """Each process's array of one dimension; they may differ in length."""
    lengths = multihost_utils.process_allgather(np.int32(len(mine)))
    padded = np.pad(mine, (0, int(lengths.max()) - len(mine)))
    every = multihost_utils.process_allgather(padded) if len(padded) else padded[None].repeat(len(lengths), 0)
    return [one[:length] for one, length in zip(np.asarray(every), lengths.tolist(), strict=True)]
