"""A mask alone makes an untrained network accurate: Zhou et al. 2019, paper figures 6 and 7 (post: figures 1 and 10).

A network is trained once. Its one-shot masks at every level of sparsity are applied to the *initial* weights, or to
signed constants of each layer. No weight is trained after that. The bars show each mask at its best level.
"""

import math
from functools import partial

import pandas as pd

from supermask.analysis.drawing import plots, styles
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.figure import Drawing
from supermask.analysis.drawing.frame import BANDS, Axes, Frame, Picture, finish
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.kinds.untrained import Untrained
from supermask.analysis.studies.experiment import Study
from supermask.figures import mask_criteria

CRITERIA = (*mask_criteria.CRITERIA, "magnitude_increase_same_sign", "magnitude_increase_diff_sign")
SHORT = {"initial": "initial", "signed_constant": "S.C."}
TITLES = {"initial": "mask on initial weights", "signed_constant": "mask on signed constants"}


def _side(criterion: str, weights: str = "initial") -> dict[str, str]:
    return {"criterion": criterion, "weights": weights}


CLAIMS = (
    Claim(
        "a large_final mask makes an untrained network at least 10 points more accurate than a random mask, "
        "on average over the levels from 50% to 2% of the weights",
        "Zhou et al. 2019, paper figure 6 (post: figure 1): about 40% against 10%",
        _side("large_final"),
        _side("random"),
        above=0.02,
        below=0.5,
        margin=0.1,
        every_level=False,
    ),
    Claim(
        "masks that keep the sign are better still: large_final_same_sign beats large_final on initial weights, "
        "on average over the levels from 50% to 2% of the weights",
        "Zhou et al. 2019, paper figure 7 (post: figure 10): about 80% on MNIST, far above the others",
        _side("large_final_same_sign"),
        _side("large_final"),
        above=0.02,
        below=0.5,
        every_level=False,
    ),
    Claim(
        "signed constants are better than initial values under a large_final_same_sign mask, "
        "on average over the levels from 50% to 2% of the weights",
        "Zhou et al. 2019, table 2: 86.3% against 79.3% on MNIST",
        _side("large_final_same_sign", "signed_constant"),
        _side("large_final_same_sign"),
        above=0.02,
        below=0.5,
        every_level=False,
    ),
    Claim(
        "a mask of weights whose sign flipped is no better than chance: less than 5 points above a random mask, "
        "on average over the levels from 50% to 2% of the weights",
        "Zhou et al. 2019, paper figure 7 (post: figure 10)",
        _side("random"),
        _side("large_final_diff_sign"),
        above=0.02,
        below=0.5,
        margin=-0.05,
        every_level=False,  # random masks of different seeds are not within 5 points at every level either
    ),
)


def study(shown: Shown) -> Study:
    """Return each criterion's masks on initial weights and on signed constants."""
    return Study(tuple(Untrained(shown.members.criterion[name], weights) for weights in TITLES for name in shown.names))


def tabulate(results: Results) -> pd.DataFrame:
    """Return one row per (criterion, weights, seed, level of sparsity). `round` counts prunings; 0 has no mask.

    Beside them the number of classes, from which the picture takes the accuracy of a guess.
    """
    return results.untrained().assign(classes=results.experiment.data.classes)


def _chance(table: pd.DataFrame) -> float:
    """Return the accuracy of a guess, in percent. Older tables do not say how many classes there were: ten."""
    classes = float(table["classes"].iloc[0]) if "classes" in table.columns else 10
    if not classes >= 1:
        raise ValueError(f"column classes has {classes:g}; allowed: 1 or more")
    return 100 / classes


def draw(table: pd.DataFrame, frame: Frame) -> Picture:
    """Draw each mask at its best level as bars, then all levels: one panel for each kind of weights."""
    picture, (bars, *lines) = plots.new_picture(1 + len(TITLES), frame, width=3.6)
    three_abreast = frame.width is not None and not frame.narrow
    _bars(bars, table, _top(table), 90 if three_abreast else 0)
    for axes, weights in zip(lines, TITLES, strict=True):
        _levels(axes, table, weights)
    title = "Supermasks: accuracy of untrained networks under masks of a trained one"
    finish(picture, frame, title, f"{BANDS} Whiskers likewise.", lines[-1])
    return picture


