"""Checks a results folder and sets aside what is damaged, so that it is trained again.

Every record is held to its digest and its id, every file of arrays to the record that names it. What does not hold goes
to FOLDER/damaged/, and its record with it: the next run finds it missing. Nothing is thrown away.
"""

import json
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from supermask.analysis.kinds.schema import fault_of, fault_of_arrays, fault_of_texts, unknown_part
from supermask.analysis.store.checkpoints import FOLDER
from supermask.analysis.store.connections import SECONDS_TO_OPEN, connect
from supermask.analysis.store.database import (
    NAME,
    Record,
    State,
    arrays_in,
    create_tables,
    digest_of,
    trouble,
)
from supermask.analysis.store.folders import check_stored, lacking
from supermask.analysis.store.recovery import recover
from supermask.analysis.store.store import Store, StoredResult, insert_record
from supermask.analysis.system.errors import StoreError
from supermask.analysis.system.files import check_is_folder, replacing, write_whole
from supermask.analysis.system.terminal import say
from supermask.analysis.system.words import count
from supermask.reading import read_regular

LATEST_FORMAT = 99
"""Beyond any format that there will be: a higher number in a file is damage, a lower one a later version's."""

DAMAGED = "damaged"
"""Folder in a results folder, of what was set aside."""

SHOWN = 10
"""Files of a kind that are listed by name; the rest are counted."""


@dataclass(frozen=True)
class Damage:
    """A damaged thing: what it is, what is wrong with it, and where it lies now."""

    what: str
    how: str
    moved_to: Path


@dataclass(frozen=True)
class Verified:
    """Numbers of checked things, and the damage found.

    orphans: files of arrays that no record names: of a run that was cut off, or of a record that was lost. They do no
        harm; nothing reads them.
    leftovers: files beside them that are no arrays, left by a kill.
    checkpoints: of trainings under way; each goes when its training's results are stored.
    unknown: records that a later version may have written, and what of them this one does not know. Left as they are.
    """

    results: int
    arrays: int
    damages: tuple[Damage, ...]
    orphans: tuple[Path, ...]
    leftovers: tuple[Path, ...]
    checkpoints: tuple[Path, ...]
    unknown: tuple[str, ...]


def verify(folder: Path) -> Verified:
    """Check everything in a results folder and set aside what is damaged.

    Raises UsageError where the folder is none or cannot be written to; StoreError where it is another program's, in
    use, or of a later version.
    """
    path = folder / NAME
    if lacking(folder) and not arrays_in(folder):
        check_stored("results", folder)
    check_is_folder("results", folder / DAMAGED)
    damages = [_rebuilt(path, how)] if (how := _fault(path)) else []
    damages += _in_the_way(folder)
    with Store(folder) as store:
        results = arrays = 0
        found, unknown = [], []
        for record in store.records():
            results += 1
            arrays += record.arrays_sha256 is not None
            if fault := _damage(store, record):
                found.append((record, fault))
            elif (result := StoredResult.of(record)) and (part := unknown_part(result.description)):
                unknown.append(f"record {record.id}: {part}")
        damages += [_removed(store, record, *fault) for record, fault in found]
        left = all(record.is_intact and record.has_its_provenance for record in store.records())
    if not left:
        how = "a damaged record is not found by what it reads as, or its provenance is damaged"
    else:  # a damaged id: the digest has no record once that is removed
        how = _fault(path) if found else None
    if how:
        damages.append(_rebuilt(path, how))
    with Store(folder) as store:
        named = {store.arrays_path(record.id) for record in store.records() if record.arrays_sha256}
    unnamed = sorted(each for each in (folder / "arrays").rglob("*") if each.is_file() and each not in named)
    checkpoints = sorted(each for each in (folder / FOLDER).glob("*") if each.is_file())
    return Verified(
        results,
        arrays,
        tuple(damages),
        tuple(each for each in unnamed if each.suffix == ".safetensors"),
        tuple(each for each in unnamed if each.suffix != ".safetensors"),
        tuple(checkpoints),
        tuple(unknown),
    )


def report_damage(folder: Path) -> bool:
    """Check a results folder and print the findings. Returns whether anything was damaged."""
    found = verify(folder)
    say(f"{count(found.results, 'record')} and {count(found.arrays, 'file of arrays')} checked in {folder}")
    for damage in found.damages:
        say(f"damaged: {damage.what}: {damage.how}; moved to {damage.moved_to}")
    _list("arrays without a record, read by nothing", found.orphans)
    _list("left over, harmless", found.leftovers)
    for words in found.unknown:
        say(f"unknown to this version of supermask, left as it is: {words}")
    for path in found.checkpoints:
        status = path.stat()
        days = (time.time() - status.st_mtime) / 86400
        say(
            f"checkpoint of a training under way, {status.st_size / 1e6:.1f} MB, saved {days:.1f} days ago: {path} "
            "(it goes when that training is stored; delete it if nobody is to go on with it)"
        )
    say("the next run trains again what is missing now" if found.damages else "nothing is damaged")
    return bool(found.damages)


def _list(what: str, paths: Sequence[Path]) -> None:
    for path in paths[:SHOWN]:
        say(f"{what}: {path}")
    if more := len(paths) - SHOWN if len(paths) > SHOWN else 0:
        say(f"{what}: {count(more, 'more file')}, {len(paths)} in all")


def _damage(store: Store, record: Record) -> tuple[str, str] | None:
    """Return the damage of a record or its arrays, or None."""
    if not record.is_intact:
        return f"record {record.id}", "it is not what was stored"
    texts = record.description, record.metrics, record.made_with
    if (result := StoredResult.of(record)) and (fault := fault_of(result) or fault_of_texts(*texts)):
        return f"record {record.id}", f"it is no result: {fault}"
    try:
        arrays = None if record.arrays_sha256 is None else store.read_arrays(record.id, record.arrays_sha256)
    except StoreError as error:
        return f"arrays of {record.id}", str(error).split(";")[0]
    if result and (fault := fault_of_arrays(result, arrays)):
        return f"record {record.id}", f"it is no result: {fault}"
    return None


