"""The binary masks of Masksembles (Durasov et al., CVPR 2021, and its supplementary material)."""

import jax
import numpy as np

from cc_jax.errors import ConfigError

# Attempts to draw masks that use the wanted number of channels.
_ATTEMPTS = 100_000


def masks(key: jax.Array | np.ndarray, channels: int, members: int, scale: float) -> np.ndarray:
    """Draw masks that all keep the same number of channels, so that each channel is kept by at least one of them.

    The algorithm of the supplement: each mask puts m = active(...) ones into int(m s) slots at random, and slots that no
    mask uses are removed. This is repeated until the expected number of slots remains. The s near `scale` is the one for
    which this number is `channels`. Activations are multiplied by the masks and not rescaled.

    Args:
      key: random key, or the words of one as a NumPy array where no JAX function may be called. Equal keys give equal
        masks.
      channels: width of the layer.
      members: number of masks.
      scale: how little the masks overlap, from 1 (all equal) to 6 (disjoint).

    Returns:
      Masks of 0 and 1, float32 [members, channels].

    Raises:
      ConfigError: for fewer than 10 channels, a scale outside of [1, 6], or when no s fits.
    """
    ones, slots = ones_and_slots(channels, members, scale)
    words = key if isinstance(key, np.ndarray) else np.asarray(jax.random.key_data(key))
    rng = np.random.default_rng(words.ravel())
    for _ in range(_ATTEMPTS):
        drawn = np.zeros((members, slots), np.float32)
        for row in drawn:
            row[rng.choice(slots, ones, replace=False)] = 1
        used = drawn.any(axis=0)
        if used.sum() == channels:
            return drawn[:, used]
    raise ConfigError(
        f"{members} masks of scale {scale} do not cover {channels} channels: change the scale a little"
    )


def ones_and_slots(channels: int, members: int, scale: float) -> tuple[int, int]:
    """Return how many channels each mask keeps, and into how many slots its ones are put.

    Raises:
      ConfigError: as `masks` does.
    """
    if channels < 10:
        raise ConfigError(
            f"Masksembles needs at least 10 channels, and the model's mask has {channels}: widen the model"
        )
    if not 1 <= scale <= 6:
        raise ConfigError(
            f"the scale of Masksembles is {scale}: it must be between 1 (equal masks) and 6 (disjoint masks)"
        )
    if members < 1:
        raise ConfigError(f"Masksembles has {members} members: it needs at least 1")
    ones = active(channels, members, scale)
    return ones, int(ones * _solve(channels, members, scale, ones))


def active(channels: int, members: int, scale: float) -> int:
    """Return the number of channels that each mask keeps."""
    return int(channels / (scale * _covered(members, scale)))


def _covered(members: int, scale: float) -> float:
    """Expected share of the slots that at least one mask uses, where each mask uses 1 / scale of them."""
    return 1 - (1 - 1 / scale) ** members


def _solve(channels: int, members: int, scale: float, ones: int) -> float:
    """The scale near `scale` for which the expected number of used slots, rounded down, is `channels`; by bisection."""
    low, high = max(0.8 * scale, 1.0), 1.2 * scale
    # More steps than a double has bits.
    for _ in range(100):
        middle = (low + high) / 2
        width = int(ones * middle * _covered(members, middle))
        if width == channels:
            return middle
        low, high = (low, middle) if width > channels else (middle, high)
    raise ConfigError(
        f"no {members} masks of scale {scale} fit {channels} channels: change the scale a little"
    )
