"""Error barriers: is a network as good as its ends everywhere on the line between two trained ones?

Left, between two trainings of one start and mask with other orders of data: a low barrier means that the training is
stable. Middle, between successive rounds of iterative pruning. Right, accuracy along the line of the winning tickets at
some levels. Frankle et al. 2020 (arXiv 1912.05671), sections 3 and 4; Paul et al. 2023 (arXiv 2210.03044).
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from supermask.analysis.drawing import plots
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.figure import Drawing
from supermask.analysis.drawing.frame import BANDS, Frame, Picture, finish
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.drawing.styles import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, Style
from supermask.analysis.drawing.treatments import Line, styles_of
from supermask.analysis.kinds.barrier import BETWEEN, Barrier, UnprunedBarrier
from supermask.analysis.kinds.plan import results_of
from supermask.analysis.studies.experiment import Study
from supermask.connectivity import PLACES
from supermask.criteria import CRITERIA

LINES: Mapping[str, Line[Barrier]] = {
    "winning tickets": Line(Barrier(), Style(BLUE, "o")),
    "pruned at random": Line(Barrier(CRITERIA["random"]), Style(ORANGE, "s", "--")),
}
TITLES = dict(zip(BETWEEN, ("two orders of data", "successive rounds"), strict=True))
STABLE = 0.02
"""The paper's threshold, as a fraction of the test images."""

_PAPER = "Frankle et al. 2020, section 4"
_WORST, _ENDS = {"place": "worst on the line"}, {"place": "mean of the ends"}


def _no_barrier(sentence: str, published: str, line: str, between: str, above: float, below: float) -> Claim:
    picks = {"line": line, "between": TITLES[between]}
    return Claim(
        sentence, published, picks | _WORST, picks | _ENDS, above=above, below=below, margin=-STABLE, every_level=True
    )


CLAIMS = (
    _no_barrier(
        "the unpruned network is stable to the order of its data from the start: its barrier is below 2 points",
        "Frankle et al. 2020, section 3, of LeNet-300-100",
        "winning tickets",
        "orders",
        above=0.99,
        below=1.0,
    ),
    _no_barrier(
        "winning tickets are stable, too: barriers below 2 points, at every level above 3.6% of the weights",
        f"{_PAPER}, of LeNet-300-100 where tickets match",
        "winning tickets",
        "orders",
        above=0.036,
        below=0.99,
    ),
    Claim(
        "networks that are pruned at random are less stable: their barriers are higher than those of winning tickets, "
        "on average over the levels below 10% of the weights",
        _PAPER,
        {"line": "winning tickets", "between": TITLES["orders"]} | _WORST,
        {"line": "pruned at random", "between": TITLES["orders"]} | _WORST,
        metric="error_barrier",
        below=0.10,
        smaller=True,
        every_level=False,
    ),
    _no_barrier(
        "successive winning tickets are linearly connected: barriers below 2 points, at every level above 3.6% of the "
        "weights",
        "Paul et al. 2023",
        "winning tickets",
        "rounds",
        above=0.036,
        below=0.99,
    ),
)


def study(shown: Shown) -> Study:
    """Return both kinds of lines of each criterion, and that of the unpruned network."""
    return Study((UnprunedBarrier(), *(_run(name, between) for name in shown.names for between in BETWEEN)))


def _run(name: str, between: str) -> Barrier:
    return Barrier(LINES[name].run.criterion, between)


def tabulate(results: Results) -> pd.DataFrame:
    """Return two rows per (line, between, seed, round): the worst place on the line, and the mean of its ends.

    `test_accuracy` is that of the place. `error_barrier` is the difference, the same in both, and
    `test_accuracy_at_…` is the accuracy along the line.
    """
    rows = []
    for name in results.shown.names:
        for between, title in TITLES.items():
            for seed in results.experiment.seeds:
                for round_, id_ in _lines_of(results, name, between, seed):
                    found = results.metrics_of(id_)
                    along = [found[f"test_accuracy_at_{place:g}"] for place in PLACES]
                    own = {"line": name, "between": title, "seed": seed, "round": round_}
                    rows += [
                        own | place | {"test_accuracy": accuracy} | found
                        for place, accuracy in ((_WORST, min(along)), (_ENDS, (along[0] + along[-1]) / 2))
                    ]
    return results.labelled(pd.DataFrame(rows))


