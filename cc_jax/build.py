"""From a config to the parts it names: model, uncertainty, method and the state they start from."""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import optax
from flax import traverse_util

from cc_jax import registry
from cc_jax.distributed import mesh as meshes
from cc_jax.errors import CheckpointError, ConfigError
from cc_jax.models.parts import pretrained
from cc_jax.optimization import rngs
from cc_jax.optimization import train_state as states
from cc_jax.optimization.optimizers import Optimizer

_NEWEST = (
    "evaluation.memory_gib"  # the field of a config that was added last: a workdir without it cannot be read
)
# For initialisation: LLVM takes 7 s for `tiny` and 16 s for `sfcn` to optimise what runs once, for milliseconds.
QUICK = {"xla_backend_optimization_level": 0}


@dataclasses.dataclass(frozen=True)
class CountingNetwork:
    """What counting needs, without a method: a model and the way its samples are drawn."""

    model: Any
    uncertainty: Any
    draw: Callable  # draw(variables, image, roi, rng, *, train)
    label_scale: float

    def init(self, key: jax.Array) -> tuple[Any, dict[str, Any]]:
        """(parameters, collections) from a key; pure, so that `jax.eval_shape` gives their shapes."""
        return self.uncertainty.each(self._init)(self.uncertainty.keys(key))

    def _init(self, key: jax.Array) -> tuple[Any, dict[str, Any]]:
        """Those of one network."""
        image, roi = jnp.zeros((1, 64, 64, 3), jnp.uint8), jnp.ones((1, 64, 64, 1), jnp.uint8)
        variables = dict(self.model.init(rngs.stream(key, "parameters"), image, roi))
        params = variables.pop("params")
        return params, variables


def counting_network(config) -> CountingNetwork:
    """The model and the uncertainty that the config names, with the fields of their sections."""
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


def fresh_state(config, network: CountingNetwork, mesh, method=None) -> states.TrainState:
    """The state at step 0, replicated over the mesh; the encoder from `config.model.pretrained` if that is set.

    With the networks that `method`, if given, has beside the counter.
    """
    root = rngs.root(config.seed)
    params, collections = initial(network, root)
    if config.model.pretrained:
        params, collections["norm"] = _load_encoder(config, network)(params, collections["norm"])
    make = functools.partial(_state, config, network, method)
    beside = jax.jit(functools.partial(_beside, config, method, network.model), compiler_options=QUICK)(root)
    networks = _by_kind({"counter": (params, collections), **beside})
    return jax.jit(make, out_shardings=_shardings(network, mesh, jax.eval_shape(make, *networks)))(*networks)


def check_encoder(config, network: CountingNetwork, abstract: states.TrainState) -> None:
    """Raises ConfigError where `config.model.pretrained` is no file for a state of these shapes; it is read for that."""
    if config.model.pretrained:
        of = abstract.params["counter"], abstract.collections["counter"]["norm"]
        jax.eval_shape(_load_encoder(config, network), *of)


def _load_encoder(config, network: CountingNetwork) -> Callable:
    """(params, norm) -> both with the encoder of `config.model.pretrained`, for each network of the counter."""
    return network.uncertainty.each(functools.partial(pretrained.load_encoder, config.model.pretrained))


def initial(network: CountingNetwork, root: jax.Array) -> tuple[Any, dict[str, Any]]:
    """(parameters, collections) of the counter from the run's root key."""
    params, collections = jax.jit(network.init, compiler_options=QUICK)(root)
    collections.update(network.uncertainty.collections(rngs.stream(root, "members"), network.model))
    return params, collections


def _beside(config, method, model, root: jax.Array) -> dict[str, tuple[Any, dict[str, Any]]]:
    """The networks that the method has beside the counter."""
    return method.networks(model, config.augment.crop, rngs.stream(root, "networks")) if method else {}


