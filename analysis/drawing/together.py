"""One picture of several tables of a figure: a column of panels for each, as the papers have a panel per network."""

import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from supermask.analysis.drawing.figure import Figure
from supermask.analysis.drawing.frame import BANDS, Frame, Picture, finish, panels_of


class Part(NamedTuple):
    """One table as text, its file, and the caption of its own picture, which begins with network and data."""

    csv: Path
    text: str
    caption: str


def draw_together(
    figure: Figure, parts: Sequence[Part], frame: Frame, guard: Callable[[Part], AbstractContextManager[None]]
) -> Picture:
    """Draw the figure's panels, a row for each kind of panel and a column for each table, with one legend for all.

    guard: returns the context in which a table is read and drawn. Raises UsageError for more panels or lines than can
    be drawn.
    """
    kinds, columns = len(figure.panels), len(parts)
    picture, panels = panels_of(kinds * columns, frame, width=3.8, height=3.4, columns=columns)
    titles, notes = _titles(parts), {BANDS: None}
    for column, (title, part) in enumerate(zip(titles, parts, strict=True)):
        with guard(part):
            table = pd.read_csv(io.StringIO(part.text))
            for axes, panel in zip(panels[column::columns], figure.panels, strict=True):
                if note := panel(axes, table):
                    notes[f"{title}: {note}"] = None
                own = axes.get_title("left")
                axes.set_title(f"{title}: {own}" if own else title)
    finish(picture, frame, figure.title, "\n".join(notes), panels)
    return picture


def _titles(parts: Sequence[Part]) -> list[str]:
    """Return each table's network and data; with the protocol, where two tables are of the same."""
    facts = [part.caption.split(" · ") for part in parts]
    heads = [own[0] for own in facts]
    return [
        ", ".join((head, *(each.split(":")[0] for each in own[1:2]))) if heads.count(head) > 1 else head
        for head, own in zip(heads, facts, strict=True)
    ]
