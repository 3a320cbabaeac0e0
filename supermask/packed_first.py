"""What JAX draws for a packed network: to pack one, and to read files of version 1, which rely on it.

Version 1 does not say what its seed stands for. Its weights are tried as `draws` has them, and as the installed JAX
draws them; the digest in the file says which they are.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from supermask.datasets import DATASETS
from supermask.draws import glorot_deviation
from supermask.lottery import initial_of
from supermask.networks import NETWORKS, network_of, shapes_of
from supermask.packed_header import Header, MaskedNetwork, PackedError
from supermask.params import kernels_of
from supermask.untrained_networks import masked_kernels, untrained_kernels


def with_shapes(header: Header) -> Header:
    """Return a header of version 1 with the names and shapes of its network's layers.

    Raises PackedError for a network or data set that is not known, or that do not fit each other or the file.
    """
    for name, value, known in (("network", header.network, NETWORKS), ("dataset", header.dataset, DATASETS)):
        if value not in known:
            raise PackedError(f"the file's {name} is {value!r}; known here: {', '.join(known)}")
    try:
        kernels = kernels_of(shapes_of(NETWORKS[header.network], DATASETS[header.dataset].image_shape))
    except ValueError as error:
        raise PackedError(f"the file's network {header.network} does not fit {header.dataset}: {error}") from None
    if len(kernels) != len(header.layers):
        raise PackedError("the file is inconsistent: its layers are not those of its network")
    layers = tuple(
        replace(layer, name=name, shape=kernels[name].shape, deviation=float(glorot_deviation(kernels[name].shape)))
        for name, layer in zip(sorted(kernels), header.layers, strict=True)
    )
    return replace(header, layers=layers)


def untrained_by_jax(network: MaskedNetwork) -> dict[str, np.ndarray]:
    """Return the weights under the mask as the installed JAX draws them: neither masked nor rescaled."""
    image_shape = network.image_shape or DATASETS[network.dataset].image_shape
    module = network_of(network.network, network.masks["output"].shape[-1])
    initial = kernels_of(initial_of(module, network.seed, image_shape))
    return {layer: np.asarray(kernel) for layer, kernel in untrained_kernels(initial, network.weights).items()}


def kernels_by_jax(network: MaskedNetwork, drawn: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a network's kernels, scaled by JAX: from these initial ones, then from those that JAX draws.

    Raises PackedError for the latter under settings by which a seed stands for other numbers.
    """
    masks: dict[str, Any] = dict(network.masks)
    yield dict(masked_kernels(untrained_kernels(drawn, network.weights), masks, network.rescaled))
    try:
        own: dict[str, Any] = dict(untrained_by_jax(network))
    except ValueError as error:
        raise PackedError(f"the file has version 1, whose weights JAX draws, and {error}") from None
    yield dict(masked_kernels(own, masks, network.rescaled))
