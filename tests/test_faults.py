"""What a results folder lives through: flipped bits, cut power, full and vanished disks, two writers, a wrong clock."""

import hashlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import supermask.analysis.store.store
from supermask.analysis.command.cli import run_command
from supermask.analysis.command.commands import FAILED, MISUSED, OK
from supermask.analysis.command.verify import verify
from supermask.analysis.store.identity import identity
from supermask.analysis.store.store import Result, Store
from supermask.analysis.system import locks
from supermask.analysis.system.errors import StoreError, UsageError
from supermask.figures.catalogue import CATALOGUE

MADE_WITH = {"supermask": "test"}


def result(number: int, size: int = 50) -> Result:
    arrays = {"w": np.arange(number, number + size, dtype=np.float32)} if number % 3 else None
    return Result(description_of(number) | {"words": "x" * 300}, metrics_of(number), arrays, 1.0)


def description_of(number: int) -> dict[str, object]:
    """The least that a description has; each number's is another."""
    own = {"kind": "untrained", "criterion": "random", "level": 0}
    return own | {"dataset": "digits", "network": "fc", "seed": number}


def metrics_of(number: int) -> dict[str, float]:
    """The metrics that such a result has."""
    return {"test_accuracy": number / 700, "test_loss": 1.0, "weights_remaining": 1.0}


NUMBERS = range(40)
IDS = {identity(result(number).description): number for number in NUMBERS}


def fill(folder: Path) -> None:
    with Store(folder) as store:
        store.add([result(number) for number in NUMBERS], MADE_WITH)


def holds(folder: Path) -> None:
    """Asserts that the folder holds exactly what was stored."""
    with Store(folder) as store:
        assert {each.id for each in store.everything()} == set(IDS)
        for each in store.everything():
            expected = result(IDS[each.id])
            assert each.metrics == expected.metrics
            if expected.arrays is not None:
                np.testing.assert_array_equal(store.arrays(each.id)["w"], expected.arrays["w"])


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("filled") / "results"
    fill(folder)
    holds(folder)
    assert not verify(folder).damages
    return folder


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A folder in memory, where there is one: hundreds of examples force files to the disk."""
    memory = Path("/dev/shm")  # noqa: S108
    if not memory.is_dir():
        yield tmp_path_factory.mktemp("scratch")
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def fresh(scratch: Path, filled: Path) -> Path:
    """A copy of the filled folder, in place of the last one."""
    folder = scratch / "results"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(filled, folder)
    return folder


@settings(max_examples=100)
@given(st.data())
def test_flipped_bits_are_never_used_and_verify_makes_room_for_training_again(scratch, filled, data):
    folder = fresh(scratch, filled)
    files = [folder / "results.sqlite", *sorted((folder / "arrays").rglob("*.safetensors"))]
    path = data.draw(st.sampled_from([files[0]] * len(files) + files))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, 100) | st.integers(0, len(content) - 1))
    for at in range(place, min(place + data.draw(st.sampled_from([1, 1, 300])), len(content))):
        content[at] ^= data.draw(st.integers(1, 255), label="flip") if at == place else 0x55
    path.write_bytes(content)
    try:
        with Store(folder) as store:
            for id_ in store.known(IDS):
                expected = result(IDS[id_])
                assert store.metrics(id_) == expected.metrics
                if expected.arrays is not None:
                    np.testing.assert_array_equal(store.arrays(id_)["w"], expected.arrays["w"])
    except StoreError:
        pass  # noticed: what matters is that nothing else came out
    with suppress(LaterFormatError):  # what may be a later version's is left alone
        mend(folder)


class LaterFormatError(Exception):
    """Stands for the refusal of a format that may be a later version's."""


def mend(folder: Path) -> None:
    """Verifies the folder, stores again what is missing, and asserts that all is there and right."""
    try:
        found = verify(folder)
    except StoreError as error:
        raise LaterFormatError(error) if "has format" in str(error) else error from None
    for damage in found.damages:
        assert damage.moved_to.exists()
    assert not verify(folder).damages, "once is enough"
    fill(folder)  # stands for training again
    holds(folder)


def test_every_kind_of_damage_is_named_set_aside_and_reported_by_the_command(filled, tmp_path, capsys):
    folder = tmp_path / "results"
    shutil.copytree(filled, folder)
    ids = list(IDS)
    with_arrays = [id_ for id_, number in IDS.items() if number % 3]
    path = folder / "arrays" / with_arrays[0][:2] / f"{with_arrays[0]}.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    (folder / "arrays" / with_arrays[1][:2] / f"{with_arrays[1]}.safetensors").unlink()
    changed = next(id_ for id_ in ids if id_ not in with_arrays)
    with sqlite3.connect(folder / "results.sqlite") as database:
        database.execute("UPDATE results SET metrics = '{\"test_accuracy\": 1.0}' WHERE id = ?", (changed,))
    database.close()
    (folder / "arrays" / "left.part").write_text("cut off")
    command = ["results", "--results", str(folder), "--verify"]
    with Store(folder) as store, pytest.raises(StoreError, match="results --verify"):
        store.metrics(changed)
    assert run_command(command, CATALOGUE) == FAILED
    said = capsys.readouterr().out
    assert "40 records and 26 files of arrays checked" in said
    assert f"damaged: arrays of {with_arrays[0]}: {path} is damaged" in said
    assert f"damaged: arrays of {with_arrays[1]}" in said
    assert f"damaged: record {changed}: it is not what was stored" in said
    assert "left over, harmless" in said
    assert "left.part" in said
    assert run_command(command, CATALOGUE) == OK
    assert "nothing is damaged" in capsys.readouterr().out
    with Store(folder) as store:
        assert store.known(ids) == set(ids) - {*with_arrays[:2], changed}
    assert run_command([*command, "--csv", "x.csv"], CATALOGUE) == MISUSED
    assert run_command(["results", "--results", str(tmp_path), "--verify"], CATALOGUE) == MISUSED


