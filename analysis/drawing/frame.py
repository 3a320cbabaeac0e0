"""Frames of pictures: width, title, caption, formats, and the user's own style.

A figure draws panels. This module arranges them side by side or below one another, as the width allows, and leaves room
for the title, the legend and the caption. A picture for a column of a paper is drawn at that width, with letters at
their final size.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supermask.analysis.system.errors import UsageError, choose
from supermask.analysis.system.words import number_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure

    Picture = Figure
    Panel = Callable[[Axes, pd.DataFrame], str]
else:  # Matplotlib is loaded when something is drawn
    Axes = Picture = Panel = Any

FORMATS = ("svg", "png", "pdf")
WIDTHS: Mapping[str, float] = {"column": 3.25, "page": 6.75}
"""Width in inches of a column and of a two-column page, as for ICML; IEEE's and ACL's are slightly wider."""

LEAST_WIDTH, GREATEST_WIDTH = 2.0, 40.0

MOST = 200
"""Largest number of lines, or of panels, of a picture."""

FLAT, LESS_FLAT = 0.6, 0.68
"""Height over width of panels below one another, so that two or three fit on a page."""

BANDS = "Lines: means over seeds. Bands: from the least to the greatest seed."
DOTS = "Dots: seeds. Bars: their means."
WHISKERS = "Bars: means over seeds. Whiskers: from the least to the greatest seed."


@dataclass(frozen=True)
class Frame:
    """The surroundings of the panels.

    caption: where the numbers come from. width: in inches; None for the panels' natural width. title: whether to draw
    the title, which a paper gives in its text.
    """

    caption: str = ""
    width: float | None = None
    title: bool = True

    @property
    def narrow(self) -> bool:
        """Whether it is for a column, with smaller letters and thinner lines."""
        return self.width is not None and self.width < 5


@dataclass(frozen=True)
class Look:
    """A user's choices for pictures: formats, width in inches, title or not, and a Matplotlib style file."""

    formats: tuple[str, ...] = ("svg", "png")
    width: float | None = None
    title: bool = True
    style: Path | None = None

    def frame(self, caption: str) -> Frame:
        """Return the frame of a picture with that caption."""
        return Frame(caption, self.width, self.title)


SCREEN = Look()
"""The default look."""


def look(formats: str | None, width: str | None, title: bool, style: Path | None) -> Look:
    """Return the look for command-line options. Raises UsageError, with the allowed values, for an impossible one."""
    names = SCREEN.formats if formats is None else [name.strip() for name in formats.split(",")]
    chosen = tuple(dict.fromkeys(choose("format", name, FORMATS) for name in names))
    if style is not None:
        read_style(style)
    return Look(chosen, None if width is None else parse_width(width), title, style)


def parse_width(text: str) -> float:
    """Parse 'column', 'page' or a number as inches. Raises UsageError."""
    if text in WIDTHS:
        return WIDTHS[text]
    width = number_of(text)
    if width is None or not LEAST_WIDTH <= width <= GREATEST_WIDTH:
        raise UsageError(
            f"width is {text!r}; allowed: {', '.join(WIDTHS)}, or inches from {LEAST_WIDTH:g} to {GREATEST_WIDTH:g}"
        )
    return width


NO_STYLE = frozenset({"backend", "backend_fallback", "interactive", "savefig.directory", "savefig.format", "toolbar"})
"""Settings for windows and files, which do not belong in a style."""


def read_style(path: Path) -> dict[str, Any]:
    """Read the settings of a Matplotlib style file. Raises UsageError if it cannot be read or a line is invalid."""
    import matplotlib

    if not path.is_file():
        raise UsageError(f"style {str(path)!r} cannot be read: it is no file")
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("matplotlib")
    logger.addHandler(handler)
    try:
        found = matplotlib.rc_params_from_file(path, fail_on_error=True, use_default_template=False)
    except (OSError, ValueError) as error:
        said.append(str(error))
    finally:
        logger.removeHandler(handler)
    if said:
        raise UsageError(f"style {str(path)!r} is no Matplotlib style: {' '.join(said[0].split())}")
    if refused := sorted(set(found) & NO_STYLE):
        raise UsageError(f"style {str(path)!r} sets {refused[0]}, which is no matter of style; take that line out")
    values: Any = found
    return dict(values)


def settings(frame: Frame) -> dict[str, Any]:
    """Return Matplotlib's settings for a frame, overridden by the user's own style."""
    size = 9 if frame.width is None else 8
    return {
        "font.size": size,
        "axes.titlesize": size,
        "axes.titlelocation": "left",
        "axes.labelsize": size,
        "xtick.labelsize": size - 1,
        "ytick.labelsize": size - 1,
        "legend.fontsize": size - 1,
        "legend.frameon": False,
        "figure.titlesize": size + 2,
        "lines.linewidth": 1.0 if frame.narrow else 1.4,
        "lines.markersize": 3.0 if frame.narrow else 4.5,
        "grid.alpha": 0.25,
        "grid.linewidth": 0.6,
        "pdf.fonttype": 42,
        "svg.fonttype": "none",
        "text.parse_math": False,  # dollar signs in names are literal
    }


def check_number(what: str, number: int) -> None:
    """Raise UsageError for more lines or panels than a picture can have: each takes a tenth of a second or more."""
    if number > MOST:
        raise UsageError(f"the picture would have {number:,} {what}; allowed: up to {MOST}")


