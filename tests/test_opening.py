"""Opening results folders: what is one and what is not, old ones, locked ones, and those that can only be read."""

import hashlib
import json
import os
import shutil
import sqlite3
import time
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save
from test_faults import IDS, MADE_WITH, fill, holds, mounted, result

from supermask.analysis.command.cli import run_command
from supermask.analysis.command.commands import FAILED, MISUSED, OK
from supermask.analysis.command.verify import verify
from supermask.analysis.drawing.selecting import count_all
from supermask.analysis.store import connections, database
from supermask.analysis.store.identity import identity
from supermask.analysis.store.store import Store
from supermask.analysis.system.errors import StoreError, UsageError
from supermask.figures.catalogue import CATALOGUE


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("filled") / "results"
    fill(folder)
    return folder


@pytest.fixture
def copy(filled, tmp_path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "results"))


def run_sql(folder: Path, *statements: str) -> None:
    connection = sqlite3.connect(folder / "results.sqlite", isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file with its content; the file that locks are tried on is empty, and says nothing."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".locks"}


OLDER_SCHEMA = """
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
CREATE TABLE IF NOT EXISTS digests (id TEXT PRIMARY KEY, sha256 TEXT NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;
"""
"""The tables of version 0.1 before results files had a mark of their own."""


def make_older(folder: Path) -> None:
    """A folder as that version wrote it, out of what it stored, in statements of its own."""
    (folder / "arrays").mkdir(parents=True)
    connection = sqlite3.connect(folder / "results.sqlite")
    connection.executescript(OLDER_SCHEMA)
    made_with = json.dumps(MADE_WITH)
    rows = [("provenance 1", made_with)]
    connection.execute("INSERT INTO provenance VALUES (1, ?)", (made_with,))
    for number in range(40):
        own = result(number)
        canonical = json.dumps(own.description, sort_keys=True, separators=(",", ":"))
        id_, sha256 = hashlib.sha256(canonical.encode()).hexdigest()[:32], None
        if own.arrays is not None:
            content = save(dict(own.arrays))
            sha256 = hashlib.sha256(content).hexdigest()
            (folder / "arrays" / id_[:2]).mkdir(exist_ok=True)
            (folder / "arrays" / id_[:2] / f"{id_}.safetensors").write_bytes(content)
        texts = json.dumps(own.description, sort_keys=True), json.dumps(own.metrics, sort_keys=True)
        row = (id_, *texts, sha256, 1.0, "2026-01-02T03:04:05+00:00", 1)
        connection.execute("INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        rows.append((id_, "\n".join(map(str, row))))
    digests = [(id_, hashlib.sha256(text.encode()).hexdigest()) for id_, text in rows]
    connection.executemany("INSERT INTO digests VALUES (?, ?)", digests)
    connection.commit()
    connection.close()


def test_a_folder_of_an_older_version_is_whole_and_gets_the_mark(tmp_path):
    folder = tmp_path / "results"
    make_older(folder)
    before = files_of(folder)
    with Store(folder, for_reading=True) as store:
        assert {each.id for each in store.everything()} == set(IDS)
    assert files_of(folder) == before, "reading changes nothing"
    holds(folder)
    assert not verify(folder).damages
    connection = sqlite3.connect(folder / "results.sqlite")
    assert connection.execute("PRAGMA application_id").fetchone() == (database.APPLICATION_ID,)
    connection.close()


def test_an_older_folder_that_is_damaged_keeps_its_records(tmp_path):
    folder = tmp_path / "results"
    make_older(folder)
    content = bytearray((folder / "results.sqlite").read_bytes())
    content[:100] = bytes(100)
    (folder / "results.sqlite").write_bytes(content)
    assert "40 records of it were intact" in verify(folder).damages[0].how
    holds(folder)


FOREIGN = {
    "unmarked": ["CREATE TABLE notes (text)", "INSERT INTO notes VALUES ('mine')"],
    "version 1": ["CREATE TABLE notes (text)", "PRAGMA user_version = 1"],
    "marked": ["CREATE TABLE notes (text)", "PRAGMA application_id = 252006674"],
    "marked and empty": ["PRAGMA application_id = 252006674"],
    "other results": ["CREATE TABLE results (id, score)", "PRAGMA user_version = 1"],
}


@pytest.mark.parametrize("statements", FOREIGN.values(), ids=FOREIGN)
def test_another_programs_database_is_refused_and_left_alone(tmp_path, statements):
    run_sql(tmp_path, *statements)
    before = (tmp_path / "results.sqlite").read_bytes()
    for open_it in (Store, lambda folder: Store(folder, for_reading=True), verify):
        with pytest.raises(StoreError, match="a database of another program"):
            open_it(tmp_path)
    assert (tmp_path / "results.sqlite").read_bytes() == before


ENDLESS = "CREATE VIEW {} AS WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT "
CODE = {
    "a trigger": ["CREATE TRIGGER t AFTER INSERT ON results BEGIN DELETE FROM results WHERE id <> NEW.id; END"],
    "results": [
        "ALTER TABLE results RENAME TO own",
        ENDLESS.format("Results") + "own.* FROM c, own",
    ],
    "provenance": [
        "ALTER TABLE provenance RENAME TO own",
        ENDLESS.format("provenance") + "x AS id, 'm' AS made_with FROM c",
    ],
    "digests": [
        "DROP INDEX digests_by_sha256",
        "ALTER TABLE digests RENAME TO own",
        ENDLESS.format("digests") + "x AS id, 'm' AS sha256 FROM c",
    ],
}


@pytest.mark.parametrize("statements", CODE.values(), ids=CODE)
def test_what_a_database_would_run_is_never_run(copy, statements):
    """A view in place of a table was read for ever, and a trigger deleted records, while nothing was called damaged."""
    run_sql(copy, *statements)
    for for_reading in (True, False):
        with pytest.raises(
            StoreError, match=r"it holds a (trigger|view) named '\w+', which no results file does; `supe"
        ):
            Store(copy, for_reading=for_reading)
    (damage,) = verify(copy).damages
    assert f"{len(IDS)} records of it were intact and kept" in damage.how
    holds(copy)
    fill(copy)


def test_a_provenance_of_megabytes_is_not_read_with_every_record(tmp_path):
    """A forged database of 40 MB took gigabytes and a minute: 4 MB here, which each of 40 records brought anew."""
    with Store(tmp_path) as store:
        store.add([result(number, 0) for number in range(1, 41)], {"jax": "x" * (1 << 22)})
    tracemalloc.start()
    with Store(tmp_path, for_reading=True) as store, pytest.raises(StoreError, match="is damaged: not what was stored"):
        list(store.everything())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 25
    (damage,) = verify(tmp_path).damages
    assert "40 records of it were intact and kept" in damage.how
    with Store(tmp_path, for_reading=True) as store:
        assert len(list(store.everything())) == 40


def test_a_damaged_provenance_is_said_also_by_what_only_counts(copy):
    run_sql(copy, "UPDATE provenance SET made_with = made_with || ' '")
    with Store(copy, for_reading=True) as store, pytest.raises(StoreError, match="is damaged: not what was stored"):
        count_all(store)


def test_a_table_that_is_gone_is_said(copy):
    run_sql(copy, "DROP TABLE provenance")
    for reading in (True, False):
        with pytest.raises(StoreError, match="its tables are not those of results; `supermask results --verify`"):
            Store(copy, for_reading=reading)


def test_a_view_of_the_users_own_is_left(copy):
    """Our tables may be asked for by SQL, and what is asked for often has a name."""
    run_sql(copy, "CREATE VIEW best AS SELECT id, metrics FROM results")
    assert not verify(copy).damages
    holds(copy)


@pytest.mark.parametrize("how", ["empty", "missing", "emptied"])
def test_arrays_without_records_are_no_new_folder(copy, how, capsys):
    path = copy / "results.sqlite"
    path.unlink()
    if how == "empty":
        path.touch()
    elif how == "emptied":  # a database in which nothing is
        run_sql(copy, "CREATE TABLE x (y)", "DROP TABLE x")
    for for_reading in (False, True):
        with pytest.raises(StoreError, match=r"has no records, but .* has 26 files of arrays: put back"):
            Store(copy, for_reading=for_reading)
    command = ["results", "--results", str(copy), "--verify"]
    assert run_command(command, CATALOGUE) == FAILED
    said = capsys.readouterr().out
    assert "26 files of arrays have no record any more" in said
    assert "arrays without a record, read by nothing: 16 more files, 26 in all" in said
    assert len(list((copy / "arrays").rglob("*.safetensors"))) == 26
    fill(copy)  # stands for training again
    holds(copy)
    assert run_command(command, CATALOGUE) == OK


def test_a_new_folder_without_arrays_may_have_an_empty_file(tmp_path):
    (tmp_path / "results.sqlite").touch()
    with Store(tmp_path, for_reading=True) as store:
        assert not store.known(IDS)
    assert not verify(tmp_path).damages
    fill(tmp_path)
    holds(tmp_path)


def test_reading_makes_nothing(tmp_path):
    with Store(tmp_path / "nowhere", for_reading=True) as store:
        assert list(store.everything()) == []
        with pytest.raises(StoreError, match="could not be written to"):
            store.add([result(1)], MADE_WITH)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_can_only_be_read_is_read(filled, tmp_path, capsys):
    disk = tmp_path / "disk"
    with mounted(disk, "size=2m") as protect:
        shutil.copytree(filled, disk / "results")
        protect()
        with pytest.raises(UsageError, match="cannot be written to: Read-only file system"):
            Store(disk / "results")
        with Store(disk / "results", for_reading=True) as store:
            assert {each.id for each in store.everything()} == set(IDS)
            assert store.arrays(identity(result(1).description))
        assert run_command(["results", "--results", str(disk / "results"), "--verify"], CATALOGUE) == MISUSED
        assert "Read-only file system" in capsys.readouterr().err
        assert run_command(["figures", "--results", str(disk / "results"), "--dataset", "digits"], CATALOGUE) == OK
        page = ["--output", str(tmp_path / "report.html")]
        assert run_command(["report", "dsd", "--results", str(disk / "results"), *page], CATALOGUE) == OK
        assert "not stored; run supermask reproduce dsd" in capsys.readouterr().out
        merging = ["results", "--results", str(tmp_path / "merged"), "--merge", str(disk / "results")]
        assert run_command(merging, CATALOGUE) == OK
    with Store(tmp_path / "merged", for_reading=True) as store:
        assert {each.id for each in store.everything()} == set(IDS)


def test_what_a_cut_off_write_left_is_undone_even_where_nothing_can_be_written(filled, tmp_path):
    """A hot journal on a read-only disk: read from a copy in which it was rolled back."""
    disk = tmp_path / "disk"
    with mounted(disk, "size=4m") as protect:
        folder = Path(shutil.copytree(filled, disk / "working"))
        with Store(folder) as store:
            store._database.execute("PRAGMA cache_size = 1")
            store._database.execute("BEGIN IMMEDIATE")
            store._database.execute("UPDATE results SET metrics = '{}'")
            shutil.copytree(folder, disk / "results")
            store._database.execute("ROLLBACK")
        assert (disk / "results" / "results.sqlite-journal").stat().st_size
        protect()
        with Store(disk / "results", for_reading=True) as store:
            for each in store.everything():
                assert each.metrics == result(IDS[each.id]).metrics


def test_a_locked_database_is_said_to_be_in_use_soon(copy, monkeypatch):
    monkeypatch.setattr(connections, "SECONDS_TO_OPEN", 1)
    holder = sqlite3.connect(copy / "results.sqlite", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    for open_it in (Store, lambda folder: Store(folder, for_reading=True), verify):
        began = time.monotonic()
        with pytest.raises(StoreError, match=r"is in use: another process .* try again once it has ended$"):
            open_it(copy)
        assert time.monotonic() - began < 5
    holder.execute("ROLLBACK")
    holder.execute("BEGIN IMMEDIATE")  # a writer that has not come to its commit is in no reader's way
    with Store(copy, for_reading=True) as store:
        assert store.known(IDS) == set(IDS)
    holder.close()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_place_of_a_file_is_refused_at_once(copy):
    (path,) = copy.glob(f"arrays/*/{identity(result(1).description)}.safetensors")
    path.unlink()
    os.mkfifo(path)
    with Store(copy) as store, pytest.raises(StoreError, match="cannot be read: it is not a regular file"):
        store.arrays(identity(result(1).description))
    (copy / "results.sqlite").unlink()
    os.mkfifo(copy / "results.sqlite")
    for open_it in (Store, lambda folder: Store(folder, for_reading=True), verify):
        with pytest.raises((UsageError, StoreError), match="not a regular file"):
            open_it(copy)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["results.sqlite", "results.sqlite-journal", "results.sqlite-wal", ".locks"])
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_no_other_thing_in_place_of_the_databases_files_is_waited_for(name, make, copy, capsys):
    """SQLite would wait for ever to open a pipe, and tell a folder as an 'I/O error'."""
    (copy / name).unlink(missing_ok=True)
    make(copy / name)
    how = "it is a folder" if make is os.mkdir else "it is not a regular file"
    for command in (["results"], ["results", "--csv", str(copy / "all.csv")], ["results", "--verify"]):
        status = run_command([*command, "--results", str(copy)], CATALOGUE)
        said = capsys.readouterr().err
        if name == ".locks" and command[-1] != "--verify":  # reading asks for no lock
            assert status == OK
        else:
            assert status == MISUSED
            assert f"{copy / name}" in said
            assert how in said
            assert said.count("\n") == 1


def test_a_file_for_locks_that_cannot_be_opened_says_nothing_about_locks(copy):
    (copy / ".locks").unlink(missing_ok=True)
    (copy / ".locks").symlink_to(copy / "nowhere" / "x")
    with pytest.raises(UsageError, match=r"\.locks, by which locks are tried, cannot be used: No such file"):
        Store(copy)


def test_what_lies_where_arrays_are_to_be_written_is_set_aside(copy):
    """Otherwise the next run trains, and cannot store."""
    used = identity(result(1).description)
    (path,) = copy.glob(f"arrays/*/{used}.safetensors")
    path.rename(copy / "kept")
    path.mkdir()
    free = next(each for each in (f"{number:02x}" for number in range(256)) if not (copy / "arrays" / each).exists())
    (copy / "arrays" / free).write_text("mine")
    found = verify(copy)
    moved = {damage.what: damage for damage in found.damages}
    assert set(moved) == {str(path), str(copy / "arrays" / free), f"arrays of {used}"}
    assert moved[str(path)].how == "it is no file"
    assert moved[str(path)].moved_to.is_dir()
    assert moved[str(copy / "arrays" / free)].moved_to.read_text() == "mine"
    with Store(copy) as store:
        store.add([result(1)], MADE_WITH)
        assert store.arrays(used)
    assert not verify(copy).damages


def test_a_file_in_place_of_the_folder_for_what_is_damaged_is_said_before_anything_is_moved(copy):
    (copy / "damaged").touch()
    (path,) = copy.glob(f"arrays/*/{identity(result(1).description)}.safetensors")
    path.write_bytes(b"")
    before = files_of(copy)
    with pytest.raises(UsageError, match="damaged' is no folder"):
        verify(copy)
    assert files_of(copy) == before


def test_a_store_is_written_to_while_it_is_read(copy):
    with Store(copy) as writer, Store(copy, for_reading=True) as reader:
        seen = iter(reader.everything())
        first = next(seen)
        assert first.id in IDS
        list(seen)
        extra = result(77)
        writer.add([extra], MADE_WITH)
        np.testing.assert_array_equal(reader.arrays(identity(extra.description))["w"], extra.arrays["w"])


def test_a_schema_that_is_no_text_any_more_is_damage(copy):
    """SQLite's error then quotes what cannot be decoded, wherever in the schema that is; the records are all there."""
    path = copy / "results.sqlite"
    content = path.read_bytes()
    first, last = content.index(b"CREATE TABLE"), content.index(b"CREATE TABLE") + 1500
    said: list[str] = []
    for place in range(first, min(last, 4096), 3):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x80]) + content[place + 1 :])
        for for_reading in (True, False):
            try:
                with Store(copy, for_reading=for_reading) as store:
                    assert store.known(IDS) <= set(IDS)
            except StoreError as error:
                said.append(str(error))
    assert sum("a name in it is no text" in words for words in said) > 10
    assert not [words for words in said if "in use" in words], "what could not be opened is closed"
    place = content.index(b"CREATE TABLE results") + len(b"CREATE TABLE r")
    path.write_bytes(content[:place] + b"\xc5" + content[place + 1 :])
    assert verify(copy).damages
    holds(copy)


