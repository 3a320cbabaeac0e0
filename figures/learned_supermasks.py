"""Paper figure 7 (post: figure 10), learned masks: masks found by gradient descent against masks of a trained network.

No weight is trained: masks are learned on initial weights or on signed constants, with and without dynamic weight
rescaling (DWR). The initial value of the logits changes how many weights a mask keeps.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pandas as pd

from supermask.analysis.drawing import plots
from supermask.analysis.drawing.figure import Drawing
from supermask.analysis.drawing.frame import BANDS, Axes, Frame, Picture, finish
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.drawing.styles import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, Style, Styles
from supermask.analysis.kinds.rounds import Unpruned
from supermask.analysis.kinds.untrained import Untrained
from supermask.analysis.studies.experiment import Study
from supermask.analysis.system.errors import UsageError
from supermask.criteria import CRITERIA
from supermask.learned_masks import LearnedMask

LEARNED = {
    "learned, initial": LearnedMask(),
    "learned, S.C.": LearnedMask("signed_constant"),
    "learned, initial, DWR": LearnedMask(rescaled=True),
    "learned, S.C., DWR": LearnedMask("signed_constant", rescaled=True),
}
"""The paper's four masks, by label. S.C.: signed constants."""

OTHER_STARTS = "other starts"
STARTS = (-4.0, -2.0, 2.0)
"""Other initial logits, for masks on signed constants: a fraction sigmoid(start) of the weights is kept at first."""

HEURISTIC = {
    f"{criterion}, {short}": Untrained(CRITERIA[criterion], weights)
    for (weights, short), criterion in product(
        {"initial": "initial", "signed_constant": "S.C."}.items(), ("large_final_same_sign", "large_final", "random")
    )
}


STYLES: Styles = {
    "learned, initial": Style(ORANGE, "s", "--"),
    "learned, S.C.": Style(RED, "D", "--"),
    "learned, initial, DWR": Style(SKY, "s"),
    "learned, S.C., DWR": Style(BLUE, "D"),
    "large_final_same_sign, initial": Style(GREEN, "o", "--", hollow=True),
    "large_final_same_sign, S.C.": Style(GREEN, "o"),
    "large_final, initial": Style(PURPLE, "v", "--", hollow=True),
    "large_final, S.C.": Style(PURPLE, "v"),
    "random, initial": Style(GREY, "x", ":"),
    "random, S.C.": Style(BLACK, "+", ":"),
}


def swept(names: Sequence[str]) -> dict[str, tuple[LearnedMask, ...]]:
    """Return the masks to learn, by label: from the paper's start, and on request, on signed constants, from others."""
    starts = STARTS if OTHER_STARTS in names else ()
    return {
        label: (base, *(replace(base, start=start) for start in starts if base.weights == "signed_constant"))
        for label, base in LEARNED.items()
        if label in names
    }


def study(shown: Shown) -> Study:
    """Return learned masks at every start, heuristic masks at every level. Raises UsageError without learned masks."""
    if not swept(shown.names):
        raise UsageError(f"show names no learned mask; learned-supermasks needs one of: {', '.join(LEARNED)}")
    learned = tuple(each for masks in swept(shown.names).values() for each in masks)
    return Study((Unpruned(), *(own for label, own in HEURISTIC.items() if label in shown.names), *learned))


def tabulate(results: Results) -> pd.DataFrame:
    """Return one row per (part, label, seed, level, start or step).

    Part 'learned': test accuracy of a learned mask (mean over sampled masks) and of its rounded mask. 'heuristic': test
    accuracy under a mask of a trained network. 'curve': validation accuracy during training, at each evaluated step.
    """
    rows: list[dict[Any, Any]] = []
    for label, masks in swept(results.shown.names).items():
        for each, seed in product(masks, results.experiment.seeds):
            metrics = results.metrics(each, seed)
            common = {"label": label, "seed": seed, "start": each.start, "round": 0}
            names = ("weights_remaining", "test_accuracy", "rounded_weights_remaining", "rounded_test_accuracy")
            rows.append({"part": "learned", **common, **{name: metrics[name] for name in names}})
            if each == LEARNED[label]:
                arrays = results.arrays(each, seed)
                curve = zip(arrays["curve.evaluated_at"], arrays["curve.accuracy"], strict=True)
                rows += [
                    {"part": "curve", **common, "step": int(at), "validation_accuracy": float(a)} for at, a in curve
                ]
    untrained = results.untrained() if results.study.of(Untrained) else pd.DataFrame()
    for label, own in HEURISTIC.items():
        if label not in results.shown.names:
            continue
        part = untrained[(untrained["criterion"] == own.criterion.name) & (untrained["weights"] == own.weights)]
        shown = part[["seed", "round", "weights_remaining", "test_accuracy"]]
        rows += shown.assign(part="heuristic", label=label).to_dict("records")
    return results.labelled(pd.DataFrame(rows))


