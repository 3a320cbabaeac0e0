"""How a picture is framed: its width, title, caption and formats, and a style of the user's own.

A figure draws panels; this puts them side by side or below one another, as the width allows, and leaves room for the
title above, the legend and the caption. So a picture that is to stand in a column of a paper is drawn for that width,
with letters of the size that they are read at.
"""

import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.system.errors import UsageError, choose

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

FORMATS = ("svg", "png", "pdf")
WIDTHS: Mapping[str, float] = {"column": 3.25, "page": 6.75}
"""Inches of a column and of a page of two columns: ICML's; IEEE's and ACL's are a little wider."""

LEAST_WIDTH, GREATEST_WIDTH = 2.0, 40.0

FLAT, LESS_FLAT = 0.6, 0.68
"""Height over width of panels that stand below one another: so two or three of them fit on a page."""

BANDS = "Lines: means over seeds. Bands: from the least to the greatest seed."
DOTS = "Dots: seeds. Bars: their means."
WHISKERS = "Bars: means over seeds. Whiskers: from the least to the greatest seed."


@dataclass(frozen=True)
class Frame:
    """What surrounds the panels.

    caption: where the numbers come from. width: in inches; None is as wide as the panels like to be. title: whether the
    picture says what it shows; in a paper the text does.
    """

    caption: str = ""
    width: float | None = None
    title: bool = True

    @property
    def narrow(self) -> bool:
        """Whether it is for a column: letters are smaller, and lines thinner."""
        return self.width is not None and self.width < 5


@dataclass(frozen=True)
class Look:
    """How a user wants pictures: formats, width in inches, whether titled, and a Matplotlib style file."""

    formats: tuple[str, ...] = ("svg", "png")
    width: float | None = None
    title: bool = True
    style: Path | None = None

    def frame(self, caption: str) -> Frame:
        """The frame of a picture with that caption."""
        return Frame(caption, self.width, self.title)


SCREEN = Look()
"""How pictures look unless asked for otherwise."""


def look(formats: str | None, width: str | None, title: bool, style: Path | None) -> Look:
    """The look that options ask for. Raises UsageError, with what is allowed, where one cannot be had."""
    names = SCREEN.formats if formats is None else [name.strip() for name in formats.split(",")]
    chosen = tuple(dict.fromkeys(choose("format", name, FORMATS) for name in names))
    if style is not None:
        read_style(style)
    return Look(chosen, None if width is None else parse_width(width), title, style)


def parse_width(text: str) -> float:
    """Inches from 'column', 'page' or a number. Raises UsageError."""
    if text in WIDTHS:
        return WIDTHS[text]
    try:
        width = float(text)
    except ValueError:
        width = math.nan
    if not LEAST_WIDTH <= width <= GREATEST_WIDTH:
        raise UsageError(
            f"width is {text!r}; allowed: {', '.join(WIDTHS)}, or inches from {LEAST_WIDTH:g} to {GREATEST_WIDTH:g}"
        )
    return width


NO_STYLE = frozenset({"backend", "backend_fallback", "interactive", "savefig.directory", "savefig.format", "toolbar"})
"""Settings that are about windows and files, not about looks."""


def read_style(path: Path) -> dict[str, Any]:
    """The settings of a Matplotlib style file. Raises UsageError where it cannot be read or a line says nothing."""
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
    """Matplotlib's settings for a frame; a user's own style goes on top."""
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
        "text.parse_math": False,  # a name with dollar signs is a name
    }


def panels_of(
    count: int, frame: Frame, *, width: float, height: float, columns: int = 0, least: float = 2.2
) -> tuple["Picture", list["Axes"]]:
    """A picture of panels: `columns` side by side (all, where 0), of that width and height in inches each.

    Where the frame has a width, as many as are at least `least` wide are side by side, and their form stays.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = columns or count
    if frame.width is not None:
        columns = max(1, min(columns, int(frame.width / least)))
        share = frame.width / columns
        form = height / width if columns > 1 else min(max(height / width, FLAT), LESS_FLAT)
        width, height = share, share * form
    rows = -(-count // columns)
    picture = Figure(figsize=(width * columns, height * rows), layout="constrained", dpi=100)
    FigureCanvasAgg(picture)  # by which texts are measured; pyplot would keep every picture
    axes = picture.subplots(rows, columns, squeeze=False)
    for place in axes.flat[count:]:
        place.set_visible(False)
    return picture, list(axes.flat[:count])


def finish(picture: "Picture", frame: Frame, title: str, note: str = "", legend: "Axes | None" = None) -> None:
    """Puts title, legend and caption around the panels, in room of their own.

    note: what bands, bars or stars are, which is said with the caption. legend: the panel whose legend is that of all:
    right of the panels, or below them where the frame has a width.
    """
    width, height = picture.get_size_inches()
    _fit_labels(picture)
    right = below = above = 0.0
    handles, labels = legend.get_legend_handles_labels() if legend else ([], [])
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


def _settle(picture: "Picture") -> None:
    """Lays the panels out for good, in places of six digits.

    The solver's last bits depend on where objects lie in memory, and the names of an SVG's parts on these bits.
    """
    picture.draw_without_rendering()
    places = [[round(float(each), 6) for each in axes.get_position(original=True).bounds] for axes in picture.axes]
    picture.set_layout_engine("none")
    for axes, (left, bottom, width, height) in zip(picture.axes, places, strict=True):
        axes.set_position((left, bottom, width, height))


def wrapped(text: str, width: float, scale: float = 1.0) -> str:
    """Text in lines that fit into that many inches, at that multiple of the settings' letters.

    Lines end at spaces, none of them before a middle dot, and, where there is none, after underscores.
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


def _fit_labels(picture: "Picture") -> None:
    """Wraps titles of panels and names of axes to their panel's width or height."""
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
    """The mean width of a letter in inches."""
    import matplotlib

    return 0.56 * float(matplotlib.rcParams["font.size"]) / 72


def _inches(picture: "Picture", artist: Any) -> tuple[float, float]:
    extent = artist.get_window_extent(picture.canvas.get_renderer())  # type: ignore[attr-defined]
    return extent.width / picture.dpi, extent.height / picture.dpi
