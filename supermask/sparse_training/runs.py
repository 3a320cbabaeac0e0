"""What a sparse training is, in a word: its method, how sparse, where it starts, and its optimiser.

Besides the methods of the registry there are two controls of equal size: a small dense network, and the structure that
a dynamic method ended with, trained from scratch as a static one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import optax

from supermask.networks import FeedForward, parameter_count
from supermask.sparse_training import METHODS
from supermask.sparse_training.densities import DISTRIBUTIONS

SMALL_DENSE = "small_dense"
STARTS = ("initial", "fresh", "trained")
RECIPE_NAMES = ("paper", "further")
MOMENTUM, WEIGHT_DECAY = 0.9, 1e-4


@dataclass(frozen=True)
class SparseRun:
    """One sparse training, but for its seed and protocol. The default is static training of a dense network.

    method: a name in `METHODS`, or 'small_dense': a dense network with as many weights, its hidden layers narrower.
    density: live weights over all weights, of the network as it is.
    distribution: how layers share them, a name in `DISTRIBUTIONS`; or a recipe of Deep Compression, in
        `RECIPE_NAMES`.
    structure: the method whose final mask is taken for a static training from scratch; '' for none.
    start: 'initial' for the seed's own initial weights, 'fresh' for another draw, 'trained' for the dense network's.

    Raises ValueError where a value is not allowed.
    """

    method: str = "static"
    density: float = 1.0
    distribution: str = "erk"
    structure: str = ""
    start: str = "initial"

    def __post_init__(self) -> None:
        allowed: Mapping[str, tuple[str, ...]] = {
            "method": (*METHODS, SMALL_DENSE),
            "distribution": (*DISTRIBUTIONS, *RECIPE_NAMES),
            "structure": ("", *METHODS),
            "start": STARTS,
        }
        for name, choices in allowed.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed: {', '.join(map(repr, choices))}")
        if not 0 < self.density <= 1:
            raise ValueError(f"density is {self.density}; allowed: 0 < density <= 1")
        if self.structure and self.method != "static":
            raise ValueError(f"structure is {self.structure!r} for method {self.method!r}; allowed for static alone")

    @property
    def source(self) -> "SparseRun | None":
        """The run whose final structure, or weights, this one starts with."""
        if self.structure:
            return SparseRun(self.structure, self.density, self.distribution)
        return SparseRun() if self.start == "trained" else None


def sgd_cosine(learning_rate: float, steps: int) -> optax.GradientTransformation:
    """SGD with momentum and weight decay, its rate falling to 0 along half a cosine: the same for all methods.

    The optimiser of the papers of DSR, sparse momentum and DNW, whose rates fall in steps, or along a cosine.
    """
    schedule = optax.cosine_decay_schedule(learning_rate, max(steps, 1))
    return optax.chain(optax.add_decayed_weights(WEIGHT_DECAY), optax.sgd(schedule, momentum=MOMENTUM))


SGD_COSINE = f"sgd, momentum {MOMENTUM:g}, weight decay {WEIGHT_DECAY:g}, cosine"
"""What descriptions of results call it."""


@cache
def small_dense(network: FeedForward, image_shape: tuple[int, int, int], weights: int) -> FeedForward:
    """The network with hidden layers narrowed in one proportion, as wide as `weights` kernel weights allow.

    At least one unit a layer. Raises ValueError for a network with convolutions, whose size channels decide.
    """
    if network.convolutional:
        raise ValueError("network has convolutions; a small dense network of equal size is made of dense ones alone")
    best = FeedForward(hidden=tuple(1 for _ in network.hidden), classes=network.classes)
    for first in range(1, network.hidden[0] + 1):
        hidden = tuple(max(1, round(units * first / network.hidden[0])) for units in network.hidden)
        candidate = FeedForward(hidden=hidden, classes=network.classes)
        if parameter_count(candidate, image_shape) - sum(hidden) - network.classes > weights:
            break
        best = candidate
    return best


def config_of(method: str) -> Any:
    """The method's configuration: its published choices."""
    return METHODS[method].config()
