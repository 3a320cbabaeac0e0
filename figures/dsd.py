"""Dense-sparse-dense training against dense training with the same budget."""

from collections.abc import Mapping

import pandas as pd

from supermask.analysis.drawing import plots, styles
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.figure import Drawing
from supermask.analysis.drawing.frame import DOTS, Frame, Picture, finish
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.studies.experiment import Study
from supermask.compression.dsd import DSDRun

CONTROL = "dense throughout"
LINES: Mapping[str, float] = {CONTROL: 0.0, "25% pruned": 0.25, "30% pruned": 0.30, "50% pruned": 0.50}
"""Fraction of each layer that is pruned in the middle phase."""

PHASES = {"dense_phase": "dense", "sparse_phase": "sparse", "last_phase": "dense again"}

CLAIMS = tuple(
    Claim(
        f"dense-sparse-dense with {line} is more accurate than dense training of the same budget",
        "Han et al. 2017, table 1: 0.5 to 4.3 points better than the baseline, on networks for ImageNet and speech",
        {"line": line},
        {"line": CONTROL},
        metric="test_accuracy_at_end",
    )
    for line in LINES
    if line != CONTROL
)


def study(shown: Shown) -> Study:
    """Return the runs of every sparsity, and the control."""
    return Study(tuple(DSDRun(LINES[name]) for name in shown.names))


def tabulate(results: Results) -> pd.DataFrame:
    """Return one row per (line, seed): accuracy at the end of each phase, and the metrics of the last phase."""
    rows = [
        {"line": name, "sparsity": LINES[name], "seed": seed, "round": 1, "weights_remaining": 1.0}
        | results.metrics(DSDRun(LINES[name]), seed)
        for name in results.shown.names
        for seed in results.experiment.seeds
    ]
    return results.labelled(pd.DataFrame(rows))


def draw(table: pd.DataFrame, frame: Frame) -> Picture:
    """Draw accuracy at the end of each phase: one line per sparsity, one dot per seed."""
    picture, (axes,) = plots.new_picture(1, frame, width=6.5)
    colours = (styles.BLACK, styles.BLUE, styles.GREEN, styles.RED)
    for offset, (line, colour) in enumerate(zip(dict.fromkeys(table["line"]), colours, strict=False)):
        own = table[table["line"] == line]
        values = [100 * own[f"test_accuracy_{phase}"] for phase in PHASES]
        places = [place + 0.06 * (offset - 1.5) for place in range(len(PHASES))]
        axes.plot(places, [value.mean() for value in values], color=colour, marker="_", markersize=14, label=line)
        for place, value in zip(places, values, strict=True):
            axes.scatter([place] * len(value), value, color=colour, s=14, alpha=0.6)
    axes.set_xticks(range(len(PHASES)), [f"after {words}" for words in PHASES.values()])
    axes.set_ylabel("test accuracy, %")
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend()
    finish(picture, frame, "Dense-sparse-dense, and dense training of the same budget", DOTS)
    return picture


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy in percent at the end of each phase."""
    columns = {f"after {words}": f"test_accuracy_{phase}" for phase, words in PHASES.items()}
    means = table.groupby("line", sort=False)[list(columns.values())].mean() * 100
    return means.rename(columns={old: new for new, old in columns.items()})


FIGURE = Drawing(
    compares="else",
    names=tuple(LINES),
    study=study,
    tabulate=tabulate,
    draw=draw,
    summarise=summarise,
    claims=CLAIMS,
)
