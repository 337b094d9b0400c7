"""Random streams, derived by name and step from one root key and never carried (after kauldron's rngs_lib)."""

import zlib

import jax


def root(seed: int) -> jax.Array:
    """The run's only stored randomness: a typed key."""
    return jax.random.key(seed)


def stream(key: jax.Array, name: str, step: int | jax.Array | None = None) -> jax.Array:
    """The key of the stream `name`, at `step` if given: the same for any number of hosts and after any resume."""
    key = jax.random.fold_in(key, zlib.crc32(name.encode()))
    return key if step is None else jax.random.fold_in(key, step)
