"""The paper's table of supermasks: accuracies of untrained networks under masks, beside the published numbers.

Masks that came later stand below the paper's: edge-popup, multi-prize tickets and a signed supermask, as in
`signed_supermasks`.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from supermask.analysis.drawing import plots, styles
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.figure import Drawing
from supermask.analysis.drawing.frame import WHISKERS, Frame, Picture, finish
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.kinds.rounds import Unpruned
from supermask.analysis.kinds.untrained import Untrained
from supermask.analysis.studies.experiment import Study
from supermask.figures.learned_supermasks import LEARNED
from supermask.figures.signed_supermasks import PUBLISHED, SPARSE_DECAY, edge_popup, signed
from supermask.named_members import BUILT_IN

Row = Mapping[Any, Any]

HEURISTIC = {"mask, initial": "initial", "mask, S.C.": "signed_constant"}
CRITERIA = tuple(
    BUILT_IN.criterion[name]
    for name in ("large_final_same_sign", "magnitude_increase_same_sign", "large_final", "magnitude_increase")
)
LATER = {
    "edge-popup, 10%": edge_popup("signed_kaiming", 0.1),
    "multi-prize, 10%": edge_popup("binary", 0.1),
    "signed, DWR": signed(SPARSE_DECAY),
}
"""Masks that came after the paper; a percentage is the fraction of each layer's weights that is kept."""

MASKS = LEARNED | LATER
TRAINED = "trained weights"

PAPER: Mapping[str, tuple[float, ...]] = {
    "fc": (79.3, 86.3, 95.3, 96.4, 97.8, 98.0, 97.7),
    "conv2": (22.3, 37.4, 64.4, 66.3, 65.0, 66.0, 69.2),
    "conv4": (23.7, 39.7, 65.4, 66.2, 71.7, 72.5, 75.4),
    "conv6": (24.0, 41.0, 65.3, 65.4, 76.3, 76.5, 78.3),
}
"""Zhou et al. 2019, table 2: test accuracy in percent, in the order of `OF_PAPER`, on MNIST and CIFAR-10."""

OF_PAPER = (*HEURISTIC, *LEARNED, TRAINED)
COLUMNS = (*HEURISTIC, *MASKS, TRAINED)


def _beats(first: str, second: str, points: float, published: str) -> Claim:
    return Claim(
        f"{first} beats {second}{f' or is less than {-points:g} points below it' if points else ''}",
        f"Zhou et al. 2019, table 2: {published}",
        {"column": first},
        {"column": second},
        margin=points / 100,
    )


CLAIMS = (
    _beats("learned, initial", "mask, initial", 0, "95.3% against 79.3% on MNIST"),
    _beats("learned, S.C.", "mask, S.C.", 0, "96.4% against 86.3% on MNIST"),
    _beats("learned, S.C.", "learned, initial", 0, "96.4% against 95.3% on MNIST"),
    _beats("learned, initial, DWR", "learned, initial", 0, "97.8% against 95.3% on MNIST"),
    _beats("learned, S.C., DWR", "learned, S.C.", 0, "98.0% against 96.4% on MNIST"),
    _beats("learned, S.C., DWR", TRAINED, -0.5, "98.0% against 97.7% on MNIST: masking is training"),
)


def published_of(network: str) -> dict[str, tuple[float, float]]:
    """Return published test accuracies and weights kept, in percent, by column; NaN for what is not published."""
    found = dict.fromkeys(COLUMNS, (math.nan, math.nan))
    found |= {column: (accuracy, math.nan) for column, accuracy in zip(OF_PAPER, PAPER[network], strict=True)}
    of_line = {column.split(",")[0]: column for column in LATER}
    return found | {of_line[each.line]: (each.accuracy, each.weights) for each in PUBLISHED[network]}


def study(shown: Shown) -> Study:
    """Return the heuristic masks among which the paper takes its best, and the learned masks, of the named columns."""
    heuristic = [weights for column, weights in HEURISTIC.items() if column in shown.names]
    untrained = tuple(Untrained(criterion, weights) for weights in heuristic for criterion in CRITERIA)
    learned = (own for column, own in MASKS.items() if column in shown.names)
    return Study((Unpruned(), *untrained, *learned))


