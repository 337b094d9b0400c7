"""Conversion of published encoder weights into the one file that `config.model.pretrained` takes."""

from cc_jax.tools.convert_weights.conversion import ACCEPTED, convert

__all__ = ["ACCEPTED", "convert"]
