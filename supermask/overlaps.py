"""Similarity of masks, in counts of weights, and what independent masks have in common by chance."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Array, Bool


@dataclass(frozen=True)
class Agreement:
    """Similarity of two masks of one shape, in counts of weights. Chance: independent masks with the same counts."""

    size: int
    kept_first: int
    kept_second: int
    kept_both: int

    @property
    def overlap(self) -> float:
        """Kept by both over the maximum possible (the smaller mask's count): 1 for nested masks."""
        return self.kept_both / max(min(self.kept_first, self.kept_second), 1)

    @property
    def overlap_by_chance(self) -> float:
        """Expected `overlap` by chance: the larger mask's fraction of weights remaining."""
        return max(self.kept_first, self.kept_second) / self.size

    @property
    def kept_both_by_chance(self) -> float:
        """Expected number of weights kept by two independent masks with these counts."""
        return self.kept_first * self.kept_second / self.size

    @property
    def jaccard(self) -> float:
        """Kept by both over kept by either; 1 for two empty masks."""
        either = self.kept_first + self.kept_second - self.kept_both
        return self.kept_both / either if either else 1.0


def agreement(first: Bool[Array | np.ndarray, "*shape"], second: Bool[Array | np.ndarray, "*shape"]) -> Agreement:
    """Compare two masks of a layer."""
    one, other = np.asarray(first), np.asarray(second)
    return Agreement(one.size, int(one.sum()), int(other.sum()), int((one & other).sum()))


def overlap_of(
    first: Mapping[str, Bool[Array | np.ndarray, "..."]], second: Mapping[str, Bool[Array | np.ndarray, "..."]]
) -> tuple[float, float]:
    """Return kept by both over the possible maximum, over all layers, and its expectation for independent masks."""
    layers = [agreement(first[layer], second[layer]) for layer in first]
    kept = max(min(sum(a.kept_first for a in layers), sum(a.kept_second for a in layers)), 1)
    return sum(a.kept_both for a in layers) / kept, sum(a.kept_both_by_chance for a in layers) / kept


def overlap_by_units(
    first: Mapping[str, Bool[Array | np.ndarray, "..."]], second: Mapping[str, Bool[Array | np.ndarray, "..."]]
) -> float:
    """Return what `overlap_of` expects of independent masks with the same counts from each input unit.

    An input unit's weights are those along a kernel's last axis. Inputs that no mask keeps, such as blank pixels, make
    masks alike beyond what their layers' counts explain.
    """
    both, kept = 0.0, [0, 0]
    for layer in first:
        one, other = (np.asarray(masks[layer]).reshape(-1, np.shape(masks[layer])[-1]) for masks in (first, second))
        both += float((one.sum(axis=1) * other.sum(axis=1)).sum() / one.shape[1])
        kept = [kept[0] + int(one.sum()), kept[1] + int(other.sum())]
    return both / max(min(kept), 1)
