"""Checking a results folder, and setting aside what is damaged, so that it is trained again.

Every record is held to its digest and its id, every file of arrays to the record that names it. What does not hold goes
to FOLDER/damaged/, and its record with it: the next run finds it missing. Nothing is thrown away.
"""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from analysis.errors import StoreError
from analysis.store import (
    RECORDS,
    SCHEMA_VERSION,
    Record,
    Store,
    connect,
    create_tables,
    digest_of,
    insert_record,
)

LATEST_FORMAT = 99
"""Beyond any format that there will be: a higher number in a file is damage, a lower one a later version's."""


@dataclass(frozen=True)
class Damage:
    """What is damaged, in what way, and where it lies now."""

    what: str
    how: str
    moved_to: Path


@dataclass(frozen=True)
class Verified:
    """What was looked at and what was found.

    leftovers: files that no record names: of a run that was cut off, or of a record that was damaged. They do no harm.
    """

    results: int
    arrays: int
    damages: tuple[Damage, ...]
    leftovers: tuple[Path, ...]


def verify(folder: Path) -> Verified:
    """Checks everything in a results folder and sets aside what is damaged.

    Raises StoreError where the folder is none, or is of a later version; UsageError where it cannot be written to.
    """
    path = folder / "results.sqlite"
    if not path.exists():
        raise StoreError(f"{folder} is not a results folder: it has no results.sqlite")
    damages = [_rebuilt(path, how)] if (how := _fault(path)) else []
    with Store(folder) as store:
        records = store.records()
        found = [damage for record in records for damage in _check(store, record)]
        arrays = sum(record.arrays_sha256 is not None for record in records)
        left = store.records()
    damages += found
    if not all(record.is_intact and record.has_its_provenance for record in left):
        damages.append(
            _rebuilt(path, "a damaged record is not found by what it reads as, or its provenance is damaged")
        )
    with Store(folder) as store:
        named = {store.arrays_path(record.id) for record in store.records() if record.arrays_sha256}
    leftovers = sorted(each for each in (folder / "arrays").rglob("*") if each.is_file() and each not in named)
    return Verified(len(records), arrays, tuple(damages), tuple(leftovers))


def report_damage(folder: Path) -> bool:
    """Checks a results folder and prints what was found. Whether anything was damaged."""
    found = verify(folder)
    print(f"{found.results} records and {found.arrays} files of arrays checked in {folder}")
    for damage in found.damages:
        print(f"damaged: {damage.what}: {damage.how}; moved to {damage.moved_to}")
    for path in found.leftovers:
        print(f"left over, harmless: {path}")
    print("the next run trains again what is missing now" if found.damages else "nothing is damaged")
    return bool(found.damages)


def _check(store: Store, record: Record) -> Iterator[Damage]:
    """The damage of a record or its arrays, if there is any, set aside and forgotten."""
    id_, arrays_sha256 = record.id, record.arrays_sha256
    if not record.is_intact:
        what, how = f"record {id_}", "it is not what was stored"
    elif arrays_sha256 is None:
        return
    else:
        try:
            store.arrays_content(id_, arrays_sha256)
        except StoreError as error:
            what, how = f"arrays of {id_}", str(error).split(";")[0]
        else:
            return
    moved = None
    if isinstance(id_, str) and re.fullmatch("[0-9a-f]{32}", id_):  # no other path is made of what a damaged file says
        moved = _set_aside(store.folder, store.arrays_path(id_))
    yield Damage(what, how, moved or _write_aside(store.folder, record))
    store.remove(id_)


def _fault(path: Path) -> str | None:
    """What is wrong with the database as such; None where nothing is. Raises StoreError for a later format."""
    try:
        with closing(connect(path)) as database:
            found = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
            version = database.execute("PRAGMA user_version").fetchone()[0]
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master")]
            if found != "ok":
                return str(found)
            if version == 0 and not tables:
                return None  # nothing was ever stored
            if SCHEMA_VERSION < version <= LATEST_FORMAT:
                raise StoreError(f"{path} has format {version}; this version of supermask reads {SCHEMA_VERSION}")
            if version != SCHEMA_VERSION:
                return f"its format is {version}"
            database.execute(_query(database)).fetchall()
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):
            raise StoreError(f"{path} is in use: {error}") from None
        return str(error)
    return None


def _query(database: sqlite3.Connection) -> str:
    """What reads all records; versions that wrote no digests have no table of them."""
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    if "digests" in tables:
        return RECORDS
    return RECORDS.split("LEFT JOIN digests")[0].replace("d.sha256", "NULL").replace("m.sha256", "NULL")


def _rebuilt(path: Path, how: str) -> Damage:
    """Puts a new database of the intact records in place of one that is damaged, which is set aside."""
    new = path.with_name("results.part")
    new.unlink(missing_ok=True)
    with closing(connect(new)) as database:
        database.execute("BEGIN")
        create_tables(database)
        kept = 0
        for record in _readable(path):
            if record.is_intact:
                kept += 1
                insert_record(database, _with_provenance(record).result(), record.arrays_sha256)
        database.execute("COMMIT")
    moved = _set_aside(path.parent, path)
    _set_aside(path.parent, path.with_name(path.name + "-journal"))
    new.replace(path)
    return Damage(path.name, f"{how}; {kept} records of it were intact and are kept", moved or path)


def _with_provenance(record: Record) -> Record:
    """The record; where only what it was made with is damaged, with a note of that: its numbers are what they were."""
    if record.has_its_provenance:
        return record
    return record._replace(made_with=json.dumps({"damaged": digest_of(record.made_with)}))


def _readable(path: Path) -> Iterator[Record]:
    """Records of a damaged database: from both ends, each as far as SQLite gets."""
    seen: set[object] = set()
    for order in ("ASC", "DESC"):
        try:
            with closing(connect(path)) as database:
                for record in map(Record._make, database.execute(f"{_query(database)} ORDER BY r.id {order}")):
                    if record.id not in seen:
                        seen.add(record.id)
                        yield record
        except sqlite3.DatabaseError:
            continue  # what lies beyond cannot be read: it is trained again


def _set_aside(folder: Path, path: Path) -> Path | None:
    """Moves a file to the folder of what is damaged, under a name that is free. None where there is no such file."""
    if not path.exists():
        return None
    return path.replace(_free(folder, path.stem, path.suffix))


def _write_aside(folder: Path, record: Record) -> Path:
    """Writes down what a damaged record reads as, for whoever wants to look."""
    path = _free(folder, "record", ".json")
    path.write_text(json.dumps({name: str(value) for name, value in record._asdict().items()}, indent=1))
    return path


def _free(folder: Path, stem: str, ending: str) -> Path:
    damaged = folder / "damaged"
    damaged.mkdir(exist_ok=True)
    names = (damaged / f"{stem}{f'-{number}' if number else ''}{ending}" for number in range(1 << 30))
    return next(path for path in names if not path.exists())
