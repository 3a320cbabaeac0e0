"""Static sparse training: the mask is chosen before training, at random unless given, and never changes.

It is the baseline of dynamic methods. With a dynamic method's final mask, it tests whether the structure alone explains
the result (Mostafa & Wang 2019, section 4). At density 1 it is plain dense training.
"""

from dataclasses import dataclass

import optax

from supermask.sparse_training.base import Horizon, Method, live_step, make_method, never, sparse_init


@dataclass(frozen=True)
class StaticConfig:
    """Empty: the method has no parameters."""


def static(optimiser: optax.GradientTransformation, horizon: Horizon, config: StaticConfig | None = None) -> Method:
    """Return static training, which trains the live weights and keeps the mask."""
    stay = lambda state, grads, params: (params, state)  # noqa: E731
    return make_method(sparse_init(optimiser), live_step(optimiser), stay, never)