def draw(table: pd.DataFrame, frame: Frame) -> Picture:
    """Draw accuracy against weights remaining on the left, its top in the middle, and accuracy by step on the right."""
    picture, (whole, top, curves) = plots.new_picture(3, frame, width=3.8, height=3.9)
    learned, heuristic = (table[table["part"] == part] for part in ("learned", "heuristic"))
    for axes in (whole, top):
        for label, own in learned.groupby("label", sort=False):
            _learned_line(axes, own, str(label))
        for label, own in heuristic.groupby("label", sort=False):
            plots.seed_band(axes, own, "test_accuracy", STYLES[str(label)], str(label), 100)
        plots.remaining_axis(axes, table.dropna(subset=["weights_remaining"]), "test accuracy without training, %")
    whole.set_ylim(0, 101)
    whole.set_title("all of it")
    best = 100 * learned[["test_accuracy", "rounded_test_accuracy"]].max().max()
    top.set_ylim(best - 12, best + 1)
    top.set_title("the top of it: filled, drawn masks; hollow, the rounded mask")
    _curves(curves, table[table["part"] == "curve"])
    title = "Learned supermasks: accuracy of untrained networks under masks found by gradient descent"
    finish(picture, frame, title, f"{BANDS} Whiskers likewise.", whole)
    return picture


def _learned_line(axes: Axes, own: pd.DataFrame, label: str) -> None:
    """Draw means over seeds by start, with bars from minimum to maximum; hollow markers show rounded masks."""
    style = STYLES[label]
    for prefix, fill in (("", style.colour), ("rounded_", "white")):
        names = [f"{prefix}weights_remaining", f"{prefix}test_accuracy"]
        points = own.groupby("start")[names].agg(["mean", "min", "max"]) * 100
        points = points.sort_values((names[0], "mean"))
        x, y = points[names[0], "mean"], points[names[1], "mean"]
        spread = [y - points[names[1], "min"], points[names[1], "max"] - y]
        axes.errorbar(
            x,
            y,
            yerr=spread,
            color=style.colour,
            marker=style.marker,
            markerfacecolor=fill,
            linestyle=style.dash if not prefix else "none",
            capsize=2,
            label=None if prefix else label,
        )


def _curves(axes: Axes, rows: pd.DataFrame) -> None:

    for label, own in rows.groupby("label", sort=False):
        style = STYLES[str(label)]
        band = 100 * own.groupby("step")["validation_accuracy"].agg(["mean", "min", "max"])
        axes.plot(band.index, band["mean"], color=style.colour, linestyle=style.dash, linewidth=1.4)
        axes.fill_between(band.index, band["min"], band["max"], color=style.colour, alpha=0.15, linewidth=0)
    last = 100 * rows.groupby("label")["validation_accuracy"].max()
    axes.set_ylim(max(0.0, float(last.min()) - 12), min(101.0, float(last.max()) + 1))
    axes.set_title("while masks are learned")
    plots.label_axes(axes, "step of learning the mask", "validation accuracy, mean of ten drawn masks, %")


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracies and weights remaining of every learned mask at the paper's start, in percent."""
    own = table[(table["part"] == "learned") & (table["start"] == 0)]
    names = {
        "test_accuracy": "drawn masks",
        "weights_remaining": "% left",
        "rounded_test_accuracy": "rounded mask",
        "rounded_weights_remaining": "% left, rounded",
    }
    means = 100 * own.groupby("label", sort=False)[list(names)].mean()
    return means.rename(columns=names).rename_axis("mask")


FIGURE = Drawing(
    compares="else",
    names=(*LEARNED, OTHER_STARTS, *HEURISTIC),
    study=study,
    tabulate=tabulate,
    draw=draw,
    summarise=summarise,
    styles=STYLES,
)
