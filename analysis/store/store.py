"""The results folder: one SQLite record per result, and arrays in safetensors files.

    FOLDER/results.sqlite         descriptions, metrics, provenance; readable from pandas, R or a shell
    FOLDER/arrays/ab/abcd….safetensors   weights, masks and curves of the training abcd…

Arrays are on disk before the record that names them and their digest, and the records of a population are one
transaction: a killed process or a power cut leaves complete results or none. Stored results never change. A record has
a digest too, and everything that is read is checked against it; `supermask.analysis.command.verify` sets damaged
results aside.
"""

import hashlib
import json
import math
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from supermask.analysis.store.database import (
    NAME,
    RECORDS,
    REMEDY,
    SECONDS_TO_WRITE,
    Record,
    insert_digests,
    open_for_reading,
    open_for_writing,
    trouble,
)
from supermask.analysis.store.families import Family
from supermask.analysis.store.identity import Description, identity
from supermask.analysis.system.errors import StoreError
from supermask.reading import read_regular
from supermask.writing import write_whole


@dataclass(frozen=True)
class Result:
    """One finished training or evaluation. `seconds` is its share of its population's time.

    A metric that is not a number (of a diverged training) is stored as JSON's null.
    """

    description: Description
    metrics: Mapping[str, float]
    arrays: Mapping[str, np.ndarray] | None
    seconds: float


@dataclass(frozen=True)
class StoredResult:
    """A stored result with its provenance.

    `metrics_text` is the exact text of its metrics, `parsed` that text read; `family` has what its description shares
    with others.
    """

    id: str
    description: Description
    metrics_text: str
    arrays_sha256: str | None
    seconds: float
    stored_at: str
    made_with: Mapping[str, Any]
    parsed: Mapping[str, float | None] | None = field(default=None, repr=False, compare=False)
    family: Family | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, record: Record) -> "StoredResult | None":
        """Return the result in a record; None if the record is damaged."""
        parts, made_with = record.parts(), record.origin()
        if parts is None or made_with is None:
            return None
        own = (record.id, parts.description, record.metrics, record.arrays_sha256, record.seconds, record.stored_at)
        return cls(*own, made_with, parts.metrics, parts.family)

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Metrics by name; NaN if the training diverged."""
        found: dict[str, Any] = json.loads(self.metrics_text) if self.parsed is None else dict(self.parsed)
        if None in found.values():  # few have it, and large tables read many
            return {name: math.nan if value is None else value for name, value in found.items()}
        return found


class Storage(Protocol):
    """Interface of a place that stores results."""

    @property
    def folder(self) -> Path:
        """Folder for additional files."""

    def known(self, ids: Iterable[str]) -> set[str]:
        """Return the ids whose results need not be made."""

    def arrays(self, id_: str) -> dict[str, np.ndarray]:
        """Return a result's arrays."""

    def add(self, results: Sequence[Result], made_with: Mapping[str, Any]) -> None:
        """Store results."""


class Only:
    """A store restricted to some wanted results: all others count as known."""

    def __init__(self, store: Storage, wanted: Iterable[str]) -> None:
        self._store, self._wanted = store, frozenset(wanted)
        self.folder, self.arrays, self.add = store.folder, store.arrays, store.add

    def known(self, ids: Iterable[str]) -> set[str]:
        """Return the ids that are stored or not wanted."""
        asked = set(ids)
        return asked - self._wanted | self._store.known(asked & self._wanted)


