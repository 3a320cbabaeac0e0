"""Plots of accuracy against weights remaining: lines, bands, stars and axes shared by all figures."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from supermask.analysis.drawing.frame import BANDS, Axes, Frame, Panel, Picture, finish, panels_of
from supermask.analysis.drawing.statistics import SIGNIFICANCE, bands, paired_tests
from supermask.analysis.drawing.styles import BLACK, OWN, Style, Styles, ordered
from supermask.analysis.kinds.rounds import UNPRUNED

if TYPE_CHECKING:
    from matplotlib.axis import Axis


def new_picture(panels: int, frame: Frame, *, width: float = 4.2, height: float = 3.6) -> tuple[Picture, list[Axes]]:
    """Create a picture with panels of that size side by side, as the frame's width allows; `finish` completes it."""
    return panels_of(panels, frame, width=width, height=height)


def accuracy_lines(
    axes: Axes,
    table: pd.DataFrame,
    styles: Styles,
    by: str = "criterion",
    value: str = "test_accuracy",
    scale: float = 100,
) -> None:
    """Draw means and bands from minimum to maximum over seeds, times `scale`, for each member of the `by` column.

    Rows of 'unpruned' are the first point of every line.
    """
    unpruned = table[table[by] == UNPRUNED]
    for name in ordered(table[by], styles):
        rows = pd.concat([unpruned, table[table[by] == name]])
        seed_band(axes, rows, value, styles.get(name, OWN), name, scale)


def seed_band(axes: Axes, rows: pd.DataFrame, value: str, style: Style, label: str, scale: float) -> None:
    """Draw a line of means over seeds at each level of weights remaining, and its band from minimum to maximum."""
    band = bands(rows, ("round", "weights_remaining"), value).sort_values("round")
    x = 100 * band["weights_remaining"]
    shown = f"\u200a{label}" if label.startswith("_") else label  # Matplotlib hides labels with a leading underscore
    axes.plot(x, scale * band["mean"], **style.line, label=shown)
    least, greatest = scale * band["least"], scale * band["greatest"]
    axes.fill_between(x, least, greatest, color=style.colour, alpha=0.15, linewidth=0)


def value_band(axes: Axes, rows: pd.DataFrame, x: str, value: str, style: Style, label: str | None = None) -> None:
    """Draw a line of means over seeds at each place of the `x` column, in percent, and its band."""
    band = 100 * rows.groupby(x)[value].agg(["mean", "min", "max"])
    axes.plot(band.index, band["mean"], **style.line, label=label)
    axes.fill_between(band.index, band["min"], band["max"], color=style.colour, alpha=0.15, linewidth=0)


def unpruned_line(
    axes: Axes, table: pd.DataFrame, by: str = "criterion", value: str = "test_accuracy", *, number: bool = True
) -> None:
    """Draw a horizontal line at the unpruned network's mean. `number`: whether its label states the mean."""
    mean = 100 * table.loc[table[by] == UNPRUNED, value].mean()
    label = f"unpruned, trained ({mean:.1f}%)" if number else "unpruned, trained"
    axes.axhline(mean, color=BLACK, linewidth=0.9, label=label, zorder=1)


def stars(axes: Axes, table: pd.DataFrame, first: str, second: str, value: str = "test_accuracy") -> str:
    """Draw a star above each level at which two criteria differ (paired t-test); return the words that explain it."""
    tests = paired_tests(table, "criterion", first, second, value)
    significant = tests.loc[tests["p_value"] < SIGNIFICANCE, "round"]
    pair = table[table["criterion"].isin([first, second]) & table["round"].isin(significant)]
    if pair.empty:
        return ""
    top = pair.groupby("round").agg(x=("weights_remaining", "mean"), y=(value, "max"))
    for x, y in 100 * top.to_numpy(float):
        axes.annotate("✱", (x, y), (0, 3), textcoords="offset points", ha="center", fontsize="x-small", clip_on=True)
    pairs = tests.loc[tests["round"].isin(significant), "pairs"]
    seeds = " to ".join(str(number) for number in dict.fromkeys((int(pairs.min()), int(pairs.max()))))
    return f"✱ {first} and {second} differ, p < {SIGNIFICANCE} (paired t-test over {seeds} seeds, uncorrected)"


def remaining_axis(axes: Axes, table: pd.DataFrame, value_label: str = "test accuracy, %") -> None:
    """Set up a log axis of weights remaining in percent, from many on the left to few on the right, as in the paper.

    Levels without any live weight cannot be shown on it.
    """
    remaining = 100 * table.loc[table["weights_remaining"] > 0, "weights_remaining"]
    axes.set_xscale("log")
    places = None
    if len(remaining):
        least, most = float(remaining.min()) / 1.08, float(remaining.max()) * 1.08
        axes.set_xlim(most, least)
        places = remaining_ticks(least, most, _room_for_ticks(axes))
    plain_ticks(axes.xaxis, places)
    label_axes(axes, "weights remaining, % (log)", value_label)


