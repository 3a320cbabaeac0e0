"""Discovering neural wirings, as sparse training: an edge is live if its |w| is among the largest of its layer.

Every weight has a value, live or dead. The network computes with the k largest of each layer and zeros; the gradient at
that network updates every weight, live or dead, as though it were live (straight-through): w ← w − η g for all. A dead
edge whose gradient keeps its direction therefore grows until it replaces a live one, with the value that it has by
then. No retraining follows. Wortsman, Farhadi & Rastegari 2019 (arXiv 1906.00586), section 2.3 and algorithm 1.

Every step needs the k-th largest magnitude of each layer. It hardly changes between two steps, so the search starts at
the last one and takes a few counts instead of the bisection's 32.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Bool, Float, Float32, Int32, Key, UInt32

from supermask.keys import AnyKey, layer_order, step_key
from supermask.masks import Masks, keep_best
from supermask.params import Kernels, Params, kernels_of, pruned, with_kernels
from supermask.short import short
from supermask.sparse_training.base import Counts, Horizon, Method, State, initial_state, make_method, never

TOP = 0x7F800002  # above `_bits` of every magnitude, infinity included
BISECT_AFTER = 8


@dataclass(frozen=True)
class DNWConfig:
    """Empty: the method has no parameters."""


@short
class Edges(NamedTuple):
    """DNW's own memory.

    weights: the value of every weight, live or dead.
    thresholds: start of the search for each layer's k-th largest magnitude: the last one's result, as bits.
    slopes: change of the threshold's bits per weight, near it.
    """

    weights: Kernels
    thresholds: dict[str, UInt32[Array, ""]]
    slopes: dict[str, Float32[Array, ""]]


def dnw(optimiser: optax.GradientTransformation, horizon: Horizon, config: DNWConfig | None = None) -> Method:
    """Return discovering neural wirings: each layer keeps its number of live weights, chosen anew at every step."""

    def init(key: AnyKey, params: Params, counts: Counts, masks: Masks | None = None) -> State:
        kernels: Kernels = jax.tree.map(jnp.asarray, kernels_of(params))
        somewhere = {layer: jnp.uint32(TOP // 2) for layer in kernels}
        edges = Edges(kernels, somewhere, {layer: jnp.float32(1.0) for layer in kernels})
        chosen, edges = _choose(step_key(key, 0), edges, {n: jnp.asarray(counts[n], jnp.int32) for n in kernels})
        return initial_state(optimiser, key, params, counts, chosen if masks is None else masks, edges)

    def step(state: State, grads: Params, params: Params) -> tuple[Params, State, Params]:
        dense = with_kernels(params, state.own.weights)
        updates, optimiser_state = optimiser.update(grads, state.optimiser, dense)
        moved: Params = optax.apply_updates(dense, updates)
        count, weights = state.step + 1, kernels_of(moved)
        masks, edges = _choose(step_key(state.key, count), state.own._replace(weights=weights), state.kept)
        after = state._replace(step=count, masks=masks, optimiser=optimiser_state, own=edges)
        # A weight that was dead is 0 in the network, so the update that revives it is its whole value.
        added = {n: jnp.where(state.masks[n], kernel, weights[n]) for n, kernel in kernels_of(updates).items()}
        return pruned(moved, masks), after, with_kernels(updates, added)

    stay = lambda state, grads, params: (params, state)  # noqa: E731
    return make_method(init, step, stay, never, dense_steps=None)


def _choose(key: Key[Array, ""], edges: Edges, counts: dict[str, Int32[Array, ""]]) -> tuple[Masks, Edges]:
    masks: Masks = {}
    thresholds, slopes = {}, {}
    for index, layer in enumerate(layer_order(edges.weights)):
        masks[layer], thresholds[layer], slopes[layer] = largest(
            jax.random.fold_in(key, index),
            jnp.asarray(edges.weights[layer]),
            counts[layer],
            edges.thresholds[layer],
            edges.slopes[layer],
        )
    return masks, edges._replace(thresholds=thresholds, slopes=slopes)


class _Search(NamedTuple):
    """Bracket of thresholds: at least `count` weights reach `low`, fewer reach `high`; `at` is tried next."""

    low: Int32[Array, ""]
    high: Int32[Array, ""]
    reach_low: Int32[Array, ""]
    reach_high: Int32[Array, ""]
    at: Int32[Array, ""]
    reach_at: Int32[Array, ""]
    looks: Int32[Array, ""]


def largest(
    key: Key[Array, ""],
    weights: Float[Array, "*shape"],
    count: Int32[Array, ""],
    guess: UInt32[Array, ""],
    slope: Float32[Array, ""],
) -> tuple[Bool[Array, "*shape"], UInt32[Array, ""], Float32[Array, ""]]:
    """Return the mask of the `count` weights of largest magnitude, the threshold found, as bits, and its slope.

    The mask equals that of `masks.keep_best` on |w|, including ties by the key. The search starts at a guess, follows
    the slope until it has a bracket, interpolates within it, and bisects if that takes long.
    """
    bits = _bits(weights)

    def look(search: _Search) -> _Search:
        reach = jnp.sum(bits >= search.at, dtype=jnp.int32)
        enough = reach >= count
        low, reach_low = jnp.where(enough, search.at, search.low), jnp.where(enough, reach, search.reach_low)
        high, reach_high = jnp.where(enough, search.high, search.at), jnp.where(enough, search.reach_high, reach)
        bracketed = (low > 0) & (high < TOP)
        part = (reach_low - count).astype(jnp.float32) / jnp.maximum(reach_low - reach_high, 1).astype(jnp.float32)
        inside = low + (part * (high - low).astype(jnp.float32)).astype(jnp.int32)
        # Without a bracket: half again as far as the slope says, and twice as far at every further try.
        far = 1.5 * slope * (reach - count).astype(jnp.float32) * (2.0 ** search.looks.astype(jnp.float32))
        down, up = (low - search.at).astype(jnp.float32), (high - search.at).astype(jnp.float32)
        beyond = search.at + jnp.clip(far, down, up).astype(jnp.int32)
        half = low + (high - low) // 2
        at = jnp.where(search.looks >= BISECT_AFTER, half, jnp.where(bracketed, inside, beyond))
        at = jnp.where((at > low) & (at < high), at, jnp.clip(at, low + 1, jnp.maximum(high - 1, low + 1)))
        found = reach == count
        return _Search(low, high, reach_low, reach_high, jnp.where(found, search.at, at), reach, search.looks + 1)

    def unfinished(search: _Search) -> Array:
        return (search.reach_at != count) & (search.high - search.low > 1)

    size = jnp.int32(weights.size)
    begin = jnp.clip(guess.astype(jnp.int32), 1, TOP - 1)
    zero = jnp.int32(0)
    # Every weight reaches 0 and none reaches TOP. A count of all or none is found at once.
    found = lax.while_loop(unfinished, look, _Search(zero, jnp.int32(TOP), size, zero, begin, jnp.int32(-1), zero))
    exact = found.reach_at == count
    threshold = jnp.where(exact, found.at, found.low)
    mask = lax.cond(
        exact,
        lambda: bits >= threshold,
        lambda: keep_best(key, jnp.where(jnp.isnan(weights), -jnp.inf, jnp.abs(weights)), bits >= 0, count),
    )
    spread = (found.high - found.low).astype(jnp.float32)
    new_slope = spread / jnp.maximum(found.reach_low - found.reach_high, 1).astype(jnp.float32)
    usable = (found.low > 0) & (found.high < TOP)
    return mask, threshold.astype(jnp.uint32), jnp.where(usable, new_slope, slope)


def _bits(weights: Float[Array, "*shape"]) -> Int32[Array, "*shape"]:
    """Return integers in the order of the magnitudes, from 1 up; 0 for NaN."""
    bits = lax.bitcast_convert_type(jnp.abs(weights).astype(jnp.float32), jnp.int32)
    return jnp.where(jnp.isnan(weights), 0, bits + 1)
