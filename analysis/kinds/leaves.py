"""Arrays of a result by layer: masks, and leaves of parameters beside kernels, such as biases and a network's state.

A mask is the array `PART.LAYER`, as bits. A layer's 'bias' is `bias.LAYER`, any other leaf `leaf.LAYER.NAME`.
"""

from collections.abc import Mapping

import numpy as np

from supermask.analysis.kinds.layout import check_array
from supermask.bits import unpack
from supermask.masks import Masks
from supermask.networks import Params, kernels_of


def decode_masks(arrays: Mapping[str, np.ndarray], part: str, params: Params) -> Masks:
    """Return the masks that are stored under a name; `params` gives the kernels' shapes."""
    return {layer: unpack(arrays[f"{part}.{layer}"], kernel.shape) for layer, kernel in kernels_of(params).items()}


def encode_others(params: Params) -> dict[str, np.ndarray]:
    """Return all leaves beside kernels as arrays."""
    return {
        _name(layer, name): np.asarray(leaf)
        for layer, leaves in params.items()
        for name, leaf in leaves.items()
        if name != "kernel"
    }


def decode_others(arrays: Mapping[str, np.ndarray]) -> Params:
    """Return what `encode_others` stored, by layer and name."""
    params: Params = {}
    for array, values in arrays.items():
        part, _, rest = array.partition(".")
        layer, name = (rest, "bias") if part == "bias" else (rest.rpartition(".")[0], rest.rpartition(".")[2])
        if part in ("bias", "leaf"):
            params.setdefault(layer, {})[name] = values
    return params


def check_others(arrays: Mapping[str, np.ndarray], params: Params) -> None:
    """Raise KeyError for a leaf that is missing, ValueError for one of another type or shape than the parameters'."""
    for name, leaf in encode_others(params).items():
        check_array(arrays, name, "f", leaf.shape)


def others_size(params: Params) -> int:
    """Return how many numbers the leaves beside kernels have."""
    return sum(leaf.size for leaf in encode_others(params).values())


def _name(layer: str, name: str) -> str:
    return f"bias.{layer}" if name == "bias" else f"leaf.{layer}.{name}"