def test_damaged_provenance_costs_no_result(filled, tmp_path):
    folder = tmp_path / "results"
    shutil.copytree(filled, folder)
    with sqlite3.connect(folder / "results.sqlite") as database:
        database.execute("UPDATE provenance SET made_with = replace(made_with, 'test', 'tast')")
    database.close()
    with Store(folder) as store, pytest.raises(StoreError, match="damaged"):
        store.metrics(next(iter(IDS)))
    assert "40 records of it were intact" in verify(folder).damages[0].how
    holds(folder)
    with Store(folder) as store:
        assert list(store.provenance(IDS)[0]) == ["damaged"]


def test_a_record_that_names_a_path_elsewhere_moves_nothing(tmp_path):
    folder, precious = tmp_path / "results", tmp_path / "precious.safetensors"
    fill(folder)
    precious.write_text("mine")
    with sqlite3.connect(folder / "results.sqlite") as database:
        database.execute("UPDATE results SET id = '../../../precious' WHERE id = ?", (next(iter(IDS)),))
    database.close()
    assert verify(folder).damages
    assert precious.read_text() == "mine"


def test_a_folder_of_a_version_without_digests_is_read_and_gets_them(filled, tmp_path):
    folder = tmp_path / "results"
    shutil.copytree(filled, folder)
    with sqlite3.connect(folder / "results.sqlite") as database:
        database.execute("DROP TABLE digests")
    database.close()
    holds(folder)
    with Store(folder) as store:
        assert all(record.sha256 for record in store.records())
        older = sqlite3.connect(folder / "results.sqlite")  # such a version goes on writing
        older.execute("DELETE FROM digests WHERE id = ?", (next(iter(IDS)),))
        older.commit()
        older.close()
        assert store.metrics(next(iter(IDS))) == result(0).metrics


def copy_of(folder: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to)
    return to


@pytest.fixture(scope="module")
def cut(filled, tmp_path_factory) -> dict[str, Path]:
    """The folder as it lies on the disk in the middle of storing forty more results: 'early', before SQLite's journal
    was forced to the disk, and 'late', with pages of the database overwritten."""
    base = tmp_path_factory.mktemp("cut")
    states = {}
    for name, pages in (("early", 2000), ("late", 4)):
        folder = copy_of(filled, base / "working")
        with Store(folder) as store:
            store._database.execute(f"PRAGMA cache_size = {pages}")
            inserted = supermask.analysis.store.store.insert_record
            count = 0

            def insert(*arguments, to=base / name, folder=folder):
                nonlocal count
                inserted(*arguments)  # noqa: B023
                count += 1
                if count == 40:
                    copy_of(folder, to)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(supermask.analysis.store.store, "insert_record", insert)
                store.add([result(number) for number in range(100, 140)], MADE_WITH)
        states[name] = base / name
        assert (base / name / "results.sqlite-journal").exists()
    assert (states["early"] / "results.sqlite").read_bytes() == (filled / "results.sqlite").read_bytes()
    assert (states["late"] / "results.sqlite").read_bytes() != (filled / "results.sqlite").read_bytes()
    return states


@settings(max_examples=100)
@given(st.data())
def test_a_power_cut_loses_nothing_that_was_stored(scratch, filled, cut, data):
    state = data.draw(st.sampled_from(["early", "late"]))
    folder = copy_of(cut[state], scratch / "cut")
    journal = folder / "results.sqlite-journal"
    before = (filled / "results.sqlite").read_bytes()
    if state == "early":  # nothing of the journal was forced to the disk: any prefix of it may be there, or nothing
        kept = data.draw(st.integers(0, journal.stat().st_size))
        journal.write_bytes(journal.read_bytes()[:kept])
    else:  # the journal was; of the pages written after it any may be new, old, or torn, and the file of any length
        new = bytearray((folder / "results.sqlite").read_bytes())
        for page in range(0, len(before), 4096):
            torn = data.draw(st.sampled_from([0, 512, 2048, 4096]))
            new[page : page + torn] = before[page : page + torn]
        length = data.draw(st.integers(len(before), len(new)))
        (folder / "results.sqlite").write_bytes(new[:length])
    known = {path.name for path in (filled / "arrays").rglob("*")}
    for path in sorted((folder / "arrays").rglob("*.safetensors")):
        if path.name not in known:
            content = path.read_bytes()
            path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    assert not verify(folder).damages
    holds(folder)
    with Store(folder) as store:
        store.add([result(number) for number in range(100, 140)], MADE_WITH)
        for number in range(100, 140):
            id_ = identity(result(number).description)
            assert store.metrics(id_) == result(number).metrics
            assert not number % 3 or store.arrays(id_)


