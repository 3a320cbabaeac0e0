"""Sparse from the first step to the last: accuracy against weights remaining for every method, and its controls.

The controls: a random mask that stays (static); a small dense network of as many weights; and the structure that a
dynamic method ended with, trained from scratch as a static network, from its own initial weights and from others.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from analysis.claims import Claim
from analysis.figure import Figure
from analysis.results import UNPRUNED, Results
from analysis.studies import Study
from supermask.sparse_training.runs import SMALL_DENSE, SparseRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

DENSITIES = (0.20, 0.10, 0.05, 0.02, 0.01)

LINES: Mapping[str, Mapping[str, str]] = {
    "gradual pruning": {"method": "magnitude_pruning"},
    "DNW": {"method": "dnw"},
    "RigL": {"method": "rigl"},
    "sparse momentum": {"method": "sparse_momentum"},
    "DSR": {"method": "dsr"},
    "SET": {"method": "set"},
    "static": {"method": "static"},
    "small dense": {"method": SMALL_DENSE},
    "DSR's structure, initial weights": {"structure": "dsr"},
    "DSR's structure, fresh weights": {"structure": "dsr", "start": "fresh"},
    "DNW's structure, initial weights": {"structure": "dnw"},
}
"""What each line's runs are, but for their density."""

DYNAMIC = {
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
            f"{name} beats a small dense network of equal size, on average from 5% to 1%",
            "Mostafa & Wang 2019, figure 1: sparse beats thin and dense",
            name,
            "small dense",
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
    """A line's run at a density."""
    fields = dict(LINES[line])
    return SparseRun(
        fields.get("method", "static"),
        density,
        structure=fields.get("structure", ""),
        start=fields.get("start", "initial"),
    )


DENSE = SparseRun()


def study(names: Sequence[str]) -> Study:
    """Every line at every density, and the dense network."""
    sources = [run.source for line in names for run in (run_of(line, density) for density in DENSITIES) if run.source]
    lines = [run_of(line, density) for line in names for density in DENSITIES]
    return Study(sparse=tuple(dict.fromkeys([DENSE, *sources, *lines])), unpruned=False)


def tabulate(results: Results) -> pd.DataFrame:
    """One row a (line, density, seed). `weights_remaining` is of the dense network; `round` counts the densities.

    Rows of 'unpruned' are the dense network. `live_weights` counts the network's own.
    """
    table = results.sparse_trainings()
    runs = {run_of(line, density): line for line in results.names for density in DENSITIES} | {DENSE: UNPRUNED}
    keys = ["method", "density", "distribution", "structure", "start"]
    lines = [runs.get(SparseRun(*values)) for values in table[keys].itertuples(index=False)]
    table.insert(3, "line", lines)
    table = table[table["line"].notna()].copy()
    table.insert(4, "round", [0 if d == 1 else 1 + DENSITIES.index(d) for d in table["density"]])
    table["weights_remaining"] = table["density"]
    return table


def draw(table: pd.DataFrame, caption: str) -> "Picture":
    """The whole range, and its top."""
    from analysis import plots

    title = "Sparse training: solid and dashed train sparse; dotted are structures and sizes without the way there"
    return plots.whole_and_top(table, caption, title, by="line")[0]


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Mean test accuracy in percent at every density."""
    from analysis import plots

    return plots.accuracy_summary(table, by="line")


FIGURE = Figure(
    "sparse-training",
    "Sparse training against weights remaining",
    "else",
    tuple(LINES),
    study,
    tabulate,
    draw,
    summarise,
    CLAIMS,
)
