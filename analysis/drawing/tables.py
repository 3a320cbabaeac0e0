"""The tidy table of all stored results: one row per (result, metric), with description and provenance in columns.

It is read, filtered and written result by result, so that memory does not grow with the number of results.
See docs/results.md.
"""

import csv
import gc
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from importlib.util import find_spec
from itertools import islice
from operator import contains as _holds
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from supermask.analysis.drawing.conditions import Condition, parse
from supermask.analysis.drawing.selecting import Counts, count_all, select
from supermask.analysis.kinds import BY_NAME, KINDS
from supermask.analysis.kinds.fields import ColumnType, is_whole
from supermask.analysis.kinds.schema import fault_of, unknown_part
from supermask.analysis.store.database import REMEDY
from supermask.analysis.store.store import Store, StoredResult
from supermask.analysis.studies.rules import REGISTRIES, present_names
from supermask.analysis.system.errors import StoreError, UsageError
from supermask.analysis.system.files import FileKind, replacing

_OF_KINDS = {name: kind_ for kind in KINDS for name, kind_ in kind.column_types.items()}
COLUMNS = (
    *("id", "kind", "dataset", "data_digest", "network", "optimiser", "learning_rate", "batch_size", "steps"),
    *("evaluate_every", *_OF_KINDS),
    *("rate_conv", "rate_dense", "rate_output", "plugins", "seed", "round", "metric", "value"),
    *("seconds", "stored_at", "supermask", "commit", "python", "jax", "jaxlib", "flax", "optax", "numpy"),
    *("backend", "device", "devices", "machine", "revision"),
)
_WHOLE = ("batch_size", "steps", "evaluate_every", "seed", "round", "devices", "revision")
_NUMBERS = ("learning_rate", "rate_conv", "rate_dense", "rate_output", "value", "seconds")
TYPES: dict[str, ColumnType] = {
    **dict.fromkeys(COLUMNS, "text"),
    **dict.fromkeys(_WHOLE, "whole"),
    **dict.fromkeys(_NUMBERS, "number"),
    **_OF_KINDS,
}
"""Types of the columns. `start` is a number for learned masks and a name for sparse trainings."""

_TYPES: dict[ColumnType, set[type]] = {
    "text": {str},
    "whole": {int},
    "number": {int, float},
    "truth": {bool},
    "mixed": {str, int, float},
}
_CELLS = tuple(name for name in COLUMNS if name not in ("metric", "value"))
_NEVER_EMPTY = ("id", "kind", "dataset", "network", "seed", "seconds", "stored_at")
_PYTHON_TYPES = [_TYPES[TYPES[name]] | (set() if name in _NEVER_EMPTY else {type(None)}) for name in _CELLS]

TIDY_CSV = FileKind.starting("a table of results", b"id,kind,")
_DESCRIBED = (
    *("kind", "dataset", "data_digest", "network", "optimiser", "learning_rate", "batch_size", "steps"),
    *("evaluate_every", "criterion", "seed", "round", "revision"),
)
_MADE_WITH = COLUMNS[COLUMNS.index("supermask") : COLUMNS.index("revision")]

TOGETHER = 2000
"""Number of results in memory at once."""

_AT = COLUMNS.index("metric")


class Tabulated(NamedTuple):
    """A result's cells, by COLUMNS without metric and value, and its metrics."""

    cells: tuple[Any, ...]
    metrics: list[tuple[str, float]]


def tidy_table(store: Store, where: Sequence[str] = ()) -> pd.DataFrame:
    """Return all stored results, in COLUMNS; `where` keeps rows that match all conditions 'column=value'.

    Whole numbers and truth values have pandas' nullable types. Raises UsageError if a condition has another form, names
    an unknown column, or has a value that the column cannot have.
    """
    rows = [
        (*each.cells[:_AT], metric, value, *each.cells[_AT:])
        for each in _tabulated(store, parse(where, TYPES))
        for metric, value in each.metrics
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)
    dtypes = {"whole": "Int64", "number": "float64", "truth": "boolean"}
    return table.astype({name: dtypes[kind] for name, kind in TYPES.items() if kind in dtypes})


def write_tables(
    store: Store, where: Sequence[str] = (), csv_file: Path | None = None, parquet_file: Path | None = None
) -> Counts:
    """Stream the table to CSV or Parquet. Returns the number of results by kind, data set and network.

    Raises UsageError as `tidy_table` does, and if Parquet is requested without pyarrow.
    """
    conditions = check_asked(where, parquet_file)
    if not (conditions or csv_file or parquet_file) and (counted := count_all(store)) is not None:
        return counted
    counts: Counts = Counter()
    kind, dataset, network = (COLUMNS.index(name) for name in ("kind", "dataset", "network"))
    with ExitStack() as stack:
        stack.enter_context(_without_garbage_collection())
        writers: list[Callable[[Sequence[Tabulated]], None]] = []
        if csv_file is not None:
            file = stack.enter_context(stack.enter_context(replacing(csv_file)).open("w", encoding="utf-8", newline=""))
            writers.append(_csv_writer(file))
        if parquet_file is not None:
            writers.append(_parquet_writer(stack.enter_context(replacing(parquet_file)), stack))
        results = _tabulated(store, conditions)
        while some := list(islice(results, TOGETHER)):
            for write in writers:
                write(some)
            counts.update((each.cells[kind], each.cells[dataset], each.cells[network]) for each in some)
    return counts


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Pause the search for cyclic garbage: rows have no cycles, and searching everything else takes a sixth longer."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def check_asked(where: Sequence[str], parquet_file: Path | None) -> tuple[Condition, ...]:
    """Parse the conditions. Raises UsageError as `write_tables` does, before anything is read or merged."""
    if parquet_file is not None and find_spec("pyarrow") is None:
        raise UsageError("parquet needs the package pyarrow: pip install pyarrow")
    return parse(where, TYPES)


