"""Accuracy against weights remaining: lines, bands, stars and axes that all figures share.

Colours are Okabe and Ito's, told apart by every kind of colour vision; markers and dashes repeat what colours say.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.results import UNPRUNED
from analysis.statistics import SIGNIFICANCE, bands, paired_tests

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, RED, PURPLE, GREY = "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#777777"


@dataclass(frozen=True)
class Style:
    """How one line looks."""

    colour: str
    marker: str
    dash: str = "-"


CRITERION_STYLES: Mapping[str, Style] = {
    "large_final": Style(BLUE, "o"),
    "small_final": Style(BLUE, "o", "--"),
    "large_init": Style(ORANGE, "s"),
    "small_init": Style(ORANGE, "s", "--"),
    "large_init_large_final": Style(GREEN, "^"),
    "small_init_small_final": Style(GREEN, "^", "--"),
    "magnitude_increase": Style(RED, "D"),
    "movement": Style(PURPLE, "v"),
    "random": Style(BLACK, "x", ":"),
    "large_final_same_sign": Style(SKY, "P"),
    "large_final_diff_sign": Style(SKY, "P", "--"),
    "magnitude_increase_same_sign": Style(GREY, "*"),
    "magnitude_increase_diff_sign": Style(GREY, "*", "--"),
    "snip": Style(YELLOW, "h"),
    "grad": Style(YELLOW, "h", "--"),
    "large_init_large_final_std_scaled": Style(GREEN, "<", "-."),
    "small_init_small_final_std_scaled": Style(GREEN, ">", "-."),
    "magnitude_increase_same_sign_strict": Style(GREY, "p"),
    "magnitude_increase_diff_sign_strict": Style(GREY, "p", "--"),
}
"""Pairs share a colour and a marker; the member of a pair that keeps the small or the flipped is dashed."""

TREATMENT_STYLES: Mapping[str, Style] = {
    # Mask-1 actions: solid keeps the sign, dotted does not, as in the paper's figure 4 (post: figure 8).
    "rewind": Style(BLACK, "o"),
    "reinit, same sign": Style(BLUE, "s"),
    "reinit": Style(BLUE, "s", ":"),
    "reshuffle, same sign": Style(ORANGE, "^"),
    "reshuffle": Style(ORANGE, "^", ":"),
    "constant, same sign": Style(RED, "D"),
    "constant": Style(RED, "D", ":"),
    "reinit as released, same sign": Style(GREEN, "v"),
    "reinit as released": Style(GREEN, "v", ":"),
    # Mask-0 actions.
    "zero": Style(BLACK, "s"),
    "initial value": Style(ORANGE, "o"),
    "zero if moved to zero, else initial": Style(BLUE, "^"),
    "the reverse of that": Style(BLUE, "v", "--"),
    "as many zeros at random": Style(GREY, "x", ":"),
    "the rule, kept weights too": Style(RED, "D"),
    "kept weights by the rule, pruned at zero": Style(RED, "P", "--"),
    # Lottery tickets and their controls.
    "winning ticket": Style(BLUE, "o"),
    "winning ticket, rewound to step 50": Style(GREEN, "D"),
    "random reinitialisation": Style(ORANGE, "s", "--"),
    "one-shot": Style(SKY, "^"),
    "one-shot, random reinitialisation": Style(RED, "v", "--"),
}
"""Treatments by the labels that figures give them."""

SUPERMASK_STYLES: Mapping[str, Style] = {
    "learned, initial": Style(ORANGE, "s", "--"),
    "learned, S.C.": Style(RED, "D", "--"),
    "learned, initial, DWR": Style(SKY, "s"),
    "learned, S.C., DWR": Style(BLUE, "D"),
    "large_final_same_sign, initial": Style(GREEN, "o", "--"),
    "large_final_same_sign, S.C.": Style(GREEN, "o"),
    "large_final, initial": Style(PURPLE, "v", "--"),
    "large_final, S.C.": Style(PURPLE, "v"),
    "random, initial": Style(GREY, "x", ":"),
    "random, S.C.": Style(BLACK, "+", ":"),
}
"""Learned and heuristic supermasks."""

SPARSE_STYLES: Mapping[str, Style] = {
    "gradual pruning": Style(BLACK, "o"),
    "DNW": Style(RED, "D"),
    "RigL": Style(BLUE, "s"),
    "sparse momentum": Style(SKY, "P"),
    "DSR": Style(GREEN, "^"),
    "DSR from ERK densities": Style(GREEN, ">", "--"),
    "SET": Style(PURPLE, "v"),
    "static": Style(GREY, "x", "--"),
    "small dense": Style(ORANGE, "h", ":"),
    "DSR's structure, initial weights": Style(GREEN, "^", ":"),
    "DSR's structure, fresh weights": Style(GREEN, "<", ":"),
    "DNW's structure, initial weights": Style(RED, "D", ":"),
}
"""Ways to a sparse network; what a structure is worth without the way to it is dotted."""

STYLES: Mapping[str, Style] = {**CRITERION_STYLES, **TREATMENT_STYLES, **SUPERMASK_STYLES, **SPARSE_STYLES}


def style_of(name: str) -> Style:
    """The line style of a criterion or treatment; one of its own for a name that is not in the table."""
    return STYLES.get(name, Style(GREY, "d", "-."))


def new_picture(panels: int, caption: str, *, width: float = 6.2, height: float = 4.6) -> tuple[Picture, list[Axes]]:
    """A picture with panels side by side and the caption below them."""
    picture, axes = plt.subplots(
        1, panels, figsize=(width * panels, height), layout="constrained", squeeze=False, dpi=100
    )
    picture.supxlabel(caption, fontsize=8, color="#444444")
    return picture, list(axes[0])


def accuracy_lines(
    axes: Axes, table: pd.DataFrame, by: str = "criterion", value: str = "test_accuracy", scale: float = 100
) -> None:
    """A line of means and a band from least to greatest over seeds, for each member of the `by` column, times `scale`.

    Rows of 'unpruned' are every line's first point.
    """
    unpruned = table[table[by] == UNPRUNED]
    for name in ordered(table[by]):
        seed_band(axes, pd.concat([unpruned, table[table[by] == name]]), value, style_of(name), name, scale)


def seed_band(axes: Axes, rows: pd.DataFrame, value: str, style: Style, label: str, scale: float) -> None:
    """One line of means over seeds at each level of weights remaining, and its band from least to greatest."""
    band = bands(rows, ("round", "weights_remaining"), value).sort_values("round")
    x = 100 * band["weights_remaining"]
    axes.plot(
        x,
        scale * band["mean"],
        color=style.colour,
        marker=style.marker,
        linestyle=style.dash,
        markersize=4.5,
        linewidth=1.4,
        label=label,
    )
    least, greatest = scale * band["least"], scale * band["greatest"]
    axes.fill_between(x, least, greatest, color=style.colour, alpha=0.15, linewidth=0)


def unpruned_line(axes: Axes, table: pd.DataFrame, by: str = "criterion", value: str = "test_accuracy") -> None:
    """A horizontal line at the unpruned network's mean."""
    mean = 100 * table.loc[table[by] == UNPRUNED, value].mean()
    axes.axhline(mean, color=BLACK, linewidth=0.9, label=f"unpruned, trained ({mean:.1f}%)", zorder=1)


