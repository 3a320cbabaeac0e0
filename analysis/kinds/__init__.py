"""Kinds of results, one module each. To add one, write its module and list it in `KINDS` after those it needs."""

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
"""All kinds in the order in which they are made: a kind comes after those that it starts from."""

BY_NAME = {kind.name: kind for kind in KINDS}
"""Kinds by their names in descriptions."""

_BY_TYPE = {run_type: kind for kind in KINDS for run_type in kind.run_types}


def kind_of(run: Hashable) -> Kind[Any]:
    """Return the kind of a run. Raises TypeError if it has none."""
    if type(run) not in _BY_TYPE:
        allowed = ", ".join(sorted(run_type.__name__ for run_type in _BY_TYPE))
        raise TypeError(f"run is {run!r}; allowed: instances of {allowed}")
    return _BY_TYPE[type(run)]
