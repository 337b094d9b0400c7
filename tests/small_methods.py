"""Methods at the size of a unit test: few small crops, a counter of one parameter, networks of a few channels."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cc_jax import build, registry
from cc_jax.models.tiny import Model
from cc_jax.optimization import train_state as states
from configs import default

KEY = jax.random.key(0)
# For programs that run once or twice.
quick_jit = functools.partial(
    jax.jit, compiler_options={**build.QUICK, "xla_llvm_disable_expensive_passes": True}
)


def unused(*_):
    """A tool of a stage that the test's method must not call."""
    raise AssertionError("the method called a tool that it has no use for")


def method_of(name, steps=8, **fields):
    """The method with the default config's fields."""
    config = default.get_config()
    config.method.name, config.steps = name, steps
    if fields:  # some have none
        config.method[name].update(fields)
    return build.method(config)


# Small values of the fields that some methods have.
_SMALL = {
    "translate_steps": 2, "translate_crop": 32, "width": 4, "blocks": 1, "critic_width": 4, "pool": 3, "bank": 36,
    "neighbours": 8, "patch": 16,
}  # fmt: skip


def small_fields(name):
    """The fields that make a method small."""
    fields = {field.name for field in registry.fields("methods", name)}
    return {field: value for field, value in _SMALL.items() if field in fields}


def crops(seed=0, size=64, number=2):
    rng = np.random.default_rng(seed)
    cells = size // 8
    arrays = {
        "image": rng.integers(0, 256, (number, size, size, 3), np.uint8),
        "clean": rng.integers(0, 256, (number, size, size, 3), np.uint8),
        "roi": np.ones((number, size, size, 1), np.uint8),
        "density": rng.gamma(0.3, 0.3, (number, cells, cells, 1)).astype(np.float32),
        "weight": np.ones((number, cells, cells, 1), np.float32),
    }
    return jax.tree.map(jnp.asarray, arrays)


BATCH = {"source": crops(0), "target": crops(1)}


def state_of(method, counter=None, rate=0.0):
    """A state with the method's networks beside a counter, whose optimizer is plain descent."""
    return _make_state(method, quick_jit(_networks_of(method))(KEY), counter, rate)


def state_shapes_of(method):
    """The shapes of `state_of`, without computing it."""
    return jax.eval_shape(lambda: _make_state(method, _networks_of(method)(KEY)))


def _networks_of(method):
    return functools.partial(method.networks, Model(), 64)


def _make_state(method, networks, counter=None, rate=0.0):
    params = {
        "counter": counter or {"a": jnp.float32(0.01)},
        **{name: p for name, (p, _) in networks.items()},
    }
    collections = {"counter": {}, **{name: c for name, (_, c) in networks.items()}}
    return states.create(params, collections, {"counter": optax.sgd(rate), **method.optimizers()}, 0.9)


def step(update, state, batch=BATCH, key=KEY):
    """(state, metrics) after one compiled step."""
    return _compiled(update)(state, batch, key)


@functools.cache
def _compiled(update):
    return quick_jit(functools.partial(update, draw=draw))


def draw(variables, image, roi, rng, train):
    """A counter of one parameter `a`: all outputs are `a` times one pixel of each cell."""
    cells = jnp.asarray(image, jnp.float32)[:, ::8, ::8]
    a = variables["params"]["a"]
    return {
        "density": a * cells[None, ..., :1],
        "features": a * jnp.tile(cells, (1, 1, 1, 22))[None, ..., :64],
        "upside_down": a * cells[None, :, :2].mean((2, 3))[..., :2],
    }
