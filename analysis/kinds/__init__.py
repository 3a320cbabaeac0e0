"""Kinds of results, one module each. To add one, write its module and list it in `KINDS` after those it needs."""

from collections.abc import Hashable
from typing import Any

from supermask.analysis.kinds.base import Kind
from supermask.analysis.kinds.compression import COMPRESSION
from supermask.analysis.kinds.dsd import DSD
from supermask.analysis.kinds.learned_mask import LEARNED
from supermask.analysis.kinds.neural_graph import GRAPHS
from supermask.analysis.kinds.rounds import ROUNDS
from supermask.analysis.kinds.shared_weight import SHARED
from supermask.analysis.kinds.sparse_training import SPARSE
from supermask.analysis.kinds.untrained import UNTRAINED

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
