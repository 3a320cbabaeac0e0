"""Pictures again from their tables alone: no results folder is needed, and nothing is trained."""

import html
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.errors import UsageError
from analysis.files import write_whole

if TYPE_CHECKING:
    from analysis.commands import Catalogue

_TEXT = re.compile(r"<text[^>]*>([^<]*)</text>")


def figure_name(csv: Path, names: Iterable[str]) -> str:
    """The figure that a table is of, by the beginning of its file's name, which is how `write` names it.

    Raises UsageError where that is no figure.
    """
    allowed = list(names)
    fitting = [name for name in allowed if csv.name.startswith(f"{name}-")]
    if csv.suffix != ".csv" or not fitting:
        raise UsageError(
            f"file {str(csv)!r} is no figure's table; allowed: FIGURE-….csv, FIGURE one of {', '.join(allowed)}"
        )
    return max(fitting, key=len)


def caption_beside(csv: Path) -> str:
    """The caption of the picture beside a table: where its numbers come from, which the table does not say.

    Raises UsageError where there is no such picture.
    """
    svg = csv.with_suffix(".svg")
    try:
        texts = _TEXT.findall(svg.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise UsageError(f"{svg}, whose caption {csv.name} is redrawn with, cannot be read: {error.strerror}") from None
    captions = [html.unescape(text) for text in texts if " · supermask " in text]
    if len(captions) != 1:
        raise UsageError(f"{svg}, whose caption {csv.name} is redrawn with, is no picture that this toolkit drew")
    return captions[0]


def redraw(tables: Iterable[Path], catalogue: "Catalogue") -> dict[Path, bool]:
    """Draws the SVG and the PNG beside each table again. Returns of each SVG whether it is another than before.

    Raises UsageError where a file is not a figure's table with its picture. A picture is replaced by a whole one only.
    """
    jobs = [(csv, catalogue[figure_name(csv, catalogue)].load(), caption_beside(csv)) for csv in tables]
    from analysis.figure import render

    changed: dict[Path, bool] = {}
    for csv, figure, words in jobs:
        try:
            images = render(figure, csv.read_text(encoding="utf-8"), words, csv.stem)
        except OSError as error:
            raise UsageError(f"file {csv} cannot be read: {error.strerror}") from None
        except (KeyError, ValueError) as error:  # a column is missing, or it is no table
            raise UsageError(f"file {csv} is no table of the figure {figure.name}: {error}") from None
        svg = csv.with_suffix(".svg")
        changed[svg] = svg.read_bytes() != images[".svg"]
        for ending, content in images.items():
            write_whole(csv.with_suffix(ending), content)
    return changed
