"""The results folder: one record a result in SQLite, arrays beside it in safetensors.

    FOLDER/results.sqlite         descriptions, metrics, provenance; readable from pandas, R or a shell
    FOLDER/arrays/ab/abcd….safetensors   weights, masks and curves of the training abcd…

Arrays are written and moved into place before the record that names them and their digest, and records of one
population are one transaction: a process that is killed leaves whole results or none. Nothing stored is ever changed.
"""

import hashlib
import json
import math
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from analysis.errors import StoreError, UsageError
from analysis.studies import Description, identity

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE provenance (id INTEGER PRIMARY KEY, made_with TEXT NOT NULL UNIQUE);
CREATE TABLE results (
    id TEXT PRIMARY KEY,
    description TEXT NOT NULL,
    metrics TEXT NOT NULL,
    arrays_sha256 TEXT,
    seconds REAL NOT NULL,
    stored_at TEXT NOT NULL,
    provenance INTEGER NOT NULL REFERENCES provenance (id)
) WITHOUT ROWID;
"""


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

    @property
    def metrics(self) -> dict[str, float]:
        """Numbers by name; NaN where a training diverged."""
        return _metrics(self.metrics_text)


class Store:
    """A results folder, opened for reading and writing. A context manager.

    Raises UsageError where the folder cannot be made or written to, StoreError where it holds something else.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            (folder / "arrays").mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise UsageError(f"results folder {folder} cannot be written to: {error.strerror}") from None
        self._database = self._open(folder / "results.sqlite")

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
            stored |= {id_ for (id_,) in self._database.execute(f"SELECT id FROM results WHERE id IN ({marks})", some)}  # noqa: S608
        return stored

    def metrics(self, id_: str) -> dict[str, float]:
        """A result's metrics. Raises StoreError where it is not stored."""
        row = self._database.execute("SELECT metrics FROM results WHERE id = ?", (id_,)).fetchone()
        if row is None:
            raise StoreError(f"result {id_} is not in {self.folder}")
        return _metrics(row[0])

    def arrays(self, id_: str) -> dict[str, np.ndarray]:
        """A result's arrays. Raises StoreError where they are missing or not what was stored."""
        row = self._database.execute("SELECT arrays_sha256 FROM results WHERE id = ?", (id_,)).fetchone()
        path = self._arrays_path(id_)
        if row is None or row[0] is None:
            raise StoreError(f"result {id_} has no arrays in {self.folder}")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from None
        found = hashlib.sha256(content).hexdigest()
        if found != row[0]:
            raise StoreError(f"{path} is damaged: SHA-256 {row[0]} expected, {found} found")
        try:
            arrays: dict[str, np.ndarray] = load(content)
        except SafetensorError as error:
            raise StoreError(f"{path} is not a safetensors file: {error}") from None
        return arrays

    def add(self, results: Sequence[Result], made_with: Mapping[str, Any]) -> None:
        """Stores results in one transaction; one that is there already is left as it is."""
        rows: list[tuple[Any, ...]] = []
        for result in results:
            id_ = identity(result.description)
            digest = None if result.arrays is None else self._write_arrays(id_, result.arrays)
            finite = {name: value if math.isfinite(value) else None for name, value in result.metrics.items()}
            now = datetime.now(UTC).isoformat(timespec="seconds")
            rows.append((id_, _json(result.description), _json(finite), digest, result.seconds, now))
        self._insert(rows, made_with)

    def _insert(self, rows: Sequence[tuple[Any, ...]], made_with: Mapping[str, Any]) -> None:
        """Rows without their provenance, in one transaction."""
        with self._transaction() as database:
            database.execute("INSERT OR IGNORE INTO provenance (made_with) VALUES (?)", (_json(made_with),))
            key = database.execute("SELECT id FROM provenance WHERE made_with = ?", (_json(made_with),)).fetchone()[0]
            database.executemany(
                "INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?, ?, ?, ?)", [(*r, key) for r in rows]
            )

    def everything(self) -> Iterator[StoredResult]:
        """All results, in the order of their ids."""
        rows = self._database.execute(
            "SELECT r.id, description, metrics, arrays_sha256, seconds, stored_at, made_with "
            "FROM results r JOIN provenance p ON p.id = r.provenance ORDER BY r.id"
        )
        for id_, description, metrics, digest, seconds, stored_at, made_with in rows:
            yield StoredResult(id_, json.loads(description), metrics, digest, seconds, stored_at, json.loads(made_with))

    def adopt(self, result: StoredResult, arrays: Mapping[str, np.ndarray] | None) -> None:
        """Takes over a result of another folder as it is, provenance and time included."""
        digest = None if arrays is None else self._write_arrays(result.id, arrays)
        if digest != result.arrays_sha256:
            raise StoreError(
                f"result {result.id} was copied with another content: {digest}, not {result.arrays_sha256}"
            )
        description, seconds, stored_at = _json(result.description), result.seconds, result.stored_at
        self._insert([(result.id, description, result.metrics_text, digest, seconds, stored_at)], result.made_with)

    def provenance(self, ids: Iterable[str]) -> list[dict[str, Any]]:
        """The different ways in which the results of those ids were made."""
        wanted = set(ids)
        pairs = self._database.execute("SELECT r.id, made_with FROM results r JOIN provenance p ON p.id = r.provenance")
        texts = dict.fromkeys(made_with for id_, made_with in pairs if id_ in wanted)
        return [json.loads(text) for text in texts]

    def _open(self, path: Path) -> sqlite3.Connection:
        try:
            database = sqlite3.connect(path, timeout=60, isolation_level=None)
            database.execute("PRAGMA synchronous = FULL")
            # Asked under the write lock, so that two processes cannot both find the folder new.
            database.execute("BEGIN IMMEDIATE")
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            database.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{path} cannot be used as a results file: {error}") from None
        if version not in (0, SCHEMA_VERSION):
            raise StoreError(f"{path} has format {version}; this version of supermask reads {SCHEMA_VERSION}")
        return database

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            yield self._database
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise StoreError(f"{self.folder} could not be written to: {error}") from None

    def _arrays_path(self, id_: str) -> Path:
        return self.folder / "arrays" / id_[:2] / f"{id_}.safetensors"

    def _write_arrays(self, id_: str, arrays: Mapping[str, np.ndarray]) -> str:
        """Writes a file that is either whole or not there, and returns its digest."""
        content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        path = self._arrays_path(id_)
        try:
            path.parent.mkdir(exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(file.name).replace(path)
        except OSError as error:
            raise StoreError(f"{path} could not be written: {error.strerror}") from None
        return hashlib.sha256(content).hexdigest()


def _metrics(text: str) -> dict[str, float]:
    return {name: math.nan if value is None else value for name, value in json.loads(text).items()}


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)