def _csv_writer(file: io.TextIOBase) -> Callable[[Sequence[Tabulated]], None]:
    """Return a writer of results to a CSV file, which formats the cells common to a result's rows once."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="")

    def line(cells: Iterable[Any]) -> str:
        text.seek(0)
        text.truncate()
        writer.writerow(cells)
        return text.getvalue()

    @lru_cache(maxsize=256)
    def name(metric: str) -> str:
        return line([metric])

    def write(results: Sequence[Tabulated]) -> None:
        for each in results:
            before, after = line(each.cells[:_AT]), line(each.cells[_AT:])
            rows = [
                f"{before},{name(metric)},{'' if value != value else repr(value)},{after}\n"
                for metric, value in each.metrics
            ]
            file.write("".join(rows))

    file.write(line(COLUMNS) + "\n")
    return write


def _parquet_writer(path: Path, stack: ExitStack) -> Callable[[Sequence[Tabulated]], None]:
    """Return a writer of results to a Parquet file, one group of rows at a time."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    types = {"whole": pa.int64(), "number": pa.float64(), "truth": pa.bool_()}
    fields = [(name, types.get(TYPES[name], pa.string())) for name in COLUMNS]
    writer = stack.enter_context(ParquetWriter(path, pa.schema(fields)))

    def write(results: Sequence[Tabulated]) -> None:
        rows = pa.array(np.repeat(np.arange(len(results)), [len(each.metrics) for each in results]))
        metrics = [metric for each in results for metric in each.metrics]
        columns = {"metric": pa.array([name for name, _ in metrics], pa.string())}
        columns["value"] = pa.array([float(value) for _, value in metrics], pa.float64())
        for name, cells in zip(_CELLS, zip(*(each.cells for each in results), strict=True), strict=True):
            kind = types.get(TYPES[name])
            own = cells if kind else [None if cell is None else str(cell) for cell in cells]
            columns[name] = pa.array(own, kind or pa.string()).take(rows)
        writer.write_table(pa.table([columns[name] for name in COLUMNS], schema=pa.schema(fields)))

    return write


def _tabulated(store: Store, conditions: Sequence[Condition]) -> Iterator[Tabulated]:
    """Yield matching results, in order, with their matching metrics."""
    of_result = [each for each in conditions if each.column not in ("metric", "value")]
    of_metric = [each for each in conditions if each.column == "metric"]
    of_value = [each for each in conditions if each.column == "value"]
    places = {each: _place(each.column) for each in of_result}
    for result in select(store, conditions):
        try:
            cells = _cells(result)
            metrics = sorted(result.metrics.items())
            fits = _fits(cells) and _are_measured(metrics)
        except (AttributeError, KeyError, TypeError, ValueError):
            fits = False
        if not fits:
            fault = fault_of(result) or "its columns are of other types"
            raise StoreError(f"record {result.id} in {store.folder} is no result: {fault}; {REMEDY}")
        if not all(each.matches(cells[places[each]]) for each in of_result):
            continue
        if of_metric or of_value:
            metrics = [
                (metric, value)
                for metric, value in metrics
                if all(each.matches(metric) for each in of_metric) and all(each.matches(value) for each in of_value)
            ]
        if metrics or not (of_metric or of_value):
            yield Tabulated(cells, metrics)


def _fits(cells: tuple[Any, ...]) -> bool:
    """Return whether cells have their columns' types and printable text, which forged records may not have."""
    texts = "".join([cell for cell in cells if type(cell) is str])
    return texts.isprintable() and _types_fit(tuple(map(type, cells)))


def _are_measured(metrics: Sequence[tuple[str, Any]]) -> bool:
    """Return whether metrics have printable names, and values that a column of numbers can hold."""
    names, values = zip(*metrics, strict=True) if metrics else ((), ())
    return "".join(names).isprintable() and all(
        type(value) is float or (type(value) is int and is_whole(value)) for value in values
    )


@lru_cache(maxsize=256)
def _types_fit(types: tuple[type, ...]) -> bool:
    """Cached, because the results of a kind have few combinations."""
    return all(map(_holds, _PYTHON_TYPES, types))


def _place(column: str) -> int:
    """Return the position of a column among a result's cells."""
    place = COLUMNS.index(column)
    return place if place < _AT else place - 2


def _cells(result: StoredResult) -> tuple[Any, ...]:
    description = result.description
    columns: dict[str, Any] = dict(zip(_DESCRIBED, map(description.get, _DESCRIBED), strict=True))
    columns |= zip(_MADE_WITH, map(result.made_with.get, _MADE_WITH), strict=True)
    columns |= {"id": result.id, "seconds": result.seconds, "stored_at": result.stored_at}
    for kind, rate in description.get("rates", {}).items():
        columns[f"rate_{kind}"] = rate
    columns["plugins"] = " ".join(sorted(description.get("plugins", {})))
    columns["weights"] = description.get("weights", "trained")
    if not unknown_part(description):  # results of later versions may have other columns
        columns |= BY_NAME[description["kind"]].columns(description)
    chosen = {name: columns[name] for name in REGISTRIES if isinstance(columns.get(name), str)}
    columns |= present_names(chosen, description.get("rules", {}))
    return tuple(map(columns.get, _CELLS))
