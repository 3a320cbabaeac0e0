"""The SQLite file of a results folder: its tables, how it is recognised, opened for writing or for reading.

A file is a results file by its application id; older ones, which have none, by their tables. Everything else is left
alone. Reading makes no file and changes none, so it works where nothing can be written.
"""

import hashlib
import json
import math
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from os import W_OK, access
from pathlib import Path
from typing import Any, NamedTuple

from analysis.store.identity import identity
from analysis.system.errors import StoreError, UsageError
from analysis.system.files import check_is_folder
from analysis.system.locks import check_locks
from analysis.system.words import count
from supermask.reading import is_regular

NAME = "results.sqlite"
APPLICATION_ID = int.from_bytes(b"smsk")
SCHEMA_VERSION = 1
SECONDS_TO_OPEN, SECONDS_TO_WRITE = 10, 60
"""How long another process may keep the file locked: nothing is lost at opening; at writing a training's result is."""

_COLUMNS = ("id", "description", "metrics", "arrays_sha256", "seconds", "stored_at", "provenance")
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
_DIGESTS = "CREATE TABLE IF NOT EXISTS digests (id TEXT PRIMARY KEY, sha256 TEXT NOT NULL) WITHOUT ROWID"
"""Of records, and of rows of provenance, as 'provenance 1'. A table of its own: versions that know nothing of it can
write to the same folder."""
_SECOND_COPY = "CREATE INDEX IF NOT EXISTS digests_by_sha256 ON digests (sha256)"
"""Holds every digest once more, on other pages: a damaged page costs records, not the means to check others."""

RECORDS = (
    "SELECT r.id, description, metrics, arrays_sha256, seconds, stored_at, r.provenance, d.sha256, made_with, m.sha256 "
    "FROM results r LEFT JOIN provenance p ON p.id = r.provenance "
    "LEFT JOIN digests d ON d.id = r.id LEFT JOIN digests m ON m.id = 'provenance ' || r.provenance"
)
REMEDY = "`supermask results --verify` sets aside what is damaged"


class Record(NamedTuple):
    """A row of `RECORDS`, as it is read: of whatever type, where it is damaged."""

    id: Any
    description: Any
    metrics: Any
    arrays_sha256: Any
    seconds: Any
    stored_at: Any
    provenance: Any
    sha256: Any
    made_with: Any
    made_with_sha256: Any

    def parts(self) -> tuple[dict[str, Any], dict[str, float | None]] | None:
        """Description and metrics, where the record is what was stored; None where it is not.

        It is where its digest is its own, its id that of its description, and all of it can be read. A record without a
        digest is that of a version that wrote none.
        """
        if self.sha256 is not None and digest_of(*self[:7]) != self.sha256:
            return None
        try:
            description, metrics = json.loads(self.description), json.loads(self.metrics)
            right = isinstance(metrics, dict) and identity(description) == self.id and math.isfinite(self.seconds)
        except (TypeError, ValueError, RecursionError):
            return None
        return (description, metrics) if right else None

    def origin(self) -> Mapping[str, Any] | None:
        """What it was made with, where that is what was stored, too; None where it is not."""
        return _origin(self.made_with, self.made_with_sha256)

    @property
    def is_intact(self) -> bool:
        """Whether it is what was stored, what it was made with apart."""
        return self.parts() is not None

    @property
    def has_its_provenance(self) -> bool:
        """Whether what it was made with is what was stored, too."""
        return self.origin() is not None


