"""Catalogue of all figures. Listing them imports none of them, so that the command's help appears at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supermask.analysis.drawing.figure import Drawing, Figure


@dataclass(frozen=True)
class FigureEntry:
    """Catalogue entry of a figure: name, title, the published figure that it reproduces, and the networks shown there.

    `paper`: without an author's name it refers to Zhou et al. 2019; 'post' gives figure numbers of the authors' blog.

    `only`: the networks that the figure can be made for; empty if it can be made for all. `why`: why for no others.
    `dense`: the figure's lines that networks of dense layers alone have.
    """

    name: str
    title: str
    paper: str
    networks: tuple[str, ...] = ("fc", "conv2", "conv4", "conv6")
    only: tuple[str, ...] = ()
    why: str = ""
    dense: tuple[str, ...] = ()

    def load(self) -> "Figure":
        """Import the figure's module and return the figure."""
        drawing: Drawing = import_module(f"supermask.figures.{self.name.replace('-', '_')}").FIGURE
        return drawing.named(self.name, self.title)


_PAPERS = ("fc", "conv2", "conv4", "conv6", "conv8")

_FIGURES = (
    FigureEntry(
        "criteria-plane",
        "Mask criteria as regions of the plane of initial and final weights",
        paper="figures 1, 2 and 6 (post: 5, 6 and 9)",
        only=_PAPERS,
        why="it shows their second hidden layer",
    ),
    FigureEntry(
        "mask-criteria",
        "Mask criteria: test accuracy by weights remaining",
        paper="figure 3 (post: 7)",
        networks=("fc", "conv4"),
    ),
    FigureEntry(
        "mask-1-actions",
        "Mask-1 actions: where kept weights restart",
        paper="figure 4 (post: 8)",
        networks=("fc", "conv4"),
    ),
    FigureEntry(
        "mask-0-actions",
        "Mask-0 actions: what pruned weights are frozen at",
        paper="figure 5 (post: 2 and 3)",
        networks=("conv2", "conv4", "conv6"),
    ),
    FigureEntry(
        "weight-movement",
        "Where weights move",
        paper="section 4",
        only=(*_PAPERS, "lenet5"),
        why="it has a panel for every layer",
    ),
    FigureEntry(
        "sign-criteria",
        "Criteria that look at the sign",
        paper="supplement, figure S5",
    ),
    FigureEntry(
        "supermasks-at-init",
        "Supermasks: accuracy without training",
        paper="figures 6 and 7 (post: 1 and 10)",
    ),
    FigureEntry(
        "learned-supermasks",
        "Learned supermasks against heuristic ones",
        paper="figure 7 (post: 10)",
    ),
    FigureEntry(
        "supermask-table",
        "How far a mask alone takes an untrained network",
        paper="table 2",
        only=("fc", "conv2", "conv4", "conv6"),
        why="it has the published table beside it",
    ),
    FigureEntry(
        "signed-supermasks",
        "Signed supermasks: keep, hide or invert",
        paper="Koster et al. 2022; Ramanujan et al. 2020; Diffenderfer & Kailkhura 2021",
        networks=("fc", "conv2"),
    ),
    FigureEntry(
        "learned-masks-seen",
        "Learned masks seen: pixels and agreement",
        paper="no figure of the paper",
    ),
    FigureEntry(
        "lottery-tickets",
        "Lottery tickets and their controls",
        paper="Frankle & Carbin 2019, figures 3 and 4",
    ),
    FigureEntry(
        "rewinding",
        "Rewinding: what goes back, and which signs flip",
        paper="Renda et al. 2020; Gadhikar & Burkholz 2024",
    ),
    FigureEntry(
        "sign-flips",
        "Sign flips: which weights change their sign, and how often",
        paper="sign lock-in, arXiv 2602.17063 (2026)",
        networks=("fc",),
        only=(*_PAPERS, "lenet5"),
        why="it has a line for every layer",
    ),
    FigureEntry(
        "transfer",
        "Tickets on another network's weights",
        paper="Frankle & Carbin 2019, figure 4; Oh et al. 2025; Adnan et al. 2025",
        networks=("fc",),
        only=("fc",),
    ),
    FigureEntry(
        "permutations",
        "Permutations: a mask for each, and many in superposition",
        paper="Zhou et al. 2019, the post's last remark; Wortsman et al. 2020, section 4.2",
        networks=("fc",),
        only=("fc",),
    ),
    FigureEntry(
        "connectivity",
        "Error barriers between trained networks",
        paper="Frankle et al. 2020, sections 3 and 4; Paul et al. 2023",
        networks=("fc", "conv2"),
        only=("fc", "conv2", "conv4", "conv6", "lenet5"),
    ),
    FigureEntry(
        "sanity",
        "Sanity checks: which weights of a layer, and from where",
        paper="Frankle et al. 2021; Su et al. 2020",
    ),
    FigureEntry(
        "mask-agreement",
        "How alike masks are",
        paper="no figure of the paper",
    ),
    FigureEntry(
        "sparse-training",
        "Sparse training against weights remaining",
        paper="Mostafa & Wang 2019; Wortsman et al. 2019; Evci et al. 2020; others",
        networks=("fc",),
        dense=("small dense",),
    ),
    FigureEntry(
        "structure-over-time",
        "What sparse training moves",
        paper="Mostafa & Wang 2019",
        networks=("fc",),
        only=(*_PAPERS, "lenet5"),
        why="it has a line for every layer",
    ),
    FigureEntry(
        "edge-swaps",
        "Edge swaps: does the batch's loss fall?",
        paper="Wortsman et al. 2019, section 2.3",
        networks=("fc",),
        only=(*_PAPERS, "lenet5"),
        why="their loss on a batch is a function of the weights alone",
    ),
    FigureEntry(
        "dsd",
        "Dense-sparse-dense training",
        paper="Han et al. 2017",
        networks=("fc", "lstm"),
    ),
    FigureEntry(
        "deep-compression",
        "Deep Compression: a network as a small file",
        paper="Han et al. 2016, tables 1 to 3",
        networks=("fc", "lenet5"),
        only=("fc", "lenet5"),
    ),
    FigureEntry(
        "neural-graphs",
        "Neural graphs: discovered wirings against random ones",
        paper="Wortsman et al. 2019, table 1; Xie et al. 2019",
        networks=("fc",),
        only=("fc",),
    ),
    FigureEntry(
        "wiring",
        "A wiring before, during and after training",
        paper="Wortsman et al. 2019",
        networks=("fc",),
        only=("fc",),
    ),
    FigureEntry(
        "shared-weight",
        "One value for all weights",
        paper="Gaier & Ha 2019",
        networks=("fc",),
        only=("fc",),
    ),
)

CATALOGUE: Mapping[str, FigureEntry] = {entry.name: entry for entry in _FIGURES}
"""Every figure, by name."""
