"""How lines look: colours, markers, dashes.

Colours are Okabe and Ito's, and two of Paul Tol's, told apart by every kind of colour vision. Markers, filled or
hollow, and dashes repeat what colours say: no two lines of a figure differ by their dash alone.

A figure's module gives each of its lines a style; those of criteria, which several figures show, are here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from analysis.kinds.rounds import UNPRUNED

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, RED, PURPLE, GREY = "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#777777"
WINE, INDIGO = "#882255", "#332288"


@dataclass(frozen=True)
class Style:
    """How one line looks."""

    colour: str
    marker: str
    dash: str = "-"
    hollow: bool = False

    @property
    def line(self) -> dict[str, Any]:
        """Arguments of `Axes.plot`."""
        face = "white" if self.hollow else self.colour
        return {"color": self.colour, "marker": self.marker, "linestyle": self.dash, "markerfacecolor": face}


Styles = Mapping[str, Style]
"""The lines of a figure by their labels, in the order of its legend."""

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
"""Of a pair, the member that keeps the small or the flipped is dashed and has hollow markers; same and different sign
have colours of their own as well."""

OWN = Style(GREY, "d", "-.")
"""A line that no figure knows: a user's own criterion or action."""


def ordered(names: Iterable[str], styles: Styles) -> list[str]:
    """Distinct names without 'unpruned', in the order of the styles; a user's own after them, by name."""
    known = list(styles)
    distinct = {name for name in names if name != UNPRUNED}
    return sorted(distinct, key=lambda name: (known.index(name) if name in known else len(known), name))
