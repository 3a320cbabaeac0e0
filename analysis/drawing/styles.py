"""Styles of lines: colours, markers, dashes.

Colours are Okabe and Ito's, and two of Paul Tol's, which are distinct under all kinds of colour vision. Markers, filled
or hollow, and dashes carry the same information: no two lines of a figure differ only in their dash.

A figure's module defines the styles of its lines; those of criteria, which several figures share, are here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from supermask.analysis.drawing.frame import check_number
from supermask.analysis.kinds.rounds import UNPRUNED

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, RED, PURPLE, GREY = "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#777777"
WINE, INDIGO = "#882255", "#332288"


@dataclass(frozen=True)
class Style:
    """Style of a line."""

    colour: str
    marker: str
    dash: str = "-"
    hollow: bool = False

    @property
    def line(self) -> dict[str, Any]:
        """Arguments for `Axes.plot`."""
        face = "white" if self.hollow else self.colour
        return {"color": self.colour, "marker": self.marker, "linestyle": self.dash, "markerfacecolor": face}


Styles = Mapping[str, Style]
"""Styles of a figure's lines by label, in the order of its legend."""

CRITERIA: Styles = {
    "large_final": Style(BLUE, "o"),
    "small_final": Style(BLUE, "o", "--", hollow=True),
    "large_init": Style(ORANGE, "s"),
    "small_init": Style(ORANGE, "s", "--", hollow=True),
    "large_init_large_final": Style(GREEN, "^"),
    "small_init_small_final": Style(GREEN, "^", "--", hollow=True),
    "magnitude_increase": Style(RED, "D"),
    "movement": Style(PURPLE, "v"),
    "random": Style(BLACK, "x", ":"),
    "large_final_same_sign": Style(SKY, "P"),
    "large_final_diff_sign": Style(WINE, "X", "--", hollow=True),
    "magnitude_increase_same_sign": Style(GREY, "*"),
    "magnitude_increase_diff_sign": Style(INDIGO, "H", "--", hollow=True),
    "snip": Style(YELLOW, "h"),
    "grad": Style(YELLOW, "h", "--", hollow=True),
    "large_init_large_final_std_scaled": Style(GREEN, "<", "-."),
    "small_init_small_final_std_scaled": Style(GREEN, ">", "-.", hollow=True),
    "magnitude_increase_same_sign_strict": Style(GREY, "p"),
    "magnitude_increase_diff_sign_strict": Style(INDIGO, "p", "--", hollow=True),
}
"""In a pair, the criterion that keeps small or flipped weights is dashed with hollow markers; same and different sign
also have their own colours."""

OWN = Style(GREY, "d", "-.")
"""Style of a user's own criterion or action."""


def ordered(names: Iterable[str], styles: Styles) -> list[str]:
    """Return distinct names without 'unpruned', in the order of the styles; a user's own follow, sorted by name.

    Raises UsageError for more of them than can be drawn.
    """
    known = list(styles)
    distinct = {name for name in names if name != UNPRUNED}
    check_number("lines", len(distinct))
    return sorted(distinct, key=lambda name: (known.index(name) if name in known else len(known), name))