def _lines_of(results: Results, name: str, between: str, seed: int) -> Iterator[tuple[int, str]]:
    """Yield each round with a line, and its result's id: round 0 is in the lines of all criteria."""
    if between == UnprunedBarrier.between:
        yield 0, results_of(results.experiment, UnprunedBarrier(), seed)[0].id
    for round_, named in enumerate(results_of(results.experiment, _run(name, between), seed), 1):
        yield round_, named.id


def draw(table: pd.DataFrame, frame: Frame) -> Picture:
    """Draw barriers by weights remaining, a panel for each kind of line, and accuracy along some of the lines."""
    picture, (*panels, along) = plots.new_picture(3, frame, width=3.5)
    rows = table[table["place"] == _WORST["place"]]
    for axes, title in zip(panels, TITLES.values(), strict=True):
        own = rows[rows["between"] == title]
        plots.accuracy_lines(axes, own, styles_of(LINES), by="line", value="error_barrier")
        axes.axhline(100 * STABLE, color=BLACK, linewidth=0.9, linestyle=":", label="2 points: stable below")
        plots.remaining_axis(axes, rows, "error barrier, percentage points")
        axes.set_ylim(bottom=0)
        axes.set_title(title)
    _draw_along(along, rows)
    finish(picture, frame, "Error barriers on the line between two trained networks", BANDS, panels[0])
    return picture


def _draw_along(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw accuracy along the lines between two orders of data, less that of the ends, at up to four levels.

    Of the first line shown; means over seeds.
    """
    own = rows[(rows["between"] == TITLES["orders"]) & (rows["line"] == rows["line"].iloc[0])]
    levels = plots.levels_shown(own, 4)
    for level, colour in zip(levels, (BLACK, SKY, GREEN, PURPLE), strict=False):
        at = own[own["round"] == level]
        means = np.array([100 * at[f"test_accuracy_at_{place:g}"].mean() for place in PLACES])
        label = f"{100 * at['weights_remaining'].mean():.3g}%"
        axes.plot(PLACES, means - (means[0] + means[-1]) / 2, color=colour, marker=".", label=label)
    axes.axhline(-100 * STABLE, color=BLACK, linewidth=0.9, linestyle=":")
    axes.set_ylim(min(axes.get_ylim()[0], -150 * STABLE), None)
    axes.set_title(f"along the line, {rows['line'].iloc[0]}")
    axes.legend(title="weights left", fontsize="x-small", title_fontsize="x-small", loc="lower center", ncols=4)
    plots.label_axes(axes, "place on the line: 0 and 1 are the ends", "accuracy above the ends', points")


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean barriers in percentage points: a row per line, a column for each of a few levels of sparsity."""
    rows = table[table["place"] == _WORST["place"]]
    levels = plots.levels_shown(rows)
    remaining = rows.groupby("round")["weights_remaining"].mean()
    means = 100 * rows.groupby(["line", "between", "round"], sort=False)["error_barrier"].mean().unstack("round")
    shown = means[levels].rename(columns={level: f"{100 * remaining[level]:.3g}%" for level in levels})
    shown.index = [f"{line}, {between}" for line, between in shown.index]
    return shown.rename_axis("line")


FIGURE = Drawing(
    compares="else",
    names=tuple(LINES),
    study=study,
    tabulate=tabulate,
    draw=draw,
    summarise=summarise,
    claims=CLAIMS,
    styles=styles_of(LINES),
)
