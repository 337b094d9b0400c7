"""The counter's optimizer and its learning rate schedule, from the fields of `config.optimizer`."""

import dataclasses

import jax
import optax
from optax.contrib import MuonDimensionNumbers, muon

from cc_jax.errors import ConfigError

NAMES = ("adamw", "muon")


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """AdamW or Muon, with a linear warm-up and a schedule over the whole run.

    The schedule spans all stages, so that methods with one stage and methods with several see the same learning rates.

    Attributes:
      name: "adamw", or "muon" (Jordan et al., 2024) for hidden kernels with AdamW for all other parameters.
      learning_rate: the rate after the warm-up.
      warmup_steps: the steps in which the rate grows to it.
      schedule: "cosine", which ends at `final_scale` times the rate, or "constant".
      final_scale: see `schedule`.
      weight_decay: of kernels; biases do not decay.
      encoder_scale: a factor on the learning rate of the encoder.
      clip: the global norm at which gradients are clipped, in the units of the loss; 0: they are not clipped.
      ema: the decay of the moving average that is evaluated; 0: the parameters themselves are evaluated.
    """

    name: str
    learning_rate: float
    warmup_steps: int
    schedule: str
    final_scale: float
    weight_decay: float
    encoder_scale: float
    clip: float
    ema: float

    def __post_init__(self):
        if self.name not in NAMES:
            raise ConfigError(f"config.optimizer.name={self.name!r}: the optimizers are {', '.join(NAMES)}")

    def transformation(self, steps: int) -> optax.GradientTransformation:
        """Return the optax transformation for a run of `steps` steps."""
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
        # With `consistent_rms` the updates have the rate as their root mean square, like AdamW's first ones. One learning
        # rate then suits both.
        return muon(
            rate,
            weight_decay=self.weight_decay,
            consistent_rms=1.0,
            muon_weight_dimension_numbers=_matrices,
        )

    def rate(self, steps: int, peak: float) -> optax.Schedule:
        """Return the learning rate as a function of the step, for a run of `steps` steps."""
        if self.schedule == "cosine":
            decay = optax.cosine_decay_schedule(
                peak, max(steps - self.warmup_steps, 1), alpha=self.final_scale
            )
        elif self.schedule == "constant":
            decay = optax.constant_schedule(peak)
        else:
            raise ConfigError(f"config.optimizer.schedule={self.schedule!r}: it is 'cosine' or 'constant'")
        warmup = max(self.warmup_steps, 1)
        # It does not begin at 0, so that the first step already changes the parameters.
        warm = optax.linear_schedule(peak / warmup, peak, warmup)
        return optax.join_schedules([warm, decay], [self.warmup_steps])


def _labels(params):
    """The group of each parameter: "encoder" or "rest", with " matrix" appended for hidden kernels.

    "encoder" is what lies in a module of that name.
    """

    def label(path, x) -> str:
        names = [key.key for key in path if isinstance(key, jax.tree_util.DictKey)]
        group = "encoder" if "encoder" in names else "rest"
        # Muon is meant for hidden layers that mix channels: not for the outputs, nor for depthwise kernels.
        matrix = x.ndim > 1 and not {"depthwise", "density", "logits"} & set(names)
        return f"{group} matrix" if matrix else group

    return jax.tree_util.tree_map_with_path(label, params)


def _matrices(params):
    """How Muon reads each kernel as a matrix: from all inputs (window x channels) to the outputs. None if it is masked."""

    def matrix(x) -> MuonDimensionNumbers | None:
        if isinstance(x, optax.MaskedNode):
            return None
        return MuonDimensionNumbers(tuple(range(x.ndim - 1)), x.ndim - 1)

    return jax.tree.map(matrix, params, is_leaf=lambda x: isinstance(x, optax.MaskedNode))


def _is_kernel(params):
    """Which parameters decay: kernels. A bias that decays would shift every count."""
    return jax.tree.map(lambda x: x.ndim > 1, params)
