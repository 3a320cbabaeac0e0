"""Static sparse training: a mask chosen before training, random unless it is given, that never changes.

The control that dynamic methods have to beat; with the mask that one of them ended with, the test of whether the
structure alone is what was found (Mostafa & Wang 2019, section 4). At density 1 it is plain dense training.
"""

from dataclasses import dataclass

import optax

from supermask.sparse_training.base import Horizon, Method, live_step, make_method, never, sparse_init


@dataclass(frozen=True)
class StaticConfig:
    """Nothing to choose."""


def static(optimiser: optax.GradientTransformation, horizon: Horizon, config: StaticConfig | None = None) -> Method:
    """Trains the live weights; the mask stays."""
    stay = lambda state, grads, params: (params, state)  # noqa: E731
    return make_method(sparse_init(optimiser), live_step(optimiser), stay, never)
