"""Figures whose lines are treatments: what their modules share."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from analysis.drawing.claims import Claim
from analysis.drawing.figure import Figure
from analysis.drawing.frame import Frame
from analysis.drawing.results import Results
from analysis.kinds.rounds import UNPRUNED
from analysis.studies.experiment import Study
from supermask.lottery import Treatment

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture


def treatment_figure(
    name: str,
    title: str,
    compares: Literal["kept", "pruned", "else"],
    treatments: Mapping[str, Treatment],
    draw: Callable[[pd.DataFrame, Frame], "Picture"],
    claims: tuple[Claim, ...] = (),
) -> Figure:
    """A figure with one line a treatment; `treatments` are by label. Its table has the label in column `treatment`.

    A name that is no label is that of a user's own action: the lottery ticket algorithm with that action.
    """

    def treatment_of(label: str) -> Treatment:
        return treatments[label] if label in treatments else Treatment(**{compares: label})  # type: ignore[arg-type]

    def study(names: Sequence[str]) -> Study:
        return Study(tuple(treatment_of(label) for label in names))

    def tabulate(results: Results) -> pd.DataFrame:
        labels = {treatment_of(label): label for label in results.names}
        table = results.trainings()
        table.insert(3, "treatment", [_label(labels, row) for row in table.to_dict("records")])
        return table

    return Figure(name, title, compares, tuple(treatments), study, tabulate, draw, summarise, claims)


def _label(labels: Mapping[Treatment, str], row: Mapping[Hashable, Any]) -> str:
    own = {field.name: row[field.name] for field in fields(Treatment)}
    return UNPRUNED if own["criterion"] == UNPRUNED else labels[Treatment(**own)]


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Mean test accuracy in percent at a few levels of weights remaining."""
    from analysis.drawing import plots

    return plots.accuracy_summary(table, by="treatment")
