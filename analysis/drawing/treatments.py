"""Common parts of figures whose lines are treatments."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Generic, Literal, TypeVar

import pandas as pd

from supermask.analysis.drawing import plots
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.figure import Drawing
from supermask.analysis.drawing.frame import Frame, Picture
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.drawing.styles import Style, Styles
from supermask.analysis.kinds.rounds import UNPRUNED
from supermask.analysis.studies.experiment import Study, choices_of
from supermask.named_members import Members
from supermask.restarts import Treatment

Run = TypeVar("Run")


@dataclass(frozen=True)
class Line(Generic[Run]):
    """A run and the style of its line."""

    run: Run
    style: Style


def styles_of(lines: Mapping[str, Line[Any]]) -> Styles:
    """Return styles by label."""
    return {label: line.style for label, line in lines.items()}


def treatment_drawing(
    compares: Literal["kept", "pruned", "else"],
    lines: Mapping[str, Line[Treatment]],
    draw: Callable[[pd.DataFrame, Frame], Picture],
    claims: tuple[Claim, ...] = (),
) -> Drawing:
    """Return a figure with one line per treatment; `lines` are by label, which column `treatment` of the table holds.

    A name that is no label is a user's own action and stands for the lottery ticket algorithm with that action.
    """

    def treatment_of(label: str, members: Members) -> Treatment:
        return lines[label].run if label in lines else members.treatment(**{compares: label})  # type: ignore[arg-type]

    def study(shown: Shown) -> Study:
        return Study(tuple(treatment_of(label, shown.members) for label in shown.names))

    def tabulate(results: Results) -> pd.DataFrame:
        treatments = {label: treatment_of(label, results.shown.members) for label in results.shown.names}
        treated = results.experiment.treated
        labels = {tuple(choices_of(treated(own)).values()): label for label, own in treatments.items()}
        table = results.trainings()
        rows = table[[field.name for field in fields(Treatment)]].itertuples(index=False, name=None)
        table.insert(3, "treatment", [labels.get(row, UNPRUNED) for row in rows])
        return table

    return Drawing(
        compares=compares,
        names=tuple(lines),
        study=study,
        tabulate=tabulate,
        draw=draw,
        summarise=partial(plots.accuracy_summary, styles=styles_of(lines), by="treatment"),
        claims=claims,
        styles=styles_of(lines),
        panels=plots.range_panels(styles_of(lines)),
    )
