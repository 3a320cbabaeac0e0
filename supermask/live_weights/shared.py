"""Live weights that share values, in the sparse engine's layout: a layer's value moves all weights with its code.

A value's gradient is the sum of its weights' gradients (Han et al. 2016, arXiv 1510.00149, section 3).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float32, UInt8, UInt32

from supermask.live_weights.rows import Places, moving
from supermask.params import AnyArray, Params

Codes = Mapping[str, UInt8[AnyArray, "inputs outputs"]]
"""By layer, the index of each live weight's value."""

Codebooks = Mapping[str, Float32[AnyArray, " values"]]
"""By layer, its values."""


def flat_values(layers: Sequence[str], codebooks: Codebooks, params: Params) -> Float32[np.ndarray, " moving"]:
    """Return the trained values: those of every layer, then all biases, then zeros up to `moving`."""
    flat = np.concatenate([*(codebooks[n] for n in layers), *(params[n]["bias"] for n in layers)])
    return np.pad(flat.astype(np.float32), (0, moving(flat.size) - flat.size))


def flat_codes(
    layers: Sequence[str], codes: Codes, codebooks: Codebooks, params: Params, places: Places
) -> UInt32[np.ndarray, " weights_and_biases"]:
    """Return the element of `flat_values` that each live weight is, in the order of rows, and then each bias."""
    found, before = [], 0
    for layer, place in zip(layers, places, strict=True):
        found.append(before + np.asarray(codes[layer]).ravel()[place].astype(np.uint32))
        before += len(codebooks[layer])
    biases = sum(params[layer]["bias"].size for layer in layers)
    return np.concatenate([*found, before + np.arange(biases)]).astype(np.uint32)


def values_of(
    layers: Sequence[str], flat: Float32[np.ndarray, " moving"], codebooks: Codebooks, biases: Mapping[str, AnyArray]
) -> tuple[dict[str, Float32[np.ndarray, " values"]], dict[str, Float32[np.ndarray, " features"]]]:
    """Return codebooks and biases, of the sizes of those given, from trained values."""
    sizes = [len(given[layer]) for given in (codebooks, biases) for layer in layers]
    parts = np.split(flat[: sum(sizes)], np.cumsum(sizes)[:-1])
    books, own = parts[: len(layers)], parts[len(layers) :]
    return dict(zip(layers, books, strict=True)), dict(zip(layers, own, strict=True))
