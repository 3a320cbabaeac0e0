"""Sparse training: accuracy against weights remaining for every method and its controls.

The controls: a fixed random mask (static); a small dense network with as many weights, the best of three shapes by
validation accuracy; and the final structure of a dynamic method, trained from scratch as a static network, from its own
initial weights and from others.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import partial

import pandas as pd

from supermask.analysis.drawing import plots
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.figure import Drawing
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.drawing.styles import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, WINE, Style
from supermask.analysis.drawing.treatments import Line, styles_of
from supermask.analysis.kinds.rounds import UNPRUNED
from supermask.analysis.studies.experiment import Study
from supermask.sparse_training.runs import SMALL_DENSE, SMALL_SHAPES, SparseRun

DENSITIES = (0.20, 0.10, 0.05, 0.02, 0.01)

SMALL = "small dense"

LINES: Mapping[str, Line[SparseRun]] = {
    "gradual pruning": Line(SparseRun("magnitude_pruning"), Style(BLACK, "o")),
    "DNW": Line(SparseRun("dnw"), Style(RED, "D")),
    "RigL": Line(SparseRun("rigl"), Style(BLUE, "s")),
    "sparse momentum": Line(SparseRun("sparse_momentum"), Style(SKY, "P")),
    "DSR": Line(SparseRun("dsr"), Style(GREEN, "^")),
    "DSR from ERK densities": Line(SparseRun("dsr", distribution="erk"), Style(GREEN, ">", "--")),
    "SET": Line(SparseRun("set"), Style(PURPLE, "v")),
    "DeepR": Line(SparseRun("deep_r"), Style(WINE, "X")),
    "static": Line(SparseRun("static"), Style(GREY, "x", "--")),
    SMALL: Line(SparseRun(SMALL_DENSE), Style(ORANGE, "h", ":")),
    "DSR's structure, initial weights": Line(SparseRun(structure="dsr"), Style(GREEN, "^", ":", hollow=True)),
    "DSR's structure, fresh weights": Line(SparseRun(structure="dsr", start="fresh"), Style(GREEN, "<", ":")),
    "DNW's structure, initial weights": Line(SparseRun(structure="dnw"), Style(RED, "D", ":", hollow=True)),
}
"""The runs of each line, for any density. Dotted lines show final structures that are trained from scratch."""

STYLES = styles_of(LINES)

TITLE = "Sparse training: solid and dashed train sparse; dotted are structures and sizes without the way there"

DYNAMIC = {
    "DeepR": "Mostafa & Wang 2019, ResNet-50 on ImageNet at 90% sparsity: 70.2% against 67.8%",
    "SET": "Mocanu et al. 2018",
    "RigL": "Evci et al. 2020",
    "DSR": "Mostafa & Wang 2019, figure 1",
    "sparse momentum": "Dettmers & Zettlemoyer 2019",
    "DNW": "Wortsman et al. 2019, section 4.4",
}
_STATIC = "trained from scratch as a static network does not reach"


def _claim(sentence: str, published: str, first: str, second: str, *, above: float = 0.0) -> Claim:
    return Claim(sentence, published, {"line": first}, {"line": second}, above=above, below=0.05, every_level=False)


CLAIMS = (
    *(
        _claim(f"{name} beats static sparse training of equal size, on average from 5% to 1%", paper, name, "static")
        for name, paper in DYNAMIC.items()
    ),
    *(
        _claim(
            f"DSR beats {earlier}, on average from 5% to 1%",
            "Mostafa & Wang 2019, figure 1: better than the earlier dynamic methods at equal size",
            "DSR",
            earlier,
        )
        for earlier in ("SET", "DeepR")
    ),
    *(
        _claim(
            f"{name} beats a small dense network of equal size and the best of three shapes, on average from 5% to 1%",
            "Mostafa & Wang 2019, figure 1: sparse beats thin and dense",
            name,
            SMALL,
        )
        for name in ("DSR", "static")
    ),
    *(
        _claim(
            f"DSR's final structure {_STATIC} its accuracy, from {weights} weights, on average from 5% to 1%",
            "Mostafa & Wang 2019, section 4.3",
            "DSR",
            f"DSR's structure, {weights} weights",
        )
        for weights in ("initial", "fresh")
    ),
    _claim(
        f"DNW's final structure {_STATIC} its accuracy, so DNW needs no retraining, on average from 5% to 1%",
        "Wortsman et al. 2019: no fine-tuning or retraining follows",
        "DNW",
        "DNW's structure, initial weights",
    ),
)


def run_of(line: str, density: float) -> SparseRun:
    """Return a line's run at a density."""
    return replace(LINES[line].run, density=density)


DENSE = SparseRun()


def runs_of(line: str, density: float) -> tuple[SparseRun, ...]:
    """Return the trainings of a line at a density: one run, or for the small dense network one per shape."""
    run = run_of(line, density)
    return tuple(replace(run, shape=shape) for shape in SMALL_SHAPES) if line == SMALL else (run,)


def study(shown: Shown) -> Study:
    """Return every line at every density, and the dense network."""
    lines = [run for line in shown.names for density in DENSITIES for run in runs_of(line, density)]
    return Study((DENSE, *lines))


def tabulate(results: Results) -> pd.DataFrame:
    """Return one row per (line, density, seed). `weights_remaining` is relative to the dense network.

    `round` numbers the densities. Rows of 'unpruned' are the dense network. `live_weights` counts those of the network
    itself. The small dense network has each seed's best `shape` by validation accuracy.
    """
    table = results.sparse_trainings()
    runs = {run: line for line in results.shown.names for density in DENSITIES for run in runs_of(line, density)}
    runs |= {DENSE: UNPRUNED}
    keys = [field.name for field in fields(SparseRun)]
    lines = [runs.get(SparseRun(*values)) for values in table[keys].itertuples(index=False)]
    table.insert(3, "line", lines)
    table = table[table["line"].notna()]
    best = table.groupby(["line", "density", "seed"], sort=False)["validation_accuracy"].idxmax()
    table = table.loc[sorted(best)].copy()
    table.insert(4, "round", [0 if d == 1 else 1 + DENSITIES.index(d) for d in table["density"]])
    table["weights_remaining"] = table["density"]
    return table


FIGURE = Drawing(
    compares="else",
    names=tuple(LINES),
    study=study,
    tabulate=tabulate,
    draw=partial(plots.whole_and_top, title=TITLE, styles=STYLES, by="line"),
    summarise=partial(plots.accuracy_summary, styles=STYLES, by="line"),
    claims=CLAIMS,
    styles=STYLES,
    panels=plots.range_panels(STYLES, "line"),
)
