"""Trained quantisation: a layer's weights share 2^bits values, one of which stands for zero in a pruned layer.

K-means over the layer's live weights finds the values (centroids), starting at equal distances from least to greatest.
Then they are fine-tuned (`tuning`). Biases are not quantised. Han et al. 2016, section 3.

In a pruned layer, one of the 2^bits codes is reserved for the filler zeros of relative indices (`coding`), as in the
released decoder: 2^bits − 1 values are left for its live weights.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from supermask.params import AnyArray, Params, kernels_of
from supermask.short import short

MOST_BITS = 8
MOST_ITERATIONS = 100_000
"""K-means needs about 150 iterations for a pruned LeNet-300-100, and up to 2,000 for layers of 400,000 weights."""


@short
class Quantised(NamedTuple):
    """A network whose kernels share values: `codebooks[layer][codes[layer]]` where live, else 0.

    Codes are 0 where `masks` is False. A codebook has 2^bits values, or one less if the layer is pruned; some values
    may have no weight.
    """

    codes: dict[str, UInt8[AnyArray, "..."]]
    masks: dict[str, Bool[AnyArray, "..."]]
    codebooks: dict[str, Float32[AnyArray, " values"]]
    biases: dict[str, Float32[AnyArray, " features"]]


def quantise(params: Params, masks: Mapping[str, Bool[AnyArray, "..."]], bits: Mapping[str, int]) -> Quantised:
    """Quantise each layer's live weights to 2^bits shared values, one less in pruned layers, by k-means (linear start).

    Raises ValueError for bits outside 1 to 8, RuntimeError if k-means does not converge.
    """
    quantised = Quantised({}, {}, {}, {})
    for layer, kernel in kernels_of(params).items():
        if not 1 <= bits[layer] <= MOST_BITS:
            raise ValueError(f"bits[{layer!r}] is {bits[layer]}; allowed: 1 to {MOST_BITS}")
        mask = np.asarray(masks[layer])
        values, chosen = k_means(np.asarray(kernel)[mask], 2 ** bits[layer] - (not mask.all()))
        codes: np.ndarray = np.zeros(mask.shape, np.uint8)
        codes[mask] = chosen
        quantised.codes[layer], quantised.masks[layer], quantised.codebooks[layer] = codes, mask, values
        quantised.biases[layer] = np.asarray(params[layer]["bias"])
    return quantised


def k_means(
    weights: Float[np.ndarray, " n"], clusters: int
) -> tuple[Float32[np.ndarray, " clusters"], UInt8[np.ndarray, " n"]]:
    """Return ascending centroids and each weight's cluster: Lloyd's algorithm in one dimension, from a linear start.

    It stops when no centroid moves. A cluster that loses all its weights keeps its centroid. Without weights, centroids
    are 0. Raises RuntimeError if `MOST_ITERATIONS` are not enough.
    """
    if weights.size == 0:
        return np.zeros(clusters, np.float32), np.zeros(0, np.uint8)
    ordered = np.sort(weights.astype(np.float64))
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    centroids = np.linspace(ordered[0], ordered[-1], clusters)
    for _ in range(MOST_ITERATIONS):
        cuts = np.searchsorted(ordered, (centroids[1:] + centroids[:-1]) / 2)
        edges = np.concatenate([[0], cuts, [ordered.size]])
        sizes = np.diff(edges)
        means = np.diff(sums[edges]) / np.maximum(sizes, 1)
        moved = np.where(sizes > 0, means, centroids)
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    else:
        raise RuntimeError(f"k-means of {weights.size} weights still moves after {MOST_ITERATIONS} iterations")
    chosen = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, weights.astype(np.float64))
    return centroids.astype(np.float32), chosen.astype(np.uint8)


def expand(quantised: Quantised) -> Params:
    """Return the network's parameters: each live weight has its codebook's value, the others are 0."""
    return {
        layer: {
            "kernel": jnp.where(
                jnp.asarray(quantised.masks[layer]),
                jnp.asarray(quantised.codebooks[layer])[jnp.asarray(codes).astype(jnp.int32)],
                0.0,
            ),
            "bias": jnp.asarray(quantised.biases[layer]),
        }
        for layer, codes in quantised.codes.items()
    }
