"""One value for all weights: what is a mask, or a wiring, worth without the weights that were trained for it?

All live weights of a network are set to one shared value, or to that value with each weight's own sign; what is not
pruned (biases, filters, read-out) stays as trained. The question is that of weight agnostic neural networks (Gaier & Ha
2019, arXiv 1906.04358): there, wirings are searched for that do well whatever the value.

The value is given in units of the live weights' root mean square. A network of ReLUs without biases or normalisation
gives the same classes whatever the size of a positive value, for its outputs are all multiplied by the same.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from supermask.masks import Masks
from supermask.params import Params, kernels_of, with_kernels

VALUES = (-4.0, -2.0, -1.0, -0.5, -0.25, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Shared values, in units of the root mean square of the live weights."""


def typical_weight(params: Params, masks: Masks) -> float:
    """Return the root mean square of all live weights."""
    live = np.concatenate([np.asarray(kernel)[np.asarray(masks[n])] for n, kernel in kernels_of(params).items()])
    return float(np.sqrt(np.mean(np.square(live, dtype=np.float64))))


def share_one_weight(params: Params, masks: Masks, value: float | Float[Array, ""], *, signs: bool) -> Params:
    """Return the parameters with every live weight at `value`, times its own sign if `signs`; dead ones at 0."""
    kernels = {
        layer: jnp.where(jnp.asarray(masks[layer]), value * (jnp.sign(kernel) if signs else jnp.ones_like(kernel)), 0.0)
        for layer, kernel in kernels_of(params).items()
    }
    return with_kernels(params, kernels)
