"""What figures there are. Listing them imports none of them, so that the command's help comes at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.figure import Figure


@dataclass(frozen=True)
class Entry:
    """A figure by name: where it is, what of the papers it reproduces, and the networks that they show it for."""

    module: str
    paper: str
    title: str
    networks: tuple[str, ...] = ("fc", "conv2", "conv4", "conv6")

    def load(self) -> "Figure":
        """The figure itself."""
        figure: Figure = import_module(self.module).FIGURE
        return figure


CATALOGUE: Mapping[str, Entry] = {
    "criteria-plane": Entry(
        "figures.criteria_plane", "figures 5, 6 and 9", "mask criteria as regions of the (initial, final) weight plane"
    ),
    "mask-criteria": Entry(
        "figures.mask_criteria",
        "figure 7",
        "accuracy against weights remaining for every mask criterion",
        ("fc", "conv4"),
    ),
    "mask-1-actions": Entry(
        "figures.mask_one_actions",
        "figure 8",
        "where kept weights restart, with and without their sign",
        ("fc", "conv4"),
    ),
    "mask-0-actions": Entry(
        "figures.mask_zero_actions", "figures 2 and 3", "what pruned weights are frozen at", ("conv2", "conv4", "conv6")
    ),
    "weight-movement": Entry(
        "figures.weight_movement", "figure 4", "where kept and pruned weights move, and which change their sign"
    ),
    "sign-criteria": Entry(
        "figures.sign_criteria", "supplement", "criteria that look at the sign, trained iteratively"
    ),
    "supermasks-at-init": Entry(
        "figures.supermasks_at_init", "figures 1 and 10", "accuracy of untrained networks under one-shot masks"
    ),
    "learned-supermasks": Entry(
        "figures.learned_supermasks", "figure 11", "masks found by gradient descent against masks cut from training"
    ),
    "supermask-table": Entry(
        "figures.supermask_table", "table 2", "how accurate an untrained network gets by a mask alone"
    ),
    "learned-masks-seen": Entry(
        "figures.learned_masks_seen", "no figure of the paper", "which pixels learned masks look at; agreement"
    ),
    "lottery-tickets": Entry(
        "figures.lottery_tickets", "Frankle & Carbin 2019, figures 3 and 4", "accuracy and learning speed of tickets"
    ),
    "mask-agreement": Entry("figures.mask_agreement", "no figure of the paper", "how alike masks are, against chance"),
}
