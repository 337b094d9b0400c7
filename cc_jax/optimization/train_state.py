"""The state of training: everything that a step changes, for any number of networks."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

Tree = Any


class TrainState(flax.struct.PyTreeNode):
    """The state of training. Networks have names; the one that counts people is `counter`.

    Attributes:
      step: int32 [], the number of steps done in all stages so far. Like the leaves of the other fields, it is an array,
        or what stands for one in an abstract state.
      params: {network: parameters}.
      opt: {network: optimizer state}.
      ema: the moving average of `params["counter"]`. Evaluation and pseudo labels use it.
      collections: {network: {collection: tree}}, variables that are not trained (masks, input statistics).
      txs: {network: optimizer}; static.
      ema_decay: the decay of the moving average; 0 makes `ema` the parameters themselves; static.
    """

    step: Any
    params: dict[str, Tree]
    opt: dict[str, Tree]
    ema: Tree
    collections: dict[str, dict[str, Tree]]
    txs: dict[str, optax.GradientTransformation] = flax.struct.field(pytree_node=False)
    ema_decay: float = flax.struct.field(pytree_node=False)

    def variables(self, params: Tree, network: str = "counter") -> dict[str, Tree]:
        """Return what `model.apply` takes: `params` with the collections of `network`."""
        return {"params": params, **self.collections[network]}

    def descend(self, network: str, grads: Tree) -> "TrainState":
        """Take one optimizer step for `network`. The moving average follows the counter's parameters."""
        updates, opt = self.txs[network].update(grads, self.opt[network], self.params[network])
        params = optax.apply_updates(self.params[network], updates)
        ema = self.ema if network != "counter" else _average(self.ema, params, self.step, self.ema_decay)
        return self.replace(params={**self.params, network: params}, opt={**self.opt, network: opt}, ema=ema)

    def checkpoint_items(self) -> dict[str, dict[str, Tree]]:
        """Return the two items of a checkpoint.

        Returns:
          {"counter": what counting needs, "training": what resuming needs besides}.
        """
        return {
            "counter": {"params": self.ema, "collections": self.collections["counter"]},
            "training": {
                "step": self.step,
                "params": self.params,
                "opt": self.opt,
                "collections": {name: x for name, x in self.collections.items() if name != "counter"},
            },
        }

    def with_checkpoint_items(self, items: dict[str, dict[str, Tree]]) -> "TrainState":
        """Return the state that the items of a checkpoint stand for, with the static fields of this one."""
        training = items["training"]
        return self.replace(
            step=training["step"],
            params=training["params"],
            opt=training["opt"],
            ema=items["counter"]["params"],
            collections={"counter": items["counter"]["collections"], **training["collections"]},
        )


def create(
    params: dict[str, Tree],
    collections: dict[str, dict[str, Tree]],
    txs: dict[str, optax.GradientTransformation],
    ema_decay: float,
) -> TrainState:
    """Return the state at step 0."""
    return TrainState(
        step=jnp.int32(0),
        params=params,
        opt={name: txs[name].init(params[name]) for name in params},
        # A copy, because a step donates the buffers of the state, and no buffer can be donated twice.
        ema=jax.tree.map(jnp.copy, params["counter"]),
        collections=collections,
        txs=txs,
        ema_decay=ema_decay,
    )


def _average(ema: Tree, params: Tree, step: jax.Array, decay: float) -> Tree:
    """One step of the moving average: decay * ema + (1 - decay) * params.

    The decay grows from 0.1 at step 0, as (1 + step) / (10 + step), up to `decay`. A constant one would keep the noise of
    the first steps in the average for long.
    """
    now = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda a, p: now * a + (1 - now) * p, ema, params)
