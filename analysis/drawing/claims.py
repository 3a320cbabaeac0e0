"""Claims: a sentence, a paired test, a threshold; and the verdict on them.

A claim compares two sides of a figure's table, seed by seed, at each level of sparsity in a range. It is *reproduced*
where the test says so at every level it speaks of (or, for a claim about the curve as a whole, on average over them);
*not reproduced* where five seeds or more do not show it, or fewer show the contrary; else there is *not enough data*.

A claim of every level is an intersection of claims, one a level. Its test needs no correction for their number: it is
called reproduced where each level's own test is significant, and the chance of that is at most 5% when even one level's
claim is wrong (intersection-union test: Berger 1982). Holm's correction would be right for the question *which* levels
show it; here it would cost power and buy nothing.

A training that diverged shows nothing, and it is not by chance that it is missing. Its seed is left out of the numbers
and counted, and a claim that lost a seed so is never called reproduced.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pandas as pd
from scipy import special, stats

from analysis.drawing.statistics import FEWEST_PAIRS, SIGNIFICANCE, diverged_rows, no_spread, resolution_of

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
class Pairs:
    """What a claim is judged by.

    differences: seeds × levels, all finite: first minus second; reversed where the first is claimed to be smaller.
    diverged: how many more seeds there are of which a training diverged, on either side, at a level in the range.
    resolution: differences between differences that are none: see `statistics.resolution_of`.
    """

    differences: np.ndarray
    diverged: int = 0
    resolution: float = 0.0


@dataclass(frozen=True)
class Judgement:
    """The verdict on a claim and what it rests on.

    seeds: how many the numbers are of. diverged: how many were left out because a training of theirs diverged.
    levels: how many. shown: at how many of them the level's own test is significant, uncorrected; only all of them
    together are a test at 5%. effect: mean difference over seeds and levels, positive as claimed, in the metric's unit;
    with a 95% confidence interval over seeds. p_value: of the claim: the largest over levels, or that of the mean over
    them; NaN where no test is made.
    """

    claim: Claim
    verdict: Verdict
    seeds: int
    levels: int
    shown: int
    effect: float
    interval: tuple[float, float]
    p_value: float
    diverged: int = 0


def judge(claim: Claim, table: pd.DataFrame) -> Judgement:
    """Tests a claim on a figure's table: columns of its sides, `seed`, `round`, `weights_remaining` and the metric.

    Raises ValueError where a side has several rows of one seed and round.
    """
    return judge_pairs(claim, pair(claim, table))


def judge_pairs(claim: Claim, pairs: Pairs) -> Judgement:
    """Tests a claim on the differences between its sides."""
    seeds, levels = pairs.differences.shape
    if not seeds or not levels:
        nothing = math.nan, (math.nan, math.nan), math.nan
        return Judgement(claim, Verdict.NOT_ENOUGH_DATA, seeds, levels, 0, *nothing, pairs.diverged)
    by_seed = pairs.differences.mean(axis=1)
    effect, interval = float(by_seed.mean()), confidence_interval(by_seed)
    tested = pairs.differences.T if claim.every_level else by_seed[None]
    p_values = [one_sided_p_value(differences - claim.margin, pairs.resolution) for differences in tested]
    shown = sum(p < SIGNIFICANCE for p in p_values)  # NaN is not
    contrary = one_sided_p_value(claim.margin - by_seed, pairs.resolution) < SIGNIFICANCE / 2
    if seeds < FEWEST_PAIRS:
        verdict = Verdict.NOT_ENOUGH_DATA
    elif shown == len(p_values):
        verdict = Verdict.NOT_ENOUGH_DATA if pairs.diverged else Verdict.REPRODUCED
    elif seeds >= ENOUGH_SEEDS or contrary:
        verdict = Verdict.NOT_REPRODUCED
    else:
        verdict = Verdict.NOT_ENOUGH_DATA
    return Judgement(claim, verdict, seeds, levels, shown, effect, interval, max(p_values), pairs.diverged)


def judge_all(claims: Sequence[Claim], table: pd.DataFrame) -> list[Judgement]:
    """Judges those claims of which both sides are in the table: what was not asked for makes no claim."""

    def present(picks: Mapping[str, str | float]) -> bool:
        return all((table[column] == value).any() for column, value in picks.items())

    return [judge(claim, table) for claim in claims if present(claim.first) and present(claim.second)]


def pair(claim: Claim, table: pd.DataFrame) -> Pairs:
    """The claim's differences, seed by seed and level by level.

    A level is in the range by the median of its rows' weights remaining. Seeds that lack the row of a level on either
    side are left out: what was not run says nothing. Seeds of which a training diverged are left out and counted; so
    are those whose lowest validation loss was at the start, where the step of it is compared: they never learned.

    Raises ValueError where a side has several rows of one seed and round.
    """
    sides = [
        table[np.logical_and.reduce([table[column] == value for column, value in picks.items()])]
        for picks in (claim.first, claim.second)
    ]
    remaining = pd.concat(sides).groupby("round")["weights_remaining"].median()
    outside = (remaining <= claim.above) | (remaining > claim.below)
    levels: list[int] = remaining.index[~outside].tolist()
    seeds = sorted(int(n) for n in set(sides[0]["seed"]) & set(sides[1]["seed"]))
    grids = [_grid(side, claim.metric, seeds, levels) for side in sides]
    complete = np.logical_and.reduce([present.all(axis=1) for present, _ in grids])
    first, second = (values[complete] for _, values in grids)
    differences = second - first if claim.smaller else first - second
    finite = np.isfinite(differences).all(axis=1)
    return Pairs(differences[finite], int((~finite).sum()), resolution_of(first, second))


def _grid(side: pd.DataFrame, metric: str, seeds: list[int], levels: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Seeds × levels: whether there is a row, and the metric; NaN where its training diverged."""
    rows = side[side["seed"].isin(seeds) & side["round"].isin(levels)].set_index(["seed", "round"])
    if rows.index.has_duplicates:
        raise ValueError(f"seed and round have {rows.index[rows.index.duplicated()][0]} twice; allowed: once a side")
    values = rows[metric].astype(float).where(~diverged_rows(rows))
    if metric.endswith("_step"):
        values = values.where(values > 0)
    cells = pd.MultiIndex.from_product([seeds, levels], names=["seed", "round"])
    shape = len(seeds), len(levels)
    present = cells.isin(rows.index) if len(rows) else np.zeros(len(cells), bool)
    return present.reshape(shape), values.reindex(cells).to_numpy(float).reshape(shape)


def one_sided_p_value(differences: np.ndarray, resolution: float = 0.0) -> float:
    """p of the t-test that the mean is above 0; NaN for fewer than three.

    Differences that are all equal (up to `resolution`) have no spread for a t-test: p is 1 where they are not above 0,
    else that of the sign test, 2⁻ⁿ for n of them.
    """
    if len(differences) < FEWEST_PAIRS:
        return math.nan
    if no_spread(differences, resolution):
        return float(0.5 ** len(differences)) if differences.min() > resolution else 1.0
    error = differences.std(ddof=1) / math.sqrt(len(differences))
    return float(special.stdtr(len(differences) - 1, -differences.mean() / error))


def confidence_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Student's interval of the mean; NaN for fewer than two values, which have no spread."""
    if len(values) < 2:
        return math.nan, math.nan
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values)))
    reach = float(stats.t.ppf((1 + level) / 2, len(values) - 1)) * error
    return mean - reach, mean + reach
