"""Bands over seeds and paired tests between treatments."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

SIGNIFICANCE = 0.05
"""The paper's significance level for its stars."""

FEWEST_PAIRS = 3
"""Minimum number of seeds for a test: with two, a t-test has one degree of freedom and almost no power."""


def bands(table: pd.DataFrame, by: Sequence[str], value: str) -> pd.DataFrame:
    """Return mean, minimum, maximum and number of seeds for each combination of the `by` columns."""
    grouped = table.groupby(list(by), sort=True, dropna=False)[value]
    return grouped.agg(mean="mean", least="min", greatest="max", seeds="count").reset_index()


def diverged_rows(table: pd.DataFrame) -> pd.Series:
    """Return which rows are of diverged trainings, which have a loss that is not finite.

    A network of NaN still has an accuracy, as it answers class 0, and a step of lowest validation loss, the start.
    """
    losses = table[[name for name in table.columns if "loss" in str(name).split("_")]]
    return pd.Series(~np.isfinite(losses.to_numpy(float)).all(axis=1), index=table.index)


def no_spread(differences: np.ndarray, resolution: float) -> bool:
    """Return whether all differences are equal up to the resolution of stored numbers: a t-test is then undefined."""
    return bool(np.ptp(differences) <= resolution)


def resolution_of(*values: np.ndarray) -> float:
    """Return the largest difference that counts as none: two units in the last place of float32."""
    finite = np.concatenate([np.ravel(np.asarray(each, float)) for each in values])
    finite = finite[np.isfinite(finite)]
    return 2 * float(np.finfo(np.float32).eps) * float(np.abs(finite).max(initial=0.0))


def paired_p_value(first: Sequence[float], second: Sequence[float]) -> float:
    """Return two-sided p of the paired t-test; NaN for fewer than three pairs or a value that is not finite.

    Equal seeds share initial weights and data order, so treatments are compared within seeds. If all differences are
    equal, a t-test is undefined: p is 1 if they are 0, else that of the sign test, 2 · 2⁻ⁿ for n pairs. Accuracies that
    happen to differ by the same few images on three seeds thus do not count as certain. Raises ValueError if the
    lengths differ.
    """
    if len(first) != len(second):
        raise ValueError(f"second has {len(second)} values; allowed: as many as first, {len(first)}")
    one, other = np.asarray(first, float), np.asarray(second, float)
    differences = one - other
    if len(differences) < FEWEST_PAIRS or not np.isfinite(differences).all():
        return math.nan
    resolution = resolution_of(one, other)
    if no_spread(differences, resolution):
        return 1.0 if np.abs(differences).max() <= resolution else 2 * 0.5 ** len(differences)
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def paired_tests(
    table: pd.DataFrame, column: str, first: str, second: str, value: str, by: str = "round"
) -> pd.DataFrame:
    """Return `paired_p_value` of two members of a column, paired by seed, at each level of `by`, without correction.

    Seeds that only one member has at a level are left out there. If a training of either diverged, no test is made.

    Columns: `by`, difference (mean of first minus second), p_value, pairs. Difference and p are NaN if a training
    diverged.
    """
    usable = table[value].where(~diverged_rows(table))
    sides = [
        table.assign(**{side: usable})[table[column] == name].set_index([by, "seed"])[side]
        for name, side in ((first, "first"), (second, "second"))
    ]
    pairs = pd.concat(sides, axis=1, join="inner")
    rows = [
        {
            by: level,
            "difference": float(np.mean(group["first"].to_numpy() - group["second"].to_numpy())),
            "p_value": paired_p_value(group["first"].tolist(), group["second"].tolist()),
            "pairs": len(group),
        }
        for level, group in pairs.groupby(level=by)
    ]
    return pd.DataFrame(rows, columns=[by, "difference", "p_value", "pairs"])
