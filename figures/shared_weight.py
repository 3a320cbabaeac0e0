"""Masks and wirings whose weights all share one value: accuracy without the trained weights.

Left, every live weight is the value itself; right, the value times the sign of the trained weight.
"""

from collections.abc import Mapping

import pandas as pd

from supermask.analysis.drawing import plots, styles
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.figure import Drawing
from supermask.analysis.drawing.frame import BANDS, Frame, Picture, finish
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.kinds.shared_weight import SharedRun
from supermask.analysis.studies.experiment import Study
from supermask.neural_graphs.graph import SETTINGS
from supermask.neural_graphs.runs import GraphRun
from supermask.shared_weights import VALUES
from supermask.sparse_training.runs import SparseRun

DENSITY = 0.05
SOURCES: Mapping[str, SparseRun | GraphRun] = {
    "FC, DNW's mask": SparseRun("dnw", DENSITY),
    "FC, random mask": SparseRun(density=DENSITY),
    **{f"{setting} graph, discovered": GraphRun(setting) for setting in SETTINGS},
    **{f"{setting} graph, random": GraphRun(setting, "uniform") for setting in SETTINGS},
}
"""The trained networks: FC at 5% of its weights, and neural graphs."""

SIGNS = {False: "one value", True: "one value, trained signs"}

PAIRS = {
    "FC, DNW's mask": "FC, random mask",
    **{f"{setting} graph, discovered": f"{setting} graph, random" for setting in SETTINGS},
}

CLAIMS = (
    *(
        Claim(
            f"{found} is more accurate than {random} when all weights share one positive value and keep their signs, "
            "on average over the values",
            "Gaier & Ha 2019: some wirings do well whatever the value of their weights",
            {"line": found, "signs": SIGNS[True], "positive": "yes"},
            {"line": random, "signs": SIGNS[True], "positive": "yes"},
            every_level=False,
        )
        for found, random in PAIRS.items()
    ),
    *(
        Claim(
            f"{line}: signs matter: keeping them is more accurate than one positive value for all, "
            "on average over the values",
            "Zhou et al. 2019, section 4: signs are all that matters",
            {"line": line, "signs": SIGNS[True], "positive": "yes"},
            {"line": line, "signs": SIGNS[False], "positive": "yes"},
            every_level=False,
        )
        for line in PAIRS
    ),
)


def study(shown: Shown) -> Study:
    """Return the trained networks, and their curves without and with signs."""
    sources = [SOURCES[name] for name in shown.names]
    return Study((*sources, *(SharedRun(source, signs) for source in sources for signs in SIGNS)))


def tabulate(results: Results) -> pd.DataFrame:
    """Return one row per (line, signs, value, seed). `round` numbers the values.

    `trained_accuracy` is the accuracy with the trained weights.
    """
    rows = []
    for name in results.shown.names:
        source = SOURCES[name]
        for seed in results.experiment.seeds:
            trained = results.metrics(source, seed)
            for signs, words in SIGNS.items():
                curve = results.metrics(SharedRun(source, signs), seed)
                rows += [
                    {
                        **{"line": name, "signs": words, "seed": seed, "round": 1 + VALUES.index(value)},
                        **{"value": value, "positive": "yes" if value > 0 else "no"},
                        "weights_remaining": trained["weights_remaining"],
                        "test_accuracy": curve[f"test_accuracy_at_{value:g}"],
                        "trained_accuracy": trained["test_accuracy"],
                        "trained_loss": trained["test_loss_at_end"],
                    }
                    for value in VALUES
                ]
    return results.labelled(pd.DataFrame(rows))


def draw(table: pd.DataFrame, frame: Frame) -> Picture:
    """Draw accuracy over the shared value, without and with signs; dashed lines are random wirings and masks."""
    colours = {"FC": styles.BLACK, "static": styles.BLUE, "discrete": styles.RED, "continuous": styles.GREEN}
    picture, panels = plots.new_picture(2, frame)
    places = {value: place for place, value in enumerate(VALUES)}
    for axes, words in zip(panels, SIGNS.values(), strict=True):
        for line in dict.fromkeys(table["line"]):
            own = table[(table["line"] == line) & (table["signs"] == words)].groupby("value")["test_accuracy"]
            band = 100 * own.agg(["mean", "min", "max"])
            x = [places[value] for value in band.index]
            colour = next(colour for start, colour in colours.items() if str(line).startswith(start))
            dash = "--" if "random" in str(line) else "-"
            axes.plot(x, band["mean"], color=colour, linestyle=dash, marker="o", markersize=3.5, label=line)
            axes.fill_between(x, band["min"], band["max"], color=colour, alpha=0.12, linewidth=0)
        axes.set_title(words)
        axes.set_xticks(list(places.values()), [f"{value:g}" for value in places])
        axes.set_xlabel("shared value, in root mean squares of the trained weights")
        axes.set_ylim(0, 100)
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("test accuracy, %")
    title = "One value for all weights: what masks and wirings are worth alone"
    finish(picture, frame, title, BANDS, panels[0])
    return picture


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return, in percent, mean accuracy of the best value without and with signs, and of the trained weights."""
    means = 100 * table.groupby(["line", "signs", "value"], sort=False)["test_accuracy"].mean()
    best = means.groupby(level=["line", "signs"], sort=False).max().unstack("signs")[list(SIGNS.values())]
    trained = 100 * table.groupby("line", sort=False)["trained_accuracy"].mean()
    return best.loc[list(dict.fromkeys(table["line"]))].assign(**{"trained weights": trained}).rename_axis("line")


FIGURE = Drawing(
    compares="else",
    names=tuple(SOURCES),
    study=study,
    tabulate=tabulate,
    draw=draw,
    summarise=summarise,
    claims=CLAIMS,
)
