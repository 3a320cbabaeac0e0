"""Similarity of masks between criteria, between seeds, and between iterative and one-shot pruning, against chance.

Overlap is the fraction of kept weights that another mask with the same counts keeps too. Two independent masks with
the same counts overlap by the fraction of weights remaining, layer by layer.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from supermask.analysis.drawing import plots, styles
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.figure import Drawing
from supermask.analysis.drawing.frame import BANDS, Axes, Frame, Picture, finish
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.studies.experiment import Study
from supermask.masks import weights_remaining
from supermask.overlaps import overlap_of
from supermask.restarts import Treatment

CRITERIA = (
    "large_final",
    "large_final_same_sign",
    "large_init_large_final",
    "large_init",
    "magnitude_increase",
    "movement",
    "random",
)
REFERENCE = "large_final"
ONE_SHOT = Treatment(schedule="one_shot")

CLAIMS = (
    Claim(
        "masks of different seeds agree little more than by chance: large_final masks of two seeds overlap less than "
        "10 points above chance, at every level below 50% of the weights",
        "no statement of the paper; tickets are found anew for each initialisation",
        {"kind": "chance"},
        {"kind": "seeds"},
        metric="overlap",
        below=0.5,
        margin=-0.1,
    ),
    Claim(
        "iterative and one-shot large_final masks of one seed agree more than by chance, at every level",
        "no statement of the paper",
        {"kind": "one-shot"},
        {"kind": "chance"},
        metric="overlap",
        below=0.99,
    ),
)


def study(shown: Shown) -> Study:
    """Return iterative pruning with large_final and each criterion, and large_final one-shot."""
    return Study((*_iterative(shown).values(), ONE_SHOT))


def _iterative(shown: Shown) -> dict[str, Treatment]:
    """Return iterative pruning with each criterion, large_final first."""
    return {name: Treatment(shown.members.criterion[name]) for name in (REFERENCE, *shown.names)}


def tabulate(results: Results) -> pd.DataFrame:
    """Return overlaps, one row per (kind, pair of masks, seed, round).

    Kinds of pairs: criteria: two criteria, one seed. seeds: large_final of `seed` and of the next one. one-shot:
    large_final, iterative and one-shot, one seed. chance: the expected overlap of two independent masks.
    """
    return results.labelled(pd.DataFrame(list(_rows(results))))


def _rows(results: Results) -> Iterator[dict[str, Any]]:
    seeds = results.experiment.seeds
    treatments = _iterative(results.shown)
    for round_ in range(1, results.experiment.protocol.rounds + 1):
        masks = {
            (treatment, seed): results.end_of_round(treatment, seed, round_)[0]
            for treatment in results.study.of(Treatment)
            for seed in seeds
        }
        for seed in seeds:
            own = {name: masks[treatment, seed] for name, treatment in treatments.items()}
            common = {"seed": seed, "round": round_, "weights_remaining": weights_remaining(own[REFERENCE])}
            for first, second in combinations(own, 2):
                pair = {"kind": "criteria", "first": first, "second": second}
                yield {**common, **pair, "overlap": overlap_of(own[first], own[second])[0]}
            overlap, chance = overlap_of(own[REFERENCE], masks[ONE_SHOT, seed])
            pair = {"first": REFERENCE, "second": "one-shot large_final"}
            yield {**common, **pair, "kind": "one-shot", "overlap": overlap}
            yield {**common, **pair, "kind": "chance", "overlap": chance}
            if len(seeds) > 1:
                other = seeds[(seeds.index(seed) + 1) % len(seeds)]
                overlap, _ = overlap_of(own[REFERENCE], masks[treatments[REFERENCE], other])
                yield {**common, "kind": "seeds", "first": REFERENCE, "second": f"seed {other}", "overlap": overlap}


def draw(table: pd.DataFrame, frame: Frame) -> Picture:
    """Draw a matrix of criteria at the level nearest to 20% on the left, overlap by weights remaining on the right."""
    picture, (matrix, lines) = plots.new_picture(2, frame, width=4.6, height=4.2)
    level = shown_level(table)
    _matrix(matrix, table[(table["kind"] == "criteria") & (table["round"] == level)])
    remaining = 100 * table.loc[table["round"] == level, "weights_remaining"].mean()
    matrix.set_title(f"at {remaining:.3g}% of the weights")
    looks = {
        "one-shot": (styles.Style(styles.BLUE, "o"), "large_final: iterative and one-shot, one seed"),
        "seeds": (styles.Style(styles.ORANGE, "s"), "large_final: two seeds"),
        "chance": (styles.Style(styles.BLACK, "x", ":"), "chance"),
    }
    for kind, (style, label) in looks.items():
        rows = table[table["kind"] == kind]
        if len(rows):
            plots.seed_band(lines, rows, "overlap", style, label, 100)
    plots.remaining_axis(lines, table, "overlap of two masks, %")
    lines.set_ylim(0, 101)
    finish(
        picture, frame, "How alike masks are", f"Matrix: overlap of masks of two criteria, in percent. {BANDS}", lines
    )
    return picture


def shown_level(table: pd.DataFrame) -> int:
    """Return the round whose weights remaining are nearest to 20%."""
    nearest = (table["weights_remaining"] - 0.2).abs().to_numpy().argmin()
    return int(table["round"].to_numpy()[nearest])


def _matrix(axes: Axes, rows: pd.DataFrame) -> None:

    names = styles.ordered([*rows["first"], *rows["second"]], styles.CRITERIA)
    values = np.full((len(names), len(names)), np.nan)
    means = rows.groupby(["first", "second"])[["overlap"]].mean().reset_index()
    for row in means.to_dict("records"):
        first, second = names.index(row["first"]), names.index(row["second"])
        values[first, second] = values[second, first] = 100 * row["overlap"]
    axes.imshow(values, cmap="cividis", vmin=0, vmax=100)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right")
    axes.set_yticks(range(len(names)), names)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "black" if value > 55 else "white"
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour, fontsize="small")


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Mean overlap in percent at the level nearest to 20% of the weights, with large_final's mask."""
    rows = table[table["round"] == shown_level(table)]
    with_reference = rows[(rows["kind"] != "criteria") | (rows["first"] == REFERENCE)]
    named = with_reference.assign(
        pair=[row["second"] if row["kind"] == "criteria" else row["kind"] for row in with_reference.to_dict("records")]
    )
    means = 100 * named.groupby("pair", sort=False)["overlap"].mean()
    return means.to_frame("overlap with large_final, %").rename_axis("mask of")


FIGURE = Drawing(
    compares="criterion",
    names=CRITERIA,
    study=study,
    tabulate=tabulate,
    draw=draw,
    summarise=summarise,
    claims=CLAIMS,
)
