"""Edge swaps under DNW: how often the loss on the batch is lower with the new edges, by learning rate.

Wortsman et al. 2019 prove to first order that it falls if the rate is small enough. Training is by plain SGD at a
constant rate, as in the proof; both losses are taken at the updated weights of the step.
"""

from collections.abc import Mapping

import pandas as pd

from supermask.analysis.drawing import plots, styles
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.figure import Drawing
from supermask.analysis.drawing.frame import BANDS, Axes, Frame, Picture, finish
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.kinds.edge_swaps import SwapRun
from supermask.analysis.studies.experiment import Study

RATES = (1.0, 0.3, 0.1, 0.03, 0.01)
LINES: Mapping[str, SwapRun] = {f"rate {rate:g}": SwapRun(rate) for rate in RATES}
LARGEST, SMALLEST = f"rate {RATES[0]:g}", f"rate {RATES[-1]:g}"
OLD, NEW = "old", "new"

_PAPER = "Wortsman et al. 2019, section 2.3 and its proof: the loss on the batch falls, for a rate that is small enough"

CLAIMS = (
    Claim(
        f"at {SMALLEST}, the batch's loss is lower with the new edges at more steps than with the old ones",
        _PAPER,
        {"line": SMALLEST, "edges": NEW},
        {"line": SMALLEST, "edges": OLD},
        metric="lower",
    ),
    Claim(
        f"the loss falls at a larger part of the swaps at {SMALLEST} than at {LARGEST}",
        _PAPER,
        {"line": SMALLEST, "edges": NEW},
        {"line": LARGEST, "edges": NEW},
        metric="lower",
    ),
)


def study(shown: Shown) -> Study:
    """Return a training at each rate."""
    return Study(tuple(LINES[name] for name in shown.names))


def tabulate(results: Results) -> pd.DataFrame:
    """Return two rows per (rate, seed), for the edges from before and from after the steps that swap any.

    lower: the part of these steps at which the batch's loss is lower with the row's edges than with the other row's.
    batch_loss: mean loss with the row's edges. swapping_steps: number of these steps; swapped: edges that come alive
    in one, on average.
    """
    rows = []
    for name in results.shown.names:
        run = LINES[name]
        for seed in results.experiment.seeds:
            own = results.metrics(run, seed)
            common = {"line": name, "rate": run.rate, "seed": seed, "round": 1, "weights_remaining": run.density}
            common |= {"swapping_steps": own["swapping_steps"], "swapped": own["edges"]}
            common |= {"test_accuracy": own["test_accuracy"]}
            for edges, lower in ((OLD, "rose"), (NEW, "fell")):
                rows.append(common | {"edges": edges, "lower": own[lower], "batch_loss": own[f"{edges}_loss"]})
    return results.labelled(pd.DataFrame(rows))


def change(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per (line, seed): how often the loss falls with new edges, and how its mean changes."""
    keys = ["line", "rate", "seed"]
    old, new = (table[table["edges"] == edges].set_index(keys) for edges in (OLD, NEW))
    columns = {
        "fell": new["lower"],
        "change": new["batch_loss"] / old["batch_loss"] - 1,
        "steps": new["swapping_steps"],
        "swapped": new["swapped"],
        "accuracy": new["test_accuracy"],
    }
    return pd.DataFrame(columns).reset_index()


def draw(table: pd.DataFrame, frame: Frame) -> Picture:
    """Draw, by rate, how often the loss falls at a swap, and by how much it changes."""
    picture, (left, right) = plots.new_picture(2, frame)
    changes = change(table)
    _by_rate(left, changes, "fell", "swaps at which the batch's loss falls, %")
    left.axhline(50, color=styles.GREY, linewidth=0.9, linestyle=":")
    left.set_ylim(0, 102)
    _by_rate(right, changes, "change", "change of the loss at a swap, %")
    right.axhline(0, color=styles.GREY, linewidth=0.9, linestyle=":")
    density = float(table["weights_remaining"].iloc[0])
    note = f"{BANDS} DNW by plain SGD, {100 * density:.3g}% of the weights live; losses at a step's updated weights."
    finish(picture, frame, "Edge swaps: the loss on the step's own batch with the new edges, against the old", note)
    return picture


def _by_rate(axes: Axes, changes: pd.DataFrame, value: str, label: str) -> None:
    plots.value_band(axes, changes, "rate", value, styles.Style(styles.RED, "D"))
    axes.set_xscale("log")
    plots.plain_ticks(axes.xaxis, sorted(set(changes["rate"])))
    plots.label_axes(axes, "learning rate (log)", label)


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return means over seeds by rate: how often the loss falls, its change, edges swapped, and test accuracy."""
    means = change(table).groupby("line", sort=False)[["fell", "change", "steps", "swapped", "accuracy"]].mean()
    means[["fell", "change", "accuracy"]] *= 100
    names = ("loss falls, % of swaps", "change, %", "steps that swap", "edges swapped in one", "test accuracy, %")
    return means.set_axis(list(names), axis=1)


FIGURE = Drawing(
    compares="else",
    names=tuple(LINES),
    study=study,
    tabulate=tabulate,
    draw=draw,
    summarise=summarise,
    claims=CLAIMS,
)
