"""Recipes of Deep Compression, fractions kept and bits per layer; and the masks of dense-sparse-dense training.

Han et al. 2016, tables 2 and 3, give the weights kept and the bits of each layer. The network is pruned gradually while
it is retrained: by magnitude, from the trained network, to the paper's percentages
(`supermask.sparse_training.magnitude_pruning`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from supermask.keys import Purpose, derive_key
from supermask.masks import Masks, full_masks, keep_best_of_layers, share
from supermask.params import Kernels, Params, kernels_of


@dataclass(frozen=True)
class Recipe:
    """How one network is compressed, by layer.

    kept: fraction of a layer's weights that is kept. bits: per shared value. index_bits: per relative index.
    """

    kept: Mapping[str, float]
    bits: Mapping[str, int]
    index_bits: Mapping[str, int]


_FC, _LENET5 = ("hidden1", "hidden2", "output"), ("conv1", "conv2", "hidden1", "output")

RECIPES: Mapping[str, Mapping[str, Recipe]] = {
    "fc": {
        "paper": Recipe(dict(zip(_FC, (0.08, 0.09, 0.26), strict=True)), dict.fromkeys(_FC, 6), dict.fromkeys(_FC, 5)),
        "further": Recipe(
            dict(zip(_FC, (0.05, 0.08, 0.26), strict=True)), dict.fromkeys(_FC, 5), dict.fromkeys(_FC, 5)
        ),
    },
    "lenet5": {
        "paper": Recipe(
            dict(zip(_LENET5, (0.66, 0.12, 0.08, 0.19), strict=True)),
            dict(zip(_LENET5, (8, 8, 5, 5), strict=True)),
            dict.fromkeys(_LENET5, 5),
        ),
        "further": Recipe(
            dict(zip(_LENET5, (0.66, 0.12, 0.05, 0.19), strict=True)),
            dict(zip(_LENET5, (6, 6, 5, 5), strict=True)),
            dict.fromkeys(_LENET5, 5),
        ),
    },
}
"""Recipes for LeNet-300-100 ('fc') and LeNet-5: the paper's percentages and bits, and our own for smaller files."""

RECIPE_NAMES = tuple(RECIPES["fc"])
"""Names of recipes, the same for every network."""


@dataclass(frozen=True)
class Published:
    """The paper's numbers for a network: compression rates, and errors in percent.

    fewer_weights: all weights over those kept; no size, since it leaves out indices.
    """

    fewer_weights: float
    quantised_rate: float
    coded_rate: float
    dense_error: float
    coded_error: float


PUBLISHED: Mapping[str, Published] = {
    "fc": Published(12, 32, 40, 1.64, 1.58),
    "lenet5": Published(12, 33, 39, 0.80, 0.74),
}
"""Han et al. 2016, table 1; weights kept and the rates of stages: table 2 for LeNet-300-100, table 3 for LeNet-5."""


def kept_counts_of(recipe: Recipe, kernels: Kernels) -> dict[str, int]:
    """Return how many weights of each layer the recipe keeps."""
    return {layer: max(share(recipe.kept[layer], kernel.size), 1) for layer, kernel in sorted(kernels.items())}


def largest_of_layers(params: Params, sparsity: float, seed: int) -> Masks:
    """Return masks of each layer's largest |w|, all but floor(sparsity × its size): Han et al. 2017, section 3.2."""
    kernels = kernels_of(params)
    sizes = {layer: jnp.abs(jnp.asarray(kernel)) for layer, kernel in kernels.items()}
    counts = {layer: size.size - share(sparsity, size.size) for layer, size in sizes.items()}
    masks = keep_best_of_layers(derive_key(seed, Purpose.TIES), sizes, full_masks(kernels), counts)
    return {layer: np.asarray(mask) for layer, mask in masks.items()}
