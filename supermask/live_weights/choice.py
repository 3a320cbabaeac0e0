"""Decides whether a training takes its steps on live weights alone; the crossover is defined only here."""

from typing import Any

import numpy as np

from supermask.networks import Network
from supermask.population import Placement

DENSEST = 0.6
"""Largest fraction of live weights at which steps on them are faster than XLA's dense products.

Measured on FC with batches of 60 and one network per core: both take equally long at 50 to 72%, depending on the
machine. In that range they differ by at most a fifth.
"""

WORTHWHILE = 2e7
"""Weights × steps from which it pays: they take a few hundredths of a second as dense steps."""


def serves(network: Network, placement: Placement, dtype: np.dtype[Any]) -> bool:
    """Return whether the engine can train the network: dense layers alone, one network at a time, bytes as pixels."""
    return bool(network.dense_layers) and placement.one_at_a_time and dtype == np.uint8


def sparse_enough(weights: int, live: int) -> bool:
    """Return whether a step on the live weights alone is faster than one of the dense network."""
    return live <= DENSEST * weights


def pays(weights: int, live: int, steps: int) -> bool:
    """Return whether live steps pay in `steps` steps of a network with `live` of its `weights` live."""
    return sparse_enough(weights, live) and weights * steps >= WORTHWHILE
