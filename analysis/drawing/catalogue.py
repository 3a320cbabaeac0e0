"""What is known of a figure before it is loaded, which takes seconds."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from analysis.drawing.figure import Figure


class CatalogueEntry(Protocol):
    """What the command needs to know of a figure before it is loaded."""

    @property
    def paper(self) -> str:
        """What it reproduces."""

    @property
    def title(self) -> str:
        """What it shows."""

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks the papers show it for."""

    @property
    def only(self) -> tuple[str, ...]:
        """The networks that it can be made for; empty for all."""

    def load(self) -> "Figure":
        """The figure."""


Catalogue = Mapping[str, CatalogueEntry]
