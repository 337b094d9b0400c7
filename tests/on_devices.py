"""Take steps of every method on one and on four devices, and measure how far the resulting states lie apart.

devices_test.py runs it, with JAX_NUM_CPU_DEVICES=4. It prints a line of JSON: {stage: {devices: {part of the state: its
distance from the state of one device, relative to how far the steps have moved it}}}.
"""

import functools
import json
import sys

import jax
import numpy as np
import optax
from small_methods import KEY, crops, method_of, quick_jit, small_fields, state_of

from cc_jax import registry
from cc_jax.distributed import mesh
from cc_jax.optimization import rngs
from cc_jax.training.step import Means

# The second step uses the pools and banks that the first has filled. In more steps rounding errors would grow.
STEPS = 2
BATCH = {name: crops(seed, number=8) for seed, name in enumerate(("source", "target"))}
OWN = {"gp": {"bank": 144, "neighbours": 8}, "mic": {"patch": 16, "ramp": 0.0}}
OURS = {"stage1_update": "rounds", "round_update": "rounds", "teacher_update": "ema"}


def draw(variables, image, roi, rng, train):
    """A counter of one parameter, with two samples that see different noise."""
    del roi, train
    cells = image[:, ::8, ::8].astype("float32")
    cells = cells * (1 + 0.2 * jax.random.normal(rng, (2, *cells.shape)))
    a = variables["params"]["a"]
    return {
        "density": a * cells[..., :1],
        "features": a * jax.numpy.tile(cells, 22)[..., :64],
        "upside_down": a * cells[:, :, :2].mean((2, 3))[..., :2],
    }


def updates():
    """Yield (name, method, update) of every stage of every method; an update that several methods share comes once."""
    known = set()
    for name in registry.names("methods"):
        if name == "ours":
            stages = [(update, method_of(name, teacher=teacher)) for update, teacher in OURS.items()]
            stages = [(update, method, getattr(method, update)) for update, method in stages]
        else:
            method = method_of(name, **{**small_fields(name), **OWN.get(name, {})})
            stages = [(stage.name, method, stage.update) for stage in method.stages()]
        for stage, method, update in stages:
            if update.__func__ not in known:
                known.add(update.__func__)
                yield f"{name}.{stage}", method, update


def ended(method, update, number: int):
    """Return (state before, state after, mean metrics) of the steps on so many devices."""
    device_mesh = mesh.make_mesh(jax.devices()[:number])
    state = state_of(method, rate=1e-5)
    # Plain descent is linear in the gradients; Adam would turn the rounding of gradients near 0 into full steps. The steps
    # are small, because rounding errors grow where networks learn from each other.
    txs = {n: optax.sgd(1e-5 if n == "counter" else 1e-4) for n in state.txs}
    state = state.replace(txs=txs, opt={n: txs[n].init(state.params[n]) for n in txs})
    begun = state = jax.device_put(state, mesh.replicated(device_mesh))

    @quick_jit
    def step(state, batch):
        state, values = update(state, batch, rngs.stream(KEY, "update", state.step), draw)
        return state.replace(step=state.step + 1), Means.of(values)

    means = None
    for _ in range(STEPS):
        state, values = step(state, mesh.put_batch(device_mesh, BATCH))
        means = values if means is None else means.merge(values)
    return begun, state, means.compute()


def distance(a, b) -> float:
    """Return the Euclidean distance between two trees of arrays."""
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return float(
        np.sqrt(sum(np.square(np.asarray(x, float) - np.asarray(y, float)).sum() for x, y in leaves))
    )


def main() -> None:
    """Take the steps and print the distances."""
    found = {}
    for name, method, update in updates():
        run = functools.partial(ended, method, update)
        begun, expected, values = run(1)
        found[name] = {}
        for number in (4,):
            _, state, other = run(number)
            parts = {
                f"{field} {n}": (
                    getattr(begun, field)[n],
                    getattr(expected, field)[n],
                    getattr(state, field)[n],
                )
                for field in ("params", "collections")
                for n in getattr(begun, field)
            }
            parts["ema"] = begun.ema, expected.ema, state.ema
            found[name][number] = {
                **{part: distance(c, b) / max(distance(b, a), 1e-30) for part, (a, b, c) in parts.items()},
                **{f"mean {k}": abs(other[k] - v) / max(abs(v), 1e-6) for k, v in values.items()},
            }
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(main())