def _by_kind(networks: dict[str, tuple[Any, dict[str, Any]]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """({network: parameters}, {network: collections})."""
    return {name: p for name, (p, _) in networks.items()}, {name: c for name, (_, c) in networks.items()}


def abstract_state(config, network: CountingNetwork, mesh, method=None) -> states.TrainState:
    """The shapes and shardings of `fresh_state`, without computing it or reading a file."""
    root = rngs.root(config.seed)

    def shapes():
        params, collections = network.init(root)
        return params, collections

    params, collections = jax.eval_shape(shapes)
    # Members are drawn with NumPy, which cannot be traced; it is quick.
    collections.update(network.uncertainty.collections(rngs.stream(root, "members"), network.model))
    beside = jax.eval_shape(functools.partial(_beside, config, method, network.model), root)
    shaped = jax.eval_shape(
        functools.partial(_state, config, network, method),
        *_by_kind({"counter": (params, collections), **beside}),
    )
    return jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        shaped, _shardings(network, mesh, shaped),
    )  # fmt: skip


def _shardings(network: CountingNetwork, mesh, state: states.TrainState) -> states.TrainState:
    """Where each array of the state lies: replicated, or the counter's networks shared out over the devices."""
    everywhere, own = meshes.replicated(mesh), meshes.split(mesh)
    if not network.uncertainty.shard:
        return jax.tree.map(lambda x: everywhere, state)
    if network.uncertainty.members % mesh.size:
        raise ConfigError(
            f"config.uncertainty.{network.uncertainty.__module__.rsplit('.', 1)[1]}.members={network.uncertainty.members} "
            f"cannot be shared out over {mesh.size} devices: make it a multiple of {mesh.size}, or set shard=False"
        )

    def place(path, x):
        names = {getattr(key, "key", getattr(key, "name", None)) for key in path}
        return own if names & {"counter", "ema"} else everywhere

    return jax.tree_util.tree_map_with_path(place, state)


def _state(config, network: CountingNetwork, method, params, collections) -> states.TrainState:
    optimizer = Optimizer(**config.optimizer)
    each, counter = network.uncertainty.each, optimizer.transformation(config.steps)
    txs = {"counter": optax.GradientTransformation(each(counter.init), each(counter.update))}
    txs |= method.optimizers() if method else {}
    return states.create(params, collections, txs, optimizer.ema)


def checkpoint_items(state: states.TrainState) -> dict[str, Any]:
    """The state in two parts: what counting needs, and what going on with training needs besides."""
    return {
        "counter": {"params": state.ema, "collections": state.collections["counter"]},
        "training": {
            "step": state.step,
            "params": state.params,
            "opt": state.opt,
            "collections": {name: x for name, x in state.collections.items() if name != "counter"},
        },
    }


def state_of(items: dict[str, Any], like: states.TrainState) -> states.TrainState:
    """The inverse of `checkpoint_items`; the static fields come from `like`."""
    training = items["training"]
    return like.replace(
        step=training["step"],
        params=training["params"],
        opt=training["opt"],
        ema=items["counter"]["params"],
        collections={"counter": items["counter"]["collections"], **training["collections"]},
    )


def check_fields(config) -> None:
    """Raises ConfigError for values that would fail later, hours into a run or in a stranger's words."""
    whole = {
        "steps": config.steps,
        "accumulate": config.accumulate,
        "source.batch_size": config.source.batch_size,
        "target.batch_size": config.target.batch_size,
    }
    for name, value in whole.items():
        if value < 1:
            raise ConfigError(f"config.{name}={value}: it is at least 1")
    for name in ("threads", "workers", "cache_gib"):
        if config[name] < 0:
            raise ConfigError(f"config.{name}={config[name]}: it is not negative")
    if config.augment.crop % 8 or config.augment.crop < 64:
        raise ConfigError(f"config.augment.crop={config.augment.crop}: a multiple of 8, at least 64")
    for name in ("source", "target"):
        if not 0 <= config[name].plain_share <= 1:
            raise ConfigError(
                f"config.{name}.plain_share={config[name].plain_share}: it lies between 0 and 1"
            )
    if not config.evaluation.memory_gib > 0:
        raise ConfigError(f"config.evaluation.memory_gib={config.evaluation.memory_gib}: it is positive")
    if not config.label_scale > 0:
        raise ConfigError(f"config.label_scale={config.label_scale}: it is positive")


def flat(fields: dict[str, Any]) -> dict[str, Any]:
    """A config's fields by dotted name."""
    return traverse_util.flatten_dict(fields, keep_empty_nodes=True, sep=".")


def read_config(workdir: pathlib.Path) -> ml_collections.ConfigDict:
    """The config that a workdir was trained with. Raises CheckpointError where there is none."""
    path = workdir / "config.json"
    if not path.is_file():
        raise CheckpointError(f"{workdir} is no workdir of cc_jax.train: it has no config.json")
    try:
        config = ml_collections.ConfigDict(json.loads(path.read_text()))
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged ({error}): restore it from a copy") from error
    if _NEWEST not in flat(config.to_dict()):
        raise CheckpointError(
            f"{workdir} was trained by an older cc_jax (its config.json has no field {_NEWEST!r}): use that version, or "
            "train again"
        )
    return config
