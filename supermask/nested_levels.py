"""Evaluates one network under every level of a ranking on CPU; each level's sums extend those of the level below.

The masks of a ranking nest. From the sparsest level up, the first layer therefore only adds the new weights: all levels
together cost one dense product, whereas masked dense products cost one per level. Later layers read values that change
with the level, so they are summed again, over kept weights only. For FC's 25 levels this takes a seventeenth of the
multiplications. The sums are sparse, so a compiled loop computes them, 64 images at a time.

A unit adds its weights in the order of their ranks, whatever the levels: a level's loss is the same to the bit alone or
among others. It equals the masked network's up to rounding.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int, Int32, UInt32

from supermask.checks import check_labels, check_layers
from supermask.datasets import Split
from supermask.networks import Network
from supermask.params import AnyArray, Params, kernels_of
from supermask.short import short

LANES = 64
"""Images per pass: their values of one pixel are adjacent and fill four registers of the widest kind."""


@short
class Sums(NamedTuple):
    """A layer's weights by the unit that they feed, best-ranked first.

    starts: index at which a unit's weights start, and at which each level's end; `place[level]` is a level's column.
    """

    inputs: UInt32[np.ndarray, " weights"]
    weights: Float32[np.ndarray, " weights"]
    starts: UInt32[np.ndarray, "units places"]
    place: Int32[np.ndarray, " levels"]
    biases: Float32[np.ndarray, " units"]


def sums_of(
    kernel: Float32[AnyArray, "inputs units"],
    biases: Float32[AnyArray, " units"],
    ranks: Int[AnyArray, "inputs units"],
    counts: Sequence[int],
) -> Sums:
    """Return a layer's sums for levels that keep its `counts[level]` best-ranked weights.

    Raises ValueError unless the ranks number the weights from 0, each once.
    """
    kernel, flat_ranks = np.asarray(kernel), np.asarray(ranks).ravel()
    units = kernel.shape[1]
    best_first = np.full(flat_ranks.size, -1)
    best_first[np.clip(flat_ranks, 0, flat_ranks.size - 1)] = np.arange(flat_ranks.size)
    if (best_first < 0).any():
        raise ValueError(f"ranks leave out a number; allowed: each of 0 to {flat_ranks.size - 1}, once")
    unit = best_first % units
    by_unit = best_first[np.argsort(unit.astype(np.uint16 if units <= 2**16 else np.uint32), kind="stable")]
    ends, place = np.unique(np.asarray(counts, np.int64), return_inverse=True)
    kept = np.stack([np.bincount(unit[:end], minlength=units) for end in (0, *ends)], axis=1)
    first = np.concatenate([[0], np.cumsum(np.bincount(unit, minlength=units))[:-1]])
    return Sums(
        (by_unit // units).astype(np.uint32),
        kernel.ravel()[by_unit].astype(np.float32),
        (first[:, None] + kept).astype(np.uint32),
        (1 + place).astype(np.int32),
        np.asarray(biases, np.float32),
    )


def evaluate_nested(
    network: Network,
    params: Params,
    ranks: Mapping[str, Int[AnyArray, "..."]],
    levels: Sequence[Mapping[str, int]],
    split: Split,
    maximum: int,
    threads: int,
) -> list[tuple[float, float]]:
    """Return mean cross-entropy (nats) and accuracy on a split, at levels that keep `level[layer]` best-ranked weights.

    `ranks` number the weights of a layer from 0; layers without them keep all. `maximum` scales images to [0, 1].

    Raises ValueError for a network with convolutions or of a subclass's own code, for ranks that do not number the
    weights of a layer, each once, and for a split without images or with labels that the network has no outputs for.
    """
    if not network.dense_layers:
        raise ValueError("network has convolutions, or code of its own; allowed: a FeedForward of dense layers")
    check_layers("ranks", ranks, kernels_of(params))
    check_labels("split", split.labels, params[network.dense_layers[-1]]["kernel"].shape[1])
    layers = []
    for name in network.dense_layers:
        kernel, biases = params[name]["kernel"], params[name]["bias"]
        whole = np.arange(kernel.size).reshape(kernel.shape)
        counts = [level[name] if name in ranks else kernel.size for level in levels]
        layers.append(sums_of(kernel, biases, ranks.get(name, whole), counts))
    order = np.argsort(layers[0].place, kind="stable")
    score = _compiled()
    stacked = tuple(zip(*layers, strict=True))

    def totals(start: int) -> Float64[np.ndarray, "levels 2"]:
        images, labels = split.images[start : start + LANES], split.labels[start : start + LANES]
        pixels = np.zeros((images[0].size, LANES), np.float32)
        pixels[:, : len(labels)] = images.reshape(len(labels), -1).T / np.float32(maximum)
        sums: Float64[np.ndarray, "levels 2"] = score(pixels, labels, order, *stacked)
        return sums

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(totals, range(0, len(split), LANES)))
    means = sum(parts, start=np.zeros((len(levels), 2))) / len(split)
    return [(float(loss), float(accuracy)) for loss, accuracy in means]


@cache
def _compiled() -> Callable[..., Float64[np.ndarray, "levels 2"]]:
    """Compile `_scores` to machine code that releases the GIL."""
    import numba

    compiled = numba.njit(nogil=True, fastmath={"contract"})
    add, judge = compiled(inspect.unwrap(_add)), compiled(inspect.unwrap(_judge))
    scores: Callable[..., Any] = compiled(inspect.unwrap(_scores(add, judge)))
    return scores


def _add(row: Any, values: Any, inputs: Any, weights: Any, at: Any, end: Any) -> None:
    """Add a unit's weights, from `at` to before `end`, times the values that they read."""
    one, four, lanes = np.uint64(1), np.uint64(4), np.uint64(LANES)  # of known length and sign: vectors without checks
    at, end = np.uint64(at), np.uint64(end)
    while at + four <= end:
        i, j, k, m = inputs[at], inputs[at + one], inputs[at + np.uint64(2)], inputs[at + np.uint64(3)]
        u, v, w, x = weights[at], weights[at + one], weights[at + np.uint64(2)], weights[at + np.uint64(3)]
        for n in range(lanes):
            row[n] = row[n] + u * values[i, n] + v * values[j, n] + w * values[k, n] + x * values[m, n]
        at += four
    while at < end:
        i, u = inputs[at], weights[at]
        for n in range(lanes):
            row[n] = row[n] + u * values[i, n]
        at += one