class Store:
    """A results folder. A context manager.

    Opened for writing, it is created if it does not exist. Opened `for_reading`, it is never changed: a missing folder
    reads as empty, and a read-only folder can be read.

    Raises UsageError if the folder cannot be created, written to or read, or if its file system has no locks;
    StoreError if it holds something else, if what is read is damaged, or if another process keeps it locked.
    """

    def __init__(self, folder: Path, *, for_reading: bool = False) -> None:
        self.folder = folder
        self._database = (open_for_reading if for_reading else open_for_writing)(folder)

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def known(self, ids: Iterable[str]) -> set[str]:
        """Return the ids that are stored."""
        wanted = list(ids)
        stored: set[str] = set()
        for some in (wanted[at : at + 500] for at in range(0, len(wanted), 500)):
            marks = ", ".join("?" * len(some))
            stored |= {id_ for (id_,) in self._read(f"SELECT id FROM results WHERE id IN ({marks})", some)}  # noqa: S608
        return stored

    def metrics(self, id_: str) -> dict[str, float]:
        """Return a result's metrics. Raises StoreError if it is not stored or damaged."""
        return self.result(id_).metrics

    def arrays(self, id_: str) -> dict[str, np.ndarray]:
        """Return a result's arrays. Raises StoreError if they are missing or damaged."""
        expected = self.result(id_).arrays_sha256
        if expected is None:
            raise StoreError(f"result {id_} has no arrays in {self.folder}")
        return self.read_arrays(id_, expected)

    def read_arrays(self, id_: str, expected: str) -> dict[str, np.ndarray]:
        """Return a result's arrays from a file with this SHA-256. Raises StoreError if they are missing or damaged."""
        content = self.arrays_content(id_, expected)
        try:
            arrays: dict[str, np.ndarray] = load(content)
        except (SafetensorError, KeyError) as error:  # KeyError for types that NumPy lacks
            raise StoreError(f"{self.arrays_path(id_)} is not a safetensors file of NumPy's types: {error}") from None
        return arrays

    def arrays_content(self, id_: str, expected: str) -> bytes:
        """Return the bytes of a result's arrays. Raises StoreError if they are missing or have another SHA-256."""
        path = self.arrays_path(id_)
        try:
            content = read_regular(path)
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}; {REMEDY}") from None
        found = hashlib.sha256(content).hexdigest()
        if found != expected:
            raise StoreError(f"{path} is damaged: SHA-256 {expected} expected, {found} found; {REMEDY}")
        return content

    def add(self, results: Sequence[Result], made_with: Mapping[str, Any]) -> None:
        """Store results in one transaction; results that are already stored stay unchanged."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._insert(
            [
                StoredResult(
                    identity(result.description),
                    result.description,
                    _json({name: value if math.isfinite(value) else None for name, value in result.metrics.items()}),
                    None,
                    float(result.seconds),
                    now,
                    made_with,
                )
                for result in results
            ],
            [result.arrays for result in results],
        )

    def adopt(self, results: Sequence[tuple[StoredResult, Mapping[str, np.ndarray] | None]]) -> None:
        """Copy results of another folder, with their arrays, provenance and time, unchanged."""
        for result, arrays in results:
            digest = None if arrays is None else hashlib.sha256(_content(arrays)).hexdigest()
            if digest != result.arrays_sha256:
                raise StoreError(
                    f"result {result.id} was copied with another content: {digest}, not {result.arrays_sha256}"
                )
        self._insert([result for result, _ in results], [arrays for _, arrays in results])

    def everything(self) -> Iterator[StoredResult]:
        """Iterate over all results, by id. Raises StoreError at a damaged one."""
        return map(self.checked, self.records())

    def records(self, query: str = "1", values: Sequence[str | float] = ()) -> Iterator[Record]:
        """Iterate over records, damaged or not, by id; they are read lazily. `query` is SQL that is true of them."""
        try:
            rows = self._database.execute(f"{RECORDS} WHERE {query} ORDER BY r.id", values)
            while some := rows.fetchmany(1000):
                yield from map(Record._make, some)
        except sqlite3.DatabaseError as error:
            raise StoreError(trouble(self.folder / NAME, error, SECONDS_TO_WRITE)) from None

    def records_of(self, ids: Sequence[str]) -> list[Record]:
        """Return the records of at most 500 ids, in their order. Raises StoreError if one is not stored."""
        marks = ", ".join("?" * len(ids))
        found = {row[0]: Record._make(row) for row in self._read(f"{RECORDS} WHERE r.id IN ({marks})", ids)}
        if missing := [id_ for id_ in ids if id_ not in found]:
            raise StoreError(f"result {missing[0]} is not in {self.folder}")
        return [found[id_] for id_ in ids]

    def select(self, columns: str, query: str = "", values: Sequence[str | float] = ()) -> list[tuple[Any, ...]]:
        """Return columns of the table of results, unchecked; `query` is SQL that filters, groups and orders."""
        return self._read(f"SELECT {columns} FROM results r {query}", values)  # noqa: S608

    def result(self, id_: str) -> StoredResult:
        """Return a result. Raises StoreError if it is not stored or damaged."""
        return self.checked(self.records_of([id_])[0])

    def get(self, id_: str) -> StoredResult | None:
        """Return a result, or None if it is not stored."""
        return self.result(id_) if self.known([id_]) else None

    def checked(self, record: Record) -> StoredResult:
        """Return the result in a record. Raises StoreError if the record is damaged."""
        result = StoredResult.of(record)
        if result is None:
            raise StoreError(f"record {record.id} in {self.folder} is damaged: not what was stored; {REMEDY}")
        return result

    def remove(self, id_: str) -> None:
        """Delete a record, so that its result is made again. Only for `supermask.analysis.command.verify`."""
        with self._transaction() as database:
            database.execute("DELETE FROM results WHERE id = ?", (id_,))
            database.execute("DELETE FROM digests WHERE id = ?", (id_,))

    def provenance(self, ids: Iterable[str]) -> list[dict[str, Any]]:
        """Return the distinct provenances of the results of those ids."""
        wanted = set(ids)
        made_with = (record.made_with for record in self.records() if record.id in wanted and record.has_its_provenance)
        return [json.loads(text) for text in dict.fromkeys(made_with)]

    def arrays_path(self, id_: str) -> Path:
        """Return the path of a result's arrays, if it has any."""
        return self.folder / "arrays" / id_[:2] / f"{id_}.safetensors"

    def _insert(self, results: Sequence[StoredResult], arrays: Sequence[Mapping[str, np.ndarray] | None]) -> None:
        """Insert results and arrays in one transaction; under its lock, arrays are written for new results only."""
        with self._transaction() as database:
            known = self.known(result.id for result in results)
            new = {result.id: (result, own) for result, own in zip(results, arrays, strict=True)}
            written = {
                id_: self._write_arrays(id_, own)
                for id_, (_, own) in new.items()
                if id_ not in known and own is not None
            }
            self._settle(written)
            for id_, (result, _) in new.items():
                if id_ not in known:
                    insert_record(database, result, written.get(id_))

    def _read(self, query: str, values: Sequence[str | float] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise StoreError(trouble(self.folder / NAME, error, SECONDS_TO_WRITE)) from None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Run the block as one transaction. Raises StoreError if it fails."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            yield self._database
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(trouble(self.folder / NAME, error, SECONDS_TO_WRITE, "could not be written to")) from None
        except OSError as error:
            raise StoreError(f"{error.filename or self.folder} could not be written: {error.strerror}") from None
        finally:
            if self._database.in_transaction:
                with suppress(sqlite3.Error):
                    self._database.execute("ROLLBACK")

    def _write_arrays(self, id_: str, arrays: Mapping[str, np.ndarray]) -> str:
        """Write a file atomically and return its digest."""
        content = _content(arrays)
        path = self.arrays_path(id_)
        path.parent.mkdir(exist_ok=True)
        write_whole(path, content)
        return hashlib.sha256(content).hexdigest()

    def _settle(self, ids: Iterable[str]) -> None:
        """Force the names of new files to disk before a record refers to them; their contents already are on disk."""
        folders = {self.arrays_path(id_).parent for id_ in ids}
        for folder in (*folders, *({self.folder / "arrays"} if folders else ())):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def insert_record(database: sqlite3.Connection, result: StoredResult, arrays_sha256: str | None) -> None:
    """Insert a record, whose arrays are in place, and its digests, within a transaction."""
    made_with = _json(result.made_with)
    database.execute("INSERT OR IGNORE INTO provenance (made_with) VALUES (?)", (made_with,))
    key = database.execute("SELECT id FROM provenance WHERE made_with = ?", (made_with,)).fetchone()[0]
    own = (result.id, _json(result.description), result.metrics_text, arrays_sha256, result.seconds, result.stored_at)
    database.execute("INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?)", (*own, key))
    insert_digests(database, Record(*own, key, None, made_with, None))


def _content(arrays: Mapping[str, np.ndarray]) -> bytes:
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)
