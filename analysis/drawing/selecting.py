"""Selects stored results for a table: SQLite filters and orders them, and counts them where nothing else is asked for.

Conditions are narrowed in SQL, and what SQL lets through is matched by the caller. Records that SQL leaves out are
held to their digests too: a damaged one may have been a match, and its absence must not go unnoticed.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from supermask.analysis.drawing.conditions import DIGITS, Condition
from supermask.analysis.store.database import REMEDY
from supermask.analysis.store.store import Store, StoredResult
from supermask.analysis.studies.rules import REGISTRIES, stored_names
from supermask.analysis.system.errors import StoreError
from supermask.analysis.system.words import number_of

TOGETHER = 500
"""Number of records read by one statement."""

Counts = Counter[tuple[str, str, str]]
"""Numbers of results by kind, data set and network."""


def _field(path: str) -> str:
    return f"json_extract(description, '$.{path}')"


_FIELDS: Mapping[str, str] = {
    "id": "r.id",
    **{name: _field(name) for name in ("kind", "dataset", "data_digest", "network", "optimiser")},
}
"""Columns that always hold this field."""

_NUMBERS: Mapping[str, tuple[str, ...]] = {"seed": ("seed",), "round": ("round", "level")}
"""Columns of numbers that hold one of these fields of a description."""

_ORDER = ", ".join(
    f"coalesce({', '.join(map(_field, paths))}, '')"
    for paths in (
        *(("kind",), ("dataset",), ("network",), ("criterion", "treatment.criterion"), ("treatment.kept",)),
        *(("treatment.pruned",), ("weights",), ("seed",), ("round", "level")),
    )
)


def select(store: Store, conditions: Sequence[Condition]) -> Iterator[StoredResult]:
    """Yield all results that meet the conditions, and perhaps others, in the order of the table.

    Raises StoreError at a damaged record, also at one of those that are left out.
    """
    query, values = narrowing(conditions)
    if values:
        _check(store, f"({query}) IS NOT 1", values)
    ids = [id_ for (id_,) in store.select("id", f"WHERE {query} ORDER BY {_ORDER}, id", values)]
    for some in (ids[at : at + TOGETHER] for at in range(0, len(ids), TOGETHER)):
        yield from map(store.checked, store.records_of(some))


def count_all(store: Store) -> Counts | None:
    """Count all results without reading them one by one; None if some are no results. Raises StoreError at damage."""
    _check(store)
    columns = ", ".join(_FIELDS[name] for name in ("kind", "dataset", "network"))
    counts: Counts = Counter()
    for *key, number in store.select(f"{columns}, count(*)", "GROUP BY 1, 2, 3"):
        kind, dataset, network = key
        if not all(isinstance(name, str) and name.isprintable() for name in key):
            return None
        counts[kind, dataset, network] = number
    return counts


def narrowing(conditions: Sequence[Condition]) -> tuple[str, tuple[str | float, ...]]:
    """Return SQL on the table `results`, with its values, that is true of every match: fewer rows are then read."""
    queries, values = ["1"], list[str | float]()
    for each in conditions:
        if each.text and (how := _HOW.get(each.column)):
            query, own = how(each)
            queries.append(query)
            values += own
    return " AND ".join(queries), tuple(values)


def _check(store: Store, query: str = "1", values: Sequence[str | float] = ()) -> None:
    for record in store.records(query, values):
        if not record.is_unchanged:
            raise StoreError(f"record {record.id} in {store.folder} is damaged: not what was stored; {REMEDY}")


Narrowed = tuple[str, Sequence[str | float]]


def _same(each: Condition) -> Narrowed:
    return f"{_FIELDS[each.column]} = ?", [each.text]


def _near(each: Condition) -> Narrowed:
    """Compare numbers to one digit less than the final comparison does."""
    number = number_of(each.text)
    assert number is not None  # noqa: S101  for the type checker: conditions on numbers have one
    paths = _NUMBERS[each.column]
    return (
        f"({' OR '.join(f'abs({_field(path)} - ?) <= ?' for path in paths)})",
        [number, abs(number) * 10.0 ** (1 - DIGITS)] * len(paths),
    )


def _chosen(each: Condition) -> Narrowed:
    """Match all names that a rule has had, and a default, which is not stored."""
    names = sorted(stored_names(each.text))
    marks, own = ", ".join("?" * len(names)), _field(f"treatment.{each.column}")
    return f"({own} IS NULL OR {own} IN ({marks}) OR {_field(each.column)} IN ({marks}))", [*names, *names]


def _measured(each: Condition) -> Narrowed:
    return "EXISTS (SELECT 1 FROM json_each(metrics) WHERE key = ?)", [each.text]


_HOW: Mapping[str, Callable[[Condition], Narrowed]] = {
    **dict.fromkeys(_FIELDS, _same),
    **dict.fromkeys(_NUMBERS, _near),
    **dict.fromkeys(REGISTRIES, _chosen),
    "metric": _measured,
}
