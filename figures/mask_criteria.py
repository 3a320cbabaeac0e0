"""Which weights to keep: test accuracy against weights remaining, for every mask criterion and random.

Zhou et al. 2019, paper figure 3 (post: figure 7). Rounds of training, pruning by the criterion, and rewinding to the
initial weights with pruned ones at 0. Accuracy is the test accuracy at the step of lowest validation loss.
"""

from functools import partial

import pandas as pd

from supermask.analysis.drawing import plots, styles
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.figure import Drawing
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.studies.experiment import Study
from supermask.criteria import EIGHT
from supermask.restarts import Treatment

CRITERIA = (*(criterion.name for criterion in EIGHT), "random", "large_final_same_sign", "large_final_diff_sign")
STARRED = ("large_final", "magnitude_increase")
"""The paper's stars mark where these two differ."""

TITLE = "Mask criteria: test accuracy after training the pruned network, by weights remaining"

_PAPER = "Zhou et al. 2019, paper figure 3 (post: figure 7): one member of each pair above random, one below"


def _beats(first: str, second: str) -> Claim:
    return Claim(
        f"{first} beats {second}, on average over the levels below 20% of the weights",
        _PAPER,
        {"criterion": first},
        {"criterion": second},
        below=0.20,
        every_level=False,
    )


CLAIMS = (
    *(_beats(name, "random") for name in ("large_final", "large_init", "large_init_large_final")),
    *(_beats("random", name) for name in ("small_final", "small_init", "small_init_small_final")),
    *(_beats(name, "random") for name in ("magnitude_increase", "movement")),
    _beats("large_final_same_sign", "large_final_diff_sign"),
)


def study(shown: Shown) -> Study:
    """Return iterative pruning with each criterion."""
    return Study(tuple(Treatment(shown.members.criterion[name]) for name in shown.names))


def tabulate(results: Results) -> pd.DataFrame:
    """Return one row per (criterion, seed, round)."""
    table = results.trainings()
    return table.drop(columns=["kept", "pruned", "schedule", "ranking", "rewind_step"])


FIGURE = Drawing(
    compares="criterion",
    names=CRITERIA,
    study=study,
    tabulate=tabulate,
    draw=partial(plots.whole_and_top, title=TITLE, styles=styles.CRITERIA, by="criterion", starred=STARRED),
    summarise=partial(plots.accuracy_summary, styles=styles.CRITERIA),
    claims=CLAIMS,
    styles=styles.CRITERIA,
    panels=plots.range_panels(styles.CRITERIA, "criterion", STARRED),
)
