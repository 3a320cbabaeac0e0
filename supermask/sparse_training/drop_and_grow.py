"""SET and RigL: every ΔT steps, each layer drops its smallest live weights and grows as many elsewhere.

The fraction f decays along half a cosine. A layer of k live weights drops the floor(f·k) of smallest |w| and grows the
same number among all weights that are then dead: at random (SET), or those of the largest |gradient| on the current
batch (RigL). New weights and their optimiser state start at 0. A weight that is dropped and regrown in one change is
unaffected. Each layer keeps its number of weights.

SET: Mocanu et al. 2018 (arXiv 1707.04780), algorithm 2, which drops the smallest positive and largest negative weights;
RigL's comparison drops by magnitude, as here. RigL: Evci et al. 2020 (arXiv 1911.11134), algorithm 1, in which the step
of a change does not update the weights; here it does both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from supermask.checks import check_whole
from supermask.counts import settle_numbers, share
from supermask.keys import layer_keys, step_key
from supermask.masks import Masks, keep_best_of_layers
from supermask.params import Params, kernels_of
from supermask.sparse_training.base import (
    AnyStep,
    Cosine,
    Horizon,
    Method,
    State,
    live_step,
    magnitudes,
    make_method,
    move_to,
    sparse_init,
)

GrowthScores = Callable[[Array, Params], dict[str, Array]]


@dataclass(frozen=True)
class DropAndGrowConfig:
    """How many weights are exchanged, and when.

    fraction: fraction of a layer's live weights dropped at the first change; decays to 0 along half a cosine.
    every: steps between changes; 0 for the horizon's default.
    until: fraction of the training after which masks stay fixed.
    """

    fraction: float = 0.3
    every: int = 0
    until: float = 0.75

    def __post_init__(self) -> None:
        settle_numbers(self, "fraction", "until")
        for name in ("fraction", "until"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 0 to 1")
        object.__setattr__(self, "every", check_whole("every", self.every, 0))


def set_training(
    optimiser: optax.GradientTransformation, horizon: Horizon, config: DropAndGrowConfig | None = None
) -> Method:
    """Return sparse evolutionary training, which grows weights at random."""
    return _drop_and_grow(optimiser, horizon, config or DropAndGrowConfig(), at_random, dense_steps=0)


def rigl(optimiser: optax.GradientTransformation, horizon: Horizon, config: DropAndGrowConfig | None = None) -> Method:
    """Return RigL (rigging the lottery), which grows weights where the dense gradient is largest."""
    growth: GrowthScores = lambda key, grads: magnitudes(grads)  # noqa: E731
    return _drop_and_grow(optimiser, horizon, config or DropAndGrowConfig(), growth, dense_steps=1)


def _drop_and_grow(
    optimiser: optax.GradientTransformation,
    horizon: Horizon,
    config: DropAndGrowConfig,
    growth: GrowthScores,
    dense_steps: int,
) -> Method:
    every, last = config.every or horizon.period, share(config.until, horizon.steps)
    fraction = Cosine(config.fraction, 0.0, last)

    def due(step: AnyStep) -> Any:
        return (step % every == 0) & (step > 0) & (step < last)

    def rewire(state: State, grads: Params, params: Params) -> tuple[Params, State]:
        key, part = step_key(state.key, state.step), fraction(state.step)
        drop = {layer: jnp.floor(part * kept).astype(jnp.int32) for layer, kept in state.kept.items()}
        survive = {layer: state.kept[layer] - drop[layer] for layer in drop}
        survivors = keep_best_of_layers(jax.random.fold_in(key, 0), magnitudes(params), state.masks, survive)
        grown = grow(jax.random.fold_in(key, 1), growth(jax.random.fold_in(key, 2), grads), survivors, drop)
        return move_to(optimiser, state, params, grown)

    return make_method(sparse_init(optimiser), live_step(optimiser), rewire, due, horizon, dense_steps)


def at_random(key: Array, params: Params) -> dict[str, Array]:
    """Return random scores in [0, 1)."""
    kernels = kernels_of(params)
    keys = layer_keys(key, kernels)
    return {layer: jax.random.uniform(keys[layer], kernel.shape, jnp.float32) for layer, kernel in kernels.items()}


def grow(key: Array, scores: dict[str, Array], survivors: Masks, counts: dict[str, Array]) -> Masks:
    """Return the survivors plus, in each layer, the `counts` other weights of highest score; the key breaks ties."""
    dead = {layer: ~mask for layer, mask in survivors.items()}
    new = keep_best_of_layers(key, scores, dead, counts)
    return {layer: survivors[layer] | new[layer] for layer in survivors}