def stars(axes: Axes, table: pd.DataFrame, first: str, second: str, value: str = "test_accuracy") -> str:
    """A star above each level where two criteria differ (paired t-test).

    Returns the sentence that explains the stars; an empty one where no star is drawn.
    """
    tests = paired_tests(table, "criterion", first, second, value)
    significant = tests.loc[tests["p_value"] < SIGNIFICANCE, "round"]
    pair = table[table["criterion"].isin([first, second]) & table["round"].isin(significant)]
    if pair.empty:
        return ""
    top = pair.groupby("round").agg(x=("weights_remaining", "mean"), y=(value, "max"))
    for x, y in 100 * top.to_numpy(float):
        axes.annotate("✱", (x, y), (0, 3), textcoords="offset points", ha="center", fontsize=7, clip_on=True)
    pairs = int(tests["pairs"].min())
    return f"✱ {first} and {second} differ, p < {SIGNIFICANCE} (paired t-test over {pairs} seeds, uncorrected)"


def remaining_axis(axes: Axes, table: pd.DataFrame, value_label: str = "test accuracy, %") -> None:
    """A log axis of weights remaining in percent, from all of them on the left to few on the right, as in the paper."""
    axes.set_xscale("log")
    least, most = 100 * table["weights_remaining"].min(), 100 * table["weights_remaining"].max()
    axes.set_xlim(most * 1.08, least / 1.08)
    ticks = [t for t in (100, 50, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1) if least / 1.08 <= t <= most * 1.08]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("weights remaining, % (log scale)")
    axes.set_ylabel(value_label)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def ordered(names: Iterable[str]) -> list[str]:
    """Distinct names without 'unpruned', in the order of the style table; others after them, by name."""
    known = list(STYLES)
    distinct = {name for name in names if name != UNPRUNED}
    return sorted(distinct, key=lambda name: (known.index(name) if name in known else len(known), name))


def legend_beside(picture: Picture, axes: Axes) -> None:
    """The legend of one panel, to the right of all."""
    handles, labels = axes.get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside right center", fontsize=8, frameon=False)


def top_range(table: pd.DataFrame, by: str = "criterion") -> tuple[float, float]:
    """Percent: from a little below the best member's worst mean to a little above the best run."""
    means = 100 * table.groupby([by, "round"])["test_accuracy"].mean().unstack()
    best = 100 * float(table["test_accuracy"].max())
    lowest = float(means.max().min())
    room = max(best - lowest, 0.5)
    return lowest - 0.35 * room, best + 0.12 * room


def whole_and_top(table: pd.DataFrame, caption: str, title: str, by: str = "treatment") -> tuple[Picture, list[Axes]]:
    """Accuracy against weights remaining: all of the range on the left, on the right its top, where good lines part."""
    picture, panels = new_picture(2, caption)
    for axes in panels:
        accuracy_lines(axes, table, by)
        unpruned_line(axes, table, by)
        remaining_axis(axes, table)
    panels[1].set_ylim(*top_range(table, by))
    panels[1].set_title("the top of it", fontsize=9, loc="left")
    legend_beside(picture, panels[0])
    picture.suptitle(title, fontsize=11)
    return picture, panels


def levels_shown(table: pd.DataFrame, columns: int = 7) -> list[int]:
    """A few rounds, evenly spread from the first to the last, for a summary."""
    last = int(table["round"].max())
    return sorted({round(step * last / (columns - 1)) for step in range(columns)})


def accuracy_summary(table: pd.DataFrame, by: str = "criterion", value: str = "test_accuracy") -> pd.DataFrame:
    """Mean accuracy in percent: a row for each member of `by`, a column for each of a few levels of sparsity."""
    unpruned = table[table[by] == UNPRUNED]
    rounds = levels_shown(table)
    rows = {}
    for name in ordered(table[by]):
        own = pd.concat([unpruned, table[table[by] == name]])
        band = bands(own, ("round", "weights_remaining"), value).set_index("round")
        columns = [f"{100 * band['weights_remaining'][r]:.3g}%" for r in rounds]
        rows[name] = dict(zip(columns, 100 * band["mean"][rounds], strict=True))
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(by)
