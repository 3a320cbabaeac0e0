"""SQLite file of a results folder: its tables, how it is recognised, and opening it for writing or reading.

A results file is recognised by its application id; older ones, which have none, by their tables. Other files are left
untouched. Reading creates and changes no file, so it works in read-only folders.
"""

import hashlib
import json
import math
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from os import W_OK, access
from pathlib import Path
from typing import Any, NamedTuple

from supermask.analysis.store.connections import SECONDS_TO_OPEN, connect
from supermask.analysis.store.families import Family, family_of
from supermask.analysis.store.identity import Description, identity
from supermask.analysis.system.errors import StoreError, UsageError, reason
from supermask.analysis.system.files import check_is_folder
from supermask.analysis.system.locks import check_locks
from supermask.analysis.system.words import count
from supermask.reading import is_regular

NAME = "results.sqlite"
APPLICATION_ID = int.from_bytes(b"smsk")
SCHEMA_VERSION = 1
SECONDS_TO_WRITE = 60
"""Seconds to wait for a lock, once open: a failure to write loses a training's result."""

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
"""Digests of records, and of rows of provenance as 'provenance 1'. They have a separate table so that versions without
digests can write to the same folder."""
_SECOND_COPY = "CREATE INDEX IF NOT EXISTS digests_by_sha256 ON digests (sha256)"
"""A second copy of every digest, on other pages: a damaged page then costs records, but not the check of others."""

_LOST = (
    "SELECT (SELECT count(*) FROM main.digests WHERE id < 'provenance ' OR id >= 'provenance!') "
    "- (SELECT count(*) FROM main.results)"
)
"""Negative where records of versions that wrote no digests are there."""
_CODE = (  # a view in a table's place might never end, and a trigger delete records
    "SELECT type, name FROM main.sqlite_master WHERE type = 'trigger' "
    "OR (type = 'view' AND lower(name) IN ('results', 'provenance', 'digests'))"
)

RECORDS = (  # of provenance no more than any has: megabytes, if forged, would come with every record anew
    "SELECT r.id, description, metrics, arrays_sha256, seconds, stored_at, r.provenance, d.sha256, "
    "substr(made_with, 1, 65536), m.sha256 FROM results r LEFT JOIN provenance p ON p.id = r.provenance "
    "LEFT JOIN digests d ON d.id = r.id LEFT JOIN digests m ON m.id = 'provenance ' || r.provenance"
)
REMEDY = "`supermask results --verify` sets aside what is damaged"


class Parts(NamedTuple):
    """What an intact record holds. `family` has what its description shares with others."""

    description: Description
    metrics: dict[str, float | None]
    family: Family | None


class Record(NamedTuple):
    """A row of `RECORDS` as it is read: a damaged one may have values of any type."""

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

    def parts(self) -> Parts | None:
        """Return description and metrics if the record is intact, else None.

        A record is intact if its digest and its id match and all of it can be read. Records of versions that wrote no
        digests have none.
        """
        if self.sha256 is not None and digest_of(*self[:7]) != self.sha256:
            return None
        try:
            family, numbers = (isinstance(self.description, str) and family_of(self.description)) or (None, ())
            description = json.loads(self.description) if family is None else family.of(numbers)
            metrics = json.loads(self.metrics)
            own = identity(description) if family is None else family.id_of(numbers)
            right = isinstance(metrics, dict) and own == self.id and math.isfinite(self.seconds)
        except (TypeError, ValueError, RecursionError):
            return None
        return Parts(description, metrics, family) if right else None

    def origin(self) -> Mapping[str, Any] | None:
        """Return the record's provenance if that is intact too, else None."""
        return _origin(self.made_with, self.made_with_sha256)

    @property
    def is_unchanged(self) -> bool:
        """Return whether the record and its provenance agree with their digests, at a tenth of the cost of `parts`."""
        own = self.is_intact if self.sha256 is None else digest_of(*self[:7]) == self.sha256
        return own and self.has_its_provenance

    @property
    def is_intact(self) -> bool:
        """Return whether the record is intact, not counting its provenance."""
        return self.parts() is not None

    @property
    def has_its_provenance(self) -> bool:
        """Return whether the record's provenance is intact."""
        return self.origin() is not None


