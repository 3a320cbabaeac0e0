"""Random wirings of a neural graph with an exact number of edges: the released code's, and RandWire's three families.

'uniform' is DNW's random control as released: uniform among all pairs of nodes in the dynamic settings. In the static
one it leaves out some pairs that lead backwards, but keeps others, whose edges carry nothing (see `released_pairs`).
The families' edges all carry something, so that 'erdos_renyi' is uniform among those that do.

Erdős–Rényi, Watts–Strogatz and Barabási–Albert graphs are drawn by networkx, undirected. As in RandWire (Xie et al.
2019, arXiv 1904.01569, section 3.1), nodes are numbered in the order of the construction, and in an acyclic graph an
edge leads from the lower number to the higher; where cycles are allowed, its direction is random. Graphs are
drawn more densely until there are enough edges, and the surplus is dropped at random, so that all wirings have the same
number.
"""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Bool, Int

from supermask.checks import check_seed
from supermask.extras import missing
from supermask.keys import Purpose
from supermask.neural_graphs.graph import NeuralGraph

try:
    import networkx
except ModuleNotFoundError as error:
    raise missing(error, "graphs") from None

Pairs = Int[np.ndarray, "pairs 2"]
Family = Callable[[int, float, int], Pairs]

REWIRED = 0.75
"""Watts and Strogatz's probability of rewiring an edge: RandWire's best value (its figure 3)."""


def erdos_renyi(nodes: int, degree: float, seed: int) -> Pairs:
    """Join every pair with the same probability."""
    return _pairs(networkx.gnp_random_graph(nodes, min(degree / max(nodes - 1, 1), 1.0), seed=seed))


def watts_strogatz(nodes: int, degree: float, seed: int) -> Pairs:
    """Join each node to its nearest on a ring; then move ends of edges elsewhere with probability `REWIRED`."""
    neighbours = min(2 * max(round(degree / 2), 1), nodes - 1)
    return _pairs(networkx.watts_strogatz_graph(nodes, neighbours, REWIRED, seed=seed))


def barabasi_albert(nodes: int, degree: float, seed: int) -> Pairs:
    """Add nodes one after another, each joined to earlier ones with probability proportional to their edges.

    There are at most nodes² / 4 edges, reached when each node joins half as many as there are nodes.
    """
    return _pairs(networkx.barabasi_albert_graph(nodes, min(max(round(degree / 2), 1), nodes // 2), seed=seed))


FAMILIES: Mapping[str, Family] = {
    "erdos_renyi": erdos_renyi,
    "watts_strogatz": watts_strogatz,
    "barabasi_albert": barabasi_albert,
}
"""Families of random graphs by name: (nodes, mean degree, seed) -> pairs of nodes, the smaller number first."""

RANDOM_WIRINGS = ("uniform", *FAMILIES)


def random_wiring(graph: NeuralGraph, wiring: str, seed: int) -> Bool[np.ndarray, " edges"]:
    """Return which edges a random wiring has. Raises ValueError for an unknown wiring, or one with too few edges."""
    if wiring not in RANDOM_WIRINGS:
        raise ValueError(f"wiring is {wiring!r}; allowed: {', '.join(map(repr, RANDOM_WIRINGS))}")
    check_seed(seed)
    entropy = np.random.SeedSequence([int(Purpose.WIRING), seed, RANDOM_WIRINGS.index(wiring)])
    random = np.random.Generator(np.random.Philox(entropy))
    places = np.flatnonzero(released_pairs(graph)) if wiring == "uniform" else _drawn(graph, FAMILIES[wiring], random)
    if len(places) < graph.edges:
        raise ValueError(f"edges is {graph.edges}; graphs of the family {wiring!r} have at most {len(places)} here")
    live = np.zeros(graph.possible_edges, bool)
    live[random.choice(places, graph.edges, replace=False)] = True
    return live


def released_pairs(graph: NeuralGraph) -> Bool[np.ndarray, " edges"]:
    """Return which of the possible edges the released code's random graphs choose among.

    In the static setting its mask is cut in steps as wide as there are features, and not in the blocks that act: the
    i-th such step of sources behind the inputs leads to targets from i × features on. Some of these edges lead
    backwards between blocks, and some that lead forwards are left out.
    """
    source, target = graph.endpoints()
    if graph.setting != "static":
        return np.ones(graph.possible_edges, bool)
    step = np.where(source < graph.inputs, 0, (source - graph.inputs) // graph.features + 1)
    allowed: Bool[np.ndarray, " edges"] = target >= step * graph.features
    return allowed


def _drawn(graph: NeuralGraph, family: Family, random: np.random.Generator) -> Int[np.ndarray, " places"]:
    """Return positions of a family's edges among the possible ones: enough of them, or all of its densest graph."""
    acyclic = graph.setting == "static"
    place = np.where(graph.carrying(), np.arange(graph.possible_edges), -1).reshape(graph.nodes, graph.nodes)
    seed, places = int(random.integers(2**31)), np.zeros(0, int)
    degree = 2.0 * graph.edges / graph.nodes
    while len(places) < graph.edges:
        pairs = family(graph.nodes, degree, seed)
        if not acyclic:
            turned = random.random(len(pairs)) < 0.5
            pairs = np.where(turned[:, None], pairs[:, ::-1], pairs)
        places = place[pairs[:, 0], pairs[:, 1]]
        places = places[places >= 0]
        if degree >= graph.nodes:
            break
        degree = min(degree + max(0.05 * degree, 1), graph.nodes)
    return places


def _pairs(graph: "networkx.Graph[int]") -> Pairs:
    """Return edges as pairs, the smaller number first."""
    return np.sort(np.array(graph.edges, int).reshape(-1, 2), axis=1)
