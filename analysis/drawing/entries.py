"""Interface of catalogue entries, which are available before a figure is loaded; loading takes seconds."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from supermask.analysis.drawing.figure import Figure


class CatalogueEntry(Protocol):
    """A figure's facts before it is loaded."""

    @property
    def paper(self) -> str:
        """The published figure that it reproduces."""

    @property
    def title(self) -> str:
        """Its title."""

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks for which the papers show it."""

    @property
    def only(self) -> tuple[str, ...]:
        """The networks for which it can be made; empty for all."""

    @property
    def why(self) -> str:
        """Why it can be made for no others."""

    @property
    def dense(self) -> tuple[str, ...]:
        """Its lines that networks of dense layers alone have."""

    def load(self) -> "Figure":
        """Load the figure."""


Catalogue = Mapping[str, CatalogueEntry]
