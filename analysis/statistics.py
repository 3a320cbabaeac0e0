"""Bands over seeds and paired tests between treatments."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

SIGNIFICANCE = 0.05
"""The paper's level for its stars."""

FEWEST_PAIRS = 3
"""No test is made on fewer seeds: with two, a t-test has one degree of freedom and finds next to nothing."""


def bands(table: pd.DataFrame, by: Sequence[str], value: str) -> pd.DataFrame:
    """Mean, least and greatest value over seeds, and the number of seeds, for each combination of the `by` columns."""
    grouped = table.groupby(list(by), sort=True, dropna=False)[value]
    return grouped.agg(mean="mean", least="min", greatest="max", seeds="count").reset_index()


def paired_p_value(first: Sequence[float], second: Sequence[float]) -> float:
    """Two-sided p of the paired t-test, member by member; NaN for fewer than three pairs or a value that is not finite.

    Equal seeds share initial weights and data order, so treatments are compared within seeds. Differences that are all
    equal have no spread to test against: p is 1 where they are 0, and 0 where they are not.

    Raises ValueError where the lengths differ.
    """
    if len(first) != len(second):
        raise ValueError(f"second has {len(second)} values; allowed: as many as first, {len(first)}")
    differences = np.asarray(first, float) - np.asarray(second, float)
    if len(differences) < FEWEST_PAIRS or not np.isfinite(differences).all():
        return math.nan
    if np.ptp(differences) == 0:
        return float(differences[0] == 0)
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def paired_tests(
    table: pd.DataFrame, column: str, first: str, second: str, value: str, by: str = "round"
) -> pd.DataFrame:
    """`paired_p_value` of two members of a column, paired by seed, at each level of `by`.

    Columns: `by`, difference (mean of first minus second), p_value, pairs.
    """
    sides = [
        table[table[column] == name].set_index([by, "seed"])[value].rename(side)
        for name, side in ((first, "first"), (second, "second"))
    ]
    pairs = pd.concat(sides, axis=1, join="inner")
    rows = [
        {
            by: level,
            "difference": (group["first"] - group["second"]).mean(),
            "p_value": paired_p_value(group["first"].tolist(), group["second"].tolist()),
            "pairs": len(group),
        }
        for level, group in pairs.groupby(level=by)
    ]
    return pd.DataFrame(rows, columns=[by, "difference", "p_value", "pairs"])
