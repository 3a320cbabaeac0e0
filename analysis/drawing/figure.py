"""Definition of a figure, and writing it to disk."""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from supermask.analysis.drawing.captions import caption, stem
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.frame import SCREEN, Frame, Look, Panel, Picture, read_style, settings
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.drawing.statistics import diverged_rows
from supermask.analysis.drawing.styles import Styles
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.system.errors import UsageError
from supermask.analysis.system.files import make_folder, write_whole


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure as its module in `figures/` defines it.

    compares: what its lines or panels are: criteria, mask-1 actions ('kept'), mask-0 actions ('pruned'), or else.
    names: the members of that kind that it shows by default.
    of_other_data: those that it shows as well where another data set is given.
    study: returns the runs that it needs to show something.
    tabulate: turns stored results into the tidy table from which everything else is made.
    draw: turns the table and a frame into a picture.
    summarise: turns the table into the few numbers for a terminal.
    claims: the paper's claims about the figure, each with its test.
    styles: line styles of `names`, if they are lines.
    page: turns stored results and a caption into a page of its own, HTML, which is written beside the pictures.
    panels: those that can stand beside the same panels of other tables (see `together`). Each draws a table into axes
        and returns what the caption is to explain.
    """

    compares: Literal["criterion", "kept", "pruned", "else"]
    names: tuple[str, ...]
    study: Callable[[Shown], Study]
    tabulate: Callable[[Results], pd.DataFrame]
    draw: Callable[[pd.DataFrame, Frame], Picture]
    summarise: Callable[[pd.DataFrame], pd.DataFrame]
    claims: tuple[Claim, ...] = ()
    styles: Styles = field(default_factory=dict)
    page: Callable[[Results, str], str] | None = None
    panels: tuple[Panel, ...] = ()
    of_other_data: tuple[str, ...] = ()

    def names_on(self, other_data: bool) -> tuple[str, ...]:
        """Return the names that it shows by default, with or without another data set."""
        return (*self.names, *self.of_other_data) if other_data else self.names

    def named(self, name: str, title: str) -> "Figure":
        """Return the figure with the catalogue's name, as on the command line, and title."""
        own = {each.name: getattr(self, each.name) for each in fields(Drawing)}
        return Figure(name=name, title=title, **own)


@dataclass(frozen=True, kw_only=True)
class Figure(Drawing):
    """A figure with the name and title from the catalogue."""

    name: str
    title: str

    @property
    def whole(self) -> Study:
        """The study of all that it shows by default."""
        return self.study(Shown(self.names))


def diverged(table: pd.DataFrame) -> int:
    """Return the number of rows of diverged trainings, which have a loss that is not a number."""
    return int(diverged_rows(table).sum())


def collapsed(table: pd.DataFrame, classes: int) -> int:
    """Return the number of rows of trainings that learned nothing: their best validation loss is at least a guess's.

    The loss of guessing is the logarithm of the number of classes. A network that learns only the frequencies of about
    equally frequent classes is within 1% of it. Rows without an `early_stop_step` have no training and do not count.
    """
    if not {"early_stop_step", "validation_loss"} <= set(table.columns):
        return 0
    return int((table["early_stop_step"].notna() & (table["validation_loss"] > 0.99 * math.log(classes))).sum())


def caption_of(experiment: Experiment, study: Study, table: pd.DataFrame) -> str:
    """Return the caption of a study's table: `caption`, and how many of its trainings diverged or collapsed."""
    words = caption(experiment, study)
    if number := diverged(table):
        words += f" · {number} of {len(table)} diverged: they are drawn as they were last"
    if number := collapsed(table, experiment.data.classes):
        words += f" · {number} of {len(table)} collapsed: they learned nothing, and are no better than a guess"
    return words


def write(
    figure: Figure,
    shown: Shown,
    table: pd.DataFrame,
    experiment: Experiment,
    folder: Path,
    look: Look = SCREEN,
) -> list[Path]:
    """Write the table as CSV, and the pictures drawn from that file. Returns the paths, the table's first.

    Each choice of what is `shown` has its own file.
    """
    make_folder(folder)
    study = figure.study(shown)
    base = stem(figure.name, figure.names, experiment, study, shown.names)
    text = table.to_csv(index=False, float_format="%.9g")  # enough digits to distinguish any two float32
    words = caption_of(experiment, study, table)
    contents = {".csv": text.encode()} | render(figure, text, words, base, look)
    paths = [folder / f"{base}{ending}" for ending in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        write_whole(path, content)
    return paths


def write_page(figure: Figure, results: Results, table: Path) -> list[Path]:
    """Write a figure's own page beside its table, if it has one. Returns its path."""
    if figure.page is None:
        return []
    path = table.with_suffix(".html")
    write_whole(path, figure.page(results, caption(results.experiment, results.study)).encode())
    return [path]


def render(figure: Figure, text: str, words: str, base: str, look: Look = SCREEN) -> dict[str, bytes]:
    """Draw the picture of a CSV table with a caption; return its formats by ending. `base` prefixes the SVG's ids.

    The same table gives the same SVG and PDF to the byte. All formats have the complete caption, as one line, in their
    metadata. Raises UsageError if the user's style cannot be drawn.
    """
    return rendered(lambda frame: figure.draw(pd.read_csv(io.StringIO(text)), frame), figure.title, words, base, look)


def rendered(draw: Callable[[Frame], Picture], title: str, words: str, base: str, look: Look) -> dict[str, bytes]:
    """Draw a picture in the look's frame; return its formats by ending. See `render`."""
    import matplotlib

    frame = look.frame(words)
    own = read_style(look.style) if look.style else {}
    pictures: dict[str, bytes] = {}
    style: Any = {**settings(frame), "svg.hashsalt": base, **own}
    with matplotlib.rc_context(style):
        try:
            picture = draw(frame)
            for kind in look.formats:
                file = io.BytesIO()
                dpi = 160 if look.width is None else 300
                picture.savefig(
                    file, format=kind, dpi=dpi, metadata=_metadata(kind, title, "; ".join(words.splitlines()))
                )
                pictures[f".{kind}"] = file.getvalue()
        except (RuntimeError, OSError) as error:
            if not look.style:
                raise
            first = " ".join(str(error).split())[:200]
            raise UsageError(f"style {str(look.style)!r} cannot be drawn here: {first}") from None
    return pictures


def _metadata(kind: str, title: str, words: str) -> dict[str, str | None]:
    if kind == "pdf":
        return {"Title": title, "Subject": words, "CreationDate": None}
    return {"Title": title, "Description": words} | ({"Date": None} if kind == "svg" else {})
