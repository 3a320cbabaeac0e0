"""What a figure is, and how it is written to disk."""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from analysis.drawing.captions import caption, stem
from analysis.drawing.claims import Claim
from analysis.drawing.frame import SCREEN, Frame, Look, read_style, settings
from analysis.drawing.results import Results
from analysis.drawing.statistics import diverged_rows
from analysis.drawing.styles import Styles
from analysis.studies.experiment import Experiment, Study
from analysis.system.errors import UsageError
from analysis.system.files import make_folder, write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What a module of `figures/` says of its figure.

    compares: what its lines or panels are: criteria, mask-1 actions ('kept'), mask-0 actions ('pruned'), or else.
    names: the members of that kind that it shows unless others are asked for.
    study: what it needs, for those names.
    tabulate: from stored results to the tidy table that everything else is made from.
    draw: from the table and what surrounds it to a picture.
    summarise: from the table to the few numbers for a terminal.
    claims: what the paper says the figure shows, each with its test.
    styles: how each of `names` looks, where they are lines.
    """

    compares: Literal["criterion", "kept", "pruned", "else"]
    names: tuple[str, ...]
    study: Callable[[Sequence[str]], Study]
    tabulate: Callable[[Results], pd.DataFrame]
    draw: Callable[[pd.DataFrame, Frame], "Picture"]
    summarise: Callable[[pd.DataFrame], pd.DataFrame]
    claims: tuple[Claim, ...] = ()
    styles: Styles = field(default_factory=dict)

    def named(self, name: str, title: str) -> "Figure":
        """The figure of the catalogue: what it is called on the command line, and what it shows in a line."""
        own = {each.name: getattr(self, each.name) for each in fields(Drawing)}
        return Figure(name=name, title=title, **own)


@dataclass(frozen=True, kw_only=True)
class Figure(Drawing):
    """One figure of the catalogue, which gives it its name and title."""

    name: str
    title: str


def diverged(table: pd.DataFrame) -> int:
    """How many rows are of trainings that diverged: a loss of theirs is not a number."""
    return int(diverged_rows(table).sum())


def collapsed(table: pd.DataFrame, classes: int) -> int:
    """How many rows are of trainings that learned nothing: their best validation loss is that of a guess, or above.

    A guess is the logarithm of the number of classes; who learns how often each class occurs, and no more, is within 1%
    of it where classes are about equally frequent. Rows of no training, without an `early_stop_step`, do not count.
    """
    if not {"early_stop_step", "validation_loss"} <= set(table.columns):
        return 0
    return int((table["early_stop_step"].notna() & (table["validation_loss"] > 0.99 * math.log(classes))).sum())


def write(
    figure: Figure,
    names: Sequence[str],
    table: pd.DataFrame,
    experiment: Experiment,
    folder: Path,
    look: Look = SCREEN,
) -> list[Path]:
    """Writes the table as CSV, and the pictures drawn from that very file. Returns the paths, the table's first.

    `names` are what it shows: another choice is another file.
    """
    make_folder(folder)
    study = figure.study(names)
    base = stem(figure.name, figure.names, experiment, study, names)
    text = table.to_csv(index=False, float_format="%.9g")  # enough to tell any two float32 apart
    words = caption(experiment, study)
    if number := diverged(table):
        words += f" · {number} of {len(table)} diverged: they are drawn as they were last"
    if number := collapsed(table, experiment.data.classes):
        words += f" · {number} of {len(table)} collapsed: they learned nothing, and are no better than a guess"
    contents = {".csv": text.encode()} | render(figure, text, words, base, look)
    paths = [folder / f"{base}{ending}" for ending in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        write_whole(path, content)
    return paths


def render(figure: Figure, text: str, words: str, base: str, look: Look = SCREEN) -> dict[str, bytes]:
    """The picture of a table given as CSV, with a caption: its formats by ending. `base` names the SVG's ids.

    The same table gives the same SVG and PDF to the byte: no dates and no random ids are in them. All of them carry the
    caption in their metadata, whole and as one line.

    Raises UsageError where the user's style cannot be drawn.
    """
    import matplotlib

    frame = look.frame(words)
    own = read_style(look.style) if look.style else {}
    pictures: dict[str, bytes] = {}
    style: Any = {**settings(frame), "svg.hashsalt": base, **own}
    with matplotlib.rc_context(style):
        try:
            picture = figure.draw(pd.read_csv(io.StringIO(text)), frame)
            for kind in look.formats:
                file = io.BytesIO()
                dpi = 160 if look.width is None else 300
                picture.savefig(file, format=kind, dpi=dpi, metadata=_metadata(kind, figure.title, words))
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
