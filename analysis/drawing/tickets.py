"""Tables of `supermask.lottery_rounds`: seeds compared in pairs, and a picture."""

from collections.abc import Iterable
from itertools import cycle
from typing import Any

import pandas as pd

from supermask.analysis.drawing import plots
from supermask.analysis.drawing.frame import Picture
from supermask.analysis.drawing.statistics import paired_tests
from supermask.analysis.drawing.styles import CRITERIA, Styles

TREATMENT = ("criterion", "kept", "pruned", "ranking")
"""The columns that tell treatments apart."""


def compare(table: pd.DataFrame, first: str, second: str, value: str = "accuracy") -> pd.DataFrame:
    """Compare two treatments at every round by a paired t-test over seeds, two-sided, without correction.

    first, second: labels of `labelled`: a criterion's name where the table has treatments of different criteria alone.

    Returns a row for each round: difference (mean of first minus second), p_value (NaN below three pairs, or where a
    value is not finite), pairs.

    Raises ValueError for unknown labels or columns.
    """
    table = labelled(table, value)
    for name, label in (("first", first), ("second", second)):
        if label not in set(table["treatment"]):
            raise ValueError(f"{name} is {label!r}; allowed: {', '.join(dict.fromkeys(table['treatment']))}")
    return paired_tests(table, "treatment", first, second, value)


def draw(table: pd.DataFrame, value: str = "accuracy", *, title: str = "", scale: float = 100) -> Picture:
    """Draw a metric against the weights remaining: means over seeds, and bands from the least to the greatest.

    scale: what values are multiplied by: 100 shows fractions in percent, 1 other numbers as they are.

    Raises ValueError for an unknown column.
    """
    import matplotlib

    from supermask.analysis.drawing.frame import BANDS, Frame, finish, settings

    table, frame = labelled(table, value), Frame()
    look: Any = settings(frame)
    with matplotlib.rc_context(look):
        picture, (axes,) = plots.new_picture(1, frame, width=5.4)
        plots.accuracy_lines(axes, table, styles_of(table["treatment"]), "treatment", value, scale)
        plots.remaining_axis(axes, table, f"{value}, %" if scale == 100 else value)
        finish(picture, frame, title or f"Lottery tickets: {value} by weights remaining", BANDS, axes)
    return picture


def styles_of(labels: Iterable[str]) -> Styles:
    """Return a style for each label: a criterion's own, and for others those that are left, in turn."""
    names = list(dict.fromkeys(labels))
    left = cycle([style for name, style in CRITERIA.items() if name not in names])
    return {name: CRITERIA[name] if name in CRITERIA else next(left) for name in names}


def labelled(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """Return the table with a column `treatment`: the names of the choices in which its treatments differ.

    Raises ValueError for a table that is not one of `lottery_rounds`, and where it has no such metric.
    """
    needed = (*TREATMENT, "seed", "round", "weights_remaining", value)
    if missing := [name for name in needed if name not in table.columns]:
        raise ValueError(f"table has no column {missing[0]!r}; it has {', '.join(map(str, table.columns))}")
    differing = [name for name in TREATMENT if table[name].nunique() > 1] or ["criterion"]
    return table.assign(treatment=table[differing].astype(str).agg(", ".join, axis=1))
