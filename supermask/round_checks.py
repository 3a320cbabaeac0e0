"""What is allowed of rounds of pruning by one's own training function: checked before it runs, and when it returns."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import PyTree

from supermask.checks import check_seed, check_whole
from supermask.counts import check_fraction
from supermask.treatments import Treatment
from supermask.trees import Leaves

COLUMNS = ("criterion", "kept", "pruned", "ranking", "seed", "round", "weights_remaining")
"""Columns of `Tickets.frame` before the metrics."""


def checked(
    treatments: Sequence[Treatment], rounds: int, seeds: Iterable[int], fraction: float | Mapping[str, float]
) -> tuple[list[Treatment], list[int]]:
    """Treatments and seeds, each once. Raises ValueError for what is not allowed."""
    check_whole("rounds", rounds, 0)
    chosen, every = list(dict.fromkeys(treatments)), list(dict.fromkeys(seeds))
    if not chosen or not every:
        raise ValueError(f"{'seeds' if chosen else 'treatments'} are none; allowed: one or more")
    for seed in every:
        check_seed(seed)
    for path, one in fraction.items() if isinstance(fraction, Mapping) else (("", fraction),):
        check_fraction(f"fraction[{path!r}]" if path else "fraction", one)
    names = set()
    for each in chosen:
        if each.schedule != "iterative" or each.rewind_step:
            raise ValueError("treatments have a schedule or a rewind_step; allowed here: those that treatment() makes")
        if each.ranking == "global" and isinstance(fraction, Mapping):
            raise ValueError("fraction is by path; allowed with ranking 'global': one number for all weights")
        name = (each.criterion.name, each.kept.name, each.pruned.name, each.ranking)
        if name in names:
            raise ValueError(f"treatments have two of the names {', '.join(name)}; allowed: names that tell them apart")
        names.add(name)
    return chosen, every


def outcome_of(returned: Any) -> tuple[PyTree, Any]:
    """What `train` returned. Raises ValueError where it is no pair."""
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise ValueError(f"train returned a {type(returned).__name__}; allowed: (final parameters, metrics)")
    return returned


def check_final(leaves: Leaves, masks: Mapping[str, Any], final: PyTree) -> None:
    """Refuse final parameters of other leaves or shapes, and pruned weights that moved."""
    every = Leaves(leaves.treedef, leaves.all, tuple(path for path, leaf in leaves.all.items() if leaf is not None))
    for path, leaf in every.chosen(final).items():
        begun, ended = np.asarray(leaves.all[path]), np.asarray(leaf)
        if begun.shape != ended.shape:
            raise ValueError(f"train returned {path} of shape {ended.shape}; it was given {begun.shape}")
        dead = ~np.asarray(masks[path]) if path in masks else np.zeros(begun.shape, bool)
        if begun[dead].tobytes() != ended[dead].tobytes():
            allowed = "allowed: pruned weights that end as they started: see supermask.freeze"
            raise ValueError(f"train moved pruned weights of {path}; {allowed}")


def metrics_of(metrics: Any) -> dict[str, float]:
    """Metrics as numbers by name. Raises ValueError for anything else."""
    if not isinstance(metrics, Mapping):
        raise ValueError(f"train returned metrics of {type(metrics).__name__}; allowed: a dict of numbers by name")
    numbers = {}
    for name, value in metrics.items():
        if not isinstance(name, str) or name in (*COLUMNS, "id"):
            raise ValueError(f"train returned the metric {name!r}; allowed: other names than {', '.join(COLUMNS)}, id")
        if np.ndim(value) != 0 or not np.issubdtype(np.asarray(value).dtype, np.number):
            raise ValueError(f"train returned {name} as {type(value).__name__}; allowed: a number")
        numbers[name] = float(value)
    return numbers
