"""From a config to the parts that it names: model, uncertainty, method, and the state that they start from."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from cc_jax import registry
from cc_jax.distributed import mesh as meshes
from cc_jax.errors import ConfigError
from cc_jax.models.parts import pretrained
from cc_jax.optimization import rngs
from cc_jax.optimization import train_state as states
from cc_jax.optimization.optimizers import Optimizer

# Compiler options for initialization. It runs once, for milliseconds, and optimizing it takes LLVM many seconds.
QUICK = {"xla_backend_optimization_level": 0}

# What one network consists of: (parameters, {collection: tree}).
Network = tuple[Any, dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class CountingNetwork:
    """What counting needs: a model, and the uncertainty that draws its samples. It knows no method.

    Attributes:
      model: a Linen module (models/).
      uncertainty: how samples are drawn (uncertainty/).
      draw: `draw(variables, image, roi, rng, *, train)`, the uncertainty's `draw` for this model.
      label_scale: see units.py.
    """

    model: Any
    uncertainty: Any
    draw: Callable
    label_scale: float

    def init(self, key: jax.Array) -> Network:
        """Return (parameters, collections) from a key; pure, so that `jax.eval_shape` gives their shapes."""
        return self.uncertainty.each(self._init_one)(self.uncertainty.keys(key))

    def _init_one(self, key: jax.Array) -> Network:
        image, roi = jnp.zeros((1, 64, 64, 3), jnp.uint8), jnp.ones((1, 64, 64, 1), jnp.uint8)
        variables = dict(self.model.init(rngs.stream(key, "parameters"), image, roi))
        params = variables.pop("params")
        return params, variables


def counting_network(config) -> CountingNetwork:
    """Return the model and the uncertainty that the config names, with the fields of their sections."""
    name = config.model.name
    model = registry.load("models", name).Model(
        dtype=config.model.dtype,
        head=config.model.head,
        remat=config.model.remat,
        **_section(config.model, name),
    )
    uncertainty = registry.load("uncertainty", config.uncertainty.name).Uncertainty(
        **_section(config.uncertainty, config.uncertainty.name)
    )
    return CountingNetwork(model, uncertainty, functools.partial(uncertainty.draw, model), config.label_scale)


def method(config, name: str = "", around: tuple[str, ...] = ()):
    """Return the method `name`, by default the config's, with the method inside that it wraps, if it wraps one.

    Args:
      config: the run's config.
      name: a method's name.
      around: names of the methods that wrap this one.
    """
    name = name or config.method.name
    if name in around:
        raise ConfigError(f"config.method.{around[-1]}.inner={name!r}: a method cannot be wrapped by itself")
    fields = _section(config.method, name)
    if "inner" in fields:
        fields["inner"] = method(config, fields["inner"], (*around, name))
    return registry.load("methods", name).Method(steps=config.steps, label_scale=config.label_scale, **fields)


def _section(section, name: str) -> dict:
    """The fields of the plug-in `name`; none if the config has no section of its name."""
    return {field: _tuples(value) for field, value in section[name].items()} if name in section else {}


def _tuples(value):
    """Lists as tuples: a config read from JSON has lists where it had tuples, and plug-ins must be hashable."""
    return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value


def fresh_state(config, network: CountingNetwork, mesh: Mesh, method=None) -> states.TrainState:
    """Return the state at step 0, placed on the mesh.

    Args:
      config: the run's config. `config.model.pretrained`, if set, is where the encoder's weights come from.
      network: the counter.
      mesh: the devices.
      method: if given, the state also holds the networks that this method has beside the counter.
    """
    root = rngs.root(config.seed)
    params, collections = initial(network, root)
    if config.model.pretrained:
        params, collections["norm"] = _load_encoder(config, network)(params, collections["norm"])
    make = functools.partial(_make_state, config, network, method)
    beside = jax.jit(
        functools.partial(_networks_of_method, config, method, network.model), compiler_options=QUICK
    )
    networks = _by_kind({"counter": (params, collections), **beside(root)})
    return jax.jit(make, out_shardings=_shardings(network, mesh, jax.eval_shape(make, *networks)))(*networks)


def abstract_state(config, network: CountingNetwork, mesh: Mesh, method=None) -> states.TrainState:
    """Return the shapes, types and shardings of `fresh_state` without computing it or reading a file."""
    root = rngs.root(config.seed)
    params, collections = jax.eval_shape(network.init, root)
    # Masks are drawn with NumPy, which JAX cannot trace. Drawing them is quick.
    collections.update(network.uncertainty.collections(rngs.stream(root, "members"), network.model))
    beside = jax.eval_shape(functools.partial(_networks_of_method, config, method, network.model), root)
    shaped = jax.eval_shape(
        functools.partial(_make_state, config, network, method),
        *_by_kind({"counter": (params, collections), **beside}),
    )
    return jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        shaped, _shardings(network, mesh, shaped),
    )  # fmt: skip


def check_encoder(config, network: CountingNetwork, abstract: states.TrainState) -> None:
    """Raise ConfigError if the file `config.model.pretrained` does not fit a state of these shapes."""
    if config.model.pretrained:
        own = abstract.params["counter"], abstract.collections["counter"]["norm"]
        jax.eval_shape(_load_encoder(config, network), *own)


def initial(network: CountingNetwork, root: jax.Array) -> Network:
    """Return (parameters, collections) of the counter from the run's root key."""
    params, collections = jax.jit(network.init, compiler_options=QUICK)(root)
    collections.update(network.uncertainty.collections(rngs.stream(root, "members"), network.model))
    return params, collections


def _load_encoder(config, network: CountingNetwork) -> Callable:
    """A function (params, norm) -> both with the encoder's weights from `config.model.pretrained`, in every member."""
    return network.uncertainty.each(functools.partial(pretrained.load_encoder, config.model.pretrained))


def _networks_of_method(config, method, model, root: jax.Array) -> dict[str, Network]:
    """{name: network} of the networks that the method has beside the counter."""
    return method.networks(model, config.augment.crop, rngs.stream(root, "networks")) if method else {}


def _by_kind(networks: dict[str, Network]) -> tuple[dict[str, Any], dict[str, Any]]:
    """({network: parameters}, {network: collections})."""
    return {name: p for name, (p, _) in networks.items()}, {name: c for name, (_, c) in networks.items()}


def _make_state(config, network: CountingNetwork, method, params, collections) -> states.TrainState:
    optimizer = Optimizer(**config.optimizer)
    each, counter = network.uncertainty.each, optimizer.transformation(config.steps)
    txs = {"counter": optax.GradientTransformation(each(counter.init), each(counter.update))}
    txs |= method.optimizers() if method else {}
    return states.create(params, collections, txs, optimizer.ema)


def _shardings(network: CountingNetwork, mesh: Mesh, state: states.TrainState) -> states.TrainState:
    """The sharding of each array of the state: replicated, or the counter's members split over the devices."""
    replicated, split = meshes.replicated(mesh), meshes.split(mesh)
    if not network.uncertainty.shard:
        return jax.tree.map(lambda x: replicated, state)
    if network.uncertainty.members % mesh.size:
        name = network.uncertainty.__module__.rpartition(".")[2]
        raise ConfigError(
            f"config.uncertainty.{name}.members={network.uncertainty.members} cannot be split over {mesh.size} devices: "
            f"make it a multiple of {mesh.size}, or set shard=False"
        )

    def place(path, x):
        names = {getattr(key, "key", getattr(key, "name", None)) for key in path}
        return split if names & {"counter", "ema"} else replicated

    return jax.tree_util.tree_map_with_path(place, state)
