"""Tickets on another network's weights, and on other data: what a mask is worth without what it was found with.

The masks of the lottery ticket algorithm, trained from the initial weights of another seed: raw, with the signs of the
ticket's trained weights, and after its hidden units were matched to the other network's. Frankle & Carbin 2019's
control, the ticket's own structure with new weights, is the raw one. Oh et al. 2025 (arXiv 2504.05357); Adnan et al.
2025 (arXiv 2505.05143). Where another data set is given, also the masks that are found on it from the same initial
weights: Morcos et al. 2019 (arXiv 1906.02773).
"""

from collections.abc import Mapping
from functools import partial

import pandas as pd

from supermask.analysis.drawing import plots
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.figure import Drawing
from supermask.analysis.drawing.frame import Frame, Picture
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.drawing.styles import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, SKY, Style
from supermask.analysis.drawing.treatments import Line, styles_of
from supermask.analysis.kinds.plan import results_of
from supermask.analysis.kinds.rounds import UNPRUNED, Unpruned
from supermask.analysis.kinds.transfer import FromOtherData, Move, Transfer
from supermask.analysis.studies.experiment import Study
from supermask.criteria import CRITERIA
from supermask.restarts import Treatment

OTHER_DATA = "found on other data"

LINES: Mapping[str, Line[Treatment | Move]] = {
    "own weights": Line(Treatment(), Style(BLUE, "o")),
    "moved, raw": Line(Transfer(), Style(ORANGE, "s", "--")),
    "moved with signs": Line(Transfer(signs=True), Style(GREEN, "D")),
    "moved to matched units": Line(Transfer(matched=True), Style(RED, "^", "--", hollow=True)),
    "moved with signs to matched units": Line(Transfer(signs=True, matched=True), Style(PURPLE, "v")),
    "random mask": Line(Treatment(CRITERIA["random"]), Style(BLACK, "x", ":")),
    OTHER_DATA: Line(FromOtherData(), Style(SKY, "P", "-.")),
}
TITLE = "Tickets on another network's initial weights"
_WHERE = "on average over the levels below 10% of the weights"


def _more(first: str, second: str, sentence: str, published: str, margin: float = 0.0) -> Claim:
    return Claim(
        f"{sentence}, {_WHERE}",
        published,
        {"line": first},
        {"line": second},
        below=0.10,
        margin=margin,
        every_level=False,
    )


CLAIMS = (
    _more(
        "own weights",
        "moved, raw",
        "a ticket needs its own initial weights: it beats its mask on another network's",
        "Frankle & Carbin 2019, figure 4: the structure with new weights",
    ),
    _more(
        "moved, raw",
        "random mask",
        "a mask is worth something on other weights: moved raw, it beats a random mask",
        "Frankle & Carbin 2019, figure 4: the structure with new weights",
    ),
    _more(
        "moved with signs",
        "moved, raw",
        "signs can be carried along: with the ticket's signs the moved mask is better than without",
        "Oh et al. 2025, of ResNets",
    ),
    _more(
        "moved with signs",
        "own weights",
        "signs are all that is missing: with them the moved mask is less than a point below the ticket",
        "Oh et al. 2025: a signed mask makes any initialisation a winning ticket",
        margin=-0.01,
    ),
    _more(
        "moved to matched units",
        "moved, raw",
        "masks move better once hidden units are matched",
        "Adnan et al. 2025, of ResNets and VGG-11",
    ),
    _more(
        OTHER_DATA,
        "random mask",
        "a ticket is worth something on other data: one that was found there beats a random mask",
        "Morcos et al. 2019, of ResNet-50 and VGG-19 on photographs",
    ),
    _more(
        OTHER_DATA,
        "own weights",
        "tickets generalise: one that was found on other data is less than a point below the data's own",
        "Morcos et al. 2019, of ResNet-50 and VGG-19 on photographs: nearly as accurate",
        margin=-0.01,
    ),
)


def study(shown: Shown) -> Study:
    """Return the lines' runs, and the unpruned network."""
    return Study((Unpruned(), *(LINES[name].run for name in shown.names)))


def tabulate(results: Results) -> pd.DataFrame:
    """Return one row per (line, seed, round), and the unpruned network as round 0."""
    rows = []
    for seed in results.experiment.seeds:
        rows.append({"line": UNPRUNED, "seed": seed, "round": 0} | results.metrics(Unpruned(), seed))
        for name in results.shown.names:
            for round_, named in enumerate(results_of(results.experiment, LINES[name].run, seed), 1):
                rows.append({"line": name, "seed": seed, "round": round_} | results.metrics_of(named.id))
    return results.labelled(pd.DataFrame(rows))


def draw(table: pd.DataFrame, frame: Frame) -> Picture:
    """Draw all of the range, and the top of it; the title says what is moved, and to what."""
    lines, title = set(table["line"]), TITLE
    if OTHER_DATA in lines:
        moved = any(line.startswith("moved") for line in lines)
        title = f"{TITLE}, and of other data" if moved else "Tickets of other data"
    return plots.whole_and_top(table, frame, title=title, styles=styles_of(LINES), by="line")


FIGURE = Drawing(
    compares="else",
    names=tuple(name for name in LINES if name != OTHER_DATA),
    of_other_data=(OTHER_DATA,),
    study=study,
    tabulate=tabulate,
    draw=draw,
    summarise=partial(plots.accuracy_summary, styles=styles_of(LINES), by="line"),
    claims=CLAIMS,
    styles=styles_of(LINES),
    panels=plots.range_panels(styles_of(LINES), "line"),
)
