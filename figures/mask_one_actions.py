"""Signs are what matters: where kept weights restart, with and without their original sign.

Zhou et al. 2019, paper figure 4 (post: figure 8). large_final masks, pruned weights at 0; only the values that kept
weights restart from differ.
"""

from typing import TYPE_CHECKING

import pandas as pd

from analysis.drawing.claims import Claim
from analysis.drawing.frame import Frame
from analysis.drawing.treatment_figure import treatment_figure
from supermask.lottery import Treatment

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

TREATMENTS = {
    "rewind": Treatment(),
    "reinit, same sign": Treatment(kept="reinit_same_sign"),
    "reinit": Treatment(kept="reinit"),
    "reshuffle, same sign": Treatment(kept="reshuffle_same_sign"),
    "reshuffle": Treatment(kept="reshuffle"),
    "constant, same sign": Treatment(kept="constant_same_sign"),
    "constant": Treatment(kept="constant"),
    "reinit as released, same sign": Treatment(kept="reinit_released_same_sign"),
    "reinit as released": Treatment(kept="reinit_released"),
}
_PAPER = (
    "Zhou et al. 2019, paper figure 4 (post: figure 8): "
    "sign-keeping lines lie with rewinding, the others with random reinitialisation"
)

CLAIMS = (
    *(
        Claim(
            f"keeping the sign matters: {name} with the original sign beats {name} without it, "
            "at every level below 10% of the weights",
            _PAPER,
            {"treatment": f"{name}, same sign"},
            {"treatment": name},
            below=0.10,
        )
        for name in ("constant", "reinit", "reshuffle")
    ),
    *(
        Claim(
            f"the sign is all that is needed: {name} with the original sign is less than a point below rewinding, "
            "on average over the levels above 2% of the weights",
            _PAPER,
            {"treatment": f"{name}, same sign"},
            {"treatment": "rewind"},
            above=0.02,
            below=0.99,
            margin=-0.01,
            every_level=False,
        )
        for name in ("constant", "reinit", "reshuffle")
    ),
)


def draw(table: pd.DataFrame, frame: Frame) -> "Picture":
    """Solid lines keep the sign, dotted ones do not."""
    from analysis.drawing import plots

    return plots.whole_and_top(table, frame, "Where kept weights restart: solid keeps the sign, dotted does not")


FIGURE = treatment_figure(
    "mask-1-actions", "Mask-1 actions: where kept weights restart", "kept", TREATMENTS, draw, CLAIMS
)
