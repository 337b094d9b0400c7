"""The optimizer and its schedule, from config fields."""

import dataclasses

import jax
import optax
from optax.contrib import MuonDimensionNumbers, muon

from cc_jax.errors import ConfigError

NAMES = ("adamw", "muon")


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """AdamW or Muon with linear warm-up and a decaying schedule over the whole run.

    The schedule spans all stages, so that a method with rounds and one without see the same learning rates.
    """

    name: str  # "adamw"; or "muon" (Jordan et al. 2024) for hidden kernels and AdamW for the others
    learning_rate: float
    warmup_steps: int
    schedule: str  # "cosine" (to `final_scale` x the rate), "constant"
    final_scale: float
    weight_decay: float
    encoder_scale: float  # factor on the learning rate of a pretrained encoder's parameters
    clip: float  # global norm at which gradients are clipped, in the loss's units; 0: never
    ema: (
        float  # decay of the moving average of the parameters that is evaluated; 0: the parameters themselves
    )

    def __post_init__(self):
        if self.name not in NAMES:
            raise ConfigError(f"config.optimizer.name={self.name!r}: the optimizers are {', '.join(NAMES)}")

    def transformation(self, steps: int) -> optax.GradientTransformation:
        """The optax transformation for a run of `steps` steps."""
        rates = {
            "encoder": self.rate(steps, self.learning_rate * self.encoder_scale),
            "rest": self.rate(steps, self.learning_rate),
        }
        transforms = {}
        for group, rate in rates.items():
            transforms[f"{group} matrix"] = self._muon(rate) if self.name == "muon" else self._adamw(rate)
            transforms[group] = self._adamw(rate)
        parts = [optax.multi_transform(transforms, _labels)]
        if self.clip:
            parts.insert(0, optax.clip_by_global_norm(self.clip))
        return optax.chain(*parts)

    def _adamw(self, rate: optax.Schedule) -> optax.GradientTransformation:
        return optax.adamw(rate, weight_decay=self.weight_decay, mask=_is_kernel)

    def _muon(self, rate: optax.Schedule) -> optax.GradientTransformation:
        # Updates whose root mean square is the rate, as AdamW's first ones: one rate serves both.
        return muon(
            rate,
            weight_decay=self.weight_decay,
            consistent_rms=1.0,
            muon_weight_dimension_numbers=_matrices,
        )

    def rate(self, steps: int, peak: float) -> optax.Schedule:
        """The learning rate as a function of the step."""
        if self.schedule == "cosine":
            decay = optax.cosine_decay_schedule(
                peak, max(steps - self.warmup_steps, 1), alpha=self.final_scale
            )
        elif self.schedule == "constant":
            decay = optax.constant_schedule(peak)
        else:
            raise ConfigError(f"config.optimizer.schedule={self.schedule!r}: it is 'cosine' or 'constant'")
        warmup = max(self.warmup_steps, 1)
        warm = optax.linear_schedule(peak / warmup, peak, warmup)  # not from 0: the first step should move
        return optax.join_schedules([warm, decay], [self.warmup_steps])


def _labels(params):
    """'encoder' for what lies under a module of that name, 'rest' for the others; ' matrix' behind hidden kernels."""

    def label(path, x) -> str:
        names = [key.key for key in path if isinstance(key, jax.tree_util.DictKey)]
        group = "encoder" if "encoder" in names else "rest"
        # A depthwise kernel mixes no channels, and Muon is meant for what lies between input and output.
        matrix = x.ndim > 1 and not {"depthwise", "density", "logits"} & set(names)
        return f"{group} matrix" if matrix else group

    return jax.tree_util.tree_map_with_path(label, params)


def _matrices(params):
    """Each kernel as a matrix from all its inputs (taps x channels) to its outputs; nothing where it is masked."""

    def matrix(x) -> MuonDimensionNumbers | None:
        if isinstance(x, optax.MaskedNode):
            return None
        return MuonDimensionNumbers(tuple(range(x.ndim - 1)), x.ndim - 1)

    return jax.tree.map(matrix, params, is_leaf=lambda x: isinstance(x, optax.MaskedNode))


def _is_kernel(params):
    """Weight decay is for kernels; a bias that decays shifts every count."""
    return jax.tree.map(lambda x: x.ndim > 1, params)
