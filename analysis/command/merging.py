"""Merges results folders: copies new results, recognises known ones, refuses conflicts and foreign records."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from supermask.analysis.kinds.schema import fault_of, fault_of_arrays, fault_of_texts, unknown_part
from supermask.analysis.store.folders import check_stored, lacking
from supermask.analysis.store.store import Store, StoredResult
from supermask.analysis.system.errors import StoreError

TOGETHER = 100
"""Results that are taken over in one transaction."""


def merge(store: Store, other: Path) -> tuple[int, int]:
    """Copy every result of another folder that this one lacks. Returns the numbers of new and of known results.

    Raises UsageError for a folder without results; StoreError, before anything is copied, where the numbers of a result
    differ, with both provenances; for a damaged folder; and for a record that is no result of this version's kinds.
    """
    check_stored("merge", other)
    with Store(other, for_reading=True) as source:
        new, known = _compared(store, source)
        for some in (new[at : at + TOGETHER] for at in range(0, len(new), TOGETHER)):
            results = [source.result(id_) for id_ in some]
            store.adopt([(each, source.arrays(each.id) if each.arrays_sha256 else None) for each in results])
    return len(new), known


def check_new(folder: Path, other: Path) -> None:
    """Raise as `merge` does for a folder that does not exist yet; it is not created if there is nothing to copy."""
    check_stored("merge", other)
    if lacking(folder):
        with Store(folder, for_reading=True) as store, Store(other, for_reading=True) as source:
            _compared(store, source)


def _compared(store: Store, source: Store) -> tuple[list[str], int]:
    """Return the ids that a store lacks of another, and the number of results in both. Raises as `merge` does."""
    new, known = [], 0
    for theirs in _checked(source):
        if ours := store.get(theirs.id):
            known += 1
            if not _same(theirs, ours):
                raise StoreError(_conflict(ours, theirs, store.folder, source.folder))
        else:
            arrays = source.arrays(theirs.id) if theirs.arrays_sha256 else None
            if fault := fault_of_arrays(theirs, arrays):
                raise _no_result(source, theirs, fault)
            new.append(theirs.id)
    return new, known


def _checked(source: Store) -> Iterator[StoredResult]:
    """Return all results of a folder. Raises StoreError for a damaged one, or one that no version wrote."""
    for record in source.records():
        result = source.checked(record)
        if unknown := unknown_part(result.description):
            raise StoreError(
                f"record {record.id} in {source.folder} has {unknown}, which this version of supermask does not know; "
                "nothing was taken over: merge with the version that made it"
            )
        if fault := fault_of(result) or fault_of_texts(record.description, record.metrics, record.made_with):
            raise _no_result(source, result, fault)
        yield result


def _no_result(source: Store, result: StoredResult, fault: str) -> StoreError:
    return StoreError(
        f"record {result.id} in {source.folder} is no result: {fault}; nothing was taken over; "
        f"`supermask results --results {source.folder} --verify` sets it aside"
    )


def _same(first: StoredResult, second: StoredResult) -> bool:
    return first.metrics_text == second.metrics_text and first.arrays_sha256 == second.arrays_sha256


def _conflict(ours: StoredResult, theirs: StoredResult, here: Path, there: Path) -> str:
    differing = [
        f"{name}: {ours.made_with.get(name)!r} here, {theirs.made_with.get(name)!r} there"
        for name in {**ours.made_with, **theirs.made_with}
        if ours.made_with.get(name) != theirs.made_with.get(name)
    ]
    return (
        f"result {ours.id} differs between {here} and {there}: {_brief(ours.metrics)} here, "
        f"{_brief(theirs.metrics)} there; made with {'; '.join(differing) or 'the same versions'}"
    )


def _brief(metrics: Mapping[str, float]) -> str:
    return f"test accuracy {metrics.get('test_accuracy', float('nan')):.4f}"
