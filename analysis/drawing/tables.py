"""The tidy table of all stored results: one row per (result, metric), with description and provenance in columns.

It is read, filtered and written result by result, so that memory does not grow with the number of results.
See docs/results.md.
"""

import gc
import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from supermask.analysis.drawing.conditions import Condition, parse
from supermask.analysis.drawing.selecting import Counts, count_all, select
from supermask.analysis.drawing.tidy_cells import CELLS, COLUMNS, METRIC, TYPES, Tabulated, csv_lines, tabulated
from supermask.analysis.kinds.schema import fault_of
from supermask.analysis.store.database import REMEDY
from supermask.analysis.store.store import Store
from supermask.analysis.system.errors import StoreError, UsageError
from supermask.analysis.system.files import FileKind, replacing

TIDY_CSV = FileKind.starting("a table of results", b"id,kind,")
TOGETHER = 500
"""Number of results in memory at once."""


def tidy_table(store: Store, where: Sequence[str] = ()) -> pd.DataFrame:
    """Return all stored results, in COLUMNS; `where` keeps rows that match all conditions 'column=value'.

    Whole numbers and truth values have pandas' nullable types. Raises UsageError if a condition has another form, names
    an unknown column, or has a value that the column cannot have.
    """
    rows = [
        (*each.cells[:METRIC], metric, value, *each.cells[METRIC:])
        for each in _tabulated(store, parse(where, TYPES))
        for metric, value in zip(each.names, each.values, strict=True)
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
            file = stack.enter_context(
                stack.enter_context(replacing(csv_file)).open("w", 1 << 20, encoding="utf-8", newline="")
            )
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
    """Return a writer of results to a CSV file."""
    line = csv_lines()

    def write(results: Sequence[Tabulated]) -> None:
        for each in results:
            file.write(each.csv(line))

    file.write(line(COLUMNS) + "\n")
    return write


def _parquet_writer(path: Path, stack: ExitStack) -> Callable[[Sequence[Tabulated]], None]:
    """Return a writer of results to a Parquet file, one group of rows at a time."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    types = {"whole": (pa.int64(), int), "number": (pa.float64(), float), "truth": (pa.bool_(), bool)}
    how = {name: types.get(TYPES[name], (pa.string(), str)) for name in COLUMNS}
    schema = pa.schema([(name, own) for name, (own, _) in how.items()])
    writer = stack.enter_context(ParquetWriter(path, schema))

    def write(results: Sequence[Tabulated]) -> None:
        rows = pa.array(np.repeat(np.arange(len(results)), [len(each.names) for each in results]))
        columns = {"metric": pa.array([name for each in results for name in each.names], pa.string())}
        columns["value"] = pa.array([float(value) for each in results for value in each.values], pa.float64())
        for name, cells in zip(CELLS, zip(*(each.cells for each in results), strict=True), strict=True):
            type_, read = how[name]
            columns[name] = pa.array([None if cell is None else read(cell) for cell in cells], type_).take(rows)
        writer.write_table(pa.table([columns[name] for name in COLUMNS], schema=schema))

    return write


def _tabulated(store: Store, conditions: Sequence[Condition]) -> Iterator[Tabulated]:
    """Yield matching results, in order, with their matching metrics."""
    of_result = [each for each in conditions if each.column not in ("metric", "value")]
    of_metric = [each for each in conditions if each.column == "metric"]
    of_value = [each for each in conditions if each.column == "value"]
    places = {each: CELLS.index(each.column) for each in of_result}
    for result in select(store, conditions):
        row = tabulated(result)
        if row is None:
            fault = fault_of(result) or "its columns are of other types"
            raise StoreError(f"record {result.id} in {store.folder} is no result: {fault}; {REMEDY}")
        if not all(each.matches(row.cells[places[each]]) for each in of_result):
            continue
        if not (of_metric or of_value):
            yield row
        elif metrics := [
            (name, value)
            for name, value in zip(row.names, row.values, strict=True)
            if all(each.matches(name) for each in of_metric) and all(each.matches(value) for each in of_value)
        ]:
            names, values = zip(*metrics, strict=True)
            yield row._replace(names=names, values=values)