def _top(table: pd.DataFrame) -> float:
    """Return the upper limit of all panels, in percent."""
    return float(min(20.0 * math.ceil((100 * table["test_accuracy"].max() + 5) / 20), 100.0))


def _levels(axes: Axes, table: pd.DataFrame, weights: str) -> str:
    """Draw accuracy at all levels on one kind of weights; there is nothing else to explain."""
    own, chance = table[table["weights"] == weights], _chance(table)
    plots.accuracy_lines(axes, own, styles.CRITERIA)
    plots.remaining_axis(axes, own, "test accuracy without training, %")
    axes.axhline(chance, color=styles.GREY, linewidth=0.9, linestyle=":", label=f"chance ({chance:.3g}%)")
    axes.set_ylim(0, _top(table))
    axes.set_title(TITLES[weights])
    return ""


def _bars(axes: Axes, table: pd.DataFrame, top: float, turn: int) -> None:

    own = table[table["weights"] == "initial"]
    unmasked = own[own["round"] == 0].groupby("seed")["test_accuracy"].first()
    named = {"no mask": ("", 100 * unmasked)}
    for criterion in ("random", "large_final", "large_final_same_sign"):
        if criterion in set(own["criterion"]):
            best, remaining = best_level(own[own["criterion"] == criterion])
            label = criterion.replace("large_final_same_sign", "large_final,\nsame sign")
            named[f"{label}\n{100 * remaining:.3g}% left"] = (criterion, 100 * best)
    for place, (criterion, values) in enumerate(named.values()):
        style = styles.CRITERIA.get(criterion, styles.OWN)
        spread = [[values.mean() - values.min()], [values.max() - values.mean()]]
        axes.bar(place, values.mean(), yerr=spread, color=style.colour, alpha=0.75, capsize=4)
        axes.annotate(f"{values.mean():.1f}", (place, values.max()), (0, 4), textcoords="offset points", ha="center")
    axes.axhline(_chance(table), color=styles.GREY, linewidth=0.9, linestyle=":")
    axes.set_xticks(range(len(named)), list(named), rotation=turn)
    axes.set_ylim(0, top)
    axes.set_ylabel("test accuracy without training, %")
    axes.set_title("initial weights, each mask at its best level")
    axes.spines[["top", "right"]].set_visible(False)


def best_level(table: pd.DataFrame) -> tuple[pd.Series, float]:
    """Return accuracies by seed at the masked level with the highest mean over seeds, and the weights remaining there.

    The level is chosen on test data, as in the paper. The result describes the curve's peak; it does not estimate the
    accuracy at a level chosen beforehand.
    """
    masked = table[table["round"] > 0]
    level = masked.groupby("round")["test_accuracy"].mean().idxmax()
    at_level = masked[masked["round"] == level]
    return at_level.set_index("seed")["test_accuracy"], float(at_level["weights_remaining"].mean())


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return for every criterion, in percent: mean accuracy and weights at the best level, and mean of seeds' bests.

    The paper's table gives 'the maximum over fractions kept, the mean over runs', which can mean the maximum of the
    means or the mean of the maxima.
    """
    rows: dict[str, dict[str, float]] = {}
    for criterion in styles.ordered(table["criterion"], styles.CRITERIA):
        rows[criterion] = {}
        for weights in TITLES:
            own = table[(table["criterion"] == criterion) & (table["weights"] == weights)]
            best, remaining = best_level(own)
            short = SHORT[weights]
            rows[criterion] |= {
                f"{short}: best mean": 100 * best.mean(),
                f"{short}: at % left": 100 * remaining,
                f"{short}: mean of bests": 100 * own[own["round"] > 0].groupby("seed")["test_accuracy"].max().mean(),
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("criterion")


FIGURE = Drawing(
    compares="criterion",
    names=CRITERIA,
    study=study,
    tabulate=tabulate,
    draw=draw,
    summarise=summarise,
    claims=CLAIMS,
    styles=styles.CRITERIA,
    panels=tuple(partial(_levels, weights=weights) for weights in TITLES),
)
