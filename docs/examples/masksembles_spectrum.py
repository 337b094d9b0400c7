"""From a single model to an ensemble: Masksembles at several scales, beside MC-Dropout and a deep ensemble.

A small network learns a curve from 64 noisy points that lie in two intervals. The script prints, near these points and
far from them, the error of the members' mean and their spread. It draws the curves of the first seed.

  python docs/examples/masksembles_spectrum.py [FIGURE]
"""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from matplotlib import pyplot

from cc_jax import Masksembles
from cc_jax.uncertainty.masksembles_layer import split_members

MEMBERS, WIDTH, STEPS, SEEDS = 4, 32, 3000, (0, 1, 2)
NEAR = ((-3.0, -1.0), (1.0, 3.0))  # the training points
FAR = ((-5.0, -4.0), (-0.5, 0.5), (4.0, 5.0))  # none within 0.5
GRID = np.linspace(-5, 5, 401, dtype=np.float32)[:, None]


class MLP(nn.Module):
    """Two hidden layers, each followed by masks and dropout. Scale 1 and rate 0 switch the two off."""

    scale: float = 1.0
    rate: float = 0.0

    @nn.compact
    def __call__(self, x, *, train, key=None):
        for i in range(2):
            x = nn.silu(nn.Dense(WIDTH)(x))
            x = Masksembles(MEMBERS, self.scale, repeat=i == 0)(x, train=train, key=key)
            # In evaluation, one dropout mask for the whole curve, as each member is one function.
            x = nn.Dropout(self.rate, broadcast_dims=() if train else (0,))(x, deterministic=False)
        return nn.Dense(1)(x)


def truth(x):
    return np.sin(2 * x) + 0.3 * x


def training_points(seed):
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.uniform(low, high, (32, 1)) for low, high in NEAR]).astype(np.float32)
    return x, (truth(x) + rng.normal(0, 0.1, x.shape)).astype(np.float32)


@functools.partial(jax.jit, static_argnums=0)
def fit(model, key, x, y):
    """Variables after STEPS steps of Adam on the mean squared error, all points in each step."""
    key, init_key = jax.random.split(key)
    variables = model.init({"params": init_key, "dropout": init_key}, x, train=True)
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, STEPS))

    def loss(params, key):
        keys = jax.random.split(key)
        tree = {**variables, "params": params}
        return jnp.mean((model.apply(tree, x, train=True, key=keys[0], rngs={"dropout": keys[1]}) - y) ** 2)

    def step(state, key):
        updates, moments = optimizer.update(jax.grad(loss)(state[0], key), state[1])
        return (optax.apply_updates(state[0], updates), moments), None

    start = (variables["params"], optimizer.init(variables["params"]))
    return {**variables, "params": jax.lax.scan(step, start, jax.random.split(key, STEPS))[0][0]}


def samples(kind, value, seed):
    """Four curves: of four masks, of four draws of dropout, or of four networks."""
    points, key = training_points(seed), jax.random.key(seed)
    keys = jax.random.split(key, MEMBERS)

    def predict(model, variables, key):
        return split_members(model.apply(variables, GRID, train=False, rngs={"dropout": key}), MEMBERS)[
            ..., 0
        ]

    if kind == "Deep ensemble":
        return jax.vmap(lambda key: predict(MLP(), fit(MLP(), key, *points), key)[0])(keys)
    model = MLP(scale=value) if kind == "Masksembles" else MLP(rate=value)
    variables = fit(model, key, *points)
    if kind == "MC-Dropout":
        return jax.vmap(lambda key: predict(model, variables, key)[0])(keys)
    return predict(model, variables, key)


def measure(curves):
    """Root mean squared error near and far, mean spread near and far, AUROC of telling far from near by the spread."""
    wrong, std = (np.mean(curves, 0) - truth(GRID[:, 0])) ** 2, np.std(curves, 0)
    near, far = (np.any([(a <= GRID[:, 0]) & (GRID[:, 0] <= b) for a, b in on], 0) for on in (NEAR, FAR))
    above = std[far][:, None] - std[near]
    auroc = np.where(np.abs(above) < 1e-6, 0.5, above > 0).mean()
    return *(np.sqrt(wrong[where].mean()) for where in (near, far)), std[near].mean(), std[far].mean(), auroc


if __name__ == "__main__":
    rows = [("Masksembles", scale) for scale in (1.0, 1.1, 1.5, 2.0, 3.0, 6.0)]
    rows += [("MC-Dropout", 0.1), ("MC-Dropout", 0.5), ("Deep ensemble", 0.0)]
    drawn = {f"{r[0]} {r[1] or ''}".strip(): [np.asarray(samples(*r, seed)) for seed in SEEDS] for r in rows}
    print("| | error near | error far | spread near | spread far | AUROC |\n|---|---|---|---|---|---|")
    for name, curves in drawn.items():
        measured = np.array([measure(c) for c in curves])
        cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(measured.mean(0), measured.std(0, ddof=1), strict=True)]
        print(f"| {name} | {' | '.join(cells)} |")
    if len(sys.argv) > 1:
        figure, axes = pyplot.subplots(3, 3, figsize=(9, 7), sharex=True, sharey=True, layout="constrained")
        for ax, (name, curves) in zip(axes.flat, drawn.items(), strict=True):
            ax.plot(GRID, truth(GRID), color="0.6", ls="--", lw=1)
            ax.plot(GRID, curves[0].T, lw=1)
            ax.plot(*training_points(SEEDS[0]), "k.", ms=2)
            ax.set(title=name, ylim=(-4, 4))
        figure.savefig(sys.argv[1], dpi=72)
