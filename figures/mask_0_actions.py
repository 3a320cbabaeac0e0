"""Mask-0 actions: zeros for pruned weights help because those weights were moving toward zero.

Zhou et al. 2019, paper figure 5 (post: figures 2 and 3). large_final masks, kept weights rewound; with variants that
apply the rule to kept weights too or reverse it, and a control that sets as many zeros at random places.
"""

from functools import partial

from supermask.actions import KEPT_ACTIONS, PRUNED_ACTIONS
from supermask.analysis.drawing import plots
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.styles import BLACK, BLUE, GREY, ORANGE, RED, Style
from supermask.analysis.drawing.treatments import Line, styles_of, treatment_drawing
from supermask.restarts import Treatment

_PAPER = "Zhou et al. 2019, paper figure 5 (post: figure 3)"
RULE = "zero if moved to zero, else initial"
KEPT_TOO = "the rule, kept weights too"
LINES = {
    "zero": Line(Treatment(), Style(BLACK, "s")),
    "initial value": Line(Treatment(pruned=PRUNED_ACTIONS["init"]), Style(ORANGE, "o")),
    RULE: Line(Treatment(pruned=PRUNED_ACTIONS["zero_if_shrunk"]), Style(BLUE, "^")),
    "the reverse of that": Line(Treatment(pruned=PRUNED_ACTIONS["zero_if_grown"]), Style(BLUE, "v", "--")),
    "as many zeros at random": Line(Treatment(pruned=PRUNED_ACTIONS["zero_at_random"]), Style(GREY, "x", ":")),
    KEPT_TOO: Line(
        Treatment(kept=KEPT_ACTIONS["rewind_or_zero"], pruned=PRUNED_ACTIONS["zero_if_shrunk"]), Style(RED, "D")
    ),
    "kept weights by the rule, pruned at zero": Line(
        Treatment(kept=KEPT_ACTIONS["rewind_or_zero"]), Style(RED, "P", "--")
    ),
}


def _beats(sentence: str, published: str, first: str, second: str) -> Claim:
    return Claim(
        f"{sentence}, on average over the levels below 50% of the weights",
        published,
        {"treatment": first},
        {"treatment": second},
        below=0.5,
        every_level=False,
    )


CLAIMS = (
    _beats(
        "pruned weights frozen at 0 do better than frozen at their initial value",
        "Zhou et al. 2019, paper figure 5 (post: figure 2): for Conv2, Conv4 and Conv6",
        "zero",
        "initial value",
    ),
    _beats(
        "freezing by the direction of movement does better than freezing at 0",
        f"{_PAPER}: better than either alone",
        RULE,
        "zero",
    ),
    _beats(
        "freezing by the direction of movement does better than freezing at the initial value",
        f"{_PAPER}: better than either alone",
        RULE,
        "initial value",
    ),
    _beats(
        "the rule for kept weights as well does better than for pruned weights alone",
        f"{_PAPER}: it does best of all",
        KEPT_TOO,
        RULE,
    ),
    _beats(
        "the reversed rule does worse than the rule",
        "Zhou et al. 2019, supplement",
        RULE,
        "the reverse of that",
    ),
    _beats(
        "it is which weights are zero that matters: the rule beats as many zeros at random",
        "Zhou et al. 2019, supplement",
        RULE,
        "as many zeros at random",
    ),
)


FIGURE = treatment_drawing(
    compares="pruned",
    lines=LINES,
    draw=partial(plots.whole_and_top, title="What pruned weights are frozen at", styles=styles_of(LINES)),
    claims=CLAIMS,
)