def _judge(logits: Any, labels: Any, totals: Any) -> None:
    """Add the losses of images that have labels, and the number of correct predictions."""
    for image in range(labels.size):
        best = 0
        for each in range(1, logits.shape[0]):
            if logits[each, image] > logits[best, image]:
                best = each
        top, above = logits[best, image], 0.0
        for each in range(logits.shape[0]):
            above += np.exp(logits[each, image] - top)
        totals[0] += np.log(above) + top - logits[labels[image], image]
        totals[1] += best == labels[image]


def _scores(add: Any, judge: Any) -> Any:
    """Return the loop over levels, given its two parts."""

    def scores(
        pixels: Any, labels: Any, order: Any, inputs: Any, weights: Any, starts: Any, place: Any, biases: Any
    ) -> Any:
        totals = np.zeros((order.size, 2))
        growing = np.empty((biases[0].size, LANES), np.float32)
        for unit in range(biases[0].size):
            growing[unit] = biases[0][unit]
        before = 0
        for level in order:
            to = place[0][level]
            for unit in range(biases[0].size):
                add(growing[unit], pixels, inputs[0], weights[0], starts[0][unit, before], starts[0][unit, to])
            before = to
            read = growing
            for layer in range(1, len(biases)):
                read = np.maximum(read, np.float32(0))
                values = np.empty((biases[layer].size, LANES), np.float32)
                for unit in range(biases[layer].size):
                    values[unit] = biases[layer][unit]
                    end = starts[layer][unit, place[layer][level]]
                    add(values[unit], read, inputs[layer], weights[layer], starts[layer][unit, 0], end)
                read = values
            judge(read, labels, totals[level])
        return totals

    return scores