@lru_cache(maxsize=256)
def _origin(made_with: Any, sha256: Any) -> Mapping[str, Any] | None:
    """Read once: many records were made with the same."""
    if sha256 is not None and digest_of(made_with) != sha256:
        return None
    try:
        found = json.loads(made_with)
    except (TypeError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


@dataclass(frozen=True)
class State:
    """What a database says of itself."""

    application: int
    version: int
    tables: frozenset[str]
    has_our_columns: bool

    @classmethod
    def of(cls, database: sqlite3.Connection) -> "State":
        """Asks it. Raises sqlite3.DatabaseError where it cannot be read."""
        application, version = (
            database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        tables = database.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")
        columns = tuple(row[1] for row in database.execute("PRAGMA main.table_info(results)"))
        return cls(application, version, frozenset(name for (name,) in tables), columns == _COLUMNS)

    @property
    def is_new(self) -> bool:
        """Whether nothing was ever stored in it."""
        return not self.tables and self.version == 0 and self.application == 0

    @property
    def is_foreign(self) -> bool:
        """Whether it is another program's. A results file has its mark or, damaged or old, its tables."""
        return not self.is_new and self.application != APPLICATION_ID and not self.has_our_columns

    def fault(self) -> str | None:
        """What is wrong with a results file; None where nothing is."""
        if self.version != SCHEMA_VERSION:
            return f"its format is {self.version}"
        if self.application not in (0, APPLICATION_ID):
            return f"its application id is {self.application:#x}"
        if not (self.has_our_columns and "provenance" in self.tables):
            return "its tables are not those of results"
        return None


def open_for_writing(folder: Path) -> sqlite3.Connection:
    """Makes the folder and its database where they are not there, and opens it.

    Raises UsageError where it cannot be made or written to, or where its file system has no locks; StoreError where it
    holds something else, is damaged or in use.
    """
    path = folder / NAME
    try:
        (folder / "arrays").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"results folder {folder} cannot be written to: {reason}") from None
    is_there(path)
    check_locks(folder)
    try:
        database = connect(path)
        with _closed_on_error(database):
            database.execute("PRAGMA synchronous = FULL")
            # Asked under the write lock, so that two processes cannot both find the folder new.
            database.execute("BEGIN IMMEDIATE")
            _check(state := State.of(database), path)
            if state.is_new:
                create_tables(database)
            else:
                if state.application != APPLICATION_ID:
                    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                _adopt_older_records(database)
            database.execute("COMMIT")
            database.execute(f"PRAGMA busy_timeout = {SECONDS_TO_WRITE * 1000}")
    except sqlite3.Error as error:
        raise StoreError(trouble(path, error, SECONDS_TO_OPEN)) from None
    return database


@contextmanager
def _closed_on_error(database: sqlite3.Connection) -> Iterator[None]:
    """Closes it where what follows fails: else it would stay locked for as long as the error is kept."""
    try:
        yield
    except BaseException:
        database.close()
        raise


def open_for_reading(folder: Path) -> sqlite3.Connection:
    """Opens a folder's database without making or changing anything; where there is none, an empty one in memory.

    Raises UsageError where it cannot be read, StoreError where it is something else, damaged or in use.
    """
    path = folder / NAME
    check_is_folder("results", folder)
    try:
        if not is_there(path) or not path.stat().st_size:
            _check_no_arrays(path)
            database = connect(Path(":memory:"))
            create_tables(database)
        else:
            database = _connect_to_read(path)
            with _closed_on_error(database):
                _check(state := State.of(database), path)
                if "digests" not in state.tables:  # of a version that wrote none
                    database.execute(_DIGESTS.replace("CREATE TABLE", "CREATE TEMP TABLE"))
        database.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise StoreError(trouble(path, error, SECONDS_TO_OPEN)) from None
    return database


def is_there(path: Path) -> bool:
    """Whether a file is there. Raises UsageError where something else is: opening a pipe might never end."""
    try:
        return is_regular(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{path} cannot be read: {reason}") from None


class Connection(sqlite3.Connection):
    """SQLite's errors quote the names of a damaged schema, which may be no text: that is damage like any other."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Runs a statement. Raises sqlite3.DatabaseError where the error's own words cannot be read, too."""
        try:
            return super().execute(sql, parameters)
        except UnicodeDecodeError:
            raise sqlite3.DatabaseError("its schema is damaged: a name in it is no text") from None

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        """Runs a statement for each of several parameters. Raises as `execute` does."""
        try:
            return super().executemany(sql, parameters)
        except UnicodeDecodeError:
            raise sqlite3.DatabaseError("its schema is damaged: a name in it is no text") from None


def connect(path: Path, options: str = "") -> sqlite3.Connection:
    """A connection that reads any text, damaged or not. `options` are those of SQLite's addresses, such as mode=ro."""
    name = f"{path.absolute().as_uri()}?{options}" if options else path
    database = sqlite3.connect(
        name, timeout=SECONDS_TO_OPEN, isolation_level=None, uri=bool(options), factory=Connection
    )
    database.text_factory = lambda content: content.decode(errors="surrogateescape")
    return database


def create_tables(database: sqlite3.Connection) -> None:
    """Makes the tables of a new, empty database. Part of a transaction."""
    for statement in _SCHEMA.split(";"):
        database.execute(statement)
    database.execute(_DIGESTS)
    database.execute(_SECOND_COPY)
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def insert_digests(database: sqlite3.Connection, record: Record) -> None:
    """Enters the digests of a record and of what it was made with, as they are. Part of a transaction."""
    rows = [(record.id, digest_of(*record[:7])), (f"provenance {record.provenance}", digest_of(record.made_with))]
    database.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?)", rows)


def digest_of(*columns: Any) -> str:
    """SHA-256 (hex) of columns as text, whatever they are."""
    return hashlib.sha256("\n".join(map(str, columns)).encode(errors="surrogateescape")).hexdigest()


def trouble(path: Path, error: sqlite3.Error, waited: int, what: str = "cannot be used as a results file") -> str:
    """What is wrong with a database and what to do about it, from SQLite's error. `what` did not work with it."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"{path} is in use: another process has kept it locked for {waited} seconds; try again once it has ended"
    damaged = code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
    return f"{path} {what}: {error}" + (f"; {REMEDY}" if damaged else "")


def arrays_in(folder: Path) -> int:
    """How many files of arrays lie in a results folder."""
    return sum(1 for path in (folder / "arrays").rglob("*.safetensors") if path.is_file())


def _check(state: State, path: Path) -> None:
    """Raises StoreError where the database is not a results file that this version reads and writes."""
    if state.is_foreign:
        raise StoreError(f"{path} is a database of another program, not a results file; it is left as it is")
    if state.is_new:
        _check_no_arrays(path)
    elif state.version > SCHEMA_VERSION:
        raise StoreError(f"{path} has format {state.version}; this version of supermask reads {SCHEMA_VERSION}")
    elif fault := state.fault():
        raise StoreError(f"{path} cannot be used as a results file: {fault}; {REMEDY}")


def _check_no_arrays(path: Path) -> None:
    """Raises StoreError where a folder without records has arrays: then its records are gone."""
    if number := arrays_in(path.parent):
        raise StoreError(
            f"{path} has no records, but {path.parent / 'arrays'} has {count(number, 'file of arrays')}: put back the "
            "file that belongs to them; or `supermask results --verify` begins a new one beside them"
        )


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that makes no file. What a write that was cut off left is undone first: in a copy, if need be."""
    if access(path, W_OK) and access(path.parent, W_OK):
        return connect(path, "mode=rw")
    unsettled = [each for end in ("-journal", "-wal") if (each := path.with_name(path.name + end)).exists()]
    if not unsettled:
        return connect(path, "mode=ro")
    with tempfile.TemporaryDirectory() as folder:
        for each in (path, *unsettled):
            shutil.copy(each, folder)
        database = connect(Path(":memory:"))
        copy = connect(Path(folder) / path.name)
        copy.backup(database)
        copy.close()
    return database


def _adopt_older_records(database: sqlite3.Connection) -> None:
    """Digests for records of versions that wrote none, as they are found. What does not hold together gets none."""
    database.execute(_DIGESTS)
    database.execute(_SECOND_COPY)
    for record in map(Record._make, database.execute(f"{RECORDS} WHERE d.id IS NULL").fetchall()):
        if record.is_intact and record.has_its_provenance:
            insert_digests(database, record)