def panels_of(
    count: int, frame: Frame, *, width: float, height: float, columns: int = 0, least: float = 2.2
) -> tuple[Picture, list[Axes]]:
    """Return a picture of panels: `columns` side by side (0: all), each of that width and height in inches.

    If the frame has a width, as many panels are side by side as can be `least` inches wide, in their aspect ratio.
    Raises UsageError for more panels than can be drawn.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    check_number("panels", count)
    columns = columns or count
    if frame.width is not None:
        columns = max(1, min(columns, int(frame.width / least)))
        share = frame.width / columns
        form = height / width if columns > 1 else min(max(height / width, FLAT), LESS_FLAT)
        width, height = share, share * form
    rows = -(-count // columns)
    picture = Figure(figsize=(width * columns, height * rows), layout="constrained", dpi=100)
    FigureCanvasAgg(picture)  # needed to measure texts; pyplot would keep every picture in memory
    axes = picture.subplots(rows, columns, squeeze=False)
    for place in axes.flat[count:]:
        place.set_visible(False)
    return picture, list(axes.flat[:count])


def finish(
    picture: Picture, frame: Frame, title: str, note: str = "", legend: Axes | Sequence[Axes] | None = None
) -> None:
    """Add title, legend and caption around the panels, without overlap.

    note: explanation of bands, bars or stars, added to the caption. legend: the panel whose legend serves all panels,
    or several whose entries are put together; it is placed to their right, or below them if the frame has a width.
    """
    width, height = picture.get_size_inches()
    _fit_labels(picture)
    right = below = above = 0.0
    handles, labels = _legend_of(legend)
    if handles and frame.width is None:
        drawn = picture.legend(handles, labels, loc="center right")
        right = _inches(picture, drawn)[0]
    total = width + right
    words = "\n".join(filter(None, (wrapped(note, total, 0.86), wrapped(frame.caption, total, 0.86))))
    caption = picture.text(0.0, 0.0, words, fontsize="small", color="#444444", va="bottom") if words else None
    if caption:
        below = _inches(picture, caption)[1] + 0.08
    caption_height = below
    if handles and frame.width is not None:
        columns = max(1, int(width / (0.45 + max(map(len, labels)) * _letter() * 0.92)))
        drawn = picture.legend(handles, labels, loc="lower center", ncols=min(columns, len(handles)), labelspacing=0.3)
        below += _inches(picture, drawn)[1]
    heading = picture.suptitle(wrapped(title, total, 1.3), y=1.0, va="top") if frame.title and title else None
    if heading:
        above = _inches(picture, heading)[1] + 0.1
    full = height + below + above
    picture.set_size_inches(total, full)
    engine: Any = picture.get_layout_engine()
    engine.set(rect=(0.0, below / full, width / total, height / full))
    if heading:
        heading.set_position((0.5, 1 - 0.05 / full))
    if caption:
        caption.set_position((0.05 / total, 0.04 / full))
    if handles:
        if frame.width is None:
            drawn.set_bbox_to_anchor((1.0, (below + height / 2) / full))
            drawn.set_loc("center right")
        else:
            drawn.set_bbox_to_anchor((0.5, caption_height / full))
    _settle(picture)


def _legend_of(panels: Axes | Sequence[Axes] | None) -> tuple[list[Any], list[str]]:
    """Return handles and labels of one panel, or each label of several panels once."""
    if panels is None:
        return [], []
    if not isinstance(panels, Sequence):
        handles, labels = panels.get_legend_handles_labels()
        return list(handles), list(labels)
    found: dict[str, Any] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(str(label), handle)
    return list(found.values()), list(found)


def _settle(picture: Picture) -> None:
    """Fix the layout of the panels, rounded to six digits.

    The solver's last bits depend on memory addresses, and the ids in an SVG depend on these bits.
    """
    picture.draw_without_rendering()
    places = [[round(float(each), 6) for each in axes.get_position(original=True).bounds] for axes in picture.axes]
    picture.set_layout_engine("none")
    for axes, (left, bottom, width, height) in zip(picture.axes, places, strict=True):
        axes.set_position((left, bottom, width, height))


def wrapped(text: str, width: float, scale: float = 1.0) -> str:
    """Wrap text to that many inches, at that multiple of the settings' font size.

    Lines break at spaces, never before a middle dot, and without spaces after underscores.
    """
    room = max(8, int((width - 0.1) / (_letter() * scale)))
    lines: list[str] = []
    for part in text.splitlines():
        lines.append("")
        for piece in re.findall(r"(?:[^ _]|_(?=$)| (?=·))+[ _]*", part):
            if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > room:
                lines.append("")
            lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def _fit_labels(picture: Picture) -> None:
    """Wrap titles of panels and labels of axes to their panel's width or height."""
    width, height = map(float, picture.get_size_inches())
    for axes in picture.axes:
        place = axes.get_subplotspec()
        if place is None:  # a colour bar
            continue
        rows, columns = place.get_gridspec().get_geometry()
        axes.set_title(wrapped(axes.get_title("left"), width / columns - 0.4))
        axes.set_xlabel(wrapped(axes.get_xlabel(), width / columns - 0.4))
        axes.set_ylabel(wrapped(axes.get_ylabel(), height / rows - 0.5))


def _letter() -> float:
    """Return the mean width of a letter in inches."""
    import matplotlib

    return 0.56 * float(matplotlib.rcParams["font.size"]) / 72


def _inches(picture: Picture, artist: Any) -> tuple[float, float]:
    extent = artist.get_window_extent(picture.canvas.get_renderer())  # type: ignore[attr-defined]
    return extent.width / picture.dpi, extent.height / picture.dpi
