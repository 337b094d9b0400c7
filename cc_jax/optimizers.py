"""The optimizer and its schedule, from config fields."""

import dataclasses

import jax
import optax

from cc_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """Adam with decoupled weight decay, linear warm-up and a decaying schedule over the whole run.

    The schedule spans all stages, so that a method with rounds and one without see the same learning rates.
    """

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

    def transformation(self, steps: int) -> optax.GradientTransformation:
        """The optax transformation for a run of `steps` steps."""
        scaled = {
            "encoder": self._adam(steps, self.encoder_scale),
            "rest": self._adam(steps, 1.0),
        }
        parts = [optax.multi_transform(scaled, _labels)]
        if self.clip:
            parts.insert(0, optax.clip_by_global_norm(self.clip))
        return optax.chain(*parts)

    def _adam(self, steps: int, scale: float) -> optax.GradientTransformation:
        rate = self.rate(steps, self.learning_rate * scale)
        return optax.adamw(rate, weight_decay=self.weight_decay, mask=_is_kernel)

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
    """'encoder' for what lies under a module of that name, 'rest' for the others."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: "encoder" if any(getattr(k, "key", None) == "encoder" for k in path) else "rest",
        params,
    )


def _is_kernel(params):
    """Weight decay is for kernels; a bias that decays shifts every count."""
    return jax.tree.map(lambda x: x.ndim > 1, params)
