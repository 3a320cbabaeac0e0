"""Claims: a sentence, a paired test, a threshold; and the verdict on them.

A claim compares two sides of a figure's table, seed by seed, at each level of sparsity in a range. It is *reproduced*
where the test says so at every level it speaks of (or, for a claim about the curve as a whole, on average over them);
*not reproduced* where five seeds or more do not show it, or fewer show the contrary; else there is *not enough data*.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pandas as pd
from scipy import stats

from analysis.statistics import FEWEST_PAIRS, SIGNIFICANCE

ENOUGH_SEEDS = 5
"""The paper's number: a failure to show a claim on fewer seeds says little."""


class Verdict(Enum):
    """What the data say of a claim."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    NOT_ENOUGH_DATA = "not enough data"


@dataclass(frozen=True)
class Claim:
    """That `first` exceeds `second` in a metric, by more than a margin, at some levels of sparsity.

    sentence: the claim in words, range and margin included.
    published: what the paper reports, in words.
    first, second: values of the table's columns that pick each side's rows.
    metric: the column compared.
    above, below: the range of weights remaining, as fractions: above < remaining <= below.
    margin: what the difference must exceed; negative for 'at most this much worse'.
    smaller: the first side is claimed to be smaller, as with training times; difference and margin are then reversed.
    every_level: whether it is claimed of every level, or on average over them.
    """

    sentence: str
    published: str
    first: Mapping[str, str | float]
    second: Mapping[str, str | float]
    metric: str = "test_accuracy"
    above: float = 0.0
    below: float = 1.0
    margin: float = 0.0
    smaller: bool = False
    every_level: bool = True


@dataclass(frozen=True)
class Judgement:
    """The verdict on a claim and what it rests on.

    effect: mean difference over seeds and levels, positive as claimed, in the metric's unit; with a 95% confidence
    interval over seeds. p_value: the largest over levels after Holm's correction for their number. levels: how many.
    shown: at how many of them the corrected test is significant.
    """

    claim: Claim
    verdict: Verdict
    seeds: int
    levels: int
    shown: int
    effect: float
    interval: tuple[float, float]
    p_value: float


def judge(claim: Claim, table: pd.DataFrame) -> Judgement:
    """Tests a claim on a figure's table: columns of its sides, `seed`, `round`, `weights_remaining` and the metric."""
    differences = paired_differences(claim, table)
    seeds, levels = differences.shape
    if seeds < 2 or levels == 0:
        return Judgement(claim, Verdict.NOT_ENOUGH_DATA, seeds, levels, 0, math.nan, (math.nan, math.nan), math.nan)
    by_seed = differences.mean(axis=1)
    effect, interval = float(by_seed.mean()), confidence_interval(by_seed)
    columns = differences.T if claim.every_level else by_seed[None]
    p_values = holm([one_sided_p_value(column - claim.margin) for column in columns])
    shown = sum(p < SIGNIFICANCE for p in p_values)
    if seeds < FEWEST_PAIRS:
        verdict = Verdict.NOT_ENOUGH_DATA
    elif shown == len(p_values):
        verdict = Verdict.REPRODUCED
    elif seeds >= ENOUGH_SEEDS or interval[1] < claim.margin:
        verdict = Verdict.NOT_REPRODUCED
    else:
        verdict = Verdict.NOT_ENOUGH_DATA
    return Judgement(claim, verdict, seeds, levels, shown, effect, interval, max(p_values))


def judge_all(claims: Sequence[Claim], table: pd.DataFrame) -> list[Judgement]:
    """Judges those claims of which both sides are in the table: what was not asked for makes no claim."""

    def present(picks: Mapping[str, str | float]) -> bool:
        return all((table[column] == value).any() for column, value in picks.items())

    return [judge(claim, table) for claim in claims if present(claim.first) and present(claim.second)]


def paired_differences(claim: Claim, table: pd.DataFrame) -> np.ndarray:
    """First minus second (reversed for `smaller`), seeds × levels; seeds that lack a level on either side are left out.

    A training that diverged (NaN) counts as a difference of 0 for the claim: it shows nothing.
    """
    inside = table[(table["weights_remaining"] > claim.above) & (table["weights_remaining"] <= claim.below)]
    sides = []
    for picks in (claim.first, claim.second):
        rows = inside[np.logical_and.reduce([inside[column] == value for column, value in picks.items()])]
        sides.append(rows.pivot_table(index="seed", columns="round", values=claim.metric, dropna=False))
    first, second = (side.reindex(index=sides[0].index, columns=sides[0].columns) for side in sides)
    present = sides[0].index.intersection(sides[1].index)
    shared = sides[0].columns.intersection(sides[1].columns)
    difference = (first.loc[present, shared] - second.loc[present, shared]).to_numpy(float)
    difference = np.nan_to_num(difference, nan=0.0)
    return -difference if claim.smaller else difference


def one_sided_p_value(differences: np.ndarray) -> float:
    """p of the t-test that the mean is above 0; 0 or 1 where all differences are equal; 1 for fewer than three."""
    if len(differences) < FEWEST_PAIRS:
        return 1.0
    if np.ptp(differences) == 0:
        return float(differences[0] <= 0)
    return float(stats.ttest_1samp(differences, 0.0, alternative="greater").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction for the number of tests; in the order given (Holm 1979)."""
    order = np.argsort(p_values)
    count = len(p_values)
    scaled = np.asarray(p_values, float)[order] * (count - np.arange(count))
    corrected = np.empty(count)
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return [float(p) for p in corrected]


def confidence_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Student's interval of the mean."""
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values)))
    reach = float(stats.t.ppf((1 + level) / 2, len(values) - 1)) * error
    return mean - reach, mean + reach
