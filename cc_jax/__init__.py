"""cc_jax: cross-domain crowd counting in JAX/Flax. `from cc_jax import Counter` counts people in images."""

__version__ = "0.2.0"

__all__ = ["Counter"]


def __getattr__(name: str):
    # Lazy, so that `import cc_jax.data` (NumPy and OpenCV only) does not pay for JAX.
    if name == "Counter":
        from cc_jax.counting.counter import Counter

        return Counter
    raise AttributeError(f"module 'cc_jax' has no attribute {name!r}")
