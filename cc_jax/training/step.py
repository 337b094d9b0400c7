"""The metrics of train steps, summed on the device."""

import flax.struct
import jax
import jax.numpy as jnp


@flax.struct.dataclass
class Means:
    """Sums of scalar metrics that merge and divide once."""

    total: dict[str, jax.Array]
    steps: jax.Array

    @classmethod
    def of(cls, metrics: dict[str, jax.Array]) -> "Means":
        """The sums of one step."""
        return cls(total=jax.tree.map(jnp.float32, metrics), steps=jnp.int32(1))

    def merge(self, other: "Means") -> "Means":
        """The sums of both."""
        return jax.tree.map(jnp.add, self, other)

    def compute(self) -> dict[str, float]:
        """Means over the steps, as plain floats (waits for the device)."""
        total, steps = jax.device_get((self.total, self.steps))
        return {name: float(value) / float(steps) for name, value in total.items()}
