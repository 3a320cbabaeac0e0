"""What figures there are. Listing them imports none of them, so that the command's help comes at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.drawing.figure import Figure


@dataclass(frozen=True)
class Entry:
    """A figure by name: where it is, what of the papers it reproduces, and the networks that they show it for.

    `paper`: without an author's name it is of Zhou et al. 2019; 'post' has the numbers of the authors' blog post.

    `only`: the networks that it can be made for at all, where that is not every network.
    """

    module: str
    paper: str
    title: str
    networks: tuple[str, ...] = ("fc", "conv2", "conv4", "conv6")
    only: tuple[str, ...] = ()

    def load(self) -> "Figure":
        """The figure itself."""
        figure: Figure = import_module(self.module).FIGURE
        return figure


CATALOGUE: Mapping[str, Entry] = {
    "criteria-plane": Entry(
        "figures.criteria_plane",
        "figures 1, 2 and 6 (post: 5, 6 and 9)",
        "mask criteria as regions of the (initial, final) weight plane",
    ),
    "mask-criteria": Entry(
        "figures.mask_criteria",
        "figure 3 (post: 7)",
        "accuracy against weights remaining for every mask criterion",
        ("fc", "conv4"),
    ),
    "mask-1-actions": Entry(
        "figures.mask_one_actions",
        "figure 4 (post: 8)",
        "where kept weights restart, with and without their sign",
        ("fc", "conv4"),
    ),
    "mask-0-actions": Entry(
        "figures.mask_zero_actions",
        "figure 5 (post: 2 and 3)",
        "what pruned weights are frozen at",
        ("conv2", "conv4", "conv6"),
    ),
    "weight-movement": Entry(
        "figures.weight_movement", "section 4", "where kept and pruned weights move, and which change their sign"
    ),
    "sign-criteria": Entry(
        "figures.sign_criteria", "supplement, figure S5", "criteria that look at the sign, trained iteratively"
    ),
    "supermasks-at-init": Entry(
        "figures.supermasks_at_init",
        "figures 6 and 7 (post: 1 and 10)",
        "accuracy of untrained networks under one-shot masks",
    ),
    "learned-supermasks": Entry(
        "figures.learned_supermasks", "figure 7", "masks found by gradient descent against masks cut from training"
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
    "sparse-training": Entry(
        "figures.sparse_training",
        "Mostafa & Wang 2019; Wortsman et al. 2019; Evci et al. 2020; others",
        "networks that are sparse from the first step",
        ("fc",),
        only=("fc",),
    ),
    "structure-over-time": Entry(
        "figures.structure_over_time", "Mostafa & Wang 2019", "what sparse training moves, and where to", ("fc",)
    ),
    "dsd": Entry(
        "figures.dsd", "Han et al. 2017", "dense-sparse-dense training against as much dense training", ("fc",)
    ),
    "deep-compression": Entry(
        "figures.deep_compression",
        "Han et al. 2016, tables 1 to 3",
        "a network as a small file",
        ("fc", "lenet5"),
        ("fc", "lenet5"),
    ),
    "neural-graphs": Entry(
        "figures.neural_graphs",
        "Wortsman et al. 2019, table 1; Xie et al. 2019",
        "discovered wirings against random ones",
        ("fc",),
        ("fc",),
    ),
    "wiring": Entry(
        "figures.wiring", "Wortsman et al. 2019", "a wiring before, during and after training", ("fc",), ("fc",)
    ),
    "shared-weight": Entry(
        "figures.shared_weight", "Gaier & Ha 2019", "masks and wirings whose weights share one value", ("fc",), ("fc",)
    ),
}
