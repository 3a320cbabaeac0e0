"""Checks of a user's own training function in rounds of pruning: of its arguments, and of what it returns."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import PyTree

from supermask.checks import check_seed
from supermask.counts import own_number
from supermask.treatments import Treatment
from supermask.trees import Leaves

COLUMNS = ("criterion", "kept", "pruned", "ranking", "seed", "round", "weights_remaining")
"""Columns of `Tickets.frame` before the metrics."""


def checked(treatments: Sequence[Treatment], seeds: Iterable[int | np.integer]) -> tuple[list[Treatment], list[int]]:
    """Return treatments and seeds, each once. Raises ValueError for impossible ones."""
    for seed in (given := _several("seeds", seeds)):
        check_seed(seed)
    every = list(dict.fromkeys(map(int, given)))
    for each in (chosen := _several("treatments", treatments)):
        if not isinstance(each, Treatment):
            raise ValueError(f"treatments have {each!r}; allowed: what treatment() makes of a criterion and actions")
        for member in (each.criterion, each.kept, each.pruned):
            function: Any = member.function
            if not isinstance(function, Hashable):
                kind = type(function).__name__
                raise ValueError(
                    f"{member.kind} {member.name} is a {kind}, which has no hash; allowed: a frozen dataclass"
                )
    chosen = list(dict.fromkeys(chosen))
    names = set()
    for each in chosen:
        if each.schedule != "iterative" or each.rewind_step:
            raise ValueError("treatments have a schedule or a rewind_step; allowed here: those that treatment() makes")
        name = (each.criterion.name, each.kept.name, each.pruned.name, each.ranking)
        if name in names:
            raise ValueError(f"treatments have two of the names {', '.join(name)}; allowed: names that tell them apart")
        names.add(name)
    return chosen, every


def _several(argument: str, given: Any) -> list[Any]:
    """Return a list. Raises ValueError for an empty one, and for anything else."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ValueError(f"{argument} are {given!r}; allowed: a list of one or more")
    if not (found := list(given)):
        raise ValueError(f"{argument} are none; allowed: one or more")
    return found


def outcome_of(returned: Any) -> tuple[PyTree, Any]:
    """Return what `train` returned. Raises ValueError unless it is a pair."""
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise ValueError(f"train returned a {type(returned).__name__}; allowed: (final parameters, metrics)")
    return returned


def check_final(leaves: Leaves, masks: Mapping[str, Any], final: PyTree) -> None:
    """Refuse final parameters of other leaves or shapes, and pruned weights that moved."""
    every = Leaves(leaves.treedef, leaves.all, tuple(path for path, leaf in leaves.all.items() if leaf is not None))
    for path, leaf in every.chosen(final).items():
        begun, ended = np.asarray(leaves.all[path]), np.asarray(leaf)
        if (begun.shape, begun.dtype) != (ended.shape, ended.dtype):
            one, other = (f"{array.dtype} of shape {array.shape}" for array in (ended, begun))
            raise ValueError(f"train returned {path} as {one}; it was given {other}; allowed: the same")
        dead = ~np.asarray(masks[path]) if path in masks else np.zeros(begun.shape, bool)
        if begun[dead].tobytes() != ended[dead].tobytes():
            allowed = "allowed: pruned weights that end as they started: see supermask.freeze"
            raise ValueError(f"train moved pruned weights of {path}; {allowed}")


def metrics_of(metrics: Any) -> dict[str, float]:
    """Return metrics as numbers by name. Raises ValueError for anything else."""
    if not isinstance(metrics, Mapping):
        raise ValueError(f"train returned metrics of {type(metrics).__name__}; allowed: a dict of numbers by name")
    numbers = {}
    for name, value in metrics.items():
        if not isinstance(name, str) or name in (*COLUMNS, "id"):
            raise ValueError(f"train returned the metric {name!r}; allowed: other names than {', '.join(COLUMNS)}, id")
        try:
            own_number(name, value)
            numbers[name] = float(value)
        except (ValueError, OverflowError):
            raise ValueError(f"train returned {name} as {type(value).__name__}; allowed: a number") from None
    return numbers
