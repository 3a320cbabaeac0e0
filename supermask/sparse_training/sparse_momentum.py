"""Sparse momentum: moves weights to the layers and places whose gradients keep their direction.

Momentum here is the running mean of the dense gradient, M ← βM + (1−β)g. Once an epoch each layer of k live weights
prunes the ceil(p·k) of smallest |w|. The total number pruned is distributed over the layers in proportion to the mean
|M| of their live weights, and grown at 0 where |M| is largest among the dead. p decays along half a cosine. The total
is constant. Two rules of the released code keep layers from filling up: a layer denser than 80% whose share is above
the average prunes at most its dead fraction, and no layer grows more than 99% of its places that are then dead. What a
layer cannot take goes to all others in equal parts.

Dettmers & Zettlemoyer 2019 (arXiv 1907.04840), section 3, and its released code. They use the optimiser's own momentum;
here it is separate, so that any optimiser works. Their counts are met on average; here the total is exact, and if the
layers together lack room for it, the last 1% of places is used too.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Float, Int32

from supermask.checks import check_whole
from supermask.counts import settle_numbers
from supermask.keys import layer_order, step_key
from supermask.masks import Masks, keep_best_of_layers
from supermask.params import Kernels, Params, kernels_of
from supermask.short import short
from supermask.sparse_training.base import (
    AnyStep,
    Cosine,
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
from supermask.sparse_training.drop_and_grow import grow


@dataclass(frozen=True)
class SparseMomentumConfig:
    """How many weights are moved, and when.

    fraction, last_fraction: p at the first change and at the end of the training.
    every: steps between changes; 0 for once per epoch.
    decay: β.
    dense_below: sparsity below which a layer counts as dense, and may prune at most its sparsity; 0 for no layer.
    most_grown: fraction of a layer's dead places, after pruning, that may be grown.
    """

    fraction: float = 0.5
    last_fraction: float = 0.005
    every: int = 0
    decay: float = 0.9
    dense_below: float = 0.2
    most_grown: float = 0.99

    def __post_init__(self) -> None:
        settle_numbers(self, "fraction", "last_fraction", "decay", "dense_below", "most_grown")
        for name in ("fraction", "last_fraction", "decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 0 <= {name} < 1")
        if not 0 <= self.dense_below <= 1:
            raise ValueError(f"dense_below is {self.dense_below}; allowed: 0 to 1")
        if not 0 < self.most_grown <= 1:
            raise ValueError(f"most_grown is {self.most_grown}; allowed: 0 < most_grown <= 1")
        object.__setattr__(self, "every", check_whole("every", self.every, 0))


@short
class Momentum(NamedTuple):
    """Sparse momentum's own memory: the running mean of the gradient of every weight, live or dead."""

    kernels: dict[str, Float[Array | np.ndarray, "..."]]


def sparse_momentum(
    optimiser: optax.GradientTransformation, horizon: Horizon, config: SparseMomentumConfig | None = None
) -> Method:
    """Return sparse momentum; the total number of weights is constant."""
    config = SparseMomentumConfig() if config is None else config
    every = config.every or max(horizon.epoch, 1)
    fraction = Cosine(config.fraction, config.last_fraction, horizon.steps)
    take_step = live_step(optimiser)

    def due(step: AnyStep) -> Any:
        return (step % every == 0) & (step > 0) & (step < horizon.steps)

    def step(state: State, grads: Params, params: Params) -> tuple[Params, State, Params]:
        params, state, updates = take_step(state, grads, params)
        mean = lambda m, g: config.decay * m + (1 - config.decay) * g  # noqa: E731
        own = Momentum(jax.tree.map(mean, state.own.kernels, kernels_of(grads)))
        return params, state._replace(own=own), updates

    def rewire(state: State, grads: Params, params: Params) -> tuple[Params, State]:
        key, part, layers = step_key(state.key, state.step), fraction(state.step), layer_order(state.masks)
        momentum = {layer: jnp.abs(state.own.kernels[layer]) for layer in layers}
        count, sizes = count_of(state.masks), jnp.array([state.masks[n].size for n in layers], jnp.int32)
        live = jnp.stack([count[layer] for layer in layers])
        shares = live_means(momentum, state.masks)
        drop = prune_counts(part, live, sizes, shares, config.dense_below)
        survive = {layer: live[index] - drop[index] for index, layer in enumerate(layers)}
        survivors = keep_best_of_layers(jax.random.fold_in(key, 0), magnitudes(params), state.masks, survive)
        grown = growth_counts(jnp.sum(drop, dtype=jnp.int32), shares, sizes - live + drop, config.most_grown)
        counts = {layer: grown[index] for index, layer in enumerate(layers)}
        masks = grow(jax.random.fold_in(key, 1), momentum, survivors, counts)
        return move_to(optimiser, state, params, masks)

    return make_method(sparse_init(optimiser, _no_momentum), step, rewire, due, horizon, remembered_steps(config.decay))


def remembered_steps(decay: float) -> int:
    """Return how many gradients determine M up to rounding: older ones have a weight below 2⁻²⁴."""
    return math.ceil(-24 * math.log(2) / math.log(decay)) if decay else 1


def live_means(momentum: dict[str, Float[Array, "..."]], masks: Masks) -> Float[Array, " layers"]:
    """Return each layer's share of the growth: the mean |M| of its live weights over the sum of all layers' means."""
    layers = layer_order(masks)
    sums = [jnp.sum(jnp.where(masks[n], momentum[n], 0.0)) / jnp.maximum(jnp.sum(masks[n]), 1) for n in layers]
    means = jnp.stack(sums)
    return means / jnp.maximum(jnp.sum(means), 1e-30)


def prune_counts(
    part: Float[Array, ""],
    live: Int32[Array, " layers"],
    sizes: Int32[Array, " layers"],
    shares: Float[Array, " layers"],
    dense_below: float,
) -> Int32[Array, " layers"]:
    """Return how many weights each layer prunes: ceil(part · live), less in growing dense layers; one always stays."""
    sparsity = (sizes - live).astype(jnp.float32) / sizes
    growing = (sparsity < dense_below) & (shares > 1 / len(shares))
    rate = jnp.where(growing, jnp.minimum(part, sparsity), part)
    return jnp.minimum(jnp.ceil(rate * live).astype(jnp.int32), live - 1)


def growth_counts(
    pruned: Int32[Array, ""], shares: Float[Array, " layers"], dead: Int32[Array, " layers"], most_grown: float
) -> Int32[Array, " layers"]:
    """Return how many weights each layer grows; their sum is `pruned`.

    Counts follow the shares, up to `most_grown` of a layer's `dead` places. The rest is distributed evenly: every layer
    gets the same number on top, as long as it has room.
    """
    most = jnp.floor(most_grown * dead).astype(jnp.int32)
    most = jnp.where(jnp.sum(most) >= pruned, most, dead)
    wanted, limit = shares * pruned, most.astype(shares.dtype)

    def fill(_: Array | int, on_top: Array) -> Array:
        is_open = wanted + on_top < limit
        owed = pruned - jnp.sum(jnp.where(is_open, wanted, limit))
        return jnp.where(jnp.any(is_open), owed / jnp.maximum(jnp.sum(is_open), 1), on_top)

    on_top = lax.fori_loop(0, len(shares), fill, jnp.zeros((), shares.dtype))
    return apportion(pruned, jnp.minimum(wanted + on_top, limit), most)


def _no_momentum(params: Params) -> Momentum:
    kernels: Kernels = jax.tree.map(lambda kernel: jnp.zeros(kernel.shape), kernels_of(params))
    return Momentum(kernels)