def label_axes(axes: Axes, x: str, y: str) -> None:
    """Label both axes, with a faint grid and without a frame at the top and on the right."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def plain_ticks(axis: "Axis", places: Sequence[float] | None) -> None:
    """Label a log axis in plain numbers, at these places if there are any, without minor ticks."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    if places is not None:
        axis.set_major_locator(FixedLocator(places))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: np.format_float_positional(value, 6, trim="-")))


def _room_for_ticks(axes: Axes) -> int:
    """Return how many ticks fit in a panel, at most ten."""
    place = axes.get_subplotspec()
    columns = 1 if place is None else place.get_gridspec().ncols
    width = float(axes.get_figure(root=True).get_size_inches()[0]) / columns  # type: ignore[union-attr]
    return min(max(int((width - 0.6) / 0.22), 3), 10)


def remaining_ticks(least: float, most: float, room: int = 10) -> list[float]:
    """Return at most `room` ticks of a log axis in percent: 1, 2 and 5 of each decade if they fit, for any range."""
    from matplotlib.ticker import MaxNLocator

    decades = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [digit * 10.0**decade for decade in reversed(decades) for digit in reversed(digits)]
        inside = [float(f"{tick:.0e}") for tick in ticks if least <= tick <= most]
        if len(inside) <= room:
            break
    return inside if len(inside) > 1 else [float(tick) for tick in MaxNLocator(3).tick_values(least, most)[1:-1]]


def top_range(table: pd.DataFrame, by: str = "criterion") -> tuple[float, float]:
    """Return limits in percent, from slightly below the best member's worst mean to slightly above the best run."""
    means = 100 * table.groupby([by, "round"])["test_accuracy"].mean().unstack()
    best = 100 * float(table["test_accuracy"].max())
    lowest = float(means.max().min())
    room = max(best - lowest, 0.5)
    return lowest - 0.35 * room, best + 0.12 * room


def both_ranges(whole: Axes, top: Axes, table: pd.DataFrame, styles: Styles, by: str = "treatment") -> None:
    """Draw accuracy against weights remaining twice: over the whole range, and the top of it."""
    for axes in (whole, top):
        accuracy_lines(axes, table, styles, by)
        unpruned_line(axes, table, by)
        remaining_axis(axes, table)
    top.set_ylim(*top_range(table, by))
    top.set_title("the top of it")


def whole_and_top(
    table: pd.DataFrame,
    frame: Frame,
    title: str,
    styles: Styles,
    by: str = "treatment",
    starred: tuple[str, str] | None = None,
) -> Picture:
    """Draw accuracy against weights remaining: the whole range on the left, its top, where good lines differ, right.

    starred: two members of `by`; stars, explained in the caption, mark the levels at which they differ.
    """
    picture, panels = new_picture(2, frame)
    notes = [BANDS]
    both_ranges(panels[0], panels[1], table, styles, by)
    if starred and set(starred) <= set(table[by]):
        for axes in panels:
            notes[1:] = filter(None, [stars(axes, table, *starred)])
    finish(picture, frame, title, "\n".join(notes), panels[0])
    return picture


def range_panels(styles: Styles, by: str = "treatment", starred: tuple[str, str] | None = None) -> tuple[Panel, Panel]:
    """Return the two panels of `whole_and_top`, to stand beside those of other networks."""

    def whole(axes: Axes, table: pd.DataFrame) -> str:
        accuracy_lines(axes, table, styles, by)
        unpruned_line(axes, table, by, number=False)  # each network has its own, and one legend serves all
        remaining_axis(axes, table)
        return stars(axes, table, *starred) if starred and set(starred) <= set(table[by]) else ""

    def top(axes: Axes, table: pd.DataFrame) -> str:
        note = whole(axes, table)
        axes.set_ylim(*top_range(table, by))
        axes.set_title("the top of it")
        return note

    return whole, top


def levels_shown(table: pd.DataFrame, columns: int = 7) -> list[int]:
    """Return a few rounds for a summary, evenly spaced from the first to the last."""
    last = int(table["round"].max())
    return sorted({round(step * last / (columns - 1)) for step in range(columns)})


def accuracy_summary(
    table: pd.DataFrame, styles: Styles, by: str = "criterion", value: str = "test_accuracy"
) -> pd.DataFrame:
    """Return mean accuracy in percent: one row per member of `by`, one column for each of a few levels of sparsity."""
    unpruned = table[table[by] == UNPRUNED]
    rounds = levels_shown(table)
    rows = {}
    for name in ordered(table[by], styles):
        own = pd.concat([unpruned, table[table[by] == name]])
        band = bands(own, ("round", "weights_remaining"), value).set_index("round")
        columns = [f"{100 * band['weights_remaining'][r]:.3g}%" for r in rounds]
        rows[name] = dict(zip(columns, 100 * band["mean"][rounds], strict=True))
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(by)
