"""Parameters of the papers' networks: {layer: {"kernel", "bias"}}, of which the kernels are prunable.

These functions know no module system: `networks` has the networks themselves, which need Flax.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from supermask.checks import check_params

AnyArray = Array | np.ndarray
"""Parameters and masks may lie on a device or on the host."""

Kernels = dict[str, Float[AnyArray, "..."]]
Params = dict[str, dict[str, Float[AnyArray, "..."]]]


def kernels_of(params: Params) -> Kernels:
    """The prunable leaves: every layer's kernel; a layer without one is always dense.

    Raises ValueError where layers are nested, or none has a kernel: see `checks.check_params`.
    """
    check_params(params)
    return {layer: leaves["kernel"] for layer, leaves in params.items() if "kernel" in leaves}


def with_kernels(params: Params, kernels: Mapping[str, Float[AnyArray, "..."]]) -> Params:
    """The parameters with these kernels in place of theirs; biases, and layers not named, as they were."""
    check_params(params)
    return {
        layer: {**leaves, "kernel": kernels[layer]} if layer in kernels else dict(leaves)
        for layer, leaves in params.items()
    }


def masked(kernels: Kernels, masks: Mapping[str, Bool[AnyArray, "..."]]) -> Kernels:
    """The kernels with the weights outside their masks at 0."""
    return {layer: jnp.where(jnp.asarray(masks[layer]), kernel, 0.0) for layer, kernel in kernels.items()}


def pruned(params: Params, masks: Mapping[str, Bool[AnyArray, "..."]]) -> Params:
    """The parameters with the weights outside their masks at 0."""
    return with_kernels(params, masked(kernels_of(params), masks))


def masked_update(params: Params, updates: Params, masks: dict[str, Bool[Array, "..."]]) -> Params:
    """Adds the updates to the weights that are kept and to all biases; the others stay, to the bit."""
    moved = jax.tree.map(jnp.add, params, updates)
    return {
        layer: {
            name: jnp.where(masks[layer], leaf, params[layer][name]) if name == "kernel" and layer in masks else leaf
            for name, leaf in leaves.items()
        }
        for layer, leaves in moved.items()
    }


def layer_kinds(kernels: Mapping[str, Float[AnyArray, "..."]]) -> dict[str, str]:
    """Each layer's kind, 'conv', 'dense' or 'output': what its pruning rate goes by."""
    return {
        layer: "output" if layer == "output" else "conv" if kernel.ndim == 4 else "dense"
        for layer, kernel in kernels.items()
    }
