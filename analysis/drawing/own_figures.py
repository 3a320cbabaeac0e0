"""A figure of one's own: runs, a table, a picture and claims, for `--plugin` and for a notebook.

    from supermask.analysis.drawing.own_figures import Claim, figure

    moved = figure("moved", [sm.treatment(sm.movement), sm.treatment(stayed)], claims=[Claim(...)])

In a file that the command is given (`supermask reproduce moved --plugin study.py`) it is one more figure. Imported, it
is described, run, tabulated and drawn by `supermask.analysis.drawing.notebook`.
"""

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import pandas as pd

from supermask.analysis.drawing.claims import Claim as Claim
from supermask.analysis.drawing.figure import Figure
from supermask.analysis.drawing.frame import BANDS, Frame, Picture, finish
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.kinds import kind_of
from supermask.analysis.studies.experiment import Study
from supermask.analysis.studies.own_figures import OwnFigure, with_members


@dataclass(frozen=True, kw_only=True)
class FigureOfOnesOwn(Figure, OwnFigure):
    """A figure that `figure` made; also its entry in the command's catalogue."""

    runs: tuple[Hashable, ...]
    paper: str = "a study of one's own"
    networks: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    why: str = ""
    dense: tuple[str, ...] = ()

    def load(self) -> Figure:
        """Return the figure, which is loaded already."""
        return self


@dataclass(frozen=True)
class Lines:
    """Draws a metric against the weights remaining: a line with a band over seeds for each member of a column."""

    by: str
    value: str
    title: str

    def __call__(self, table: pd.DataFrame, frame: Frame) -> Picture:
        """Draw the table. Raises ValueError for columns that it does not have."""
        from supermask.analysis.drawing import plots
        from supermask.analysis.drawing.tickets import styles_of

        if missing := [name for name in (self.by, self.value) if name not in table.columns]:
            raise ValueError(f"table has no column {missing[0]!r}; it has {', '.join(map(str, table.columns))}")
        picture, (axes,) = plots.new_picture(1, frame, width=5.4)
        plots.accuracy_lines(axes, table, styles_of(table[self.by]), self.by, self.value)
        plots.remaining_axis(axes, table, f"{self.value.replace('_', ' ')}, %")
        finish(picture, frame, self.title, BANDS, axes)
        return picture

    def summarise(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the metric's means in percent at a few levels of weights remaining."""
        from supermask.analysis.drawing import plots
        from supermask.analysis.drawing.tickets import styles_of

        return plots.accuracy_summary(table, styles_of(table[self.by]), self.by, self.value)


def figure(
    name: str,
    runs: Sequence[Hashable],
    *,
    title: str = "",
    claims: Sequence[Claim] = (),
    by: str = "criterion",
    value: str = "test_accuracy",
    tabulate: Callable[[Results], pd.DataFrame] = Results.trainings,
    draw: Callable[[pd.DataFrame, Frame], Picture] | None = None,
    summarise: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
) -> FigureOfOnesOwn:
    """Return a figure of one's own.

    name: what the command calls it, and what its files begin with: lower-case letters, digits and '-'.
    runs: what is trained: treatments (`supermask.treatment`), or runs of the other kinds.
    title: of the picture.
    claims: what `supermask report` judges, and `notebook.verdicts`.
    by, value: the column whose members have a line each, and the metric that is drawn, a fraction.
    tabulate: turns results into the table; by default a row for each training of the rounds.
    draw, summarise: in place of lines against the weights remaining, and of their means at a few levels.

    Raises ValueError for a name that is none, and without runs; TypeError for what is no run.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise ValueError(f"name is {name!r}; allowed: words of lower-case letters and digits with '-' between them")
    if not runs:
        raise ValueError("runs is empty; allowed: at least one run, such as supermask.treatment(supermask.movement)")
    for run in runs:
        kind_of(run)
    chosen, lines = tuple(dict.fromkeys(runs)), Lines(by, value, title or name)

    def study(shown: Shown) -> Study:
        return with_members(chosen, shown.members)

    return FigureOfOnesOwn(
        name=name,
        title=title or name,
        runs=chosen,
        compares="else",
        names=(),
        study=study,
        tabulate=tabulate,
        draw=draw or lines,
        summarise=summarise or lines.summarise,
        claims=tuple(claims),
    )
