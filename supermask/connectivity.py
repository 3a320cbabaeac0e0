"""Linear mode connectivity: accuracy along the straight line between two trained networks.

Two networks are linearly connected if no network on the line between them is much worse than they are. Frankle et al.
2020 (arXiv 1912.05671): a training is *stable* to the order of its data if two runs from one start, with other orders,
end connected.
"""

from collections.abc import Sequence
from typing import TypeVar

import jax
import numpy as np
from jaxtyping import Float, PyTree

Tree = TypeVar("Tree", bound=PyTree)

PLACES = tuple(step / 10 for step in range(11))
"""Places on the line: 0 is the first network, 1 the second. The paper takes 30."""


def on_line(first: Tree, second: Tree, places: Sequence[float] = PLACES) -> list[Tree]:
    """Return the networks at those places of the line from one network's parameters to another's.

    Each leaf is (1 - place) · first + place · second, in its own type; the ends are the networks themselves, to the
    bit. Raises ValueError for trees of other structures or shapes, and for places outside 0 to 1.
    """
    shapes = [jax.tree.map(np.shape, tree) for tree in (first, second)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"second has parameters of shapes {shapes[1]}; allowed: those of first, {shapes[0]}")
    if outside := [place for place in places if not 0 <= place <= 1]:
        raise ValueError(f"places has {outside[0]}; allowed: 0 to 1")
    ends: dict[float, Tree] = {0: first, 1: second}
    return [ends[place] if place in ends else _between(first, second, place) for place in places]


def _between(first: Tree, second: Tree, place: float) -> Tree:
    mixed: Tree = jax.tree.map(
        lambda one, other: np.asarray((1 - place) * one + place * other, np.asarray(one).dtype), first, second
    )
    return mixed


def error_barrier(accuracies: Float[np.ndarray, " places"] | Sequence[float]) -> float:
    """Return the highest error on a line minus the mean error of its ends, as a fraction; 0 is no barrier.

    accuracies: from the first network to the second. Frankle et al. 2020 call it the instability; below
    0.02 a training counts as stable. Raises ValueError for fewer than two, and for what is no fraction.
    """
    line = np.asarray(accuracies, np.float64)
    if line.ndim != 1 or line.size < 2:
        raise ValueError(f"accuracies has shape {line.shape}; allowed: two or more, from one end to the other")
    if not (are := (line >= 0) & (line <= 1)).all():
        raise ValueError(f"accuracies has {line[~are][0]:g}; allowed: fractions from 0 to 1")
    return float((line[0] + line[-1]) / 2 - line.min())
