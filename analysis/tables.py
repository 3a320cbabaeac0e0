"""The tidy table of everything stored, and the merging of results folders.

One row a (result, metric), with the result's whole description and provenance in columns; see docs/results.md.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import StoreError, UsageError, choose
from analysis.files import Kind
from analysis.kinds import BY_NAME
from analysis.rules import REGISTRIES, present_names
from analysis.store import Store, StoredResult

COLUMNS = (
    *("id", "kind", "dataset", "data_digest", "network", "optimiser", "learning_rate", "batch_size", "steps"),
    *("evaluate_every", "criterion", "kept", "pruned", "schedule", "ranking", "rewind_step", "weights"),
    *("rescaled", "through_factor", "method", "start", "kept_fraction", "density", "distribution", "structure"),
    *("shape", "sparsity", "bits"),
    *("setting", "wiring", "nodes", "edges", "signs"),
    *("rate_conv", "rate_dense", "rate_output", "plugins", "seed", "round", "metric", "value"),
    *("seconds", "stored_at", "supermask", "commit", "python", "jax", "jaxlib", "flax", "optax", "numpy"),
    *("backend", "device", "devices", "machine", "revision"),
)
TIDY_CSV = Kind.starting("a table of results", b"id,kind,")
STRUCTURED = (
    "treatment",
    "rates",
    "level",
    "plugins",
    "rules",
    "mask",
    "samples",
    "sparse",
    "choices",
    "kept",
    "dsd",
    "compression",
    "graph",
    "shared",
)
"""Parts of a description that have columns of their own, or none."""


def tidy_table(store: Store, where: Sequence[str] = ()) -> pd.DataFrame:
    """Everything stored, in COLUMNS; `where` keeps rows that match all of 'column=value'.

    Raises UsageError where a condition is not like that or names another column.
    """
    rows = [row for result in store.everything() for row in _rows(result)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    for condition in where:
        column, equals, value = condition.partition("=")
        if not equals:
            raise UsageError(f"where has {condition!r}; it should read like criterion=large_final")
        choose("where", column, COLUMNS)
        table = table[table[column].astype(str) == value]
    order = ["kind", "dataset", "network", "criterion", "kept", "pruned", "weights", "seed", "round", "metric", "id"]
    return table.sort_values(order, kind="stable", ignore_index=True)


def _rows(result: StoredResult) -> list[dict[str, Any]]:
    description = result.description
    columns: dict[str, Any] = {
        "id": result.id,
        "seconds": result.seconds,
        "stored_at": result.stored_at,
        **result.made_with,
        **{name: value for name, value in description.items() if name not in STRUCTURED},
        **{f"rate_{kind}": rate for kind, rate in description.get("rates", {}).items()},
        "plugins": " ".join(sorted(description.get("plugins", {}))),
        "weights": description.get("weights", "trained"),
    }
    columns |= BY_NAME[description["kind"]].columns(description)
    chosen = {name: columns[name] for name in REGISTRIES if isinstance(columns.get(name), str)}
    columns |= present_names(chosen, description.get("rules", {}))
    return [{**columns, "metric": metric, "value": value} for metric, value in result.metrics.items()]


def merge(store: Store, other: Path) -> tuple[int, int]:
    """Takes over every result of another folder that this one lacks. Returns how many were new, and how many known.

    The same result with the same numbers in both is a duplicate. Raises StoreError, before anything is copied, where
    the numbers differ: with both provenances, for the user to decide; and where the other folder is none, or damaged.
    """
    if not (other / "results.sqlite").exists():
        raise StoreError(f"{other} is not a results folder: it has no results.sqlite")
    with Store(other, for_reading=True) as source:
        theirs = list(source.everything())
        ours = {result.id: result for result in store.everything()}
        for result in theirs:
            if result.id in ours and not _same(result, ours[result.id]):
                raise StoreError(_conflict(ours[result.id], result, store.folder, other))
        new = [result for result in theirs if result.id not in ours]
        for result in new:
            store.adopt(result, None if result.arrays_sha256 is None else source.arrays(result.id))
    return len(new), len(theirs) - len(new)


def _same(first: StoredResult, second: StoredResult) -> bool:
    return first.metrics_text == second.metrics_text and first.arrays_sha256 == second.arrays_sha256


def _conflict(ours: StoredResult, theirs: StoredResult, here: Path, there: Path) -> str:
    differing = [
        f"{name}: {value!r} here, {theirs.made_with.get(name)!r} there"
        for name, value in ours.made_with.items()
        if theirs.made_with.get(name) != value
    ]
    return (
        f"result {ours.id} differs between {here} and {there}: {_brief(ours.metrics)} here, "
        f"{_brief(theirs.metrics)} there; made with {'; '.join(differing) or 'the same versions'}"
    )


def _brief(metrics: Mapping[str, float]) -> str:
    return f"test accuracy {metrics.get('test_accuracy', float('nan')):.4f}"
