"""Small networks that methods put on the counter's features."""

import flax.linen as nn
from jaxtyping import Array, Float


class CrowdMask(nn.Module):
    """Whether there are people in each cell, from the features there: a logit."""

    hidden: int = 64

    @nn.compact
    def __call__(self, features: Float[Array, "b h w c"]) -> Float[Array, "b h w 1"]:
        x = nn.relu(nn.Conv(self.hidden, (3, 3), name="hidden")(features))
        return nn.Conv(1, (1, 1), name="logits")(x)


class FeatureCritic(nn.Module):
    """Which domain the features around each cell come from: a logit, above 0 the source."""

    hidden: int = 64

    @nn.compact
    def __call__(self, features: Float[Array, "b h w c"]) -> Float[Array, "b p q 1"]:
        x = features
        for i in range(2):
            x = nn.leaky_relu(nn.Conv(self.hidden, (3, 3), (2, 2), name=f"conv{i}")(x), 0.2)
        return nn.Conv(1, (1, 1), name="logits")(x)


class CellCritic(nn.Module):
    """Which domain the features of each cell come from, whatever is beside it: a logit, above 0 the source."""

    hidden: int = 64

    @nn.compact
    def __call__(self, features: Float[Array, "b h w c"]) -> Float[Array, "b h w 1"]:
        x = nn.leaky_relu(nn.Dense(self.hidden, name="hidden0")(features), 0.2)
        x = nn.leaky_relu(nn.Dense(self.hidden, name="hidden1")(x), 0.2)
        return nn.Dense(1, name="logits")(x)
