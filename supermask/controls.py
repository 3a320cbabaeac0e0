"""Controls of a criterion: its scores at shuffled places, and in the opposite order.

They ask what a mask's quality rests on. A shuffled mask keeps as many weights of every layer as the original, at random
places; if it does as well, only the layers' densities matter. An inverted one keeps what the original prunes first.
Frankle et al. 2021 (arXiv 2009.08576); Su et al. 2020 (arXiv 2009.11094).
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree

from supermask.criteria import Criterion, LayerFacts
from supermask.members import Function
from supermask.network_facts import NetworkFacts
from supermask.treatments import criterion_of
from supermask.trees import pruned_leaves

Change = Callable[[Float[Array, "*shape"], Bool[Array, "*shape"], Key[Array, ""]], Float[Array, "*shape"]]
"""(scores, live weights, key) -> other scores of a layer."""

_SHUFFLE = 0x5F
"""Folded into a criterion's key, so that it draws nothing that the criterion itself draws."""


def shuffled(criterion: Criterion | Function) -> Criterion:
    """Return the criterion that deals a criterion's scores out anew to the live weights of each layer, at random.

    Weights that compete globally leave as many in every layer as under the criterion itself; within layers the mask is
    random. Its name is 'shuffled_' and the criterion's. Raises MemberError for a function that cannot be one.
    """
    return _control("shuffled", criterion, _shuffle, "{}, shuffled within layers")


def inverted(criterion: Criterion | Function) -> Criterion:
    """Return the criterion that ranks weights in the opposite order, named 'inverted_' and the criterion's name.

    Raises MemberError for a function that cannot be a criterion.
    """
    return _control("inverted", criterion, _invert, "−({})")


def _control(kind: str, given: Criterion | Function, change: Change, formula: str) -> Criterion:
    of = criterion_of(given)
    control = _OfNetwork if of.is_of_network else _OfGradient if "gradient" in of.needs else _OfWeights
    return Criterion(f"{kind}_{of.name}", control(of, change), formula.format(of.formula))


def _shuffle(
    scores: Float[Array, "*shape"], alive: Bool[Array, "*shape"], key: Key[Array, ""]
) -> Float[Array, "*shape"]:
    """Live weights exchange scores among themselves; dead ones keep theirs, which count for nothing."""
    dead = ~alive.ravel()
    draws = jax.random.uniform(jax.random.fold_in(key, _SHUFFLE), dead.shape, jnp.float32)
    receivers = jnp.argsort(dead, stable=True)
    givers = jnp.lexsort((draws, dead))
    flat = scores.ravel()
    return flat.at[receivers].set(flat[givers]).reshape(scores.shape)


def _invert(
    scores: Float[Array, "*shape"], alive: Bool[Array, "*shape"], key: Key[Array, ""]
) -> Float[Array, "*shape"]:
    del alive, key
    return -scores


@dataclass(frozen=True)
class _OfWeights:
    """A control of a criterion of a layer's weights."""

    criterion: Criterion
    change: Change

    def __call__(
        self,
        w_initial: Float[Array, "*shape"],
        w_final: Float[Array, "*shape"],
        alive: Bool[Array, "*shape"],
        key: Key[Array, ""],
    ) -> Float[Array, "*shape"]:
        return self.change(self.criterion(LayerFacts(w_initial, w_final, alive, key=key)), alive, key)


@dataclass(frozen=True)
class _OfGradient:
    """A control of a criterion that asks for the gradient too."""

    criterion: Criterion
    change: Change

    def __call__(
        self,
        w_initial: Float[Array, "*shape"],
        w_final: Float[Array, "*shape"],
        alive: Bool[Array, "*shape"],
        gradient: Float[Array, "*shape"],
        key: Key[Array, ""],
    ) -> Float[Array, "*shape"]:
        return self.change(self.criterion(LayerFacts(w_initial, w_final, alive, gradient, key)), alive, key)


@dataclass(frozen=True)
class _OfNetwork:
    """A control of a criterion of the whole network."""

    criterion: Criterion
    change: Change

    def __call__(self, network: NetworkFacts) -> PyTree:
        leaves, alive = pruned_leaves(network.initial, network.masks)
        scores = self.criterion.of_network(network, leaves)
        changed = {
            path: self.change(scores[path], jnp.asarray(alive[path]), jax.random.fold_in(network.key, index))
            for index, path in enumerate(sorted(scores))
        }
        return leaves.with_chosen(changed)
