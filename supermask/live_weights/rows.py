"""Rows of live weights: the sparse engine's representation of a network of dense layers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt32

from supermask.networks import Network
from supermask.params import AnyArray, Params
from supermask.short import short

LiveMasks = dict[str, Bool[np.ndarray, "_ _"]]
"""Which weights of each layer are live."""

Places = tuple[Int64[np.ndarray, " _"], ...]
"""Positions of each layer's live weights in its flattened kernel, in the order of `Rows`."""

GROUP = 16
"""Pixels gathered at a time. A group that no weight reads is left out."""


@short
class Rows(NamedTuple):
    """Live weights by the unit that they feed; units are numbered through all layers, the logits last.

    which: the input of each weight: a pixel in the first layer, a unit in later ones. Ascending within a unit.
    starts: index of each unit's first weight; then the total number of weights.
    readers, places, reader_starts: the weights of all layers but the first by the hidden unit that they read: the unit
        that each feeds, and its index among all weights.
    groups: the first pixel of each group of 16 that is read.
    first, hidden: number of units in the first layer (logits, if it is the only one), and of hidden units.
    """

    which: UInt32[np.ndarray, " weights"]
    starts: Int64[np.ndarray, " units_1"]
    readers: UInt32[np.ndarray, " later_weights"]
    places: UInt32[np.ndarray, " later_weights"]
    reader_starts: Int64[np.ndarray, " hidden_1"]
    groups: Int64[np.ndarray, " groups"]
    first: int
    hidden: int


def live_masks(network: Network, params: Params, masks: Mapping[str, Bool[AnyArray, "..."]]) -> LiveMasks | None:
    """Return the masks of all layers if the network can be trained on live weights alone, else None.

    It can if it consists only of `dense_layers` and every pruned weight is 0: a weight frozen at another value takes
    part in sums like a live one. A layer without a mask is entirely live.
    """
    if not network.dense_layers:
        return None
    found = {}
    for layer in network.dense_layers:
        kernel = np.asarray(params[layer]["kernel"])
        mask = np.asarray(masks[layer]) if layer in masks else np.ones(kernel.shape, bool)
        if kernel[~mask].any():  # NaN counts as nonzero
            return None
        found[layer] = mask
    return found


def places_of(masks: Sequence[Bool[np.ndarray, "_ _"]]) -> Places:
    """Return positions of each layer's live weights in its flattened kernel, in the order of rows."""
    places = []
    for mask in masks:
        inputs, outputs = mask.shape
        unit, read = np.divmod(np.flatnonzero(mask.T), inputs)
        places.append(read * outputs + unit)
    return tuple(places)


def rows_of(shapes: Sequence[tuple[int, int]], places: Places) -> Rows:
    """Return the rows of a network whose layers, in order, have these shapes and live weights."""
    sizes = [outputs for _, outputs in shapes]
    before = np.concatenate([[0], np.cumsum(sizes)])  # units before each layer's
    units, which = [], []
    for layer, place in enumerate(places):
        read, unit = np.divmod(place, sizes[layer])
        units.append(unit + before[layer])
        which.append(read + (before[layer - 1] if layer else 0))
    unit, read, hidden = np.concatenate(units), np.concatenate(which), int(before[-2])
    later = len(units[0])
    by_read = np.argsort(read[later:], kind="stable")
    return Rows(
        read.astype(np.uint32),
        _starts(unit, int(before[-1])),
        unit[later:][by_read].astype(np.uint32),
        (later + by_read).astype(np.uint32),
        _starts(read[later:], hidden),
        _groups(which[0], shapes[0][0]),
        sizes[0],
        hidden,
    )


def _starts(rows: np.ndarray, count: int) -> Int64[np.ndarray, " count_1"]:
    return np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=count))]).astype(np.int64)


def _groups(pixels: np.ndarray, width: int) -> Int64[np.ndarray, " groups"]:
    """Return the first pixels of all groups read. The last group ends at the last pixel and may overlap the others."""
    starts = np.unique(pixels // GROUP) * GROUP
    return np.unique(np.minimum(starts, max(width - GROUP, 0))).astype(np.int64)


def moving(size: int) -> int:
    """Return the array length for `size` weights and biases: a multiple of 16, so that loops have no remainder."""
    return -(-size // GROUP) * GROUP


def flat_params(layers: Sequence[str], params: Params, places: Places) -> Float32[np.ndarray, " moving"]:
    """Return the trained values in the order of rows: live weights, biases, then zeros up to `moving`."""
    weights = [np.asarray(params[layer]["kernel"]).ravel()[at] for layer, at in zip(layers, places, strict=True)]
    biases = [np.asarray(params[layer]["bias"]) for layer in layers]
    flat = np.concatenate([*weights, *biases]).astype(np.float32)
    return np.pad(flat, (0, moving(flat.size) - flat.size))


def whole_params(layers: Sequence[str], flat: Float32[np.ndarray, " moving"], params: Params, places: Places) -> Params:
    """Return the network's parameters: trained values from `flat`, all others bit-equal to `params`."""
    whole: Params = {layer: {} for layer in params}
    at = 0
    for layer, place in zip(layers, places, strict=True):
        kernel = np.array(params[layer]["kernel"], order="C")
        kernel.reshape(-1)[place] = flat[at : at + place.size]
        whole[layer]["kernel"] = kernel
        at += place.size
    for layer in layers:
        size = params[layer]["bias"].size
        whole[layer]["bias"] = flat[at : at + size].copy()
        at += size
    return whole
