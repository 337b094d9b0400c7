"""Gaussian process regression on the nearest known points."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def posterior(
    query: Float[Array, "n d"], known: Float[Array, "m d"], *, neighbours: int, length: float, noise: float
) -> tuple[Float[Array, "n d"], Float[Array, " n"]]:
    """Return the posterior (mean, variance) at each query; the process takes the known points as its own values there.

    Each query is conditioned on its `neighbours` nearest known points l only: the mean is K_ql (K_ll + noise^2 I)^-1 Z_l
    and the variance 1 + noise^2 - K_ql (K_ll + noise^2 I)^-1 K_lq, with the kernel exp(-|a - b|^2 / (2 length^2)).
    """
    squared = _squared_distances(query, known)
    nearest = jax.lax.top_k(-jax.lax.stop_gradient(squared), neighbours)[1]

    def one(q, z):
        cross = _kernel(_squared_distances(q[None], z), length)[0]
        gram = _kernel(_squared_distances(z, z), length) + noise**2 * jnp.eye(neighbours)
        factor = jax.scipy.linalg.cho_factor(gram)
        mean = cross @ jax.scipy.linalg.cho_solve(factor, z)
        return mean, 1 + noise**2 - cross @ jax.scipy.linalg.cho_solve(factor, cross)

    return jax.vmap(one)(query, known[nearest])


def _kernel(squared: Array, length: float) -> Array:
    return jnp.exp(-squared / (2 * length**2))


def _squared_distances(a: Float[Array, "n d"], b: Float[Array, "m d"]) -> Float[Array, "n m"]:
    return jnp.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T, 0.0)
