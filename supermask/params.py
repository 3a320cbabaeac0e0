"""Parameters of the papers' networks: {layer: {"kernel", "bias"}}, of which the kernels are prunable.

These functions know no module system: `networks` has the networks themselves, which need Flax.
"""

from collections.abc import Collection, Mapping

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
    """Return the prunable leaves: every layer's kernel. Raises ValueError as `checks.check_params` does."""
    check_params(params)
    return {layer: leaves["kernel"] for layer, leaves in params.items() if "kernel" in leaves}


def with_kernels(params: Params, kernels: Mapping[str, Float[AnyArray, "..."]]) -> Params:
    """Return the parameters with these kernels in place of theirs; all other leaves stay."""
    check_params(params)
    return {
        layer: {**leaves, "kernel": kernels[layer]} if layer in kernels else dict(leaves)
        for layer, leaves in params.items()
    }


def masked(kernels: Kernels, masks: Mapping[str, Bool[AnyArray, "..."]]) -> Kernels:
    """Return the kernels with the weights outside their masks at 0."""
    return {layer: jnp.where(jnp.asarray(masks[layer]), kernel, 0.0) for layer, kernel in kernels.items()}


def pruned(params: Params, masks: Mapping[str, Bool[AnyArray, "..."]]) -> Params:
    """Return the parameters with the weights outside their masks at 0."""
    return with_kernels(params, masked(kernels_of(params), masks))


def masked_update(params: Params, updates: Params, masks: Mapping[str, Bool[AnyArray, "..."]]) -> Params:
    """Add the updates to kept weights and to all biases; the others stay, to the bit."""
    moved = jax.tree.map(jnp.add, params, updates)
    return {
        layer: {
            name: jnp.where(masks[layer], leaf, params[layer][name]) if name == "kernel" and layer in masks else leaf
            for name, leaf in leaves.items()
        }
        for layer, leaves in moved.items()
    }


def layer_kinds(
    kernels: Mapping[str, Float[AnyArray, "..."]],
    output: str = "output",
    depthwise: Collection[str] = (),
    recurrent: Collection[str] = (),
) -> dict[str, str]:
    """Return each layer's kind, which decides its pruning rate.

    'output' is the layer of that name; 'depthwise' and 'recurrent' are those named; all others are 'conv' if their
    kernel has four axes, else 'dense'.
    """

    def kind(layer: str, axes: int) -> str:
        if layer == output:
            return "output"
        if layer in recurrent:
            return "recurrent"
        return "depthwise" if layer in depthwise else "conv" if axes == 4 else "dense"

    return {layer: kind(layer, kernel.ndim) for layer, kernel in kernels.items()}