def tabulate(results: Results) -> pd.DataFrame:
    """Return one row per (column of the table, seed): test accuracy, weights remaining, and both as published.

    For heuristic masks, the accuracy is that of each seed's best level, under the criterion with the highest mean of
    these. With this reading, a replication of the released code matches the paper's numbers. The levels are chosen on
    test data, so these accuracies are upper bounds, which is conservative for the claims about learned masks.
    `one_level_accuracy` is the other reading: the highest mean over seeds at one level, under any criterion; without
    levels, the mean over seeds. `round` is 0. Masks that came after the paper are those at the end of their training.
    """
    published = published_of(results.experiment.protocol.network)
    untrained = results.untrained()
    trained = results.trainings()
    rows = []
    for column in results.shown.names:
        ending = "_at_end" if column in LATER else ""
        if column in HEURISTIC:
            chosen, one_level = best_levels(untrained[untrained["weights"] == HEURISTIC[column]])
        else:
            own = trained.drop(columns="criterion").set_index("seed", drop=False).to_dict("index")
            seeds = results.experiment.seeds
            chosen = {n: results.metrics(MASKS[column], n) if column in MASKS else own[n] for n in seeds}
            one_level = float(np.mean([row[f"test_accuracy{ending}"] for row in chosen.values()]))
        for seed, row in chosen.items():
            metrics = {name: row[f"{name}{ending}"] for name in ("test_accuracy", "test_loss", "weights_remaining")}
            common = {"column": column, "criterion": row.get("criterion", ""), "seed": seed, "round": 0}
            others = dict(zip(("paper_percent", "paper_weights_percent"), published[column], strict=True))
            rows.append(common | metrics | {"one_level_accuracy": one_level} | others)
    return results.labelled(pd.DataFrame(rows))


def best_levels(untrained: pd.DataFrame) -> tuple[dict[int, Row], float]:
    """Return each seed's best row, under the criterion with the highest mean of these, and the best level's mean."""
    pruned = untrained[untrained["round"] > 0]
    peaks = pruned.loc[pruned.groupby(["criterion", "seed"], sort=False)["test_accuracy"].idxmax()]
    criterion = peaks.groupby("criterion", sort=False)["test_accuracy"].mean().idxmax()
    rows = peaks[peaks["criterion"] == criterion].to_dict("records")
    one_level = pruned.groupby(["criterion", "round"])["test_accuracy"].mean().max()
    return {row["seed"]: row for row in rows}, float(one_level)


def draw(table: pd.DataFrame, frame: Frame) -> Picture:
    """Draw bars, ours beside the published ones, labelled with their values; whiskers from minimum to maximum."""
    groups = (100 * table.set_index("column")["test_accuracy"]).groupby(level=0, sort=False)
    ours, least, greatest = groups.mean(), groups.min(), groups.max()
    paper = table.groupby("column", sort=False)["paper_percent"].first()
    later = bool(set(ours.index) & set(LATER))
    picture, (axes,) = plots.new_picture(1, frame, width=1.2 * max(len(ours), 7), height=3.8)
    places = np.arange(len(ours))
    spread = np.array([ours - least, greatest - ours])
    label = "here (mean of each seed's best)"
    axes.bar(places - 0.2, ours, 0.38, yerr=spread, color=styles.BLUE, ecolor=styles.BLACK, capsize=3, label=label)
    label = "Zhou et al. 2019, table 2" + (", and the\nREADME of Koster et al. 2022" if later else "")
    known = paper.notna().to_numpy()
    axes.bar(places[known] + 0.2, paper[known], 0.38, color="white", edgecolor=styles.ORANGE, hatch="///", label=label)
    turn = 90 if frame.narrow else 0
    for shift, tops, values in ((-0.2, greatest, ours), (0.2, paper, paper)):
        for place, top, value in zip(places + shift, tops, values, strict=True):
            words, above = f"{value:.1f}", (0, 3)
            if value == value:
                axes.annotate(
                    words, (place, top), above, textcoords="offset points", ha="center", rotation=turn, size="small"
                )
    kept = 100 * table.groupby("column", sort=False)["weights_remaining"].mean()
    names = [f"{column}, {kept[column]:.3g}% kept".replace(", ", "\n") for column in ours.index]
    axes.set_xticks(places, names, rotation=turn)
    axes.set_ylim(0, 118)
    axes.set_yticks(range(0, 101, 20))
    axes.set_ylabel("test accuracy, %")
    axes.spines[["top", "right"]].set_visible(False)
    title = "How far a mask alone takes an untrained network (S.C.: signed constants)"
    finish(picture, frame, title, f"{WHISKERS} Below each name: the mean of the weights kept here.", axes)
    return picture


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy and weights remaining over seeds beside the published ones, in percent.

    'at one level': heuristic masks at the level that is best on average, instead of each seed's best.
    """
    groups = table.groupby("column", sort=False)
    columns = {"accuracy": 100 * groups["test_accuracy"].mean(), "accuracy (paper)": groups["paper_percent"].first()}
    if "one_level_accuracy" in table:  # not in tables of earlier versions
        columns["at one level"] = 100 * groups["one_level_accuracy"].first()
    columns["% left"] = 100 * groups["weights_remaining"].mean()
    if "paper_weights_percent" in table:  # likewise
        columns["% left (paper)"] = groups["paper_weights_percent"].first()
    return pd.DataFrame(columns).rename_axis("untrained network under")


FIGURE = Drawing(
    compares="else",
    names=COLUMNS,
    study=study,
    tabulate=tabulate,
    draw=draw,
    summarise=summarise,
    claims=CLAIMS,
)