@lru_cache(maxsize=256)
def _origin(made_with: Any, sha256: Any) -> Mapping[str, Any] | None:
    """Cached, because many records have the same provenance."""
    if sha256 is not None and digest_of(made_with) != sha256:
        return None
    try:
        found = json.loads(made_with)
    except (TypeError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


@dataclass(frozen=True)
class State:
    """Identity and version. `code` is a trigger or view, `lost` the number of records whose digest alone is found."""

    application: int
    version: int
    tables: frozenset[str]
    has_our_columns: bool
    code: tuple[str, str] | None
    lost: int

    @classmethod
    def of(cls, database: sqlite3.Connection) -> "State":
        """Read the state. Raises sqlite3.DatabaseError if it cannot be read."""
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        tables = {name for (name,) in database.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")}
        code = database.execute(_CODE).fetchone()
        ours = tuple(row[1] for row in database.execute("PRAGMA main.table_info(results)")) == _COLUMNS
        lost = database.execute(_LOST).fetchone()[0] if ours and {"results", "digests"} <= tables and not code else 0
        return cls(application, version, frozenset(tables), ours, code, lost)

    @property
    def is_new(self) -> bool:
        """Return whether nothing was ever stored in it."""
        return not self.tables and self.version == 0 and self.application == 0

    @property
    def is_foreign(self) -> bool:
        """Return whether it is another program's: a results file has the application id or, if old, the tables."""
        return not self.is_new and self.application != APPLICATION_ID and not self.has_our_columns

    def fault(self) -> str | None:
        """Return what is wrong with a results file; None if nothing is."""
        if self.version != SCHEMA_VERSION:
            return f"its format is {self.version}"
        if self.application not in (0, APPLICATION_ID):
            return f"its application id is {self.application:#x}"
        if self.code:
            return "it holds a {} named {!r}, which no results file does".format(*self.code)
        if not (self.has_our_columns and {"results", "provenance"} <= self.tables):
            return "its tables are not those of results"
        return f"{count(self.lost, 'record')} of it cannot be found" if self.lost > 0 else None


def open_for_writing(folder: Path) -> sqlite3.Connection:
    """Open a folder's database for writing; create both if they do not exist.

    Raises UsageError if the folder or that of arrays cannot be created or written to, or if its file system has no
    locks; StoreError if the file is of another kind, damaged or in use.
    """
    path = folder / NAME
    check_is_folder("results", folder / "arrays")
    try:
        (folder / "arrays").mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, ValueError) as error:
        raise UsageError(f"results folder {folder} cannot be written to: {reason(error)}") from None
    is_there(path)
    check_locks(folder)
    try:
        database = connect(path)
        with _closed_on_error(database):
            database.execute("PRAGMA synchronous = FULL")
            # Checked under the write lock, so that two processes cannot both find the folder new.
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
    """Close the database if the block fails; otherwise it would stay locked as long as the error is referenced."""
    try:
        yield
    except BaseException:
        database.close()
        raise


def open_for_reading(folder: Path) -> sqlite3.Connection:
    """Open a folder's database without creating or changing anything; without a database, open an empty one in memory.

    Raises UsageError if it cannot be read, StoreError if it is of another kind, damaged or in use.
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
                if "digests" not in state.tables:  # made by a version without digests
                    database.execute(_DIGESTS.replace("CREATE TABLE", "CREATE TEMP TABLE"))
        database.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise StoreError(trouble(path, error, SECONDS_TO_OPEN)) from None
    return database


def is_there(path: Path) -> bool:
    """Return whether a database exists.

    Raises UsageError if it, or a file that SQLite may have beside it, is anything but a file: SQLite would wait for
    ever for a pipe, and say nothing of a folder.
    """
    try:
        return [is_regular(path.with_name(path.name + ending)) for ending in ("-journal", "-wal", "-shm", "")][-1]
    except (OSError, ValueError) as error:
        raise UsageError(f"{getattr(error, 'filename', None) or path} cannot be read: {reason(error)}") from None


def create_tables(database: sqlite3.Connection) -> None:
    """Create the tables of a new, empty database, within a transaction."""
    for statement in _SCHEMA.split(";"):
        database.execute(statement)
    database.execute(_DIGESTS)
    database.execute(_SECOND_COPY)
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def insert_digests(database: sqlite3.Connection, record: Record) -> None:
    """Insert the digests of a record and of its provenance, within a transaction."""
    rows = [(record.id, digest_of(*record[:7])), (f"provenance {record.provenance}", digest_of(record.made_with))]
    database.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?)", rows)


def digest_of(*columns: Any) -> str:
    """Return the SHA-256 (hex) of columns as text; any types are allowed."""
    return hashlib.sha256("\n".join(map(str, columns)).encode(errors="surrogateescape")).hexdigest()


def trouble(path: Path, error: sqlite3.Error, waited: int, what: str = "cannot be used as a results file") -> str:
    """Return what is wrong with a database, from SQLite's error, and what to do about it. `what` is what failed."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"{path} is in use: another process has kept it locked for {waited} seconds; try again once it has ended"
    damaged = code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
    return f"{path} {what}: {error}" + (f"; {REMEDY}" if damaged else "")


def arrays_in(folder: Path) -> int:
    """Return the number of array files in a results folder."""
    return sum(1 for path in (folder / "arrays").rglob("*.safetensors") if path.is_file())


def _check(state: State, path: Path) -> None:
    """Raise StoreError if the database is not a results file that this version reads and writes."""
    if state.is_foreign:
        raise StoreError(f"{path} is a database of another program, not a results file; it is left as it is")
    if state.is_new:
        _check_no_arrays(path)
    elif state.version > SCHEMA_VERSION:
        raise StoreError(f"{path} has format {state.version}; this version of supermask reads {SCHEMA_VERSION}")
    elif fault := state.fault():
        raise StoreError(f"{path} cannot be used as a results file: {fault}; {REMEDY}")


def _check_no_arrays(path: Path) -> None:
    """Raise StoreError if a folder has arrays but no records, since its records must have been lost."""
    if number := arrays_in(path.parent):
        raise StoreError(
            f"{path} has no records, but {path.parent / 'arrays'} has {count(number, 'file of arrays')}: put back the "
            "file that belongs to them; or `supermask results --verify` begins a new one beside them"
        )


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """Open a connection that creates no file. An interrupted write is rolled back first, in a copy if necessary."""
    if access(path, W_OK) and access(path.parent, W_OK):
        return connect(path, "mode=rw")
    unsettled = [each for end in ("-journal", "-wal") if (each := path.with_name(path.name + end)).exists()]
    if not unsettled:
        return connect(path, "mode=ro")
    with tempfile.TemporaryDirectory() as folder:
        for each in (path, *unsettled):
            shutil.copy(each, folder)
        database = connect(Path(":memory:"))
        with closing(connect(Path(folder) / path.name)) as copy:
            copy.backup(database)
    return database


def _adopt_older_records(database: sqlite3.Connection) -> None:
    """Insert digests for consistent records of versions that wrote none. Inconsistent records get none."""
    database.execute(_DIGESTS)
    database.execute(_SECOND_COPY)
    for record in map(Record._make, database.execute(f"{RECORDS} WHERE d.id IS NULL").fetchall()):
        if record.is_intact and record.has_its_provenance:
            insert_digests(database, record)
