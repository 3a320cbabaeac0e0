"""supermask: masks, signs and supermasks of lottery tickets, in JAX."""

__version__ = "0.1.0"
