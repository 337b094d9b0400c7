"""Everything that a step changes, for any number of networks."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

Tree = Any


@flax.struct.dataclass
class TrainState:
    """The state of training. Networks are named; the one that counts people is `counter`.

    Attributes:
      step: int32, counter steps done over all stages.
      params: {network: parameters}.
      opt: {network: optimizer state}.
      ema: moving average of `params["counter"]`: what is evaluated and what labels the unlabelled images.
      collections: {network: {collection: tree}}, variables that are not trained (masks, input statistics).
    """

    step: jax.Array
    params: dict[str, Tree]
    opt: dict[str, Tree]
    ema: Tree
    collections: dict[str, dict[str, Tree]]
    txs: dict[str, optax.GradientTransformation] = flax.struct.field(pytree_node=False)
    ema_decay: float = flax.struct.field(pytree_node=False)

    def variables(self, params: Tree, network: str = "counter") -> dict[str, Tree]:
        """What `model.apply` takes, for the given parameters of `network`."""
        return {"params": params, **self.collections[network]}

    def descend(self, network: str, grads: Tree) -> "TrainState":
        """One optimizer step of one network; the counter's moving average follows."""
        updates, opt = self.txs[network].update(grads, self.opt[network], self.params[network])
        params = optax.apply_updates(self.params[network], updates)
        ema = self.ema if network != "counter" else _average(self.ema, params, self.step, self.ema_decay)
        return self.replace(params={**self.params, network: params}, opt={**self.opt, network: opt}, ema=ema)


def create(
    params: dict[str, Tree],
    collections: dict[str, dict[str, Tree]],
    txs: dict[str, optax.GradientTransformation],
    ema_decay: float,
) -> TrainState:
    """The state at step 0."""
    return TrainState(
        step=jnp.int32(0),
        params=params,
        opt={name: txs[name].init(params[name]) for name in params},
        ema=jax.tree.map(jnp.copy, params["counter"]),  # a copy: the step donates its buffers
        collections=collections,
        txs=txs,
        ema_decay=ema_decay,
    )


def _average(ema: Tree, params: Tree, step: jax.Array, decay: float) -> Tree:
    """Moving average whose memory grows from ten steps, or the first steps' noise would stay in it."""
    decay = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, ema, params)
