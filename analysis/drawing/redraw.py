"""Redraws pictures from their tables, without a results folder or any training."""

import html
import io
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from supermask.analysis.drawing.cells import check_cells
from supermask.analysis.drawing.frame import FORMATS, SCREEN, Frame, Look
from supermask.analysis.system.errors import UsageError
from supermask.analysis.system.files import PICTURES, check_output, read_text, write_whole
from supermask.analysis.system.words import count
from supermask.reading import read_regular

if TYPE_CHECKING:
    from supermask.analysis.drawing.entries import Catalogue
    from supermask.analysis.drawing.frame import Picture

MARK = " · supermask "
"""Text that every caption contains."""

_DOUBTS = (UserWarning, RuntimeWarning)
"""How Matplotlib and NumPy say that they draw something else than was meant: an empty legend, an axis of one point, the
mean of nothing."""

NOT_DRAWN = (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError, *_DOUBTS)
"""What drawing raises at tables that are not what they should be, in many libraries' words."""

_DESCRIPTION = re.compile(r"<dc:description>([^<]*)</dc:description>")
_TEXT = re.compile(r"<text[^>]*>([^<]*)</text>")


def figure_name(csv: Path, names: Iterable[str]) -> str:
    """Return the figure of a table, from the beginning of its file name. Raises UsageError if that names none."""
    allowed = list(names)
    fitting = [name for name in allowed if csv.name.startswith(f"{name}-")]
    if csv.suffix != ".csv" or not fitting:
        raise UsageError(
            f"file {str(csv)!r} is no figure's table; allowed: FIGURE-….csv, FIGURE one of {', '.join(allowed)}"
        )
    return max(fitting, key=len)


def caption_beside(csv: Path) -> str:
    """Return the caption of the picture beside a table, since the table does not say where its numbers come from.

    The caption is in the metadata of the SVG or the PNG, or in the text of older SVGs. Raises UsageError if there is no
    such picture.
    """
    svg, png = csv.with_suffix(".svg"), csv.with_suffix(".png")
    if not svg.exists() and png.exists():
        return _caption_of_png(png, csv)
    try:
        text = read_regular(svg).decode(errors="replace")
    except OSError as error:
        raise UsageError(f"{svg}, whose caption {csv.name} is redrawn with, cannot be read: {error.strerror}") from None
    found = _DESCRIPTION.findall(text) or _TEXT.findall(text)
    captions = [html.unescape(words) for words in found if MARK in words]
    if len(captions) != 1 or not captions[0].isprintable():
        raise UsageError(f"{svg}, whose caption {csv.name} is redrawn with, is no picture that this toolkit drew")
    return captions[0]


def _caption_of_png(png: Path, csv: Path) -> str:
    from PIL import Image

    try:
        with (
            warnings.catch_warnings(action="ignore"),  # of huge pictures, whose pixels nobody asks for
            Image.open(io.BytesIO(read_regular(png)), formats=("PNG",)) as image,
        ):
            words = str(image.info.get("Description", ""))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UsageError(f"{png}, whose caption {csv.name} is redrawn with, cannot be read: {error}") from None
    if MARK not in words or not words.isprintable():
        raise UsageError(f"{png}, whose caption {csv.name} is redrawn with, is no picture that this toolkit drew")
    return words


def redraw(tables: Iterable[Path], catalogue: "Catalogue", look: Look = SCREEN) -> dict[Path, bool]:
    """Redraw the pictures beside each table. Returns for each whether it changed.

    Raises UsageError if a file is not a figure's table with its picture, has an invalid cell, or makes Matplotlib or
    NumPy warn. Pictures are replaced atomically, and only after all are drawn.
    """
    jobs = [(csv, catalogue[figure_name(csv, catalogue)].load(), caption_beside(csv)) for csv in tables]
    for csv, *_ in jobs:
        _check_pictures("file", csv.with_suffix(""), look)
    from supermask.analysis.drawing.figure import render

    drawn: dict[Path, bytes] = {}
    for csv, figure, words in jobs:
        text = _checked(csv)
        with _refused(csv, text, figure.name, look):
            images = render(figure, text, words, csv.stem, look)
        drawn |= {csv.with_suffix(ending): content for ending, content in images.items()}
    return _replaced(drawn)


