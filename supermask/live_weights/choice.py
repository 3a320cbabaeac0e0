"""Whether a training takes its steps on live weights alone: the one place where the crossover stands."""

DENSEST = 0.6
"""The fraction of weights that is live, at most, where steps on live weights are faster than XLA's dense products.

Measured on FC with batches of 60 and a network on each core: both take as long at 50 to 72%, by the machine. In between
they differ by a fifth at most.
"""

WORTHWHILE = 2e7
"""Weights × steps from which it pays: dense, they take some hundredths of a second, and a study has many trainings."""


def sparse_enough(weights: int, live: int) -> bool:
    """Whether a step on the live weights alone is faster than one of the dense network."""
    return live <= DENSEST * weights


def pays(weights: int, live: int, steps: int) -> bool:
    """Whether a training of so many steps pays, of a network that has so many weights, of which so many are live."""
    return sparse_enough(weights, live) and weights * steps >= WORTHWHILE
