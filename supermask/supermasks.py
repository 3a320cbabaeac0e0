"""Supermasks: masks that make an untrained network accurate.

The heuristic ones come from a network that was trained once: rank its weights by a criterion, keep the best, and put
the mask on the *initial* weights, or on signed constants. Zhou et al. 2019, section 5.
"""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int32

from supermask.actions import constant_same_sign
from supermask.masks import one_shot
from supermask.networks import AnyArray, Kernels, Params, kernels_of, with_kernels

WEIGHTS = ("initial", "signed_constant")
"""What an untrained network's kept weights can be."""


def untrained_kernels(initial: Kernels, weights: str) -> Kernels:
    """The kernels that a supermask goes onto: 'initial' values, or 'signed_constant', sign(wi)·std of the layer.

    Raises ValueError for another name.
    """
    if weights not in WEIGHTS:
        raise ValueError(f"weights is {weights!r}; allowed: {', '.join(WEIGHTS)}")
    if weights == "initial":
        return initial
    return {layer: constant_same_sign(jnp.asarray(kernel)) for layer, kernel in initial.items()}


def masked_networks(
    params: Params,
    weights: str,
    ranks: Mapping[str, Int32[AnyArray, "..."]],
    levels: Sequence[Mapping[str, int]],
) -> list[Params]:
    """One untrained network a level: the `levels[i][layer]` best-ranked weights of each layer, and 0 elsewhere.

    Arrays of the result are on the host, ready for a population's evaluation.
    """
    on_host = {layer: np.asarray(kernel) for layer, kernel in untrained_kernels(kernels_of(params), weights).items()}
    places = {layer: np.asarray(rank) for layer, rank in ranks.items()}

    def network(level: Mapping[str, int]) -> Params:
        masks = one_shot(places, level)
        kept: Kernels = {layer: np.where(mask, on_host[layer], np.float32(0)) for layer, mask in masks.items()}
        return with_kernels(params, kept)

    return [network(level) for level in levels]
