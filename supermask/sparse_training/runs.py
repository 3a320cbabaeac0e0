"""Description of one sparse training: its method, density, start and optimiser.

Besides the methods there are two controls of equal size: a small dense network, and the final structure of a dynamic
method, trained from scratch as a static mask.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import optax

from supermask.counts import settle_numbers
from supermask.live_weights import Momentum
from supermask.networks import FeedForward
from supermask.sparse_training import METHODS
from supermask.sparse_training.densities import DISTRIBUTIONS

SMALL_DENSE = "small_dense"
SMALL_SHAPES = ("proportional", "equal", "widening")
"""Ways to narrow the hidden layers of a small dense network: see `small_dense`."""
STARTS = ("initial", "fresh", "trained")
RECIPE_METHOD = "magnitude_pruning"
"""The method whose counts may come from a recipe."""
MOMENTUM, WEIGHT_DECAY = 0.9, 1e-4


@dataclass(frozen=True)
class SparseRun:
    """One sparse training, independent of seed and protocol. The default is static training of a dense network.

    method: a name in `METHODS`, or 'small_dense': a dense network with as many weights and narrower hidden layers.
    density: live weights over all weights of the full network.
    distribution: how layers share them, a name in `DISTRIBUTIONS`; for magnitude pruning also the name of a recipe that
        gives each layer's count. '' is replaced by the method's default.
    structure: the method whose final mask a static training from scratch uses; '' for none.
    start: 'initial' for the seed's own initial weights, 'fresh' for another draw, 'trained' for the dense network's.
    shape: shape of a small dense network, a name in `SMALL_SHAPES`.
    """

    method: str = "static"
    density: float = 1.0
    distribution: str = ""
    structure: str = ""
    start: str = "initial"
    shape: str = SMALL_SHAPES[0]

    def __post_init__(self) -> None:
        allowed: Mapping[str, tuple[str, ...]] = {
            "method": (*METHODS, SMALL_DENSE),
            "distribution": ("", *DISTRIBUTIONS, *((self.distribution,) if self.method == RECIPE_METHOD else ())),
            "structure": ("", *METHODS),
            "start": STARTS,
            "shape": SMALL_SHAPES,
        }
        for name, choices in allowed.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed: {', '.join(map(repr, choices))}")
        settle_numbers(self, "density")
        if not 0 < self.density <= 1:
            raise ValueError(f"density is {self.density}; allowed: 0 < density <= 1")
        if self.structure and self.method != "static":
            raise ValueError(f"structure is {self.structure!r} for method {self.method!r}; allowed for static alone")
        if self.shape != SMALL_SHAPES[0] and self.method != SMALL_DENSE:
            raise ValueError(f"shape is {self.shape!r} for method {self.method!r}; allowed for {SMALL_DENSE} alone")
        if not self.distribution:
            entry = METHODS.get(self.structure or self.method)
            object.__setattr__(self, "distribution", entry.distribution if entry else "erk")

    @property
    def source(self) -> "SparseRun | None":
        """The run whose final structure or weights this one starts from."""
        if self.structure:
            return SparseRun(self.structure, self.density, self.distribution)
        return SparseRun() if self.start == "trained" else None


def sgd_cosine(learning_rate: float, steps: int) -> Momentum:
    """Return SGD with momentum and weight decay, whose rate decays to 0 along half a cosine: the same for all methods.

    The papers of DSR, sparse momentum and DNW use this optimiser, with rates that fall in steps or along a cosine.
    """
    return Momentum(optax.cosine_decay_schedule(learning_rate, max(steps, 1)), MOMENTUM, WEIGHT_DECAY)


def sgd_in_steps(learning_rate: float, steps: int) -> optax.GradientTransformation:
    """Return the same with a rate cut to a tenth after half and after three quarters of the steps, as in DNW's code."""
    cuts = {steps // 2: 0.1, 3 * steps // 4: 0.1} if steps > 3 else {}
    schedule = optax.piecewise_constant_schedule(learning_rate, cuts)
    return optax.chain(optax.add_decayed_weights(WEIGHT_DECAY), optax.sgd(schedule, momentum=MOMENTUM))


SCHEDULES = ("cosine", "steps")
_SGD = f"sgd, momentum {MOMENTUM:g}, weight decay {WEIGHT_DECAY:g}"
SGD_COSINE = f"{_SGD}, cosine"
"""Name of `sgd_cosine` in descriptions of results."""
SGD_STEPS = f"{_SGD}, a tenth after 1/2 and 3/4"
"""Name of `sgd_in_steps` in descriptions of results."""


@cache
def small_dense(
    network: FeedForward, image_shape: tuple[int, int, int], weights: int, shape: str = SMALL_SHAPES[0]
) -> FeedForward:
    """Return the network with hidden layers narrowed to fit `weights` kernel weights; at least one unit per layer.

    shape: 'proportional' narrows all hidden layers in one proportion, which leaves few units in the last ones if there
    are few weights; 'equal' makes them equally wide; 'widening' gives the first layer its width under 'equal' and makes
    the others as wide as the remaining weights allow.

    Raises ValueError for a network with convolutions, whose size depends on channels, and for an unknown shape.
    """
    if network.convolutional:
        raise ValueError("network has convolutions; a small dense network of equal size is made of dense ones alone")
    if shape not in SMALL_SHAPES:
        raise ValueError(f"shape is {shape!r}; allowed: {', '.join(SMALL_SHAPES)}")
    others = len(network.hidden) - 1

    def proportional(first: int) -> tuple[int, ...]:
        return tuple(max(1, round(units * first / network.hidden[0])) for units in network.hidden)

    def widest(hidden_of: Callable[[int], tuple[int, ...]], limit: int) -> tuple[int, ...]:
        best = hidden_of(1)
        for units in range(2, limit + 1):
            sizes = (math.prod(image_shape), *hidden_of(units), network.classes)
            if sum(inputs * outputs for inputs, outputs in pairwise(sizes)) > weights:
                break
            best = hidden_of(units)
        return best

    if shape == "proportional":
        return replace(network, hidden=widest(proportional, network.hidden[0]))
    equal = widest(lambda units: (units,) * (1 + others), network.hidden[0])
    if shape == "equal" or not others:
        return replace(network, hidden=equal)
    return replace(network, hidden=widest(lambda units: (equal[0], *(units,) * others), max(network.hidden)))
