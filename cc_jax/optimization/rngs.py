"""Random streams, derived by name and step from one root key (the idea is that of kauldron's rngs_lib).

A key is never carried from step to step, so that a resumed run draws the same numbers.
"""

import zlib

import jax


def root(seed: int) -> jax.Array:
    """Return the root key of a run."""
    return jax.random.key(seed)


def stream(key: jax.Array, name: str, step: int | jax.Array | None = None) -> jax.Array:
    """Return the key of the stream `name`, at `step` if one is given.

    It is the same on any number of processes and devices, and after any resume.
    """
    key = jax.random.fold_in(key, zlib.crc32(name.encode()))
    return key if step is None else jax.random.fold_in(key, step)
