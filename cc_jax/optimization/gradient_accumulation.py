"""One step of a large batch in parts, whose gradients are averaged: what does not fit into memory at once."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from cc_jax.optimization.train_state import TrainState


def in_parts(update: Callable, number: int) -> Callable:
    """A stage's `update` as one of the same meaning, on `number` equal parts of its batch in turn.

    Its descents are put off until the mean over the parts is there. For losses that are means over the crops that is the
    step of the whole batch, to rounding. What a second network would see of the first one's descent in the same step (a
    critic, of its generator's) it sees a step later.
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
    """[B, ...] -> [number, B / number, ...], every number-th into one part: each device splits what it has."""
    return x.reshape(x.shape[0] // number, number, *x.shape[1:]).swapaxes(0, 1)


def _recorder(name: str, descended: set[str]) -> optax.GradientTransformation:
    """Keeps the gradients in the place of its state and moves nothing."""

    def update(grads: Any, state: Any, params: Any):
        del state, params
        descended.add(name)
        return jax.tree.map(jnp.zeros_like, grads), grads

    return optax.GradientTransformation(lambda params: (), update)
