"""Signed supermasks: masks that keep, hide or invert, beside masks that only keep or hide, by weights kept.

All are learned on weights that stay as they were drawn. Signed: Koster et al. 2022 (arXiv 2201.13361). Bernoulli masks
on signed constants, with and without dynamic weight rescaling (DWR): Zhou et al. 2019. Edge-popup keeps the top scores
of each layer: Ramanujan et al. 2020 (arXiv 1911.13299). Multi-prize tickets are its masks on binary weights:
Diffenderfer & Kailkhura 2021 (arXiv 2103.09377).
"""

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from supermask.analysis.drawing import plots
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.figure import Drawing
from supermask.analysis.drawing.frame import Axes, Frame, Picture, finish
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.drawing.styles import BLACK, BLUE, GREEN, ORANGE, RED, SKY, Style, Styles
from supermask.analysis.kinds.rounds import UNPRUNED, Unpruned
from supermask.analysis.studies.experiment import Study
from supermask.figures.learned_supermasks import LEARNED
from supermask.learned_masks import LearnedMask

DECAYS = {"signed": (3e-4, 1e-3), "signed, DWR": (1e-3, 3e-3)}
"""Weight decays of the scores of signed supermasks: the larger, the fewer weights are kept."""

RESCALED = {"edge-popup": {0.5: True, 0.1: True, 0.02: False}, "multi-prize": {0.5: True, 0.1: True}}
"""Fractions of each layer's weights that are kept, and whether the layers are rescaled: with which of both the
validation accuracy on the embedded digits was higher."""


def decay_label(decay: float) -> str:
    """Return the label of a weight decay, as in column `setting`."""
    return f"decay {decay:g}"


def kept_label(kept: float) -> str:
    """Return the label of a fraction kept, as in column `setting`."""
    return f"{100 * kept:g}% kept"


def edge_popup(weights: str, kept: float, rescaled: bool = True) -> LearnedMask:
    """Return edge-popup on those weights: on binary ones it finds multi-prize tickets."""
    return LearnedMask(weights, rescaled, "edge_popup", kept=kept)


def signed(decay: float, rescaled: bool = True) -> LearnedMask:
    """Return the signed supermask on signed constants, √(2 / fan-in) with the sign of the initial weight."""
    return LearnedMask("signed_kaiming", rescaled, "signed", decay=decay)


LINES: Mapping[str, Mapping[str, LearnedMask]] = {
    "signed": {decay_label(decay): signed(decay, rescaled=False) for decay in DECAYS["signed"]},
    "signed, DWR": {decay_label(decay): signed(decay) for decay in DECAYS["signed, DWR"]},
    "learned, S.C.": {"": LEARNED["learned, S.C."]},
    "learned, S.C., DWR": {"": LEARNED["learned, S.C., DWR"]},
    **{
        line: {kept_label(kept): edge_popup(weights, kept, rescaled) for kept, rescaled in RESCALED[line].items()}
        for line, weights in (("edge-popup", "signed_kaiming"), ("multi-prize", "binary"))
    },
}
"""The masks of each line, by `setting`. S.C.: signed constants."""

STYLES: Styles = {
    "signed": Style(GREEN, "o", "--", hollow=True),
    "signed, DWR": Style(GREEN, "o"),
    "learned, S.C.": Style(RED, "D", "--"),
    "learned, S.C., DWR": Style(BLUE, "D"),
    "edge-popup": Style(ORANGE, "s"),
    "multi-prize": Style(SKY, "^", "--"),
}


class Published(NamedTuple):
    """A published mask: weights kept and test accuracy in percent, on MNIST for FC and CIFAR-10 for the others."""

    line: str
    weights: float
    accuracy: float


PUBLISHED: Mapping[str, tuple[Published, ...]] = {
    "fc": (Published("signed", 3.77, 97.48),),
    "conv2": (Published("signed", 0.60, 68.37), Published("edge-popup", 10, 65), Published("multi-prize", 10, 70)),
    "conv4": (Published("signed", 2.91, 77.40), Published("edge-popup", 10, 74), Published("multi-prize", 10, 79)),
    "conv6": (Published("signed", 2.36, 79.17), Published("edge-popup", 10, 77), Published("multi-prize", 10, 82)),
    "conv8": (Published("signed", 1.17, 80.91), Published("edge-popup", 10, 70), Published("multi-prize", 10, 85)),
}
"""Koster et al. 2022, the table in the README of its released code, which also gives the other two publications'."""

TITLE = "Signed supermasks keep, hide or invert: untrained networks by weights kept"
SPARSE_DECAY = 1e-3
"""The weight decay at which FC keeps about as many weights as the published signed supermask."""

SPARSE = decay_label(SPARSE_DECAY)

