"""The cost of three samples of an image by each uncertainty, relative to one pass of the network: SFCN at 384x512.

The reference is one pass without members, timed in the same run. One more row is the way of the PyPI package masksembles and
of the paper's code: the image is repeated for each member, and all copies pass through the whole network. The goal is 1.45
for masksembles, and the number of members for the others.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cc_jax import build
from cc_jax.models import sfcn
from cc_jax.optimization import rngs
from cc_jax.tools.bench import Options, Row, alternate
from cc_jax.uncertainty import deep_ensemble, masksembles, mc_dropout, single

MEMBERS, GOAL = 3, 1.45
_SIZE, _WIDTH, _ROUNDS = (384, 512), 1.0, 3


def run(options: Options) -> list[Row]:
    """Return a row for each way of drawing three samples."""
    del options
    model = sfcn.Model(width=_WIDTH, dtype="float32" if jax.default_backend() == "cpu" else "bfloat16")
    image = np.random.default_rng(0).integers(0, 256, (1, *_SIZE, 3), np.uint8)
    ways = {
        "masksembles": masksembles.Uncertainty(members=MEMBERS, scale=2.0),
        "mc_dropout": mc_dropout.Uncertainty(members=MEMBERS, rate=0.1),
        "deep_ensemble": deep_ensemble.Uncertainty(members=MEMBERS),
    }
    runs = {name: _drawn(way.draw, model, _variables(way, model), image) for name, way in ways.items()}
    masked = _variables(ways["masksembles"], model)
    runs["tiled batch, as PyPI masksembles"] = _drawn(_tiled, model, masked, image)
    runs["one pass"] = _drawn(
        single.Uncertainty().draw, model, _variables(single.Uncertainty(), model), image
    )
    seconds = alternate(runs, _ROUNDS)
    one = seconds.pop("one pass")
    return [
        Row(
            suite="uncertainty",
            case=f"{name}, {MEMBERS} samples, SFCN, {_SIZE[0]}x{_SIZE[1]}",
            ours=each,
            reference="one pass",
            theirs=one,
            ratio=each.median / one.median,
            goal=GOAL if name == "masksembles" else float(MEMBERS),
        )
        for name, each in seconds.items()
    ]


def _variables(way: Any, model: Any) -> dict[str, Any]:
    """Return the initial variables of a network with an uncertainty."""
    params, collections = build.initial(build.CountingNetwork(model, way, way.draw, 100.0), rngs.root(0))
    return {"params": params, **collections}


def _drawn(draw: Callable, model: Any, variables: dict, image: np.ndarray) -> Callable[[], tuple]:
    """Return a compiled function that waits for the mean and the spread of the samples."""

    def samples(variables, image):
        density = draw(
            model, variables, image, jnp.ones((*image.shape[:3], 1)), jax.random.key(0), train=False
        )
        return density["density"].mean(0), density["density"].std(0)

    on_device = jnp.asarray(image)
    compiled = jax.jit(samples).lower(variables, on_device).compile()
    return lambda: jax.block_until_ready(compiled(variables, on_device))


def _tiled(model, variables, image, roi, rng, *, train):
    """Draw samples by passing the image through the whole network once for each mask."""
    del rng, train
    masks_NxC = variables["masks"]["masks"]
    image, roi = (jnp.repeat(x, len(masks_NxC), 0) for x in (image, roi))
    features = model.apply(variables, image, roi, method="encode")
    return {"density": model.apply(variables, features, masks_NxC, roi, method="decode")[:, None]}
