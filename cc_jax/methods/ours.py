"""OURS (Liu, Durasov and Fua, CVPR 2022): upside-down self-supervision, then rounds of certain pseudo labels.

Stage 1 learns density on labelled source crops and perspective by telling upside-down target crops from upright
ones. Each round labels the target images with the network itself, keeps the labels that it is most certain of and
goes on training on source + pseudo-labelled target. What the paper leaves open is a field, its default stated in
configs/default.py.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from cc_jax import losses
from cc_jax.errors import ConfigError
from cc_jax.methods import base

RULES = ("absolute", "relative", "balanced", "stratified", "soft", "image", "none")


@dataclasses.dataclass(frozen=True)
class Method(base.Method):
    """Fields, beside those of every method:

    rounds: pseudo-label rounds after stage 1.
    round_share: share of all steps that the rounds take together.
    upside_down_weight: weight of the classification loss in stage 1.
    pseudo_weight: weight of the density loss on pseudo labels.
    rule: which labels are kept, see `select`.
    fraction: share of the cells (or, for `image`, of the images) that is kept.
    foreground: people per cell above which a cell is foreground, for `balanced` and `stratified`.
    tolerance: a round whose labels differ from the last round's by less, relative to their sum, ends the method.
    """

    rounds: int
    round_share: float
    upside_down_weight: float
    pseudo_weight: float
    rule: str
    fraction: float
    foreground: float
    tolerance: float

    def __post_init__(self):
        if self.rule not in RULES:
            raise ConfigError(f"config.method.ours.rule={self.rule!r}: the rules are {', '.join(RULES)}")
        if not 0 < self.fraction <= 1:
            raise ConfigError(f"config.method.ours.fraction={self.fraction}: it lies in (0, 1]")
        if not 0 <= self.round_share < 1 or self.rounds < 0:
            raise ConfigError("config.method.ours: round_share lies in [0, 1) and rounds is not negative")

    def stages(self) -> tuple[base.Stage, ...]:
        each = int(self.steps * self.round_share) // self.rounds if self.rounds else 0
        first = base.Stage("stage1", self.steps - each * self.rounds, self.learn, self.both)
        rounds = [base.Stage(f"round{r + 1}", each, self.refine, self.relabel) for r in range(self.rounds)]
        return (first, *(stage for stage in rounds if stage.steps))

    def learn(self, state, batch, rng, draw):
        """Stage 1: density on source crops, upside-down on target crops (half of them flipped, on the device, last)."""
        count_rng, flip_rng, class_rng = jax.random.split(rng, 3)
        target = batch["target"]
        flipped = jax.random.permutation(flip_rng, jnp.arange(target["image"].shape[0]) % 2 == 0)
        image, roi = (flip_rows(target[name], flipped) for name in ("image", "roi"))

        def loss(params):
            variables = state.variables(params)
            density = self.density_loss(draw, variables, batch["source"], count_rng)
            logits = draw(variables, image, roi, class_rng, train=True)["upside_down"]
            upside_down, accuracy = losses.upside_down(logits, flipped)
            total = density + self.upside_down_weight * upside_down
            return total, {
                "density_loss": density,
                "upside_down_loss": upside_down,
                "upside_down_accuracy": accuracy,
            }

        (value, metrics), grads = jax.value_and_grad(loss, has_aux=True)(state.params["counter"])
        return state.descend("counter", grads), {"loss": value, **metrics}

    def refine(self, state, batch, rng, draw):
        """A round: density on source crops and on pseudo-labelled target crops."""
        source_rng, target_rng = jax.random.split(rng)

        def loss(params):
            variables = state.variables(params)
            density = self.density_loss(draw, variables, batch["source"], source_rng)
            pseudo = self.density_loss(draw, variables, batch["target"], target_rng)
            return density + self.pseudo_weight * pseudo, {"density_loss": density, "pseudo_loss": pseudo}

        (value, metrics), grads = jax.value_and_grad(loss, has_aux=True)(state.params["counter"])
        return state.descend("counter", grads), {"loss": value, **metrics}

    def both(self, state, sets, predict):
        """Labelled source and unlabelled target."""
        base.require_labels(sets["source"], "config.source")
        return sets

    def relabel(self, state, sets, predict):
        """The target images, labelled by the network as it is now; None once the labels no longer move."""
        target = sets["target"]
        predictions = [(p.id, p.samples) for p in predict(state, target.examples)]
        pseudo = select(predictions, rule=self.rule, fraction=self.fraction, foreground=self.foreground)
        if target.pseudo is not None and moved(target.pseudo, pseudo) < self.tolerance:
            return None
        return {**sets, "target": dataclasses.replace(target, pseudo=pseudo)}


def flip_rows(image_BxHxWxC: jax.Array, flipped_B: jax.Array) -> jax.Array:
    """Turns the flagged images upside down."""
    return jnp.where(flipped_B[:, None, None, None], image_BxHxWxC[:, ::-1], image_BxHxWxC)


def select(
    predictions: list[tuple[str, np.ndarray]], *, rule: str, fraction: float, foreground: float
) -> base.PseudoLabels:
    """Pseudo labels from samples [S, h, w] of people per cell: the mean over S, and a weight from 0 to 1 for each cell.

    The rules, by the spread (standard deviation over S):
      absolute: in each image the `fraction` of the cells with the smallest spread. Nearly all empty background.
      relative: the same by spread / mean.
      balanced: the same by spread, among the cells above `foreground` and among the others apart.
      stratified: the same by spread, among cells of like density: the background, then half octaves above `foreground`,
        each over all images together. The spread grows with the density, so without strata sparse cells are kept and
        dense ones dropped, and counts fall from round to round. Ours, not the paper's.
      soft: all cells, weighted by an inverse variance within those strata: 1 / (1 + (spread / its median there)^2).
      image: the whole images with the smallest relative spread of their count, `fraction` of them.
      none: everything. So do all rules where there is one sample, which has no spread to choose by.
    """
    if predictions and len(predictions[0][1]) == 1:
        rule = "none"
    if rule == "image":
        spread = [_relative(s.sum((1, 2)).std(), s.sum((1, 2)).mean()) for _, s in predictions]
        keep = _smallest(np.asarray(spread), fraction)
        return {
            i: (s.mean(0), np.ones(s.shape[1:], np.float32))
            for (i, s), k in zip(predictions, keep, strict=True)
            if k
        }
    if rule in ("stratified", "soft"):
        weigh = _inverse_variance if rule == "soft" else functools.partial(_smallest, fraction=fraction)
        weights = _by_stratum([s for _, s in predictions], weigh, foreground)
        return {i: (s.mean(0), w) for (i, s), w in zip(predictions, weights, strict=True)}
    return {i: (s.mean(0), _weight(s, rule, fraction, foreground)) for i, s in predictions}


def _weight(samples_SxHxW: np.ndarray, rule: str, fraction: float, foreground: float) -> np.ndarray:
    mean, spread = samples_SxHxW.mean(0), samples_SxHxW.std(0)
    if rule == "none":
        keep = np.ones(mean.shape, bool)
    elif rule == "relative":
        keep = _smallest(_relative(spread, mean), fraction)
    elif rule == "absolute":
        keep = _smallest(spread, fraction)
    else:  # balanced
        keep = np.zeros(mean.shape, bool)
        for part in (mean > foreground, mean <= foreground):
            keep[part] = _smallest(spread[part], fraction)
    return keep.astype(np.float32)


def _by_stratum(samples: list[np.ndarray], weigh: Callable, foreground: float) -> list[np.ndarray]:
    """A weight for each cell of each image: `weigh(spreads)` of every stratum of density, over all images together."""
    mean, spread = (np.concatenate([of(s, axis=0).ravel() for s in samples]) for of in (np.mean, np.std))
    half_octaves = np.ceil(2 * np.log2(np.maximum(mean / foreground, 1)))  # 0: background
    weight = np.zeros(mean.shape, np.float32)
    for stratum in np.unique(half_octaves):
        members = np.flatnonzero(half_octaves == stratum)
        weight[members] = weigh(spread[members])
    ends = np.cumsum([s[0].size for s in samples])[:-1]
    return [part.reshape(s.shape[1:]) for part, s in zip(np.split(weight, ends), samples, strict=True)]


def _inverse_variance(spread: np.ndarray) -> np.ndarray:
    """1 / (1 + (spread / median)^2): half at the median, never more than 1."""
    return 1 / (1 + (spread / max(float(np.median(spread)), 1e-9)) ** 2)


def _relative(spread, mean):
    """Spread over mean; the floor, far below a person's share of a cell, keeps empty cells finite."""
    return spread / np.maximum(mean, 1e-4)


def _smallest(values: np.ndarray, fraction: float) -> np.ndarray:
    """True for the round(fraction x n) smallest values, ties by position, so that the share is exact."""
    order = np.argsort(values, axis=None, kind="stable")
    keep = np.zeros(values.size, bool)
    keep[order[: round(fraction * values.size)]] = True
    return keep.reshape(values.shape)


def moved(old: base.PseudoLabels, new: base.PseudoLabels) -> float:
    """How far the labels of two rounds lie apart: sum of absolute differences over the sum of the old.

    An image that only one of the rounds kept counts with its whole label.
    """
    difference = total = 0.0
    for i in {*old, *new}:
        a, b = (labels[i][0] if i in labels else np.float32(0) for labels in (old, new))
        difference += float(np.abs(a - b).sum())
        total += float(np.sum(a))
    return difference / max(total, 1e-9)