def redraw_together(
    tables: Sequence[Path], name: Path, catalogue: "Catalogue", look: Look = SCREEN
) -> dict[Path, bool]:
    """Draw one picture of several tables of a figure, a column of panels for each: `name`, and an ending per format.

    Returns for each file whether it changed. Raises UsageError as `redraw` does; for fewer than two tables, for tables
    of different figures, for a figure whose panels cannot stand beside others, and for a name with a format's ending.
    """
    if name.suffix.removeprefix(".") in FORMATS:
        raise UsageError(f"together is {str(name)!r}; allowed: a name without {name.suffix}, which format adds")
    names = {figure_name(csv, catalogue) for csv in tables}
    if len(tables) < 2 or len(names) > 1:
        of = f"of {' and '.join(sorted(names))}" if len(names) > 1 else "alone"
        raise UsageError(
            f"together is given with {count(len(tables), 'table')} {of}; allowed: two or more of one figure"
        )
    figure = catalogue[names.pop()].load()
    _check_pictures("together", name, look)
    if not figure.panels:
        allowed = ", ".join(other for other, entry in catalogue.items() if entry.load().panels)
        raise UsageError(f"together is given with tables of {figure.name}; allowed: those of {allowed}")
    from supermask.analysis.drawing.figure import rendered
    from supermask.analysis.drawing.together import Part, draw_together

    parts = [Part(csv, _checked(csv), caption_beside(csv)) for csv in tables]

    def draw(frame: Frame) -> "Picture":
        return draw_together(figure, parts, frame, lambda part: _refused(part.csv, part.text, figure.name, look))

    words = "\n".join(part.caption for part in parts)
    images = rendered(draw, figure.title, words, name.name, look)
    return _replaced({name.with_name(f"{name.name}{ending}"): content for ending, content in images.items()})


def _check_pictures(argument: str, name: Path, look: Look) -> None:
    """Raise UsageError if a picture of that name could not be written, or would replace another kind of file."""
    for kind in look.formats:
        path = name.with_name(f"{name.name}.{kind}")
        check_output(argument, path, PICTURES[path.suffix])


def _checked(csv: Path) -> str:
    """Return a table's text. Raises UsageError for an invalid cell."""
    text = read_text(csv)
    check_cells(csv, text)
    return text


@contextmanager
def _refused(csv: Path, text: str, figure: str, look: Look) -> Iterator[None]:
    """Raise UsageError, which names the table, for what drawing it raises or makes Matplotlib or NumPy warn of."""
    try:
        with warnings.catch_warnings():
            for doubt in _DOUBTS if look.style is None else ():  # a style of the user's may be to blame
                warnings.simplefilter("error", doubt)
            warnings.filterwarnings("default", "Glyph")  # a name in letters that the font lacks is a name
            yield
    except UsageError:
        raise
    except NOT_DRAWN as error:  # a column or row is missing, or it is no table
        why = _lacking(error, text) or " ".join(str(error).split())
        raise UsageError(f"file {csv} is no table of the figure {figure}: {why}") from None


def _replaced(drawn: Mapping[Path, bytes]) -> dict[Path, bool]:
    """Replace files by what was drawn; return for each whether it changed."""
    changed = {path: not path.is_file() or read_regular(path) != content for path, content in drawn.items()}
    for path, content in drawn.items():  # only after all are drawn, so that a failure replaces none
        write_whole(path, content)
    return changed


def _lacking(error: Exception, text: str) -> str:
    """Return the missing column, if that is why the table cannot be drawn."""
    columns = text.partition("\n")[0].strip().split(",")
    if not isinstance(error, KeyError) or not error.args or error.args[0] in columns:
        return ""
    named = re.findall(r"'(\w+)'|not found: (\w+)", str(error))  # pandas says it in several ways
    lacking = [name for pair in named for name in pair if name and name not in columns]
    return f"it has no column {lacking[0]!r}; its columns are {', '.join(columns)}" if lacking else ""