@contextmanager
def mounted(folder: Path, options: str):
    """A file system of one's own, which the function that this yields makes read-only: only root may make one."""
    folder.mkdir()
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    if not (mount and unmount):
        pytest.skip("no file system can be mounted here: there is no mount")
    made = subprocess.run([mount, "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    try:
        yield lambda: subprocess.run([mount, "-o", "remount,ro", str(folder)], check=True)
    finally:
        subprocess.run([unmount, "-l", str(folder)], check=True)


def test_a_full_disk_is_an_error_and_what_was_stored_stays(tmp_path):
    disk = tmp_path / "disk"
    with mounted(disk, "size=1m"):
        folder = disk / "results"
        fill(folder)
        with Store(folder) as store:
            with pytest.raises(StoreError, match="No space left on device"):
                store.add([result(number, 20_000) for number in range(100, 120)], MADE_WITH)
            (disk / "filler").write_bytes(b"x" * (shutil.disk_usage(disk).free - 4096))
            with pytest.raises(StoreError, match=r"disk is full|No space left"):
                store.add([result(number, 1) for number in range(3, 300, 3)], MADE_WITH)
            (disk / "filler").unlink()
            store.add([result(300)], MADE_WITH)
            store.remove(identity(result(300).description))
        assert not list((folder / "arrays").rglob("*.part"))
        holds(folder)


@pytest.mark.parametrize("which", ["folder", "database", "arrays"])
def test_a_folder_that_is_deleted_under_the_run_is_an_error(tmp_path, which):
    folder = tmp_path / "results"
    with Store(folder) as store:
        store.add([result(1)], MADE_WITH)
        shutil.move(
            {"folder": folder, "database": folder / "results.sqlite", "arrays": folder / "arrays"}[which],
            tmp_path / "gone",
        )
        for number in (2, 3):
            with pytest.raises(StoreError, match="could not be written"):
                store.add([result(number)], MADE_WITH)
            if which == "arrays":
                break  # what has no arrays is stored all the same


def test_a_clock_that_is_set_back_matters_to_nothing(filled, tmp_path, monkeypatch):
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(1999, 12, 31, tzinfo=tz) - timedelta(days=1)

    folder = tmp_path / "results"
    shutil.copytree(filled, folder)
    monkeypatch.setattr(supermask.analysis.store.store, "datetime", Clock)
    with Store(folder) as store:
        store.add([result(number) for number in range(41)], MADE_WITH)
        assert [each.stored_at[:4] for each in store.everything() if each.id not in IDS] == ["1999"]
        assert {each.stored_at[:4] for each in store.everything() if each.id in IDS} == {str(datetime.now(UTC).year)}
        store.remove(identity(result(40).description))
    holds(folder)


@pytest.mark.parametrize("refusal", ["an error", "granted twice"])
def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch, refusal):
    def lock(descriptor: int) -> bool:
        if refusal == "an error":
            raise OSError(37, "No locks available")
        return True

    Store(tmp_path / "fine")
    monkeypatch.setattr(locks, "_lock", lock)
    with pytest.raises(UsageError, match="on a file system that does not lock files"):
        Store(tmp_path / "results")


def test_a_lock_is_granted_to_one_alone(tmp_path):
    with (tmp_path / "x").open("ab") as first, (tmp_path / "x").open("ab") as second:
        assert locks._lock(first.fileno())
        assert not locks._lock(second.fileno())


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_faults import MADE_WITH, result
from supermask.analysis.store.store import Store
for number in range(25):
    with Store(Path(sys.argv[1])) as store:
        store.add([result(number), result(number + 1)], MADE_WITH)
"""


def test_two_processes_store_the_same_and_nothing_is_double(tmp_path):
    program = WRITER.format(tests=str(Path(__file__).parent))
    arguments = [sys.executable, "-c", program, str(tmp_path / "results")]
    processes = [subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert not verify(tmp_path / "results").damages
    with Store(tmp_path / "results") as store:
        assert len(list(store.everything())) == 26


def test_what_one_writes_does_not_undo_what_another_stored(tmp_path):
    """Two machines may find other bits for one result: the first to be stored stays, arrays and all."""
    with Store(tmp_path / "results") as first, Store(tmp_path / "results") as second:
        first.add([result(1)], MADE_WITH)
        other = Result(result(1).description, metrics_of(7), {"w": np.zeros(3, np.float32)}, 1.0)
        second.add([other], {"supermask": "another"})
        id_ = identity(other.description)
        np.testing.assert_array_equal(second.arrays(id_)["w"], result(1).arrays["w"])
        digest = hashlib.sha256(first.arrays_path(id_).read_bytes()).hexdigest()
        assert [each.arrays_sha256 for each in first.everything()] == [digest]
