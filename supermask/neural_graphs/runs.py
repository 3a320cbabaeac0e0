"""Description of one neural-graph training: its setting and the source of its wiring."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from supermask.neural_graphs.graph import EDGES, SETTINGS, NeuralGraph
from supermask.neural_graphs.wirings import RANDOM_WIRINGS, random_wiring
from supermask.params import Params
from supermask.sparse_training.trainer import SparseJob

DISCOVERED = "discovered"
WIRINGS = (DISCOVERED, *RANDOM_WIRINGS)


@dataclass(frozen=True)
class GraphRun:
    """One training of a neural graph, independent of seed, size and protocol.

    setting: when nodes act, one of `SETTINGS`. wiring: one of `WIRINGS`.

    Raises ValueError where a value is not allowed.
    """

    setting: str
    wiring: str = DISCOVERED

    def __post_init__(self) -> None:
        for name, choices in (("setting", SETTINGS), ("wiring", WIRINGS)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed: {', '.join(map(repr, choices))}")


def candidates(graph: NeuralGraph, wiring: str, seed: int) -> Bool[np.ndarray, "edges"]:
    """Return the candidate edges: all for a discovered wiring, only its own for a random one."""
    return np.ones(graph.possible_edges, bool) if wiring == DISCOVERED else random_wiring(graph, wiring, seed)


def graph_job(graph: NeuralGraph, wiring: str, seed: int, params: Params) -> SparseJob:
    """Return one seed's training from its initial parameters, which all wirings of a setting share."""
    return SparseJob(params, {EDGES: graph.edges}, seed, {EDGES: candidates(graph, wiring, seed)})