READERS = (
    "figures mask-criteria --dataset digits",
    "report mask-criteria --dataset digits --output page.html",
    "results",
    "results --verify",
    "pack best packed.mask",
    "explore --export site --dataset digits --protocol quick",
    "reproduce mask-criteria --dataset digits --dry-run",
)
NEEDING = ("report", "results", "pack")
"""Commands that have nothing to do without results; the others say or make what is missing."""


@pytest.fixture
def places(tmp_path, monkeypatch) -> Path:
    """An empty current folder with things beside it that are no results folder."""
    monkeypatch.setattr("supermask.analysis.system.platform.set_up_jax", lambda devices=None: None)
    beside, here = tmp_path / "beside", tmp_path / "here"
    (beside / "empty").mkdir(parents=True)
    (beside / "file").write_text("mine")
    os.mkfifo(beside / "pipe")
    here.mkdir()
    monkeypatch.chdir(here)
    return beside


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("command", READERS)
def test_results_are_a_folder_for_every_command_that_reads(command, places, capsys):
    before = sorted(places.iterdir())
    for path in (places / "file", places / "file" / "results", places / "pipe", "/dev/null"):
        assert run_command([*command.split(), "--results", str(path)], CATALOGUE) == MISUSED
        said = capsys.readouterr()
        assert said.err.startswith(f"supermask: error: results {str(path)!r} is no folder: ")
        assert said.err.count("\n") == 1
        assert said.out == ""
        assert sorted(places.iterdir()) == before
        assert not list(Path().iterdir()), "nothing was written"


