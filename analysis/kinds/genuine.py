"""Results held to the schema, for everything that draws, packs or exports what a folder has.

A digest shows that a record is unchanged, not that it is a result: `--verify` and `--merge` find that out, but nobody
needs to have called them.
"""

from collections.abc import Iterator

import numpy as np

from supermask.analysis.kinds.schema import fault_of, fault_of_arrays, unknown_part
from supermask.analysis.store.database import REMEDY
from supermask.analysis.store.store import Store, StoredResult
from supermask.analysis.system.errors import StoreError


def genuine_results(store: Store, *kinds: str) -> Iterator[StoredResult]:
    """Iterate over the results of these kinds. Raises StoreError at one that is damaged, unknown, or no result."""
    marks = ", ".join("?" * len(kinds))
    for record in store.records(f"json_extract(description, '$.kind') IN ({marks})", kinds):
        result = store.checked(record)
        if unknown := unknown_part(result.description):
            raise StoreError(
                f"record {result.id} in {store.folder} has {unknown}, unknown to this version of supermask"
            )
        _refuse(store, result, fault_of(result))
        yield result


def genuine_result(store: Store, id_: str) -> StoredResult:
    """Return a result. Raises StoreError if it is not stored, damaged, or no result."""
    result = store.result(id_)
    _refuse(store, result, fault_of(result))
    return result


def genuine_arrays(store: Store, result: StoredResult) -> dict[str, np.ndarray]:
    """Return the arrays of a genuine result. Raises StoreError if they are missing, damaged, or not of its kind."""
    arrays = store.arrays(result.id)
    _refuse(store, result, fault_of_arrays(result, arrays))
    return arrays


def _refuse(store: Store, result: StoredResult, fault: str | None) -> None:
    if fault is not None:
        raise StoreError(f"record {result.id} in {store.folder} is no result: {fault}; {REMEDY}")
