"""Masksembles as a layer for any Flax model (Durasov, Bagautdinov, Baque, Fua, CVPR 2021).

`Masksembles` is a Flax Linen module. `apply_masks` is the same computation as a pure function, for plain JAX and
flax.nnx. In training, each example sees one of N fixed masks over the channels. In evaluation, each example is run
through all N masks, and the spread of the N outputs is the uncertainty.
"""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from cc_jax.errors import ConfigError
from cc_jax.uncertainty.masks import masks as draw_masks
from cc_jax.uncertainty.masks import ones_and_slots


class Masksembles(nn.Module):
    """Multiply the channels (last axis) by fixed binary masks, which make one network act as an ensemble.

    The masks are drawn once, by `init`, from the stream "masks", or from the stream "params" where there is none. They
    lie in the collection "masks" beside the parameters: save both, and pass both to `apply`. No optimizer that is
    given the parameters alone changes them.

    A network may hold several of these layers. The first one makes the copies in evaluation; give the others
    `repeat=False`. In training, give all of them the same `key`, so that an example is in the same member everywhere.

    Attributes:
      members: number of masks N.
      scale: how little the masks overlap, 1 to 6. At 1 all masks keep every channel, and the network is a single
        model. The larger the scale, the more the members resemble independent networks, and the fewer channels each
        of them keeps.
      repeat: whether evaluation copies the batch once for each member. Set it to False where the input already holds
        the copies, one member after the other.

    Example:
      >>> class MLP(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x, *, train, key=None):
      ...         x = nn.relu(nn.Dense(64)(x))
      ...         x = Masksembles(members=4, scale=2.0)(x, train=train, key=key)
      ...         return nn.Dense(1)(x)
      >>> variables = MLP().init(jax.random.key(0), x, train=True)  # {"params": ..., "masks": ...}
      >>> mean, std = mean_and_std(MLP().apply(variables, x, train=False), members=4)
    """

    members: int = 4
    scale: float = 2.0
    repeat: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "B ... C"], *, train: bool, key: jax.Array | None = None) -> Array:
        """Return the masked activations.

        Args:
          x: [B, ..., C], any number of axes between the two. C is at least 10.
          train: True applies one mask to each example, dealt evenly over the batch. False applies all masks.
          key: for training: decides which mask the first example gets. Without a key it is the first mask. Pass a new
            key each step where batches may be smaller than `members`.

        Returns:
          In training, and with `repeat=False`, an array of the shape of `x`. In evaluation [N * B, ..., C], the copies
          of member 0 first; `split_members` returns them as [N, B, ..., C].

        Raises:
          ConfigError: fewer than 10 channels, a scale outside [1, 6], masks that are missing or do not fit.
        """
        channels = x.shape[-1]
        if not self.is_initializing() and not self.has_variable("masks", "masks"):
            name = "/".join(("Masksembles layer", *self.path))
            raise ConfigError(
                f"the variables hold no masks for the {name}: pass "
                'the collection "masks" that init returned beside "params" (new masks would not fit trained weights)'
            )
        masks_NxC = self.variable("masks", "masks", self._draw, channels).value
        if masks_NxC.shape != (self.members, channels):
            raise ConfigError(
                f"the Masksembles layer has {self.members} members and sees {channels} channels, but its masks are "
                f"for {masks_NxC.shape[0]} members and {masks_NxC.shape[1]} channels: use the model they belong to"
            )
        if self.is_initializing() and train and key is None:
            key = jax.random.key(0)  # `init` often sees a single example: that is no reason for a warning
        return apply_masks(x, masks_NxC, train=train, key=key, repeat=self.repeat)

    def _draw(self, channels: int) -> jax.Array:
        """New masks, [N, C]. Works under `jit`, `vmap` and `eval_shape`, where the key has no value yet."""
        ones_and_slots(channels, self.members, self.scale)  # bad settings end here, not inside the callback
        words = jax.random.key_data(self.make_rng("masks"))
        return jax.pure_callback(
            lambda words: draw_masks(np.asarray(words), channels, self.members, self.scale),
            jax.ShapeDtypeStruct((self.members, channels), jnp.float32),
            words,
            vmap_method="sequential",
        )


def apply_masks(
    x: Float[Array, "B ... C"],
    masks: Float[Array | np.ndarray, "N C"],
    *,
    train: bool,
    key: jax.Array | None = None,
    repeat: bool = True,
) -> Array:
    """Multiply `x` [B, ..., C] by `masks`, as `Masksembles` does. A pure function.

    The masks come from `cc_jax.uncertainty.masks.masks(key, channels, members, scale)`: draw them once, and keep them
    with the parameters. See `Masksembles.__call__` for the arguments and for what is returned. No gradient reaches the
    masks. Activations are not rescaled.
    """
    masks = jnp.asarray(masks)
    members, batch = masks.shape[0], x.shape[0]
    if train:
        if key is None and batch < members:
            warnings.warn(
                f"a batch of {batch} trains only the first {batch} of {members} masks: pass a new key each step",
                stacklevel=2,
            )
        return x * _broadcastable(deal(masks, batch, key), x)
    if repeat:
        x = repeat_members(x, members)
    elif batch % members:
        raise ConfigError(
            f"a batch of {batch} does not hold {members} copies of each example: use repeat=True in the first "
            "Masksembles layer, or repeat_members on the input"
        )
    return x * _broadcastable(jnp.repeat(masks, x.shape[0] // members, axis=0), x)


def deal(
    masks: Float[Array | np.ndarray, "N C"], batch: int, key: jax.Array | None = None
) -> Float[Array, "{batch} C"]:
    """One mask for each of `batch` examples, in turn. The first mask is drawn with `key`; without one it is mask 0."""
    start = 0 if key is None else jax.random.randint(key, (), 0, masks.shape[0])
    return jnp.asarray(masks)[(start + jnp.arange(batch)) % masks.shape[0]]


def repeat_members(x: Float[Array, "B ..."], members: int) -> Array:
    """[B, ...] -> [N * B, ...]: the whole batch once for each member."""
    return jnp.tile(x, (members, *[1] * (x.ndim - 1)))


def split_members(y: Float[Array, "NB ..."], members: int) -> Array:
    """[N * B, ...] -> [N, B, ...]: what each member says of each example. The inverse of stacking them in the batch."""
    if y.shape[0] % members:
        raise ConfigError(
            f"{y.shape[0]} outputs are not those of {members} members: run the model with train=False"
        )
    return y.reshape(members, y.shape[0] // members, *y.shape[1:])


def mean_and_std(y: Float[Array, "NB ..."], members: int) -> tuple[Array, Array]:
    """Mean and standard deviation over the members of an evaluated batch.

    Args:
      y: [N * B, ...], the output of a model in evaluation.
      members: N.

    Returns:
      Two arrays [B, ...]. The deviation divides by N, so that it is 0 for a single member.
    """
    samples = split_members(y, members)
    return samples.mean(0), samples.std(0)


def _broadcastable(masks: Float[Array, "B C"], x: Float[Array, "B ... C"]) -> Array:
    """[B, C] -> [B, 1, ..., 1, C] with the type of `x`."""
    masks = jax.lax.stop_gradient(masks).astype(x.dtype)
    return masks.reshape(masks.shape[0], *[1] * (x.ndim - 2), masks.shape[-1])
