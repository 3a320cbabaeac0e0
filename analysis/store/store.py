"""The results folder: one record a result in SQLite, arrays beside it in safetensors.

    FOLDER/results.sqlite         descriptions, metrics, provenance; readable from pandas, R or a shell
    FOLDER/arrays/ab/abcd….safetensors   weights, masks and curves of the training abcd…

Arrays are on the disk before the record that names them and their digest, and records of one population are one
transaction: a process that is killed, or a power cut, leaves whole results or none. Nothing stored is ever changed. A
record has a digest too, and whatever is read is checked against it; `analysis.command.verify` sets aside what is
damaged.
"""

import hashlib
import json
import math
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from analysis.store.database import (
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
from analysis.store.identity import Description, identity
from analysis.system.errors import StoreError
from supermask.reading import read_regular
from supermask.writing import write_whole


@dataclass(frozen=True)
class Result:
    """One finished training or evaluation. `seconds` is its share of its population's time.

    A metric that is not a number (a training that diverged) is kept as such: JSON's null.
    """

    description: Description
    metrics: Mapping[str, float]
    arrays: Mapping[str, np.ndarray] | None
    seconds: float


@dataclass(frozen=True)
class StoredResult:
    """A result as it lies in the store, with what it was made with. `metrics_text` are its metrics to the letter."""

    id: str
    description: Description
    metrics_text: str
    arrays_sha256: str | None
    seconds: float
    stored_at: str
    made_with: Mapping[str, Any]

    @classmethod
    def of(cls, record: Record) -> "StoredResult | None":
        """What a record holds; None where it is not what was stored."""
        parts, made_with = record.parts(), record.origin()
        if parts is None or made_with is None:
            return None
        own = (record.id, parts[0], record.metrics, record.arrays_sha256, record.seconds, record.stored_at)
        return cls(*own, made_with)

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Numbers by name; NaN where a training diverged."""
        return {name: math.nan if value is None else value for name, value in json.loads(self.metrics_text).items()}


class Storage(Protocol):
    """What is needed of a place where results are kept."""

    @property
    def folder(self) -> Path:
        """Where files of one's own may lie."""

    def known(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids that need not be made."""

    def arrays(self, id_: str) -> dict[str, np.ndarray]:
        """A result's arrays."""

    def add(self, results: Sequence[Result], made_with: Mapping[str, Any]) -> None:
        """Keeps results."""


class Only:
    """A place of which some results alone are to be made: all others count as known."""

    def __init__(self, store: Storage, wanted: Iterable[str]) -> None:
        self._store, self._wanted = store, frozenset(wanted)
        self.folder, self.arrays, self.add = store.folder, store.arrays, store.add

    def known(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids that are stored, or not wanted."""
        asked = set(ids)
        return asked - self._wanted | self._store.known(asked & self._wanted)


class Store:
    """A results folder. A context manager.

    Opened for writing, it is made where it is not there. Opened `for_reading`, it is left as it is: one that is not
    there reads as empty, and one that cannot be written to can be read all the same.

    Raises UsageError where the folder cannot be made, written to or read, or where its file system has no locks;
    StoreError where it holds something else, where what is read is damaged, or where another process keeps it locked.
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
        """Those of the ids that are stored."""
        wanted = list(ids)
        stored: set[str] = set()
        for some in (wanted[at : at + 500] for at in range(0, len(wanted), 500)):
            marks = ", ".join("?" * len(some))
            stored |= {id_ for (id_,) in self._read(f"SELECT id FROM results WHERE id IN ({marks})", some)}  # noqa: S608
        return stored

    def metrics(self, id_: str) -> dict[str, float]:
        """A result's metrics. Raises StoreError where it is not stored, or not what was stored."""
        return self.result(id_).metrics

    def arrays(self, id_: str) -> dict[str, np.ndarray]:
        """A result's arrays. Raises StoreError where they are missing or not what was stored."""
        expected = self.result(id_).arrays_sha256
        if expected is None:
            raise StoreError(f"result {id_} has no arrays in {self.folder}")
        return self.read_arrays(id_, expected)

    def read_arrays(self, id_: str, expected: str) -> dict[str, np.ndarray]:
        """A result's arrays, whose file has this SHA-256. Raises StoreError where they are missing or damaged."""
        content = self.arrays_content(id_, expected)
        try:
            arrays: dict[str, np.ndarray] = load(content)
        except (SafetensorError, KeyError) as error:  # KeyError for types that NumPy lacks
            raise StoreError(f"{self.arrays_path(id_)} is not a safetensors file of NumPy's types: {error}") from None
        return arrays

    def arrays_content(self, id_: str, expected: str) -> bytes:
        """The bytes of a result's arrays. Raises StoreError where they are missing or have another SHA-256."""
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
        """Stores results in one transaction; one that is there already is left as it is."""
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
        """Takes over results of another folder, with their arrays, as they are: provenance and time included."""
        for result, arrays in results:
            digest = None if arrays is None else hashlib.sha256(_content(arrays)).hexdigest()
            if digest != result.arrays_sha256:
                raise StoreError(
                    f"result {result.id} was copied with another content: {digest}, not {result.arrays_sha256}"
                )
        self._insert([result for result, _ in results], [arrays for _, arrays in results])

    def everything(self) -> Iterator[StoredResult]:
        """All results, in the order of their ids. Raises StoreError at one that is not what was stored."""
        return map(self.checked, self.records())

    def records(self) -> Iterator[Record]:
        """All records as they lie there, damaged or not, in the order of their ids; read as they are asked for."""
        try:
            rows = self._database.execute(f"{RECORDS} ORDER BY r.id")
            while some := rows.fetchmany(1000):
                yield from map(Record._make, some)
        except sqlite3.DatabaseError as error:
            raise StoreError(trouble(self.folder / NAME, error, SECONDS_TO_WRITE)) from None

    def records_of(self, ids: Sequence[str]) -> list[Record]:
        """The records of those ids, 500 at most, in their order. Raises StoreError where one is not stored."""
        marks = ", ".join("?" * len(ids))
        found = {row[0]: Record(*row) for row in self._read(f"{RECORDS} WHERE r.id IN ({marks})", ids)}
        if missing := [id_ for id_ in ids if id_ not in found]:
            raise StoreError(f"result {missing[0]} is not in {self.folder}")
        return [found[id_] for id_ in ids]

    def ids(self, query: str = "", values: Sequence[str] = ()) -> list[str]:
        """Ids of results; `query` is SQL on the table of results that says which, and in what order."""
        return [id_ for (id_,) in self._read(f"SELECT id FROM results {query}", values)]  # noqa: S608

    def result(self, id_: str) -> StoredResult:
        """A result. Raises StoreError where it is not stored, or not what was stored."""
        return self.checked(self.records_of([id_])[0])

    def get(self, id_: str) -> StoredResult | None:
        """A result, or None where it is not stored."""
        return self.result(id_) if self.known([id_]) else None

    def checked(self, record: Record) -> StoredResult:
        """What a record holds. Raises StoreError where it is not what was stored."""
        result = StoredResult.of(record)
        if result is None:
            raise StoreError(f"record {record.id} in {self.folder} is damaged: not what was stored; {REMEDY}")
        return result

    def remove(self, id_: str) -> None:
        """Forgets a record, so that it will be trained again. For `analysis.command.verify` alone."""
        with self._transaction() as database:
            database.execute("DELETE FROM results WHERE id = ?", (id_,))
            database.execute("DELETE FROM digests WHERE id = ?", (id_,))

    def provenance(self, ids: Iterable[str]) -> list[dict[str, Any]]:
        """The different ways in which the results of those ids were made."""
        wanted = set(ids)
        made_with = (record.made_with for record in self.records() if record.id in wanted and record.has_its_provenance)
        return [json.loads(text) for text in dict.fromkeys(made_with)]

    def arrays_path(self, id_: str) -> Path:
        """Where a result's arrays lie, if it has any."""
        return self.folder / "arrays" / id_[:2] / f"{id_}.safetensors"

    def _insert(self, results: Sequence[StoredResult], arrays: Sequence[Mapping[str, np.ndarray] | None]) -> None:
        """Results and their arrays, in one transaction; arrays are written under its lock, for new results alone."""
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

    def _read(self, query: str, values: Sequence[str] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise StoreError(trouble(self.folder / NAME, error, SECONDS_TO_WRITE)) from None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All of what is done within it, or none. Raises StoreError where it cannot be done."""
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
        """Writes a file that is either whole or not there, and returns its digest."""
        content = _content(arrays)
        path = self.arrays_path(id_)
        path.parent.mkdir(exist_ok=True)
        write_whole(path, content)
        return hashlib.sha256(content).hexdigest()

    def _settle(self, ids: Iterable[str]) -> None:
        """Has the names of new files on the disk before a record tells of them: the files' contents are already."""
        folders = {self.arrays_path(id_).parent for id_ in ids}
        for folder in (*folders, *({self.folder / "arrays"} if folders else ())):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def insert_record(database: sqlite3.Connection, result: StoredResult, arrays_sha256: str | None) -> None:
    """Enters a record, whose arrays are in place, and its digests. Part of a transaction."""
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
