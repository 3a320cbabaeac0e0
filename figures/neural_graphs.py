"""Neural graphs: discovered wirings against random ones, in three settings."""

from collections.abc import Mapping
from dataclasses import asdict

import pandas as pd

from supermask.analysis.drawing import plots, styles
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.figure import Drawing
from supermask.analysis.drawing.frame import DOTS, Frame, Picture, finish
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.studies.experiment import Study
from supermask.neural_graphs.graph import SETTINGS
from supermask.neural_graphs.runs import DISCOVERED, WIRINGS, GraphRun

WORDS = {
    DISCOVERED: "discovered",
    "uniform": "uniform",
    "erdos_renyi": "Erdős–Rényi",
    "watts_strogatz": "Watts–Strogatz",
    "barabasi_albert": "Barabási–Albert",
}
LINES: Mapping[str, GraphRun] = {
    f"{setting}, {WORDS[wiring]}": GraphRun(setting, wiring) for setting in SETTINGS for wiring in WIRINGS
}

PUBLISHED = {"static": (76.1, 80.9), "discrete": (77.3, 82.3), "continuous": (78.5, 83.1)}
"""Wortsman et al. 2019, table 1, CIFAR-10: test accuracy in percent, random and discovered."""

CLAIMS = (
    *(
        Claim(
            f"{setting}: a discovered wiring is more than 2 points more accurate than a uniformly random one",
            f"Wortsman et al. 2019, table 1: {found}% against {random}% on CIFAR-10",
            {"line": f"{setting}, {WORDS[DISCOVERED]}"},
            {"line": f"{setting}, {WORDS['uniform']}"},
            margin=0.02,
        )
        for setting, (random, found) in PUBLISHED.items()
    ),
    *(
        Claim(
            f"{setting}: a discovered wiring is more accurate than a random one of the family {WORDS[wiring]}",
            "no paper's: the families are RandWire's (Xie et al. 2019)",
            {"line": f"{setting}, {WORDS[DISCOVERED]}"},
            {"line": f"{setting}, {WORDS[wiring]}"},
        )
        for setting in SETTINGS
        for wiring in WIRINGS
        if wiring not in (DISCOVERED, "uniform")
    ),
)


def study(shown: Shown) -> Study:
    """Return the graphs of every line."""
    return Study(tuple(LINES[name] for name in shown.names))


def tabulate(results: Results) -> pd.DataFrame:
    """Return metrics, one row per (setting, wiring, seed). `weights_remaining` is live over possible edges."""
    rows = [
        {"line": name, **asdict(LINES[name]), "seed": seed, "round": 1} | results.metrics(LINES[name], seed)
        for name in results.shown.names
        for seed in results.experiment.seeds
    ]
    return results.labelled(pd.DataFrame(rows))


def draw(table: pd.DataFrame, frame: Frame) -> Picture:
    """Draw one panel per setting: a line at each wiring's mean, one dot per seed."""
    settings = list(dict.fromkeys(table["setting"]))
    wide_enough = max(3.4, 6.5 / len(settings))  # for title and caption
    picture, panels = plots.new_picture(len(settings), frame, width=wide_enough)
    least, most = 100 * float(table["test_accuracy"].min()), 100 * float(table["test_accuracy"].max())
    for axes, setting in zip(panels, settings, strict=True):
        own = table[table["setting"] == setting]
        for place, (wiring, rows) in enumerate(own.groupby("wiring", sort=False)):
            accuracy = 100 * rows["test_accuracy"]
            colour = styles.RED if wiring == DISCOVERED else styles.BLUE
            # No bars: the axis does not start at 0, so their lengths would exaggerate differences.
            axes.hlines(accuracy.mean(), place - 0.3, place + 0.3, color=colour, linewidth=2)
            axes.scatter([place] * len(accuracy), accuracy, color=colour, s=20, alpha=0.6)
        wirings = list(dict.fromkeys(own["wiring"]))
        axes.set_xticks(range(len(wirings)), [WORDS[w].replace("–", "–\n") for w in wirings])
        axes.set_xlim(-0.5, len(wirings) - 0.5)
        axes.set_ylim(max(0.0, least - 1), min(100.0, most + 1))  # one scale, because settings are compared too
        parameters = own["parameters"].mean()
        axes.set_title(f"{setting}, {parameters:,.0f} parameters")
        axes.grid(axis="y", alpha=0.25, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("test accuracy, %")
    finish(picture, frame, "Neural graphs: discovered wirings and random ones of as many edges", DOTS)
    return picture


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy in percent, parameters, and the fraction of the initial wiring that each line kept."""
    means = table.groupby("line", sort=False)[["test_accuracy", "parameters", "kept_from_start"]].mean()
    return pd.DataFrame(
        {
            "test accuracy, %": 100 * means["test_accuracy"],
            "parameters": means["parameters"],
            "edges live from the start, %": 100 * means["kept_from_start"],
        }
    )


FIGURE = Drawing(
    compares="else",
    names=tuple(LINES),
    study=study,
    tabulate=tabulate,
    draw=draw,
    summarise=summarise,
    claims=CLAIMS,
)
