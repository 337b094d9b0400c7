"""The contract of uncertainties: how S samples of the density map are drawn from one or several networks.

An uncertainty is a file `cc_jax/uncertainty/NAME.py` (or `NAME.py` in the folder `uncertainty` of $CC_JAX_PLUGINS) with a
frozen dataclass `Uncertainty`, a subclass of the one below. `config.uncertainty.name=NAME` selects it, and
`config.uncertainty.NAME` holds its fields. `uncertainty/single.py` is the smallest example.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax


@dataclasses.dataclass(frozen=True)
class Uncertainty:
    """Base class of uncertainties: a subclass defines `draw`.

    Its annotated fields are set by `config.uncertainty.NAME`: each one has a literal default and a line under "Attributes:"
    in the class docstring. It should also assign `display_name` and `summary`, without annotations: reports show them.

    What draws samples is this class; everything after it (counts, intervals, pseudo labels, losses, metrics) only reads the
    axis S and never asks which uncertainty it was. An uncertainty must hold to the following, tested for every file in
    `tests/plugins_test.py`:

    Networks and variables. By default there is one network, and its variables are {"params": ..., "norm": ..., ...}. An
    uncertainty with several networks stacks their variables along a leading axis: it overrides `keys` (one key for each
    network), `each` (apply a function of one network to all of them) and `member` (the variables behind one sample).
    `each` is used for initialisation, for optimizers, and to load encoder weights. What is drawn once for the whole run,
    such as fixed masks, is returned by `collections` and kept in the checkpoint.

    Cost. `encode` runs once for each network, and only what follows the mask runs for each sample.

    Masks. A mask multiplies the features that `encode` returns: float32 [C] with C = `model.mask_channels`. It does not
    depend on the size of the image. Where a mask only selects channels, `model.decode_members` computes the selected ones
    alone.

    Training and evaluation. In training (`train=True`) each network draws one sample of each image, and the loss is taken
    over that sample. In evaluation all S samples are drawn, and an image must get the same samples whatever else is in
    the batch: all images share the same masks and the same `rng`.

    ROI and padding. Both are the model's: pass `roi` on to every call. Outside of it the density is 0, so that padding
    adds nobody, and an uncertainty must not add anything to a density.

    Tiling. Large images are counted in tiles (inference/tiling.py): `draw` sees one tile at a time, with a model that
    stops before the spatial encoder, and the rest runs over the whole image with the variables of `member`. The result is
    the same only if each sample is `encode`, one mask over the channels, then `decode` or `decode_members` of one
    network, and nothing that depends on positions comes before, between or after them. An uncertainty that holds to this
    sets `tileable`. One that mirrors, resizes or shifts the image, or that averages densities, leaves it False: images
    that need tiles are then refused, instead of being counted differently.

    Attributes:
      tileable: Whether tiles give the samples of the whole image, see "Tiling".
      shard: Whether the devices share the networks among them, each seeing the whole batch, instead of sharing the batch.
        An uncertainty that sets it has a field `members`, the number of networks.
    """

    tileable: ClassVar[bool] = False
    # Without an annotation: an inherited field would come before the fields of the subclass.
    shard = False

    def collections(self, key: jax.Array, model: Any) -> dict[str, Any]:
        """Return the variables beside the parameters, {collection: tree}, drawn once and kept in the checkpoint.

        Args:
          key: random key; equal keys give equal variables. May use NumPy, because it is not traced.
          model: a model of `cc_jax/models`.
        """
        del key, model
        return {}

    def keys(self, key: jax.Array) -> jax.Array:
        """Return the keys that parameters are made from: `each(init)(keys(key))` are those of all networks."""
        return key

    def each(self, function: Callable) -> Callable:
        """Lift a function of one network's arrays to the arrays of all networks."""
        return function

    def member(self, variables: dict, s: int) -> dict:
        """Return the variables of the network behind sample `s` of an evaluation."""
        del s
        return variables

    def draw(self, model: Any, variables: dict, image, roi, rng: jax.Array, *, train: bool) -> dict:
        """Draw samples of what the networks say of a batch. Pure.

        Args:
          model: a model of `cc_jax/models`.
          variables: the variables of all networks and those of `collections`.
          image: RGB, 0 to 255, [B, H, W, 3].
          roi: region of interest [B, H, W, 1], positive inside.
          rng: random key; may be ignored.
          train: whether to draw the samples of a training step, or those of an evaluation.

        Returns:
          A dict with
            "density": output of `model.decode` [S, B, h, w, 1], with h = ceil(H / 8) and w = ceil(W / 8).
            "upside_down": logits of `model.classify` [S', B, K].
            "embedding": output of `model.embed` [S', B, C].
            "features": output of `model.encode` [S', B, h, w, C], not masked.
          S' is the number of networks. In training S equals S'.
        """
        raise TypeError(f"{type(self).__name__} defines no draw")


def unmasked(model: Any, variables: dict, features, roi) -> dict[str, jax.Array]:
    """Return what `draw` returns beside the density, for one network (S' = 1) and from features without a mask."""
    return {
        "upside_down": model.apply(variables, features, roi, method="classify")[None],
        "embedding": model.apply(variables, features, roi, method="embed")[None],
        "features": features[None],
    }
