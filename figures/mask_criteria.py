"""Figure 7: which weights to keep. Test accuracy against weights remaining, for every mask criterion and random.

Rounds of training, pruning by the criterion, and rewinding to the initial weights with pruned ones at 0. Accuracy
is the test accuracy at the step of lowest validation loss.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from analysis.figure import Figure
from analysis.results import Results
from analysis.studies import Study
from supermask.lottery import Treatment

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

CRITERIA = (
    "large_final",
    "small_final",
    "large_init",
    "small_init",
    "large_init_large_final",
    "small_init_small_final",
    "magnitude_increase",
    "movement",
    "random",
    "large_final_same_sign",
    "large_final_diff_sign",
)
STARRED = ("large_final", "magnitude_increase")
"""The paper's stars mark where these two differ."""


def study(criteria: Sequence[str]) -> Study:
    """Iterative pruning with each criterion."""
    return Study(treatments=tuple(Treatment(criterion=name) for name in criteria))


def tabulate(results: Results) -> pd.DataFrame:
    """One row a (criterion, seed, round)."""
    table = results.trainings()
    return table.drop(columns=["kept", "pruned", "schedule", "ranking", "rewind_step"])


def draw(table: pd.DataFrame, caption: str) -> "Picture":
    """All of the range on the left; on the right its top, where the good criteria part."""
    from analysis import plots

    starred = set(STARRED) <= set(table["criterion"])
    picture, (whole, top) = plots.new_picture(2, caption)
    for axes in (whole, top):
        plots.accuracy_lines(axes, table)
        plots.unpruned_line(axes, table)
        plots.remaining_axis(axes, table)
    top.set_ylim(*top_range(table))
    top.set_title("the top of it", fontsize=9, loc="left")
    if starred:
        for axes in (whole, top):
            note = plots.stars(axes, table, *STARRED)
        whole.set_title(note, fontsize=8, loc="left")
    handles, labels = whole.get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside right center", fontsize=8, frameon=False)
    picture.suptitle(
        "Mask criteria: test accuracy after training the pruned network, by weights remaining", fontsize=11
    )
    return picture


def top_range(table: pd.DataFrame) -> tuple[float, float]:
    """Percent: from a little below the best criterion's worst mean to a little above the best run."""
    means = 100 * table.groupby(["criterion", "round"])["test_accuracy"].mean().unstack()
    best = 100 * table["test_accuracy"].max()
    lowest = float(means.max().min())
    room = max(best - lowest, 0.5)
    return lowest - 0.35 * room, best + 0.12 * room


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Mean test accuracy in percent at a few levels of weights remaining."""
    from analysis import plots

    return plots.accuracy_summary(table)


FIGURE = Figure(
    "mask-criteria", "Mask criteria: test accuracy by weights remaining", CRITERIA, study, tabulate, draw, summarise
)
