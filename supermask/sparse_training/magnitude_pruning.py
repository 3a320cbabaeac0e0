"""Gradual magnitude pruning, for comparison: starts dense, and prunes the smallest weights during training.

A layer of n weights that ends with k has k + floor((n − k)(1 − t/T)³) at step t, where T is the end of the pruning.
Pruned weights stay pruned. Peak memory is the dense network's, so this is not sparse training from the start.
Zhu & Gupta 2017 (arXiv 1710.01878), equation 1.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import optax

from supermask.checks import check_whole
from supermask.counts import settle_numbers, share
from supermask.keys import AnyKey, step_key
from supermask.masks import Masks, full_masks, keep_best_of_layers
from supermask.params import Params, kernels_of
from supermask.sparse_training.base import (
    AnyStep,
    Counts,
    Horizon,
    LayerCounts,
    Method,
    State,
    initial_state,
    live_step,
    magnitudes,
    make_method,
    move_to,
)


@dataclass(frozen=True)
class MagnitudePruningConfig:
    """When weights are pruned.

    every: steps between prunings; 0 for the horizon's default.
    until: fraction of the training at which the requested number of weights is reached.
    """

    every: int = 0
    until: float = 0.5

    def __post_init__(self) -> None:
        settle_numbers(self, "until")
        if not 0 < self.until <= 1:
            raise ValueError(f"until is {self.until}; allowed: 0 < until <= 1")
        object.__setattr__(self, "every", check_whole("every", self.every, 0))


def magnitude_pruning(
    optimiser: optax.GradientTransformation, horizon: Horizon, config: MagnitudePruningConfig | None = None
) -> Method:
    """Return gradual magnitude pruning, each layer to its own number of weights."""
    config = MagnitudePruningConfig() if config is None else config
    every = config.every or horizon.period
    begun = share(config.until, horizon.steps)
    if config.every and begun < every <= horizon.steps:
        raise ValueError(
            f"every is {every}, and until {config.until:g} of {horizon.steps} steps is step {begun}; "
            f"allowed: 1 to {begun}"
        )
    last = max(begun // every, 1) * every

    def init(key: AnyKey, params: Params, counts: Counts, masks: Masks | None = None) -> State:
        masks = full_masks(kernels_of(params)) if masks is None else masks
        return initial_state(optimiser, key, params, counts, masks, ())

    def due(step: AnyStep) -> Any:
        return (step % every == 0) & (step > 0) & (step <= last)

    def rewire(state: State, grads: Params, params: Params) -> tuple[Params, State]:
        counts = scheduled_counts(state, last)
        masks = keep_best_of_layers(step_key(state.key, state.step), magnitudes(params), state.masks, counts)
        return move_to(optimiser, state, params, masks)

    return make_method(init, live_step(optimiser), rewire, due, horizon)


def scheduled_counts(state: State, last: int) -> LayerCounts:
    """Return the number of weights of each layer after a pruning at the state's step."""
    left = (1 - jnp.minimum(state.step.astype(jnp.float32) / last, 1.0)) ** 3
    return {
        layer: kept + jnp.floor(left * (state.masks[layer].size - kept)).astype(jnp.int32)
        for layer, kept in state.kept.items()
    }
