"""Kinds of results, a module each. To add one: write its module, and put it into `KINDS` after what it starts from."""

from collections.abc import Hashable
from typing import Any

from analysis.kinds.base import Kind
from analysis.kinds.compression import COMPRESSION
from analysis.kinds.dsd import DSD
from analysis.kinds.learned_mask import LEARNED
from analysis.kinds.neural_graph import GRAPHS
from analysis.kinds.rounds import ROUNDS
from analysis.kinds.shared_weight import SHARED
from analysis.kinds.sparse_training import SPARSE
from analysis.kinds.untrained import UNTRAINED

KINDS: tuple[Kind[Any], ...] = (ROUNDS, UNTRAINED, LEARNED, SPARSE, DSD, COMPRESSION, GRAPHS, SHARED)
"""Every kind, in the order in which they are made: what starts from another comes after it."""

BY_NAME = {kind.name: kind for kind in KINDS}
"""Kinds by what descriptions call them."""

_BY_TYPE = {run_type: kind for kind in KINDS for run_type in kind.run_types}


def kind_of(run: Hashable) -> Kind[Any]:
    """The kind that a run belongs to. Raises TypeError where it belongs to none."""
    if type(run) not in _BY_TYPE:
        allowed = ", ".join(sorted(run_type.__name__ for run_type in _BY_TYPE))
        raise TypeError(f"run is {run!r}; allowed: instances of {allowed}")
    return _BY_TYPE[type(run)]
