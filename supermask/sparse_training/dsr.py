"""Dynamic sparse reparameterization: prunes by one threshold for the whole network; regrowth follows the survivors.

Every T steps, live weights below the threshold, |w| < H, are pruned; each layer keeps at least its largest. The K
pruned weights are regrown at 0 in random places: K·R_l/ΣR of them in layer l, which has R_l survivors. Places that were
not just pruned come first. Then H halves if K > 1.1·N and doubles if K < 0.9·N, where N is the target. The total is
therefore constant, and weights move to the layers whose weights grow large.

Mostafa & Wang 2019 (arXiv 1902.05967), algorithm 1. There, T rises with the epochs (100 to 800 steps in 200 epochs) and
N is 600 of 5,324 weights for the MNIST network at 98% sparsity. Here, T doubles at the given points of the training,
and N is a fraction of the live weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float32

from supermask.checks import check_whole
from supermask.counts import own_number, settle_numbers, share
from supermask.keys import layer_order, step_key
from supermask.masks import keep_best_of_layers
from supermask.params import Params
from supermask.short import short
from supermask.sparse_training.base import (
    AnyStep,
    Horizon,
    Method,
    State,
    apportion,
    count_of,
    live_step,
    magnitudes,
    make_method,
    move_to,
    sparse_init,
)
from supermask.sparse_training.drop_and_grow import at_random, grow


@dataclass(frozen=True)
class DSRConfig:
    """How many weights are moved, and when.

    threshold: H at the start.
    fraction: N over the live weights: the fraction of them that a change aims to move.
    every: initial number of steps between changes; 0 for the horizon's default.
    doublings: fractions of the training after which that number doubles.
    """

    threshold: float = 1e-3
    fraction: float = 0.11
    every: int = 0
    doublings: tuple[float, ...] = (0.125, 0.4, 0.7)

    def __post_init__(self) -> None:
        settle_numbers(self, "threshold", "fraction")
        if not self.threshold > 0:
            raise ValueError(f"threshold is {self.threshold}; allowed: more than 0")
        if not 0 <= self.fraction < 1:
            raise ValueError(f"fraction is {self.fraction}; allowed: 0 <= fraction < 1")
        object.__setattr__(self, "every", check_whole("every", self.every, 0))
        given: Any = self.doublings
        if isinstance(given, str) or not isinstance(given, Sequence | np.ndarray):
            raise ValueError(f"doublings is {given!r}; allowed: a tuple of parts of the training, 0 to 1")
        object.__setattr__(self, "doublings", tuple(own_number("doublings", part) for part in given))
        if not all(0 <= part <= 1 for part in self.doublings):
            raise ValueError(f"doublings is {self.doublings}; allowed: parts of the training, 0 to 1")


@short
class Threshold(NamedTuple):
    """DSR's own memory: the magnitude below which the next change prunes."""

    value: Float32[Array | np.ndarray, ""]


def dsr(optimiser: optax.GradientTransformation, horizon: Horizon, config: DSRConfig | None = None) -> Method:
    """Return dynamic sparse reparameterization; the total number of weights is constant."""
    config = DSRConfig() if config is None else config
    every = config.every or horizon.period
    turns = [share(part, horizon.steps) for part in config.doublings]

    def due(step: AnyStep) -> Any:
        period = every * 2 ** sum(((step >= turn) * 1 for turn in turns), start=0)
        return (step % period == 0) & (step > 0) & (step < horizon.steps)

    def rewire(state: State, grads: Params, params: Params) -> tuple[Params, State]:
        key, threshold, size = step_key(state.key, state.step), state.own.value, magnitudes(params)
        layers = layer_order(state.masks)
        live = count_of(state.masks)
        large = count_of({layer: state.masks[layer] & (size[layer] >= threshold) for layer in layers})
        survive = {layer: jnp.clip(large[layer], 1, live[layer]) for layer in layers}
        survivors = keep_best_of_layers(jax.random.fold_in(key, 0), size, state.masks, survive)
        pruned = sum((live[layer] - survive[layer] for layer in layers), start=jnp.int32(0))
        left = jnp.stack([survive[layer] for layer in layers])
        room = jnp.array([state.masks[layer].size for layer in layers], jnp.int32) - left
        shares = apportion(pruned, left.astype(jnp.float32), room)
        chance = at_random(jax.random.fold_in(key, 2), params)
        fresh = {layer: chance[layer] + (~state.masks[layer]).astype(jnp.float32) for layer in layers}
        counts = {layer: shares[index] for index, layer in enumerate(layers)}
        masks = grow(jax.random.fold_in(key, 1), fresh, survivors, counts)
        aim = config.fraction * sum(state.kept.values(), start=jnp.int32(0)).astype(jnp.float32)
        factor = jnp.where(pruned > 1.1 * aim, 0.5, jnp.where(pruned < 0.9 * aim, 2.0, 1.0))
        params, state = move_to(optimiser, state, params, masks)
        return params, state._replace(own=Threshold(threshold * factor))

    own = lambda params: Threshold(jnp.float32(config.threshold))  # noqa: E731
    return make_method(sparse_init(optimiser, own), live_step(optimiser), rewire, due, horizon)