CLAIMS = (
    Claim(
        f"a signed supermask ({SPARSE}) beats edge-popup with 10% of the weights",
        "Koster et al. 2022: higher accuracy at 0.6% of Conv2's weights than edge-popup at 10%",
        {"line": "signed, DWR", "setting": SPARSE},
        {"line": "edge-popup", "setting": kept_label(0.1)},
    ),
    Claim(
        f"a signed supermask ({SPARSE}) keeps less than half as many weights as edge-popup with 10%",
        "Koster et al. 2022: 0.6% of Conv2's weights against 10%",
        {"line": "signed, DWR", "setting": SPARSE},
        {"line": "edge-popup", "setting": kept_label(0.1)},
        metric="weights_remaining",
        margin=0.05,
        smaller=True,
    ),
    Claim(
        f"a signed supermask ({SPARSE}) keeps fewer weights than a mask learned on signed constants with DWR, by more "
        "than ten points",
        "Koster et al. 2022: 3.77% of FC's weights against 11 to 93% of Zhou et al. 2019",
        {"line": "signed, DWR", "setting": SPARSE},
        {"line": "learned, S.C., DWR"},
        metric="weights_remaining",
        margin=0.10,
        smaller=True,
    ),
    Claim(
        f"a signed supermask ({SPARSE}) is less than a point below the trained network",
        "Koster et al. 2022: 97.48% against 97.43% on MNIST",
        {"line": "signed, DWR", "setting": SPARSE},
        {"line": UNPRUNED},
        margin=-0.01,
    ),
    Claim(
        "edge-popup fails below 5% of the weights: from 10 to 2% it loses more than five points",
        "Sreenivasan et al. 2022 (Rare Gems), of edge-popup on CIFAR-10",
        {"line": "edge-popup", "setting": kept_label(0.1)},
        {"line": "edge-popup", "setting": kept_label(0.02)},
        margin=0.05,
    ),
    Claim(
        "weights can be binary: with half of the weights, multi-prize tickets are less than a point below edge-popup",
        "Diffenderfer & Kailkhura 2021: binary tickets match networks of trained weights",
        {"line": "multi-prize", "setting": kept_label(0.5)},
        {"line": "edge-popup", "setting": kept_label(0.5)},
        margin=-0.01,
    ),
)


def study(shown: Shown) -> Study:
    """Return the trained network, and the masks of the lines."""
    return Study((Unpruned(), *(mask for name in shown.names for mask in LINES[name].values())))


def tabulate(results: Results) -> pd.DataFrame:
    """Return one row per (line, setting, seed): test accuracy and loss, and weights kept. The trained network likewise.

    Masks are those at the end: a signed one becomes sparse while its scores decay, and its loss may be lowest before.
    Bernoulli masks have the means over their drawn masks. `round` is 0.
    """
    rows: list[dict[Any, Any]] = []
    for seed in results.experiment.seeds:
        runs: list[tuple[str, str, Hashable]] = [(UNPRUNED, "", Unpruned())]
        runs += [(name, setting, mask) for name in results.shown.names for setting, mask in LINES[name].items()]
        for line, setting, run in runs:
            metrics = results.metrics(run, seed)
            ending = "" if line == UNPRUNED else "_at_end"
            shown = {name: metrics[f"{name}{ending}"] for name in ("weights_remaining", "test_accuracy", "test_loss")}
            rows.append({"line": line, "setting": setting, "seed": seed, "round": 0} | shown)
    return results.labelled(pd.DataFrame(rows))


def draw(table: pd.DataFrame, frame: Frame) -> Picture:
    """Draw accuracy against weights kept: the whole range on the left, its top right; stars are published."""
    picture, (whole, top) = plots.new_picture(2, frame)
    published = PUBLISHED.get(str(table["network"].iloc[0]), ())
    places = [{"weights_remaining": each.weights / 100} for each in published if each.line in set(table["line"])]
    masks = table[table["line"] != UNPRUNED]
    for axes in (whole, top):
        for line, own in masks.groupby("line", sort=False):
            _line(axes, own, str(line))
        plots.unpruned_line(axes, table, by="line")
        for each in published:
            if each.line in set(table["line"]):
                star: dict[str, Any] = {"color": STYLES[each.line].colour, "markeredgecolor": BLACK, "markersize": 11}
                axes.plot(each.weights, each.accuracy, "*", **star, label=f"{each.line}, published")
        plots.remaining_axis(axes, pd.concat([masks[["weights_remaining"]], pd.DataFrame(places)]))
    whole.set_ylim(0, 101)
    best = 100 * float(table["test_accuracy"].max())
    top.set_ylim(best - 10, best + 1)
    top.set_title("the top of it")
    note = "Points: means over seeds, at the end. Whiskers: from the least to the greatest seed."
    if places:
        note += " Stars: published, on MNIST (FC) or CIFAR-10, in the README of Koster et al. 2022."
    finish(picture, frame, TITLE, note, whole)
    return picture


def _line(axes: Axes, own: pd.DataFrame, line: str) -> None:
    """Draw a line's settings by weights kept: means over seeds, and whiskers from minimum to maximum."""
    style = STYLES[line]
    settings = own.fillna({"setting": ""}).groupby("setting")  # a table from a file has nothing in the place of ''
    points = 100 * settings[["weights_remaining", "test_accuracy"]].agg(["mean", "min", "max"])
    points = points.sort_values(("weights_remaining", "mean"))
    y, low, high = (points["test_accuracy", what] for what in ("mean", "min", "max"))
    axes.errorbar(points["weights_remaining", "mean"], y, yerr=[y - low, high - y], **style.line, capsize=2, label=line)


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean weights kept and test accuracy of every mask, in percent."""
    masks = table[table["line"] != UNPRUNED].fillna({"setting": ""})
    names = [f"{line} {setting}".strip() for line, setting in zip(masks["line"], masks["setting"], strict=True)]
    numbers = {"weights_remaining": "% kept", "test_accuracy": "accuracy"}
    means = 100 * masks[list(numbers)].groupby(pd.Series(names, masks.index), sort=False).mean()
    return means.rename(columns=numbers).rename_axis("mask")


FIGURE = Drawing(
    compares="else",
    names=tuple(LINES),
    study=study,
    tabulate=tabulate,
    draw=draw,
    summarise=summarise,
    claims=CLAIMS,
    styles=STYLES,
)
