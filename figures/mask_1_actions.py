"""Mask-1 actions: values at which kept weights restart, with and without their original sign.

Zhou et al. 2019, paper figure 4 (post: figure 8). large_final masks, pruned weights at 0; only the values at which kept
weights restart differ.
"""

from functools import partial

from supermask.actions import KEPT_ACTIONS
from supermask.analysis.drawing import plots
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.styles import BLACK, BLUE, GREEN, ORANGE, RED, Style
from supermask.analysis.drawing.treatments import Line, styles_of, treatment_drawing
from supermask.restarts import Treatment

LINES = {
    "rewind": Line(Treatment(), Style(BLACK, "o")),
    "reinit, same sign": Line(Treatment(kept=KEPT_ACTIONS["reinit_same_sign"]), Style(BLUE, "s")),
    "reinit": Line(Treatment(kept=KEPT_ACTIONS["reinit"]), Style(BLUE, "s", ":", hollow=True)),
    "reshuffle, same sign": Line(Treatment(kept=KEPT_ACTIONS["reshuffle_same_sign"]), Style(ORANGE, "^")),
    "reshuffle": Line(Treatment(kept=KEPT_ACTIONS["reshuffle"]), Style(ORANGE, "^", ":", hollow=True)),
    "constant, same sign": Line(Treatment(kept=KEPT_ACTIONS["constant_same_sign"]), Style(RED, "D")),
    "constant": Line(Treatment(kept=KEPT_ACTIONS["constant"]), Style(RED, "D", ":", hollow=True)),
    "reinit as released, same sign": Line(Treatment(kept=KEPT_ACTIONS["reinit_released_same_sign"]), Style(GREEN, "v")),
    "reinit as released": Line(Treatment(kept=KEPT_ACTIONS["reinit_released"]), Style(GREEN, "v", ":", hollow=True)),
}
TITLE = "Where kept weights restart: solid keeps the sign, dotted does not"
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


FIGURE = treatment_drawing(
    compares="kept",
    lines=LINES,
    draw=partial(plots.whole_and_top, title=TITLE, styles=styles_of(LINES)),
    claims=CLAIMS,
)
