"""Gradient accumulation: a train step in several parts, for batches that do not fit into memory at once."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from cc_jax.optimization.train_state import TrainState


def in_parts(update: Callable, number: int) -> Callable:
    """Return a stage's `update` that works through its batch in `number` equal parts.

    The optimizers step once, with the mean of the parts' gradients. If the losses are means over the crops, this is the step
    of the whole batch, up to rounding. A network that depends on another one's step within the same update (a critic, on its
    generator's) sees that step one update later.

    Args:
      update: see `methods.base.Stage`.
      number: of parts; it divides the batch size of each device.
    """
    if number == 1:
        return update

    def accumulated(state: TrainState, batch: Any, rng: jax.Array, draw: Callable):
        descended: set[str] = set()
        zeros = {name: jax.tree.map(jnp.zeros_like, params) for name, params in state.params.items()}
        recorders = {name: _recorder(name, descended) for name in state.txs}

        def one(carry, part):
            collections, sums = carry
            crops, key = part
            recording = state.replace(collections=collections, txs=recorders, opt=zeros)
            after, metrics = update(recording, crops, key, draw)
            return (after.collections, jax.tree.map(jnp.add, sums, after.opt)), metrics

        parts = jax.tree.map(lambda x: _parts(x, number), batch), jax.random.split(rng, number)
        (collections, sums), metrics = jax.lax.scan(one, (state.collections, zeros), parts)
        state = state.replace(collections=collections)
        for name in sorted(descended):
            state = state.descend(name, jax.tree.map(lambda x: x / number, sums[name]))
        return state, jax.tree.map(lambda x: x.mean(0), metrics)

    return accumulated


def _parts(x: jax.Array, number: int) -> jax.Array:
    """[B, ...] -> [number, B / number, ...]; part p holds the crops p, p + number, ... Each device splits its own share."""
    return x.reshape(x.shape[0] // number, number, *x.shape[1:]).swapaxes(0, 1)


def _recorder(name: str, descended: set[str]) -> optax.GradientTransformation:
    """An optimizer that keeps the gradients as its state and changes no parameter."""

    def update(grads: Any, state: Any, params: Any):
        del state, params
        descended.add(name)
        return jax.tree.map(jnp.zeros_like, grads), grads

    return optax.GradientTransformation(lambda params: (), update)
