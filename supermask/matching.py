"""Matching of hidden units: the permutations under which one network's weights are most like another's.

The units of a hidden layer have no order: permuting them, with the weights that lead in and out, changes no output.
Networks that were trained from other weights may therefore do the same in another order. Ainsworth et al. 2023 (arXiv
2209.04836), weight matching; Adnan et al. 2025 (arXiv 2505.05143) move masks by a matching.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from supermask.checks import check_whole

Units = Mapping[str, Int[np.ndarray, " units"]]
"""By hidden layer: place i of the new order has the unit of this number."""

Matrix = Float[np.ndarray, "inputs outputs"]


def match_units(
    first: Mapping[str, Mapping[str, Any]],
    second: Mapping[str, Mapping[str, Any]],
    layers: Sequence[str],
    sweeps: int = 100,
) -> Units:
    """Return the order of first's hidden units in which its weights are most like second's.

    first, second: parameters of two networks of dense layers, {layer: {"kernel": (inputs, outputs), ...}}.
    layers: the layers in their order, the output layer last.
    sweeps: at most so many times each hidden layer is matched, while its neighbours' orders are kept; each match is the
        best (a linear assignment), the whole is a local optimum.

    Raises ValueError for fewer than two layers, for layers that are not there, and for kernels of other shapes.
    """
    if isinstance(layers, str) or len(set(layers)) < len(layers):
        raise ValueError(f"layers is {layers!r}; allowed: the names of layers, each once")
    if len(layers) < 2:
        raise ValueError(f"layers is {list(layers)}; allowed: two or more, the output layer last")
    from scipy.optimize import linear_sum_assignment  # not above: it takes a sixth of a second

    check_whole("sweeps", sweeps, 1)
    ones, others = (_kernels(name, params, layers) for name, params in (("first", first), ("second", second)))
    for layer in layers:
        if ones[layer].shape != others[layer].shape:
            raise ValueError(f"second has {layer} of shape {others[layer].shape}; allowed: {ones[layer].shape}")
        for name, kernels in (("first", ones), ("second", others)):
            if not np.isfinite(kernels[layer]).all():
                raise ValueError(f"{name} has weights of {layer} that are not finite; allowed: finite numbers")
    units = {layer: np.arange(ones[layer].shape[1]) for layer in layers[:-1]}
    for _ in range(sweeps):
        changed = False
        for before, (layer, after) in zip([None, *layers[:-2]], pairwise(layers), strict=True):
            into = ones[layer] if before is None else ones[layer][units[before]]
            out = ones[after] if after not in units else ones[after][:, units[after]]
            likeness = into.T @ others[layer] + out @ others[after].T
            best = linear_sum_assignment(likeness.T, maximize=True)[1]
            changed |= not np.array_equal(best, units[layer])
            units[layer] = best
        if not changed:
            break
    return units


def permute_units(
    tree: Mapping[str, Mapping[str, Any]], units: Units, layers: Sequence[str]
) -> dict[str, dict[str, np.ndarray]]:
    """Return parameters, or masks of the same form, with hidden units in another order; the outputs are the same.

    Leaves of one axis, such as biases, follow the units of their layer. Raises ValueError for layers or units that are
    not there.
    """
    _kernels("tree", tree, layers)
    if missing := [layer for layer in layers[:-1] if layer not in units]:
        raise ValueError(f"units lacks layer {missing[0]}; allowed: an order for each layer but the last")
    moved = {layer: {name: np.asarray(leaf) for name, leaf in leaves.items()} for layer, leaves in tree.items()}
    for layer, after in pairwise(layers):
        order = np.asarray(units[layer])
        places = np.arange(moved[layer]["kernel"].shape[1])
        if order.dtype.kind not in "iu" or order.shape != places.shape or not (np.sort(order) == places).all():
            raise ValueError(f"units of {layer} is no order of its {len(places)} units")
        moved[layer] = {name: leaf[..., order] for name, leaf in moved[layer].items()}
        moved[after] = moved[after] | {"kernel": moved[after]["kernel"][order]}
    return moved


def _kernels(argument: str, params: Mapping[str, Mapping[str, Any]], layers: Sequence[str]) -> dict[str, Matrix]:
    if missing := [layer for layer in layers if layer not in params]:
        raise ValueError(f"{argument} lacks layer {missing[0]}; it has {', '.join(params)}")
    kernels = {layer: np.asarray(params[layer]["kernel"], np.float64) for layer in layers}
    for layer, kernel in kernels.items():
        if kernel.ndim != 2:
            raise ValueError(f"{argument} has {layer} of shape {kernel.shape}; allowed: dense, (inputs, outputs)")
    for layer, after in pairwise(layers):
        if (outputs := kernels[layer].shape[1]) != (inputs := kernels[after].shape[0]):
            sizes = f"{layer} has {outputs} outputs, {after} {inputs} inputs"
            raise ValueError(f"layers is {list(layers)}, where {sizes}; allowed: the layers in their order")
    return kernels
