"""cc_jax: cross-domain crowd counting in JAX/Flax. `from cc_jax import Counter` counts people in images."""

__version__ = "0.3.0"
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cc_jax.counting.counter import Counter
    from cc_jax.uncertainty.masksembles_layer import Masksembles

__all__ = ["Counter", "Masksembles", "__version__"]


def __getattr__(name: str):
    # Imported on first use, so that `import cc_jax.data` (NumPy and OpenCV only) does not import JAX.
    if name == "Counter":
        from cc_jax.counting.counter import Counter

        return Counter
    if name == "Masksembles":
        from cc_jax.uncertainty.masksembles_layer import Masksembles

        return Masksembles
    raise AttributeError(f"module 'cc_jax' has no attribute {name!r}")
