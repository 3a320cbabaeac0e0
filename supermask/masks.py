"""Masks from scores, with exact counts.

The masks of a network are a dict from layer to a boolean array of the kernel's shape, True for kept weights; a layer
that is not in the dict is dense. Biases are never pruned.

All functions use one order. Weights rank by score, highest first; equal scores rank by random bits drawn from the key;
equal bits (rare) by position. A mask therefore depends only on key and scores, the masks of one ranking nest, and
counts are exact despite ties. Each layer draws from a key of its own, numbered by `keys.layer_order`. NaN scores, as a
diverged training leaves them, rank like -∞.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Int32, Key, UInt32, UInt64

from supermask.checks import check_layers, check_masks, check_names
from supermask.counts import Rates as Rates
from supermask.counts import check_fraction as check_fraction
from supermask.counts import kept_counts as kept_counts
from supermask.counts import share as share
from supermask.keys import layer_order
from supermask.overlaps import Agreement as Agreement
from supermask.overlaps import agreement as agreement

Masks = dict[str, Bool[Array | np.ndarray, "..."]]
Scores = dict[str, Float[Array, "..."]]


def prune(key: Key[Array, ""], scores: Scores, masks: Masks, rates: Mapping[str, float]) -> Masks:
    """Prune exactly floor(rate × alive) weights from each layer: its live weights of lowest score.

    A layer without a rate stays unchanged. The result nests in `masks`. Ties are broken by `key`.

    Raises ValueError for rates of unknown layers, and for masks that are not boolean arrays of the scores' shapes.
    """
    check_names("rates", rates, masks)
    check_masks(masks, scores)
    alive = {layer: jnp.sum(mask, dtype=jnp.int32) for layer, mask in masks.items()}
    return keep_best_of_layers(key, scores, masks, {n: alive[n] - share(rates.get(n, 0.0), alive[n]) for n in alive})


def prune_globally(key: Key[Array, ""], scores: Scores, masks: Masks, rate: float) -> Masks:
    """Prune floor(rate × alive) weights of the whole network: the lowest scores. A layer may lose all its weights."""
    rate = check_fraction("rate", rate)
    check_masks(masks, scores)
    alive = sum((jnp.sum(mask, dtype=jnp.int32) for mask in masks.values()), start=jnp.int32(0))
    return keep_best_of_network(key, scores, masks, alive - share(rate, alive))


def keep_best_of_layers(
    key: Key[Array, ""], scores: Scores, masks: Masks, counts: Mapping[str, Int[Array, ""] | int]
) -> Masks:
    """Return masks of the `counts[layer]` live weights of highest score in every layer."""
    check_masks(masks, scores)
    return {
        layer: keep_best(jax.random.fold_in(key, index), scores[layer], jnp.asarray(masks[layer]), counts[layer])
        for index, layer in enumerate(layer_order(masks))
    }


def keep_best_of_network(key: Key[Array, ""], scores: Scores, masks: Masks, count: Int[Array, ""] | int) -> Masks:
    """Return masks of the `count` live weights of highest score in the whole network."""
    check_masks(masks, scores)
    layers = layer_order(masks)
    every_score = jnp.concatenate([scores[layer].ravel() for layer in layers])
    every_mask = jnp.concatenate([masks[layer].ravel() for layer in layers])
    kept = keep_best(key, every_score, every_mask, count)
    pieces = jnp.split(kept, np.cumsum([masks[layer].size for layer in layers])[:-1])
    return {layer: piece.reshape(masks[layer].shape) for layer, piece in zip(layers, pieces, strict=True)}


def rank_layers(key: Key[Array, ""], scores: Scores, masks: Masks) -> dict[str, Int32[np.ndarray, "..."]]:
    """Return `ranks` of every layer. One ranking serves every level of sparsity: see `one_shot`."""
    check_masks(masks, scores)
    return {
        layer: ranks(jax.random.fold_in(key, index), scores[layer], masks[layer])
        for index, layer in enumerate(layer_order(scores))
    }


def one_shot(
    layer_ranks: Mapping[str, Int32[Array | np.ndarray, "..."]], kept: Mapping[str, Int[Array, ""] | int]
) -> Masks:
    """Return masks of the `kept[layer]` best-ranked weights of each layer, in one step, for any level."""
    return {layer: layer_ranks[layer] < kept[layer] for layer in layer_ranks}


@jax.jit
def keep_best(
    key: Key[Array, ""], scores: Float[Array, "*shape"], alive: Bool[Array, "*shape"], count: Int[Array, ""] | int
) -> Bool[Array, "*shape"]:
    """Return the mask of the `count` best live weights of one layer, or of all live weights if there are fewer.

    Finds the threshold by bisection on the bits of a score: at most 32 passes over the layer, far faster than sorting
    on XLA's CPU backend. Ties are resolved only if scores tie at the threshold, in the same way: first by
    random bits, then by position.
    """
    remaining = jnp.asarray(count, jnp.int32)
    flat = jnp.ravel(scores)  # the same bits as in the layer's shape, and less to compile
    kept, tied, remaining = _above_threshold(_ordered_bits(flat), jnp.ravel(alive), remaining)

    def resolve(kept: Array, tied: Array, remaining: Array) -> Array:
        more, still_tied, left = _above_threshold(jax.random.bits(key, flat.shape, jnp.uint32), tied, remaining)
        last, at_threshold, _ = _above_threshold(jnp.arange(flat.size, dtype=jnp.uint32), still_tied, left)
        return kept | more | last | (at_threshold & (left > 0))

    no_tie = jnp.sum(tied, dtype=jnp.int32) <= remaining
    best = lax.cond(no_tie, lambda kept, tied, _: kept | tied, resolve, kept, tied, remaining)
    return best.reshape(scores.shape)


def ranks(
    key: Key[Array, ""], scores: Float[Array | np.ndarray, "*shape"], alive: Bool[Array | np.ndarray, "*shape"]
) -> Int32[np.ndarray, "*shape"]:
    """Return each weight's rank in its layer, 0 for the best; pruned weights rank after all live ones.

    `ranks(...) < count` is the mask `keep_best(..., count)`, for every count up to the number of live weights.
    Sorts on the host, because XLA's CPU backend takes twenty times as long.
    """
    shape = np.shape(scores)
    bits, random = (np.asarray(part, np.uint64).ravel() for part in _score_and_random_bits(key, scores, alive))
    worst_first = _stable_argsort(bits << np.uint64(32) | random)
    places = np.empty(worst_first.size, np.int32)
    places[worst_first[::-1]] = np.arange(worst_first.size, dtype=np.int32)
    return places.reshape(shape)


@jax.jit
def _score_and_random_bits(
    key: Key[Array, ""], scores: Float[Array | np.ndarray, "*shape"], alive: Bool[Array | np.ndarray, "*shape"]
) -> tuple[UInt32[Array, "*shape"], UInt32[Array, "*shape"]]:
    return jnp.where(alive, _ordered_bits(jnp.asarray(scores)), jnp.uint32(0)), jax.random.bits(
        key, scores.shape, jnp.uint32
    )


def _stable_argsort(values: UInt64[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Sort with NumPy's fast unstable sort, then reorder the few equal values: a tenth of a stable sort's time."""
    order = np.argsort(values)
    in_order = values[order]
    same_as_before = np.concatenate([[False], in_order[1:] == in_order[:-1]])
    if same_as_before.any():
        group = np.cumsum(~same_as_before)
        tied = np.flatnonzero(same_as_before | np.concatenate([same_as_before[1:], [False]]))
        order[tied] = order[tied][np.lexsort((order[tied], group[tied]))]
    return order


