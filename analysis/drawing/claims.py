"""Claims: a sentence, a paired test, a threshold; and the verdict on them.

A claim compares two sides of a figure's table, seed by seed, at each level of sparsity in a range. It is *reproduced*
if the test is significant at every level of the claim (or, for a claim about the whole curve, on average over levels).
It is *not reproduced* if five seeds or more do not show it, or fewer show the opposite. Otherwise there is *not enough
data*.

A claim about every level is an intersection of claims, one per level. Its test needs no correction for their number: it
is reproduced if each level's own test is significant, and the probability of that is at most 5% if even one level's
claim is false (intersection-union test: Berger 1982). Holm's correction answers *which* levels show an effect; here it
would only reduce power.

A diverged training shows nothing, but its seed is not missing at random. The seed is left out and counted, and the
claim is never called reproduced.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pandas as pd
from scipy import special, stats

from supermask.analysis.drawing.statistics import FEWEST_PAIRS, SIGNIFICANCE, diverged_rows, no_spread, resolution_of

ENOUGH_SEEDS = 5
"""The paper's number of seeds: with fewer, a failure to show a claim says little."""


class Verdict(Enum):
    """Verdict of the data on a claim."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    NOT_ENOUGH_DATA = "not enough data"


@dataclass(frozen=True)
class Claim:
    """The claim that `first` exceeds `second` in a metric, by more than a margin, at some levels of sparsity.

    sentence: the claim in words, range and margin included.
    published: the paper's result, in words.
    first, second: values of the table's columns that pick each side's rows.
    metric: the column compared.
    above, below: the range of weights remaining, as fractions: above < remaining <= below.
    margin: what the difference must exceed; negative for 'at most this much worse'.
    smaller: the first side is claimed to be smaller, as with training times; difference and margin are then reversed.
    every_level: whether the claim holds at every level, or on average over them.
    baseline: whether the second side has no levels, as the unpruned network: its row of a seed serves them all.
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
    baseline: bool = False


@dataclass(frozen=True)
class Pairs:
    """The data for judging a claim.

    differences: seeds × levels, all finite: first minus second; reversed if the first is claimed to be smaller.
    diverged: number of further seeds with a diverged training, on either side, at a level in the range.
    resolution: deviation up to which differences count as equal: see `statistics.resolution_of`.
    """

    differences: np.ndarray
    diverged: int = 0
    resolution: float = 0.0


@dataclass(frozen=True)
class Judgement:
    """The verdict on a claim and its statistics.

    seeds: number of seeds used. diverged: number left out because a training diverged. levels: number of levels. shown:
    number of levels whose own test is significant, uncorrected; only all of them together are a test at 5%. effect:
    mean difference over seeds and levels, positive as claimed, in the metric's unit, with a 95% confidence interval
    over seeds. p_value: of the claim: the largest over levels, or that of the mean over levels; NaN if no test is made.
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
    """Test a claim on a figure's table: columns of its sides, `seed`, `round`, `weights_remaining` and the metric.

    Raises ValueError if a side has several rows of one seed and round.
    """
    return judge_pairs(claim, pair(claim, table))


def judge_pairs(claim: Claim, pairs: Pairs) -> Judgement:
    """Test a claim on the differences between its sides."""
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
    """Judge the claims whose sides are both in the table; the others were not requested."""

    def present(picks: Mapping[str, str | float]) -> bool:
        return all((table[column] == value).any() for column, value in picks.items())

    return [judge(claim, table) for claim in claims if present(claim.first) and present(claim.second)]


def pair(claim: Claim, table: pd.DataFrame) -> Pairs:
    """Return the claim's differences, seed by seed and level by level.

    The median of a level's weights remaining decides whether the level is in the range. Seeds that lack a row of a
    level on either side are left out. Seeds with a diverged training are left out and counted. If the claim compares
    the step of lowest validation loss, so are seeds for which that step is the start, because they never learned.

    Raises ValueError if a side has several rows of one seed and round.
    """
    sides = [
        table[np.logical_and.reduce([table[column] == value for column, value in picks.items()])]
        for picks in (claim.first, claim.second)
    ]
    with_levels = sides[:1] if claim.baseline else sides
    remaining = pd.concat(with_levels).groupby("round")["weights_remaining"].median()
    outside = (remaining <= claim.above) | (remaining > claim.below)
    levels: list[int] = remaining.index[~outside].tolist()
    seeds = sorted(int(n) for n in set(sides[0]["seed"]) & set(sides[1]["seed"]))
    if claim.baseline:
        sides[1] = pd.concat([sides[1].assign(round=level) for level in levels] or [sides[1].iloc[:0]])
    grids = [_grid(side, claim.metric, seeds, levels) for side in sides]
    complete = np.logical_and.reduce([present.all(axis=1) for present, _ in grids])
    first, second = (values[complete] for _, values in grids)
    differences = second - first if claim.smaller else first - second
    finite = np.isfinite(differences).all(axis=1)
    return Pairs(differences[finite], int((~finite).sum()), resolution_of(first, second))


def _grid(side: pd.DataFrame, metric: str, seeds: list[int], levels: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return arrays of seeds × levels: whether there is a row, and the metric, NaN for a diverged training."""
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
    """Return p of the one-sided t-test that the mean is above 0; NaN for fewer than three differences.

    If all differences are equal (up to `resolution`), a t-test is undefined: p is 1 if they are not above 0, else that
    of the sign test, 2⁻ⁿ for n differences.
    """
    if len(differences) < FEWEST_PAIRS:
        return math.nan
    if no_spread(differences, resolution):
        return float(0.5 ** len(differences)) if differences.min() > resolution else 1.0
    error = differences.std(ddof=1) / math.sqrt(len(differences))
    return float(special.stdtr(len(differences) - 1, -differences.mean() / error))


def confidence_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Return Student's confidence interval of the mean; NaN for fewer than two values."""
    if len(values) < 2:
        return math.nan, math.nan
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values)))
    reach = float(stats.t.ppf((1 + level) / 2, len(values) - 1)) * error
    return mean - reach, mean + reach
