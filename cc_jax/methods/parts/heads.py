"""Small networks that methods put on the counter's features."""

import flax.linen as nn
from jaxtyping import Array, Float


def merge_members(features: Float[Array, "s b h w c"]) -> Float[Array, "s*b h w c"]:
    """Merge the axis of the members into that of the batch."""
    return features.reshape(-1, *features.shape[2:])


class CrowdMask(nn.Module):
    """A logit for each cell: whether there are people in it."""

    hidden: int = 64

    @nn.compact
    def __call__(self, features: Float[Array, "b h w c"]) -> Float[Array, "b h w 1"]:
        x = nn.relu(nn.Conv(self.hidden, (3, 3), name="hidden")(features))
        return nn.Conv(1, (1, 1), name="logits")(x)


class FeatureCritic(nn.Module):
    """A logit for each neighbourhood of cells: whether its features come from the source (positive) or the target."""

    hidden: int = 64

    @nn.compact
    def __call__(self, features: Float[Array, "b h w c"]) -> Float[Array, "b p q 1"]:
        x = features
        for i in range(2):
            x = nn.leaky_relu(nn.Conv(self.hidden, (3, 3), (2, 2), name=f"conv{i}")(x), 0.2)
        return nn.Conv(1, (1, 1), name="logits")(x)


class CellCritic(nn.Module):
    """A logit for each single cell: whether its features come from the source (positive) or the target."""

    hidden: int = 64

    @nn.compact
    def __call__(self, features: Float[Array, "b h w c"]) -> Float[Array, "b h w 1"]:
        x = nn.leaky_relu(nn.Dense(self.hidden, name="hidden0")(features), 0.2)
        x = nn.leaky_relu(nn.Dense(self.hidden, name="hidden1")(x), 0.2)
        return nn.Dense(1, name="logits")(x)
