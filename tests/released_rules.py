"""The rules of the released code of Zhou et al. 2019, in plain NumPy and words of our own: what ours are compared with.

Nothing of `supermask` is used here. A rule that scores weights says of each weight whether it must be kept, may be kept
(it ties with others for the last places) or must be pruned. A rule of freezing goes from
round to round.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Array = np.ndarray


class Verdict(NamedTuple):
    """Weights that every mask of the wanted size keeps, and those among which chance decides."""

    sure: Array
    tied: Array


def of_scores(scores: Array, count: int) -> Verdict:
    """The `count` weights of highest score; those that equal the last one's score are tied."""
    last = np.sort(scores, axis=None)[::-1][count - 1]
    return Verdict(scores > last, scores == last)


def magnitude_increase_by_sign(w_initial: Array, w_final: Array, count: int, kept_sign: int) -> Verdict:
    """Growth in magnitude times 1 where the sign is as wanted (1: kept, -1: changed), times 0 where it is not."""
    growth = np.abs(w_final) - np.abs(w_initial)
    wanted = np.sign(w_initial) * np.sign(w_final) == kept_sign
    return of_scores(growth * wanted, count)


def both_large(w_initial: Array, w_final: Array, count: int) -> Verdict:
    """One percentile for both magnitudes, raised until no more than `count` weights are above it in both."""
    return _common_percentile(np.abs(w_initial), np.abs(w_final), count)


def both_small(w_initial: Array, w_final: Array, count: int) -> Verdict:
    """One percentile for both magnitudes, lowered until no more than `count` weights are below it in both."""
    return _common_percentile(-np.abs(w_initial), -np.abs(w_final), count)


def _common_percentile(first: Array, second: Array, count: int) -> Verdict:
    """Bisection for the lowest percentile that leaves at most `count` weights above it in both.

    A percentile is the place of a value among the sorted ones; the step from one to the next loses one weight or two,
    so one weight more than wanted may be at the place before: then both are tied.
    """
    in_order = np.sort(first, axis=None), np.sort(second, axis=None)

    def above(place: int) -> Array:
        return (first >= in_order[0][place]) & (second >= in_order[1][place])

    low, high = 0, first.size - 1  # above(low) has at least `count` weights
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if above(middle).sum() >= count else (low, middle)
    more, fewer = above(low), above(high)
    return Verdict(more, more & False) if more.sum() == count else Verdict(fewer, more & ~fewer)


CRITERIA: dict[str, Callable[[Array, Array, int], Verdict]] = {
    "magnitude_increase_same_sign": lambda wi, wf, count: magnitude_increase_by_sign(wi, wf, count, 1),
    "magnitude_increase_diff_sign": lambda wi, wf, count: magnitude_increase_by_sign(wi, wf, count, -1),
    "large_init_large_final": both_large,
    "small_init_small_final": both_small,
}
"""The criteria whose released rule differs from what their formula might say, by the toolkit's names."""


class Frozen:
    """The released way with a rule about movement: each round's initial values are made of the last one's by the rule.

    `of_kept` says whether the rule also sets kept weights; `reverse` is the reversed rule. Weights pruned earlier have
    not moved, so no rule changes them.
    """

    def __init__(self, w_initial: Array, of_kept: bool, of_pruned: bool = True, reverse: bool = False) -> None:
        self.initial = w_initial.copy()
        self.of_kept, self.of_pruned, self.reverse = of_kept, of_pruned, reverse

    def next_start(self, w_final: Array, alive: Array, mask: Array) -> Array:
        """The values that the next round starts from: kept weights to train, pruned ones to stay."""
        before, after = np.abs(self.initial), np.abs(w_final)
        zero = np.where(mask, self.of_kept, self.of_pruned) * ((after > before) if self.reverse else (after < before))
        if not self.of_pruned:
            zero[~mask] = 1
        self.initial[alive & (zero == 1)] = 0
        return self.initial.copy()
