"""Numbers of live weights per layer: uniform or Erdős–Rényi densities, with exact totals."""

import math
from collections.abc import Mapping
from fractions import Fraction

from supermask.counts import check_fraction, own_number, share


def uniform(shapes: Mapping[str, tuple[int, ...]], density: float) -> dict[str, int]:
    """Return the counts of the same density in every layer."""
    return _rounded({layer: density * math.prod(shape) for layer, shape in shapes.items()}, shapes, density)


def erk(shapes: Mapping[str, tuple[int, ...]], density: float) -> dict[str, int]:
    """Return the counts of Erdős–Rényi(-kernel) densities: proportional to a layer's sum of dimensions over its size.

    A dense layer of n inputs and m outputs therefore gets weights in proportion to n + m: small layers are denser. A
    layer whose density would exceed 1 is dense, and the others share the remainder. Mocanu et al. 2018 (arXiv
    1707.04780), section 2; Evci et al. 2020 (arXiv 1911.11134), section 3, for kernels of convolutions.
    """
    total = density * sum(math.prod(shape) for shape in shapes.values())
    dense: set[str] = set()
    while True:
        left = total - sum(math.prod(shapes[layer]) for layer in dense)
        sums = {layer: sum(shape) for layer, shape in shapes.items() if layer not in dense}
        counts = {layer: left * sums[layer] / sum(sums.values()) for layer in sums}
        full = {layer for layer, count in counts.items() if count > math.prod(shapes[layer])}
        if not full:
            wanted = {layer: counts.get(layer, float(math.prod(shape))) for layer, shape in shapes.items()}
            return _rounded(wanted, shapes, density)
        dense |= full


def first_dense(shapes: Mapping[str, tuple[int, ...]], density: float) -> dict[str, int]:
    """Return the counts of a dense first layer and one density in the others.

    A variant of Wortsman et al. 2019 (arXiv 1906.00586), section 4.4, for convolutions, whose first layer is small.

    Raises ValueError if the first layer alone has more weights than the density allows.
    """
    sizes = {layer: math.prod(shape) for layer, shape in shapes.items()}
    first, total = next(iter(sizes)), sum(sizes.values())
    left, others = density * total - sizes[first], max(total - sizes[first], 1)
    if left < 0:
        raise ValueError(
            f"density is {density}; allowed with {first} dense: {sizes[first] / total:.4g} or more, its part of all"
        )
    wanted = {layer: size * (1.0 if layer == first else left / others) for layer, size in sizes.items()}
    return _rounded(wanted, shapes, density)


FIRST_DENSE = first_dense.__name__
DISTRIBUTIONS = {"uniform": uniform, "erk": erk, FIRST_DENSE: first_dense}
"""Ways to spread a density over layers, by name."""


def layer_counts(shapes: Mapping[str, tuple[int, ...]], density: float, distribution: str) -> dict[str, int]:
    """Return the live weights of each layer, at least one in each. Their sum is exactly floor(density × all weights).

    Raises ValueError for a density outside 0 < density <= 1, one that gives fewer weights than there are layers, or an
    unknown distribution.
    """
    if distribution not in DISTRIBUTIONS:
        raise ValueError(f"distribution is {distribution!r}; allowed: {', '.join(DISTRIBUTIONS)}")
    own = own_number("density", density)
    density = own if own == 1 else check_fraction("density", own)
    counts = DISTRIBUTIONS[distribution](shapes, density)
    if sum(counts.values()) < len(counts):
        raise ValueError(f"density is {density}; it leaves layers without a weight: {counts}")
    for layer in sorted(counts):
        if counts[layer] == 0:
            largest = max(counts, key=lambda name: (counts[name], name))
            counts[layer], counts[largest] = 1, counts[largest] - 1
    return {layer: counts[layer] for layer in sorted(counts)}


def _rounded(wanted: Mapping[str, float], shapes: Mapping[str, tuple[int, ...]], density: float) -> dict[str, int]:
    """Round to whole numbers whose sum is exactly `share` of all weights, by largest remainders."""
    sizes = {layer: math.prod(shape) for layer, shape in shapes.items()}
    total = share(density, sum(sizes.values()))
    counts = {layer: min(math.floor(count), sizes[layer]) for layer, count in wanted.items()}
    owed = sorted(counts, key=lambda layer: (Fraction(counts[layer]) - Fraction(wanted[layer]), layer))
    left = total - sum(counts.values())
    while left > 0:
        for layer in owed:
            if left > 0 and counts[layer] < sizes[layer]:
                counts[layer] += 1
                left -= 1
    for layer in reversed(owed):
        if left < 0 and counts[layer] > 0:
            counts[layer] -= 1
            left += 1
    return counts
