"""Kinds of results, one module each. To add one, write its module and list it in `KINDS` after those it needs."""

from collections.abc import Hashable
from importlib import import_module
from typing import Any

from supermask.analysis.kinds.base import Kind


def _kind(name: str) -> Kind[Any]:
    module, _, kind = name.partition(".")
    found: Kind[Any] = getattr(import_module(f"{__name__}.{module}"), kind)
    return found


KINDS: tuple[Kind[Any], ...] = tuple(
    _kind(name)
    for name in (
        "rounds.ROUNDS",
        "untrained.UNTRAINED",
        "learned_mask.LEARNED",
        "sparse_training.SPARSE",
        "dsd.DSD",
        "compression.COMPRESSION",
        "neural_graph.GRAPHS",
        "shared_weight.SHARED",
        "barrier.BARRIERS",
        "transfer.TRANSFERS",
        "sign_flips.SIGN_FLIPS",
        "edge_swaps.SWAPS",
        "task_mask.TASK_MASKS",
        "task_pair.TASK_PAIRS",
        "superposition.SUPERPOSITIONS",
    )
)
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
