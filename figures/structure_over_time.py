"""How sparse training moves weights between layers, and how many connections it exchanges."""

from typing import Any

import pandas as pd

from supermask.analysis.drawing import plots, styles
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.figure import Drawing
from supermask.analysis.drawing.frame import BANDS, Frame, Picture, finish
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.studies.experiment import Study
from supermask.figures.sparse_training import STYLES, run_of

DENSITY = 0.02
COMPARED = ("DSR", "sparse momentum", "SET", "RigL", "DNW")
MOVING = ("DSR", "sparse momentum")
"""The methods that move weights between layers; the others keep each layer's count."""

_PAPER = "Mostafa & Wang 2019: parameters are reallocated across layers, to where they are needed"


def _moves(method: str, layer: str, words: str, *, smaller: bool) -> Claim:
    return Claim(
        f"{method} {words}: its share of the weights at the end against the start, at 2% of the weights",
        _PAPER,
        {"method": method, "layer": layer, "moment": "end"},
        {"method": method, "layer": layer, "moment": "start"},
        metric="share",
        smaller=smaller,
    )


CLAIMS = (
    _moves("DSR", "output", "moves weights to the output layer", smaller=False),
    _moves("sparse momentum", "output", "moves weights to the output layer", smaller=False),
    Claim(
        "SET exchanges more connections than RigL: their number over the live weights, at 2% of the weights",
        "no paper's: random growth finds fewer connections worth keeping",
        {"method": "SET", "layer": "all", "moment": "end"},
        {"method": "RigL", "layer": "all", "moment": "end"},
        metric="exchanged",
    ),
)


def study(shown: Shown) -> Study:
    """Return each method at one density."""
    return Study(tuple(run_of(name, DENSITY) for name in shown.names))


def tabulate(results: Results) -> pd.DataFrame:
    """Return one row per (method, seed, evaluation, layer), and one for all layers.

    share: the layer's live weights over all live weights. exchanged: number of weights that have become live in the
    layer since the start, over its live weights. moment: 'start', 'end' or 'between'.
    """
    rows: list[dict[str, Any]] = []
    for name in results.shown.names:
        for seed in results.experiment.seeds:
            arrays = results.arrays(run_of(name, DENSITY), seed)
            layers = sorted(key.removeprefix("last.") for key in arrays if key.startswith("last."))
            steps, live, grown = arrays["curve.evaluated_at"], arrays["curve.live"], arrays["curve.grown"]
            for index, step in enumerate(steps):
                moment = "start" if index == 0 else "end" if index == len(steps) - 1 else "between"
                common = {"method": name, "seed": seed, "round": 1, "step": int(step), "moment": moment}
                total = live[index].sum()
                counts = {layer: (live[index, i], grown[index, i]) for i, layer in enumerate(layers)}
                counts["all"] = (total, grown[index].sum())
                rows += [
                    common | {"layer": layer, "live": int(n), "share": n / total, "exchanged": g / max(n, 1)}
                    for layer, (n, g) in counts.items()
                ]
    table = pd.DataFrame(rows)
    table["weights_remaining"] = DENSITY
    return results.labelled(table)


def draw(table: pd.DataFrame, frame: Frame) -> Picture:
    """Draw the layers' shares for the methods that move weights, then the exchanges of all methods."""
    names = [name for name in dict.fromkeys(table["method"]) if name in MOVING]
    picture, panels = plots.new_picture(len(names) + 1, frame, width=3.6)
    colours = {"hidden1": styles.BLUE, "hidden2": styles.ORANGE, "output": styles.RED}
    for axes, name in zip(panels, names, strict=False):
        own = table[(table["method"] == name) & (table["layer"] != "all")]
        for layer, rows in own.groupby("layer"):
            band = 100 * rows.groupby("step")["share"].agg(["mean", "min", "max"])
            colour = colours.get(str(layer), styles.GREY)
            axes.plot(band.index, band["mean"], color=colour, label=str(layer))
            axes.fill_between(band.index, band["min"], band["max"], color=colour, alpha=0.15, linewidth=0)
        axes.set_title(f"{name}: where the weights are")
        axes.set_ylabel("share of all live weights, %")
        axes.set_ylim(0, 1.2 * axes.get_ylim()[1])  # room for the legend
        axes.legend(ncols=3, loc="upper center", columnspacing=1.0, handlelength=1.2)
    for name in dict.fromkeys(table["method"]):
        mean = table[(table["method"] == name) & (table["layer"] == "all")].groupby("step")["exchanged"].mean()
        style = STYLES[name]
        panels[-1].plot(mean.index, mean, color=style.colour, linestyle=style.dash, label=name)
    panels[-1].set_title("connections exchanged since the start")
    panels[-1].set_ylabel("times the number of live weights")
    panels[-1].set_ylim(0, None)
    panels[-1].legend()
    for axes in panels:
        axes.set_xlabel("step")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
    title = f"What sparse training moves, at {100 * DENSITY:g}% of the weights"
    finish(picture, frame, title, BANDS if names else "Lines: means over seeds.")
    return picture


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return, at the end of training, exchanges over live weights, and each layer's share in percent."""
    end = table[table["moment"] == "end"]
    rows: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(end["method"]):
        own = end[end["method"] == name].groupby("layer")
        share = {
            f"{layer}, % of weights": 100 * value for layer, value in own["share"].mean().items() if layer != "all"
        }
        rows[name] = {"exchanged": float(own["exchanged"].mean()["all"])} | share
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


FIGURE = Drawing(
    compares="else",
    names=COMPARED,
    study=study,
    tabulate=tabulate,
    draw=draw,
    summarise=summarise,
    claims=CLAIMS,
)
