"""Models and uncertainties at the size of a unit test.

They are made small by the names of their fields, so that a new plug-in of the registry is tested as it is.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from small_methods import quick_jit

from cc_jax import build, registry
from cc_jax.inference import tiling
from cc_jax.inference.predict import make_sampler
from cc_jax.optimization import rngs

MODELS = registry.names("models")
UNCERTAINTIES = registry.names("uncertainty")
# Small values of the fields that some models and uncertainties have.
SMALL = {
    "models": {
        "width": 1 / 16, "back_end": (512, 256, 128), "hidden": 16, "kernel_init": "he",
        "spatial_kernel_init": "contracting",
    },
    "uncertainty": {"members": 3},
}  # fmt: skip


def small_fields(kind, name):
    """The fields that make a plug-in small."""
    fields = {field.name for field in registry.fields(kind, name)}
    return {field: value for field, value in SMALL[kind].items() if field in fields}


def model_of(name, **options):
    return registry.load("models", name).Model(**{**small_fields("models", name), **options})


@functools.cache
def built(name, **options):
    """A model and its variables, with biases far from zero: a bias is what carries padding into the image."""
    model = model_of(name, **options)
    image, roi = jnp.zeros((1, 32, 32, 3), jnp.uint8), jnp.ones((1, 32, 32, 1), jnp.uint8)
    variables = quick_jit(model.init)(jax.random.key(0), image, roi)
    return model, {**variables, "params": with_biases(variables["params"])}


@functools.cache
def run_of(name, **options):
    """`run(image, roi)` returns all outputs of a model, without a mask."""
    model, variables = built(name, **options)

    def run(image, roi):
        features = model.apply(variables, image, roi, method="encode")
        return {
            "features": features,
            "density": model.apply(variables, features, None, roi, method="decode"),
            "upside_down": model.apply(variables, features, roi, method="classify"),
            "embedding": model.apply(variables, features, roi, method="embed"),
        }

    return quick_jit(run)


@functools.cache
def network_of(model_name, uncertainty_name):
    """A `CountingNetwork` and its variables, with biases far from zero."""
    uncertainty = registry.load("uncertainty", uncertainty_name).Uncertainty(
        **small_fields("uncertainty", uncertainty_name)
    )
    return with_variables(model_of(model_name), uncertainty)


def with_variables(model, uncertainty):
    network = build.CountingNetwork(model, uncertainty, functools.partial(uncertainty.draw, model), 100.0)
    params, collections = build.initial(network, rngs.root(0))
    return network, {"params": with_biases(params), **collections}


def with_biases(params):
    keys = iter(jax.random.split(jax.random.key(1), 200))

    def disturb(path, x):
        bias = "bias" in str(path[-1])
        return x + 0.3 * jax.random.normal(next(keys), x.shape) if bias else x

    return jax.tree_util.tree_map_with_path(disturb, params)


def picture(height, width, seed=0, batch=1):
    return np.random.default_rng(seed).integers(0, 256, (batch, height, width, 3), dtype=np.uint8)


def padded(x, height, width, value):
    room = ((0, 0), (0, height - x.shape[1]), (0, width - x.shape[2]), (0, 0))
    return np.pad(x, room, constant_values=value)


_sample_in_tiles = tiling.Tiles.sample


def count_in_tiles(network, variables, image, roi, pixels, monkeypatch):
    """([people, embedding], sizes of the tiles) if a device can process so many pixels at once."""
    windows = []

    def sample(*args):
        windows.append(args[-1])
        return _sample_in_tiles(*args)

    monkeypatch.setattr(tiling, "ALWAYS_WHOLE", 0)
    monkeypatch.setattr(tiling, "bytes_per_pixel", lambda *_: 2**30 / pixels)
    monkeypatch.setattr(tiling.Tiles, "sample", sample)
    monkeypatch.setattr(tiling, "_ROWS", 7)
    drawn = make_sampler(network, 1.0)(variables, image, roi)
    return [np.asarray(x) for x in drawn], windows
