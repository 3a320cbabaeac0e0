"""Supermasks: masks that make an untrained network accurate, and the weights that they go onto.

The heuristic ones come from a network that was trained once: rank its weights by a criterion, keep the best, and put
the mask on the *initial* weights, or on signed constants. Zhou et al. 2019, section 5. `learned_masks` finds masks by
gradient descent instead.
"""

import math
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from supermask.actions import constant_same_sign
from supermask.draws import WEIGHTS, fan_in, glorot_to_kaiming
from supermask.params import AnyArray, Kernels, Params, kernels_of, masked, with_kernels


def untrained_kernels(initial: Kernels, weights: str, *, glorot: bool = True) -> Kernels:
    """Return the kernels under a supermask, made from the initial ones. Raises ValueError for another name.

    'initial': as they are. 'signed_constant': sign(wi)·std of the layer (Zhou et al. 2019). 'kaiming': scaled to the
    variance 2 / fan-in. 'signed_kaiming': sign(wi)·√(2 / fan-in) (Ramanujan et al. 2020, section 3).

    glorot: whether the initial ones are Glorot's, whose variance is known; else 'kaiming' scales by the measured one.
    """
    if weights not in WEIGHTS:
        raise ValueError(f"weights is {weights!r}; allowed: {', '.join(WEIGHTS)}")
    if weights == "initial":
        return initial
    if weights == "signed_constant":
        return {layer: constant_same_sign(jnp.asarray(kernel)) for layer, kernel in initial.items()}
    if weights == "kaiming":
        return {layer: jnp.asarray(kernel) * _to_kaiming(kernel, glorot) for layer, kernel in initial.items()}
    return {layer: jnp.sign(jnp.asarray(k)) * math.sqrt(2 / fan_in(k.shape)) for layer, k in initial.items()}


def _to_kaiming(kernel: Float[AnyArray, "..."], glorot: bool) -> float | Float[Array, ""]:
    if glorot:
        return glorot_to_kaiming(kernel.shape)
    return math.sqrt(2 / fan_in(kernel.shape)) / jnp.sqrt(jnp.mean(jnp.square(jnp.asarray(kernel))))


def rescaling(mask: Bool[Array, "*shape"] | Float[Array, "*shape"]) -> Float[Array, ""]:
    """Return the factor of dynamic weight rescaling: weights in the layer over ones in its mask, or 1 without ones.

    Zhou et al. 2019, section 5.2. A mask of floats, 0 and 1, has a gradient.
    """
    ones = jnp.sum(mask, dtype=jnp.float32)
    return jnp.where(ones > 0, mask.size / jnp.maximum(ones, 1.0), 1.0)


def masked_kernels(kernels: Kernels, masks: Mapping[str, Bool[AnyArray, "..."]], rescaled: bool) -> Kernels:
    """Return kernels under their masks, 0 elsewhere; `rescaled` multiplies each layer by its `rescaling`."""
    if rescaled:
        kernels = {n: jnp.asarray(kernel) * rescaling(jnp.asarray(masks[n])) for n, kernel in kernels.items()}
    return masked(kernels, masks)


def untrained_network(initial: Params, weights: str, *, glorot: bool = True) -> Params:
    """Return the parameters under a supermask, on the host: `untrained_kernels`, and all other initial leaves."""
    kernels = untrained_kernels(kernels_of(initial), weights, glorot=glorot)
    return with_kernels(initial, {layer: np.asarray(kernel) for layer, kernel in kernels.items()})
