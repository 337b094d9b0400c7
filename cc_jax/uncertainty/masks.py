"""Binary masks of Masksembles (Durasov et al., CVPR 2021, and its supplementary material), from an explicit key."""

import jax
import numpy as np

from cc_jax.errors import ConfigError

_DRAWS = 100_000


def masks(key: jax.Array | np.ndarray, channels: int, members: int, scale: float) -> np.ndarray:
    """`members` masks with equally many ones, every channel used by one of them at least -> float32 [members, channels].

    The supplement's algorithm: m = active(...) ones are thrown among int(m s) slots, slots that no mask uses drop
    out, and this is repeated until the expected number of slots is left; s near `scale` is the one for which that
    number is `channels`. Activations are to be multiplied by the masks and not rescaled. `key` is a JAX key, or the words
    of one as a NumPy array where no JAX function may be called.

    Raises ConfigError for fewer than 10 channels, a scale outside [1, 6], or when no s fits.
    """
    ones, slots = ones_and_slots(channels, members, scale)
    words = key if isinstance(key, np.ndarray) else np.asarray(jax.random.key_data(key))
    rng = np.random.default_rng(words.ravel())
    for _ in range(_DRAWS):
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
    """How many channels each mask keeps, and among how many slots they are thrown.

    Raises ConfigError as `masks` does.
    """
    if channels < 10:
        raise ConfigError(
            f"Masksembles needs at least 10 channels, the model's mask has {channels}: widen the model"
        )
    if not 1 <= scale <= 6:
        raise ConfigError(
            f"the scale of Masksembles is {scale}; it lies between 1 (equal masks) and 6 (disjoint ones)"
        )
    if members < 1:
        raise ConfigError(f"Masksembles has {members} members; it needs at least 1")
    ones = active(channels, members, scale)
    return ones, int(ones * _solve(channels, members, scale, ones))


def active(channels: int, members: int, scale: float) -> int:
    """How many channels each mask keeps."""
    return int(channels / (scale * _covered(members, scale)))


def _covered(members: int, scale: float) -> float:
    """Share of the slots that at least one of the masks uses, as each uses 1 / scale of them."""
    return 1 - (1 - 1 / scale) ** members


def _solve(channels: int, members: int, scale: float, ones: int) -> float:
    """The scale near `scale` at which the rounded expected width is `channels`, by bisection."""
    low, high = max(0.8 * scale, 1.0), 1.2 * scale
    for _ in range(100):  # more than a double has bits
        middle = (low + high) / 2
        width = int(ones * middle * _covered(members, middle))
        if width == channels:
            return middle
        low, high = (low, middle) if width > channels else (middle, high)
    raise ConfigError(
        f"no {members} masks of scale {scale} fit {channels} channels: change the scale a little"
    )
