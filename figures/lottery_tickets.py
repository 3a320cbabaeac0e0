"""The lottery ticket paper's two curves: accuracy, and step of lowest validation loss, against weights remaining.

Winning tickets against random reinitialisation, pruned iteratively and one-shot, rewound to initialisation and to a
later step. In the paper, the control of iterative pruning is the ticket's own structure with new weights; here the
algorithm reinitialises in every round, so that it also finds masks of its own. One-shot masks come from round 0, which
both share: there the structure is the same. Frankle & Carbin 2019 (arXiv 1803.03635), figures 3 and 4; Frankle et al.
2019 (arXiv 1903.01611).
"""

import pandas as pd

from supermask.actions import KEPT_ACTIONS
from supermask.analysis.drawing import plots
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.frame import BANDS, Frame, Picture, finish
from supermask.analysis.drawing.styles import BLUE, GREEN, ORANGE, RED, SKY, Style
from supermask.analysis.drawing.treatments import Line, styles_of, treatment_drawing
from supermask.analysis.kinds.rounds import UNPRUNED
from supermask.restarts import Treatment

LINES = {
    "winning ticket": Line(Treatment(), Style(BLUE, "o")),
    "winning ticket, rewound to step 50": Line(Treatment(rewind_step=50), Style(GREEN, "D")),
    "random reinitialisation": Line(Treatment(kept=KEPT_ACTIONS["reinit"]), Style(ORANGE, "s", "--")),
    "one-shot": Line(Treatment(schedule="one_shot"), Style(SKY, "^")),
    "one-shot, random reinitialisation": Line(
        Treatment(schedule="one_shot", kept=KEPT_ACTIONS["reinit"]), Style(RED, "v", "--")
    ),
}
WINNING, REINITIALISED = {"treatment": "winning ticket"}, {"treatment": "random reinitialisation"}
WHOLE = {"treatment": UNPRUNED}

CLAIMS = (
    Claim(
        "winning tickets are more accurate than networks pruned alike but reinitialised at random in every round, "
        "at every level below 20% of the weights",
        "Frankle & Carbin 2019, figure 4, of the tickets' own structures reinitialised",
        WINNING,
        REINITIALISED,
        below=0.20,
    ),
    Claim(
        "winning tickets reach their lowest validation loss sooner than networks reinitialised in every round, "
        "on average over the levels from 50% to 3.6% of the weights",
        "Frankle & Carbin 2019, figure 4a, of the tickets' own structures reinitialised",
        WINNING,
        REINITIALISED,
        metric="early_stop_step",
        above=0.036,
        below=0.5,
        smaller=True,
        every_level=False,
    ),
    Claim(
        "one-shot tickets are more accurate than the same structure reinitialised at random, "
        "on average over the levels below 20%",
        "Frankle & Carbin 2019, figure 4 and section 2",
        {"treatment": "one-shot"},
        {"treatment": "one-shot, random reinitialisation"},
        below=0.20,
        every_level=False,
    ),
    Claim(
        "iterative pruning finds better tickets than one-shot pruning, on average over the levels below 20%",
        "Frankle & Carbin 2019, figure 4 and section 2",
        WINNING,
        {"treatment": "one-shot"},
        below=0.20,
        every_level=False,
    ),
    Claim(
        "a fifth to a tenth of the weights is enough: winning tickets are less than 0.2 points below the unpruned "
        "network, at every level from 20% to 10% of the weights",
        "Frankle & Carbin 2019, abstract: 10 to 20% of the network's size, or less",
        WINNING,
        WHOLE,
        above=0.10,
        below=0.21,
        margin=-0.002,
        baseline=True,
    ),
    Claim(
        "winning tickets learn sooner than the unpruned network: they reach their lowest validation loss in fewer "
        "steps, on average over the levels from 60% to 20% of the weights",
        "Frankle & Carbin 2019, figure 4a: winning tickets learn faster than the original network",
        WINNING,
        WHOLE,
        metric="early_stop_step",
        above=0.2,
        below=0.6,
        smaller=True,
        every_level=False,
        baseline=True,
    ),
)


def draw(table: pd.DataFrame, frame: Frame) -> Picture:
    """Draw accuracy on the left, its top in the middle, and the early-stopping step on the right."""
    picture, (whole, top, stop) = plots.new_picture(3, frame, width=3.6)
    plots.both_ranges(whole, top, table, styles_of(LINES))
    plots.accuracy_lines(stop, table, styles_of(LINES), by="treatment", value="early_stop_step", scale=1)
    plots.remaining_axis(stop, table, "step of lowest validation loss")
    stop.set_title("early stopping: lower learns faster")
    finish(picture, frame, "Lottery tickets: accuracy and learning speed of pruned networks", BANDS, whole)
    return picture


FIGURE = treatment_drawing(
    compares="else",
    lines=LINES,
    draw=draw,
    claims=CLAIMS,
)