def _in_the_way(folder: Path) -> list[Damage]:
    """Set aside what lies where folders of arrays, or files of arrays, are to be written, and is something else."""
    folders = sorted((folder / "arrays").glob("[0-9a-f][0-9a-f]"))
    found = [(each, "it is no folder") for each in folders if not each.is_dir()]
    inside = sorted(path for each in folders if each.is_dir() for path in each.glob("*.safetensors"))
    found += [(each, "it is no file") for each in inside if not each.is_file()]
    moved = [(each, how, _set_aside(folder, each)) for each, how in found]
    return [Damage(str(each), how, where or each) for each, how, where in moved]


def _removed(store: Store, record: Record, what: str, how: str) -> Damage:
    """Write a damaged record's readable content to a file, set its arrays aside, and delete it."""
    if not (isinstance(record.id, str) and re.fullmatch("[0-9a-f]{32}", record.id)):  # no path is made of damaged text
        return Damage(what, how, _write_aside(store.folder, "record", [record]))
    written = _write_aside(store.folder, f"record-{record.id}", [record])
    moved = _set_aside(store.folder, store.arrays_path(record.id))
    store.remove(record.id)
    return Damage(what, how, moved or written)


def _fault(path: Path) -> str | None:
    """Return what is wrong with the database as such, or None.

    Raises StoreError where it is a later version's, another program's, or in use.
    """
    number = arrays_in(path.parent)
    lost = f"{count(number, 'file of arrays', ('has', 'have'))} no record any more"
    if not path.exists():
        return f"it is missing, and {lost}"
    try:
        with closing(connect(path)) as database:
            found = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
            state = State.of(database)
            if found == "ok" and state.is_foreign:
                raise StoreError(f"{path} is a database of another program, not a results file; it is left as it is")
            if found != "ok":
                return str(found)
            if state.is_new:
                return f"it is empty, and {lost}" if number else None
            if state.has_our_columns and 1 < state.version <= LATEST_FORMAT:
                raise StoreError(f"{path} has format {state.version}; this version of supermask reads 1")
            if fault := state.fault():
                return fault
            for table in ("results", "provenance"):  # not joined: megabytes of provenance would come with every record
                for _ in database.execute(f"SELECT * FROM {table}"):  # noqa: S608
                    pass
    except sqlite3.DatabaseError as error:
        if (words := trouble(path, error, SECONDS_TO_OPEN)).startswith(f"{path} is in use"):
            raise StoreError(words) from None
        return str(error)
    return None


def _rebuilt(path: Path, how: str) -> Damage:
    """Replace a damaged database, which is set aside, by a new one of its intact records."""
    found = recover(read_regular(path) if path.exists() else b"")
    path = path.resolve()  # SQLite's journal lies beside the file, not beside a link to it
    with replacing(path) as new:
        with closing(connect(new)) as database:
            database.execute("BEGIN")
            create_tables(database)
            for record in found.records:
                if result := StoredResult.of(_with_provenance(record)):
                    insert_record(database, result, record.arrays_sha256)
            database.execute("COMMIT")
        moved = _keep_aside(path.parent, path)  # a kill in between leaves what is damaged where it is
        _set_aside(path.parent, path.with_name(path.name + "-journal"))
    how += f"; {count(len(found.records), 'record of it', ('was', 'were'))} intact and kept"
    how += f"; {found.lost} could not be read" if found.lost else ""
    if found.unchecked:
        where = _write_aside(path.parent, "unchecked", found.unchecked)
        how += f"; {len(found.unchecked)} could be read but no longer checked: they are in {where}"
    if found.contradicted:
        where = _write_aside(path.parent, "contradicted", found.contradicted)
        how += f"; {len(found.contradicted)} could be read but have another digest: they are in {where}"
    return Damage(path.name, how, moved or path)


def _with_provenance(record: Record) -> Record:
    """Return the record; if only its provenance is damaged, with a note of that, since its numbers are intact."""
    if record.has_its_provenance:
        return record
    return record._replace(made_with=json.dumps({"damaged": digest_of(record.made_with)}), made_with_sha256=None)


def _set_aside(folder: Path, path: Path) -> Path | None:
    """Move a file to the folder of damaged files, under a free name. Returns None if there is no such file."""
    if not os.path.lexists(path):
        return None
    return path.replace(_free(folder, path.stem, path.suffix))


def _keep_aside(folder: Path, path: Path) -> Path | None:
    """Give a file a second name in the folder of damaged files. Returns None if there is no such file."""
    if not path.exists():
        return None
    kept = _free(folder, path.stem, path.suffix)
    try:
        os.link(path, kept)
    except OSError:  # a file system without such links
        shutil.copy2(path, kept)
    return kept


def _write_aside(folder: Path, name: str, records: Sequence[Record]) -> Path:
    """Write the content of damaged records to a file."""
    path = _free(folder, name, ".json")
    rows = [{column: str(value) for column, value in record._asdict().items()} for record in records]
    write_whole(path, json.dumps(rows[0] if name.startswith("record") else rows, indent=1).encode())
    return path


def _free(folder: Path, stem: str, ending: str) -> Path:
    damaged = folder / DAMAGED
    damaged.mkdir(exist_ok=True)
    names = (damaged / f"{stem}{f'-{number}' if number else ''}{ending}" for number in range(1 << 30))
    return next(path for path in names if not path.exists())