def _ordered_bits(scores: Float[Array, "*shape"]) -> UInt32[Array, "*shape"]:
    """Return unsigned integers in the order of the scores; -0 equals +0, and NaN counts as -∞."""
    scores = scores.astype(jnp.float32)
    scores = jnp.where(jnp.isnan(scores), -jnp.inf, jnp.where(scores == 0, 0.0, scores))
    bits = lax.bitcast_convert_type(scores, jnp.uint32)
    top = jnp.uint32(1 << 31)
    return jnp.where(bits & top != 0, ~bits, bits | top)


def _above_threshold(
    values: UInt32[Array, " n"], candidates: Bool[Array, " n"], count: Int32[Array, ""]
) -> tuple[Bool[Array, " n"], Bool[Array, " n"], Int32[Array, ""]]:
    """Split candidates at the largest threshold that at least `count` of them reach, or one that exactly `count` reach.

    Returns the candidates above it, those that tie at it, and how many of the ties to keep.
    """
    values = jnp.where(candidates, values, jnp.uint32(0))  # nothing dead reaches a threshold

    def unsettled(found: tuple[Array, Array, Array]) -> Array:
        bit, _, reach = found
        return (bit < 32) & (reach != count)

    def settle_bit(found: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        bit, threshold, reach = found
        higher = threshold | (jnp.uint32(1) << (jnp.uint32(31) - bit.astype(jnp.uint32)))
        reach_higher = jnp.sum(values >= higher, dtype=jnp.int32)
        enough = reach_higher >= count
        return bit + 1, jnp.where(enough, higher, threshold), jnp.where(enough, reach_higher, reach)

    every = jnp.sum(candidates, dtype=jnp.int32)
    _, threshold, _ = lax.while_loop(unsettled, settle_bit, (jnp.int32(0), jnp.uint32(0), every))
    above = candidates & (values > threshold)
    return above, candidates & (values == threshold), count - jnp.sum(above, dtype=jnp.int32)


def full_masks(kernels: Mapping[str, Float[Array | np.ndarray, "..."]]) -> Masks:
    """Return masks that keep all weights."""
    check_layers("kernels", kernels, kernels)
    return {layer: jnp.ones(kernel.shape, bool) for layer, kernel in kernels.items()}


def weights_remaining(masks: Masks) -> float:
    """Return the kept fraction of the weights of all masked layers."""
    return sum(int(np.sum(m)) for m in masks.values()) / sum(m.size for m in masks.values())
