"""The sparse engine's optimisers, each as numbers for machine code and as the equivalent optax optimiser."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np
import optax
from jaxtyping import Float32, Int32, PyTree

from supermask.params import Params
from supermask.short import short

Rate = float | Callable[[Int32[np.ndarray, " steps"]], Any]
"""A learning rate, or a schedule as in optax: a function of the number of earlier steps (0 in the first step)."""


@short
@dataclass(frozen=True)
class Adam:
    """Adam by optax's formula and defaults (Kingma & Ba 2015, arXiv 1412.6980, algorithm 1)."""

    learning_rate: Rate
    decay: float = 0.9
    decay2: float = 0.999
    epsilon: float = 1e-8

    memory: ClassVar[tuple[str, ...]] = ("mu", "nu")

    @property
    def transformation(self) -> optax.GradientTransformation:
        """The same as an optax optimiser."""
        return optax.adam(self.learning_rate, self.decay, self.decay2, self.epsilon)


@short
@dataclass(frozen=True)
class Momentum:
    """SGD with momentum, and weight decay of weights and biases: optax.add_decayed_weights, then optax.sgd."""

    learning_rate: Rate
    momentum: float = 0.9
    weight_decay: float = 0.0

    memory: ClassVar[tuple[str, ...]] = ("trace",)

    @property
    def transformation(self) -> optax.GradientTransformation:
        """The same as an optax optimiser."""
        sgd = optax.sgd(self.learning_rate, momentum=self.momentum)
        return optax.chain(optax.add_decayed_weights(self.weight_decay), sgd)


Optimiser = Adam | Momentum
"""`memory` names the fields of optax's state that the optimiser keeps of every weight."""


@short
class Rule(NamedTuple):
    """An optimiser's numbers for some steps, in the form that machine code reads."""

    adam: bool
    settings: Float32[np.ndarray, " settings"]
    rates: Float32[np.ndarray, " steps"]
    corrections: Float32[np.ndarray, "steps 2"]


def rule_of(optimiser: Optimiser, taken: int, steps: int) -> Rule:
    """Return the numbers for `steps` steps after `taken` earlier ones."""
    at = np.arange(taken, taken + steps, dtype=np.int32)
    rate = optimiser.learning_rate
    rates = np.ascontiguousarray(np.broadcast_to(rate(at) if callable(rate) else rate, at.shape), np.float32)
    if isinstance(optimiser, Momentum):
        settings = np.array([optimiser.momentum, optimiser.weight_decay], np.float32)
        return Rule(False, settings, rates, np.zeros((0, 2), np.float32))
    decays = np.array([optimiser.decay, optimiser.decay2], np.float32)
    shares = 1 - np.array([optimiser.decay, optimiser.decay2])
    settings = np.array([decays[0], shares[0], decays[1], shares[1], optimiser.epsilon], np.float32)
    powers = decays ** (at[:, None] + 1).astype(np.float32)  # float32, as in optax
    return Rule(True, settings, rates, 1 / (np.float32(1) - powers))


def text_of(optimiser: Optimiser, steps: int) -> str:
    """Return a text that determines an optimiser's first `steps` steps to the last digit."""
    own = {field.name: getattr(optimiser, field.name) for field in fields(optimiser)}
    rates = rule_of(optimiser, 0, steps).rates if callable(optimiser.learning_rate) else optimiser.learning_rate
    return f"{type(optimiser).__name__}{own | {'learning_rate': np.asarray(rates).tolist()}}"


def memories(optimiser: Optimiser, state: PyTree) -> tuple[Params, ...]:
    """Return what optax's state keeps of every weight and bias: for each name, a tree like the parameters."""
    return tuple(optax.tree_utils.tree_get(state, name) for name in optimiser.memory)


def with_memories(optimiser: Optimiser, state: PyTree, found: Sequence[Params], taken: int) -> PyTree:
    """Return optax's state with other memories, after `taken` steps in total."""
    new: dict[str, Any] = dict(zip(optimiser.memory, found, strict=True))
    if optax.tree_utils.tree_get_all_with_path(state, "count"):
        new["count"] = np.asarray(taken, np.int32)
    return optax.tree_utils.tree_set(state, **new)
