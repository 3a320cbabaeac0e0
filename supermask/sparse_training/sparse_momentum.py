"""Sparse momentum: weights move to the layers, and places, whose gradients have pointed one way for long.

Momentum here is the running mean of the dense gradient, M ← βM + (1−β)g. Once an epoch each layer prunes the fraction p
of its live weights of smallest |w|; what was pruned in all is dealt out to the layers in proportion to the mean |M| of
their live weights, and grown at 0 where |M| is largest among the dead. p falls along half a cosine. The total is
constant.

Dettmers & Zettlemoyer 2019 (arXiv 1907.04840), section 3. Theirs is the momentum of the optimiser itself; here it is
kept beside it, so that any optimiser will do.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from supermask.masks import keep_best_of_layers
from supermask.networks import Kernels, Params, kernels_of
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
    step_key,
)
from supermask.sparse_training.drop_and_grow import grow


@dataclass(frozen=True)
class SparseMomentumConfig:
    """How much is moved, and when.

    fraction, last_fraction: p at the first change and at the end of the training.
    every: steps between changes; 0 for once an epoch.
    decay: β.

    Raises ValueError where a value is not allowed.
    """

    fraction: float = 0.5
    last_fraction: float = 0.005
    every: int = 0
    decay: float = 0.9

    def __post_init__(self) -> None:
        for name in ("fraction", "last_fraction", "decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 0 <= {name} < 1")
        if self.every < 0:
            raise ValueError(f"every is {self.every}; allowed: 0 or more")


class Momentum(NamedTuple):
    """Sparse momentum's own memory: the running mean of the gradient of every weight, live or dead."""

    kernels: dict[str, Float[Array | np.ndarray, "..."]]


def sparse_momentum(
    optimiser: optax.GradientTransformation, horizon: Horizon, config: SparseMomentumConfig | None = None
) -> Method:
    """Sparse momentum; the total number of weights is constant."""
    config = SparseMomentumConfig() if config is None else config
    every = config.every or max(horizon.epoch, 1)
    fraction = Cosine(config.fraction, config.last_fraction, horizon.steps)
    take_step = live_step(optimiser)

    def due(step: AnyStep) -> Any:
        return (step % every == 0) & (step > 0) & (step < horizon.steps)

    def advance(state: State, grads: Params, params: Params) -> tuple[Params, State]:
        params, state = take_step(state, grads, params)
        mean = lambda m, g: config.decay * m + (1 - config.decay) * g  # noqa: E731
        return params, state._replace(own=Momentum(jax.tree.map(mean, state.own.kernels, kernels_of(grads))))

    def rewire(state: State, grads: Params, params: Params) -> tuple[Params, State]:
        key, part, layers = step_key(state.key, state.step), fraction(state.step), sorted(state.masks)
        momentum = {layer: jnp.abs(state.own.kernels[layer]) for layer in layers}
        live = count_of(state.masks)
        mean = jnp.stack(
            [jnp.sum(jnp.where(state.masks[n], momentum[n], 0.0)) / jnp.maximum(live[n], 1) for n in layers]
        )
        survive = {n: jnp.maximum(live[n] - jnp.floor(part * live[n]).astype(jnp.int32), 1) for n in layers}
        survivors = keep_best_of_layers(jax.random.fold_in(key, 0), magnitudes(params), state.masks, survive)
        pruned = sum((live[layer] - survive[layer] for layer in layers), start=jnp.int32(0))
        room = jnp.stack([state.masks[layer].size - survive[layer] for layer in layers])
        shares = apportion(pruned, mean, room)
        counts = {layer: shares[index] for index, layer in enumerate(layers)}
        masks = grow(jax.random.fold_in(key, 1), momentum, survivors, counts)
        return move_to(optimiser, state, params, masks)

    return make_method(sparse_init(optimiser, _no_momentum), advance, rewire, due)


def _no_momentum(params: Params) -> Momentum:
    kernels: Kernels = jax.tree.map(jnp.zeros_like, kernels_of(params))
    return Momentum(kernels)