@pytest.mark.parametrize("command", [each for each in READERS if each.startswith(("figures", *NEEDING))])
def test_a_folder_without_results_is_said_and_left_as_it_is(command, places, capsys):
    for name, why in (("empty", "it has no results.sqlite"), ("mistyped", "it is not there")):
        path = places / name
        status = run_command([*command.split(), "--results", str(path)], CATALOGUE)
        said = capsys.readouterr()
        if command.startswith(NEEDING):
            assert (status, said.out) == (MISUSED, "")
            assert f"results {str(path)!r} is not a results folder: {why}; `supermask reproduce` makes one" in said.err
        else:
            assert status == OK
            assert f"nothing is stored in {path}: {why}" in said.out
        assert not (places / "mistyped").exists()
        assert not list((places / "empty").iterdir())
        assert not list(Path().iterdir()), "nothing was written"


def test_no_folder_is_made_for_a_cluster_that_is_not_there(places, monkeypatch, capsys):
    @contextmanager
    def nowhere(source):
        raise UsageError("cluster cannot be reached: Timed out")
        yield

    monkeypatch.setattr("supermask.analysis.command.reproduce.connected", nowhere)
    arguments = ["reproduce", "mask-criteria", "--dataset", "digits", "--results", str(places / "new")]
    assert run_command([*arguments, "--cluster", "ws://127.0.0.1:9"], CATALOGUE) == MISUSED
    assert "cluster cannot be reached" in capsys.readouterr().err
    assert not (places / "new").exists()
