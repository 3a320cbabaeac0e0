"""Sanity checks of pruning: does it matter which weights of a layer are kept, and where they restart?

One-shot masks of whole-network rankings, each beside the same scores shuffled within layers, beside the same mask on
newly drawn weights, and beside inverted scores. Frankle et al. 2021 (arXiv 2009.08576); Su et al. 2020
(arXiv 2009.11094).
"""

import pandas as pd

from supermask.actions import KEPT_ACTIONS
from supermask.analysis.drawing import plots
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.frame import BANDS, Frame, Picture, finish
from supermask.analysis.drawing.styles import BLACK, BLUE, GREEN, ORANGE, RED, Style, Styles
from supermask.analysis.drawing.treatments import Line, treatment_drawing
from supermask.analysis.kinds.rounds import UNPRUNED
from supermask.controls import inverted, shuffled
from supermask.criteria import CRITERIA, Criterion
from supermask.network_criteria import iterative_synflow, softened_grasp
from supermask.restarts import Treatment

COMPARED = {
    "large_final": CRITERIA["large_final"],
    "SNIP": CRITERIA["snip"],
    "GraSP": softened_grasp(200),
    "SynFlow": iterative_synflow(20),
}
"""A criterion after training, and three before: GraSP at the temperature of its released code, and SynFlow in twenty
steps, because in one step it may empty a layer."""

ITSELF, SHUFFLED, ANEW, INVERTED = "as found", "shuffled within layers", "on new weights", "inverted"
VARIANTS: Styles = {
    ITSELF: Style(BLUE, "o"),
    SHUFFLED: Style(ORANGE, "s", "--"),
    ANEW: Style(GREEN, "^", ":", hollow=True),
    INVERTED: Style(RED, "v", "-.", hollow=True),
    "random": Style(BLACK, "x", ":"),
}
"""Lines of each panel; 'random' prunes all layers alike and is in every panel."""


def label_of(criterion: str, variant: str) -> str:
    """Return the label of a criterion's variant, as in column `treatment`."""
    return f"{criterion}, {variant}"


def _run(criterion: Criterion, kept: str = "rewind") -> Treatment:
    return Treatment(criterion, KEPT_ACTIONS[kept], schedule="one_shot", ranking="global")


def _runs(criterion: Criterion) -> dict[str, Treatment]:
    return {
        ITSELF: _run(criterion),
        SHUFFLED: _run(shuffled(criterion)),
        ANEW: _run(criterion, "reinit"),
        INVERTED: _run(inverted(criterion)),
    }


LINES = {
    label_of(name, variant): Line(run, VARIANTS[variant])
    for name, criterion in COMPARED.items()
    for variant, run in _runs(criterion).items()
} | {"random": Line(_run(CRITERIA["random"]), VARIANTS["random"])}

TITLE = "Sanity checks: the same layers' densities at shuffled places, on new weights, and inverted"

_FRANKLE = "Frankle et al. 2021, of ResNets and VGG-16"
_WHERE = "on average over the levels from 20% to 2% of the weights"


def _more(first: tuple[str, str], second: tuple[str, str], sentence: str, margin: float = 0.0) -> Claim:
    return Claim(
        f"{sentence}, {_WHERE}",
        _FRANKLE,
        {"treatment": label_of(*first)},
        {"treatment": label_of(*second)},
        above=0.02,
        below=0.20,
        margin=margin,
        every_level=False,
    )


CLAIMS = (
    _more(
        ("large_final", ITSELF),
        ("large_final", SHUFFLED),
        "after training it matters which weights of a layer are kept: large_final beats its own mask shuffled",
    ),
    _more(
        ("large_final", ITSELF),
        ("large_final", ANEW),
        "after training it matters where they restart: large_final beats the same mask on new weights",
    ),
    *(
        _more(
            (name, SHUFFLED),
            (name, ITSELF),
            f"before training only layers' densities matter: {name} shuffled within layers is less than a point below "
            "it",
            margin=-0.01,
        )
        for name in ("SNIP", "GraSP", "SynFlow")
    ),
    *(
        _more(
            (name, ANEW),
            (name, ITSELF),
            f"before training initial values do not matter: {name}'s mask on new weights is less than a point below it",
            margin=-0.01,
        )
        for name in ("SNIP", "GraSP", "SynFlow")
    ),
    _more(
        ("large_final", ITSELF),
        ("SynFlow", ITSELF),
        "large_final, which has seen a training, beats SynFlow, which has seen no data",
    ),
)


def draw(table: pd.DataFrame, frame: Frame) -> Picture:
    """Draw a panel for each criterion: its mask as found, shuffled, on new weights and inverted, beside random."""
    rows = {name: _rows_of(name, table) for name in COMPARED}
    shown = {name: own for name, own in rows.items() if set(own["treatment"]) - {UNPRUNED, "random"}}
    picture, panels = plots.new_picture(max(len(shown), 1), frame, width=3.3)
    for axes, (name, own) in zip(panels, (shown or {"random": table}).items(), strict=True):
        plots.accuracy_lines(axes, own, VARIANTS, by="treatment")
        plots.unpruned_line(axes, own, by="treatment")
        plots.remaining_axis(axes, own)
        axes.set_title(name)
        axes.set_ylim(0, 100)
    finish(picture, frame, TITLE, BANDS, panels[0])
    return picture


def _rows_of(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a criterion's panel, whose `treatment` is the variant alone."""
    variants = {label_of(name, variant): variant for variant in VARIANTS} | {n: n for n in (UNPRUNED, "random")}
    chosen = table[table["treatment"].isin(list(variants))]
    return chosen.assign(treatment=chosen["treatment"].map(variants))


FIGURE = treatment_drawing(compares="else", lines=LINES, draw=draw, claims=CLAIMS)
