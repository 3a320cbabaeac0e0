"""DeepR, deep rewiring: every live weight has a sign, and a weight that would cross zero is replaced by a random one.

After every step each layer gives up the live weights whose sign has changed, and as many of its dead places, drawn at
random, come alive at 0 with a random sign. A place that was just given up may be drawn again; it then starts afresh.
The gradient of live weights has two more terms: that of an L1 penalty, which shrinks weights towards zero, and Gaussian
noise, which lets the network wander. Each layer keeps its number of weights.

Bellec, Kappel, Maass & Legenstein 2018 (arXiv 1711.05136), algorithm 1. There the step is θ ← θ - η·(∂E/∂θ + α) +
√(2ηT)·ν at a rate η and a temperature T; the noise in the gradient is thus √(2T/η)·ν. The released code gives that
deviation and α directly, and both are the defaults here. Passed through any other optimiser, such as SGD with momentum,
both terms are treated as the gradient is.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int8, Key

from supermask.counts import settle_numbers
from supermask.keys import AnyKey, layer_keys, step_key
from supermask.masks import Masks
from supermask.params import Kernels, Params, kernels_of, masked_update, with_kernels
from supermask.short import short
from supermask.sparse_training.base import (
    Counts,
    Horizon,
    Method,
    State,
    count_of,
    make_method,
    move_to,
    never,
    sparse_init,
)
from supermask.sparse_training.drop_and_grow import at_random, grow


@dataclass(frozen=True)
class DeepRConfig:
    """What the gradient of live weights has besides the loss's.

    shrinkage: α, the gradient of the L1 penalty per weight.
    noise: standard deviation of the Gaussian noise; √(2T/η) in the paper's terms.
    """

    shrinkage: float = 1e-5
    noise: float = 1e-5

    def __post_init__(self) -> None:
        settle_numbers(self, "shrinkage", "noise")
        for name in ("shrinkage", "noise"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 0 or more")


@short
class Signs(NamedTuple):
    """DeepR's own memory: the sign of every place, 1 or -1; those of dead places mean nothing."""

    kernels: dict[str, Int8[Array, "..."]]


def deep_r(optimiser: optax.GradientTransformation, horizon: Horizon, config: DeepRConfig | None = None) -> Method:
    """Return DeepR: at every step, weights that cross zero are replaced by random ones."""
    config = DeepRConfig() if config is None else config
    begin = sparse_init(optimiser)

    def init(key: AnyKey, params: Params, counts: Counts, masks: Masks | None = None) -> State:
        return begin(key, params, counts, masks)._replace(own=Signs(_signs_of(kernels_of(params))))

    def step(state: State, grads: Params, params: Params) -> tuple[Params, State, Params]:
        count, masks, signs = state.step + 1, state.masks, state.own.kernels
        key, weights = step_key(state.key, count), kernels_of(params)
        noise = _noise(jax.random.fold_in(key, 0), weights, config.noise)
        slopes = {
            n: jnp.where(masks[n], slope + config.shrinkage * signs[n].astype(slope.dtype) + noise[n], 0)
            for n, slope in kernels_of(grads).items()
        }
        updates, optimiser_state = optimiser.update(with_kernels(grads, slopes), state.optimiser, params)
        moved = masked_update(params, updates, {n: jnp.asarray(mask) for n, mask in masks.items()})
        # Not 'at least 0', so that a diverged weight stays, and the training is seen to have diverged.
        stays = {n: jnp.asarray(masks[n]) & ~(signs[n] * kernel < 0) for n, kernel in kernels_of(moved).items()}
        left = count_of(stays)
        gone = {n: live - left[n] for n, live in count_of(masks).items()}
        found = grow(jax.random.fold_in(key, 1), at_random(jax.random.fold_in(key, 2), params), stays, gone)
        own = Signs(_drawn(jax.random.fold_in(key, 3), stays, signs))
        # From the survivors, so that a place that is given up and drawn again starts afresh.
        after = state._replace(step=count, masks=stays, optimiser=optimiser_state, own=own)
        moved, after = move_to(optimiser, after, moved, found)
        # What was given up loses its weight, even where it was drawn again; what comes alive begins at 0.
        added = {
            n: jnp.where(stays[n], update, jnp.where(masks[n], -jnp.asarray(weights[n]), 0))
            for n, update in kernels_of(updates).items()
        }
        return moved, after, with_kernels(updates, added)

    stay = lambda state, grads, params: (params, state)  # noqa: E731
    return make_method(init, step, stay, never, dense_steps=None)


def _signs_of(kernels: Kernels) -> dict[str, Int8[Array, "..."]]:
    """Return the weights' signs; that of 0 is 1."""
    return {layer: jnp.where(jnp.asarray(kernel) < 0, -1, 1).astype(jnp.int8) for layer, kernel in kernels.items()}


def _noise(key: Key[Array, ""], kernels: Kernels, deviation: float) -> Kernels:
    if deviation == 0:
        return {layer: jnp.zeros_like(kernel) for layer, kernel in kernels.items()}
    keys = layer_keys(key, kernels)
    return {n: deviation * jax.random.normal(keys[n], kernel.shape, kernel.dtype) for n, kernel in kernels.items()}


def _drawn(key: Key[Array, ""], stays: Masks, signs: dict[str, Int8[Array, "..."]]) -> dict[str, Int8[Array, "..."]]:
    """Return the signs of weights that stay, and random ones everywhere else."""
    keys = layer_keys(key, stays)
    half = jnp.float32(0.5)
    fresh = {n: jnp.where(jax.random.bernoulli(keys[n], half, mask.shape), 1, -1) for n, mask in stays.items()}
    return {n: jnp.where(stays[n], own, fresh[n].astype(jnp.int8)) for n, own in signs.items()}
