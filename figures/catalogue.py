"""What figures there are. Listing them imports none of them, so that the command's help comes at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.figure import Figure


@dataclass(frozen=True)
class Entry:
    """A figure by name: where it is and what of the paper it reproduces."""

    module: str
    paper: str
    title: str

    def load(self) -> "Figure":
        """The figure itself."""
        figure: Figure = import_module(self.module).FIGURE
        return figure


CATALOGUE: Mapping[str, Entry] = {
    "criteria-plane": Entry(
        "figures.criteria_plane", "figures 5, 6 and 9", "mask criteria as regions of the (initial, final) weight plane"
    ),
    "mask-criteria": Entry(
        "figures.mask_criteria", "figure 7", "accuracy against weights remaining for every mask criterion"
    ),
    "supermasks-at-init": Entry(
        "figures.supermasks_at_init", "figures 1 and 10", "accuracy of untrained networks under one-shot masks"
    ),
}
