"""Writing files: whole or not at all, into what is no regular file without replacing it, never over another's file."""

import os
import re
import stat
import threading
from pathlib import Path

import pytest

from supermask.analysis.command.cli import run_command
from supermask.analysis.command.commands import FAILED, MISUSED
from supermask.analysis.system.errors import FileError, StoreError, UsageError
from supermask.analysis.system.files import (
    SAFETENSORS,
    FileKind,
    check_output,
    make_folder,
    read_at_most,
    read_text,
    replacing,
    write_whole,
)
from supermask.figures.catalogue import CATALOGUE

TABLE = FileKind.starting("a table", b"id,kind,")
FULL = Path("/dev/full")

needs_full = pytest.mark.skipif(not FULL.exists(), reason="the system has no /dev/full")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_by_a_whole_one_and_nothing_else_is_left(tmp_path):
    target = tmp_path / "target"
    write_whole(target, b"first")
    target.chmod(0o640)
    write_whole(target, b"second")
    assert target.read_bytes() == b"second"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640, "as accessible as before"
    assert names(tmp_path) == ["target"]


def test_a_writer_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    target = tmp_path / "target"
    target.write_bytes(b"old")

    def fail() -> None:
        with replacing(target) as part:
            part.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["target"]


def test_the_new_files_name_cannot_be_guessed_and_a_link_of_the_old_guess_is_not_followed(tmp_path):
    other = tmp_path / "other"
    other.write_bytes(b"precious")
    (tmp_path / "target.part").symlink_to(other)
    seen = set()
    for _ in range(20):
        with replacing(tmp_path / "target") as part:
            seen.add(part.name)
            assert part.parent == tmp_path, "on the same file system"
            assert not part.is_symlink()
    assert len(seen) == 20
    assert other.read_bytes() == b"precious"


def test_four_writers_of_one_file_never_tear_it_and_never_fail(tmp_path):
    target = tmp_path / "target"
    contents = [bytes([65 + number]) * 200_000 for number in range(4)]
    write_whole(target, contents[0])
    failures: list[BaseException] = []

    def write(content: bytes) -> None:
        try:
            for _ in range(40):
                write_whole(target, content)
        except BaseException as error:  # kept for the main thread to tell
            failures.append(error)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    torn = 0
    while any(thread.is_alive() for thread in threads):
        torn += target.read_bytes() not in contents
    for thread in threads:
        thread.join()
    assert not failures
    assert torn == 0
    assert names(tmp_path) == ["target"]


def test_a_link_stays_a_link_and_what_it_points_to_is_written(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    real = tmp_path / "elsewhere" / "real"
    for link, exists in ((tmp_path / "link", True), (tmp_path / "dangling", False)):
        real.unlink(missing_ok=True)
        if exists:
            real.write_bytes(b"old")
        link.symlink_to(real)
        write_whole(link, b"new")
        assert link.is_symlink()
        assert real.read_bytes() == b"new"


def test_devices_stay_devices():
    before = Path("/dev/null").stat()
    write_whole(Path("/dev/null"), b"content")
    after = Path("/dev/null").stat()
    assert stat.S_ISCHR(after.st_mode)
    assert (after.st_ino, after.st_rdev) == (before.st_ino, before.st_rdev)


def test_a_pipe_is_written_into_and_one_that_nobody_reads_is_an_error(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(FileError, match=f"file {pipe} cannot be written: nobody reads it"):
        write_whole(pipe, b"content")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_whole(pipe, b"content")
        assert os.read(reader, 100) == b"content"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_standard_output_is_written_to_not_replaced(tmp_path):
    """Where it leads to a file, that file goes on: it is the shell's, and may hold more already."""
    path = tmp_path / "log"
    with path.open("wb", buffering=0) as log:
        log.write(b"before\n")
        write_whole(Path(f"/dev/fd/{log.fileno()}"), b"content\n")
        log.write(b"after\n")
    assert path.read_bytes() == b"before\ncontent\nafter\n"


@needs_full
def test_a_full_disk_is_one_line_with_the_path():
    with pytest.raises(FileError, match=r"^file /dev/full cannot be written: No space left on device$"):
        write_whole(FULL, b"content")


@pytest.mark.parametrize(
    ("name", "words"),
    [("missing/file", "No such file or directory"), ("folder", "it is a folder"), ("x" * 300, "File name too long")],
)
def test_what_cannot_be_written_is_one_line_with_the_path(tmp_path, name, words):
    (tmp_path / "folder").mkdir()
    path = tmp_path / name
    with pytest.raises(FileError) as raised:
        write_whole(path, b"content")
    assert str(raised.value) == f"file {path} cannot be written: {words}"
    with pytest.raises(UsageError) as raised_before:
        check_output("csv", path, TABLE)
    assert str(path) in str(raised_before.value)
    assert names(tmp_path) == ["folder"]


@pytest.mark.parametrize("content", [b"SQLite format 3\0", b"\0", b"notes\n", b"id;kind;"])
def test_an_output_never_replaces_what_is_not_of_its_kind(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is there and is not a table: it is not replaced; name another"):
        check_output("csv", path, TABLE)
    with pytest.raises(UsageError, match="is not a safetensors file"):
        check_output("output", path, SAFETENSORS)
    assert path.read_bytes() == content


def test_an_output_may_be_new_empty_or_of_its_kind(tmp_path):
    for content in (None, b"", b"id,kind,dataset\n"):
        path = tmp_path / f"file{content!r}"
        if content is not None:
            path.write_bytes(content)
        check_output("csv", path, TABLE)
    check_output("csv", Path("/dev/null"), TABLE)


def test_a_pipe_a_device_a_folder_or_too_much_is_not_read(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, words in (
        (pipe, "it is not a regular file"),
        (Path("/dev/zero"), "it is not a regular file"),
        (tmp_path, "it is a folder"),
        (tmp_path / "none", "No such file or directory"),
    ):
        with pytest.raises(UsageError, match=f"^file {path} cannot be read: {words}$"):
            read_at_most(path, 10)
    (tmp_path / "long").write_bytes(b"x" * 11)
    with pytest.raises(StoreError, match="more than 10 bytes"):
        read_at_most(tmp_path / "long", 10)


def test_text_is_utf_8_with_or_without_a_byte_order_mark(tmp_path):
    path = tmp_path / "text"
    for content in ("é = 1".encode(), b"\xef\xbb\xbf" + "é = 1".encode()):
        path.write_bytes(content)
        assert read_text(path) == "é = 1"
    path.write_bytes(b"a = \xff")
    with pytest.raises(UsageError, match=r"is not UTF-8: byte 4 is 0xff"):
        read_text(path)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot be made: "):
        make_folder(tmp_path / "file" / "folder")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A results folder of the tables' smallest content."""
    from supermask.analysis.kinds.plan import results_of
    from supermask.analysis.store.store import Result, Store
    from supermask.analysis.studies.experiment import Experiment
    from supermask.analysis.studies.protocols import protocol
    from supermask.datasets import load
    from supermask.learned_masks import LearnedMask

    path = tmp_path_factory.mktemp("r")
    (named,) = results_of(Experiment(protocol("quick"), load("digits")), LearnedMask(), 0)
    with Store(path) as store:
        store.add([Result(named.description, {"test_accuracy": 0.5}, None, 1.0)], {})
    return path


OUTPUTS = [
    lambda folder, path: ["results", "--results", str(folder), "--csv", str(path)],
    lambda folder, path: ["results", "--results", str(folder), "--parquet", str(path)],
    lambda folder, path: ["pack", "best", str(path), "--results", str(folder)],
    lambda folder, path: ["unpack", str(folder / "none.mask"), str(path)],
    lambda folder, path: ["infer", str(folder / "none.deep"), "--csv", str(path)],
    lambda folder, path: ["bench", "fc", "--steps", "1", "--json", str(path)],
]


@pytest.mark.parametrize("arguments", OUTPUTS)
@pytest.mark.parametrize("there", [False, True])
def test_where_nothing_may_be_written_is_said_at_once(arguments, there, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("supermask.analysis.system.platform.set_up_jax", lambda devices=None: None)
    path, real = tmp_path / "out.x", os.access
    kept = path if there else tmp_path
    if there:
        path.write_bytes(b"")
    monkeypatch.setattr("os.access", lambda each, mode: Path(each) != kept and real(each, mode))
    assert run_command(arguments(folder, path), CATALOGUE) == MISUSED
    said = capsys.readouterr()
    words = "it may not be written to" if there else f"nothing can be written in {tmp_path}"
    assert said.err.count("\n") == 1
    assert f"{str(path)!r} cannot be written: {words}" in said.err
    assert said.out == ""


@pytest.mark.parametrize("arguments", OUTPUTS)
def test_no_command_writes_over_the_results_a_folder_or_into_nowhere(arguments, folder, capsys, monkeypatch):
    monkeypatch.setattr("supermask.analysis.system.platform.set_up_jax", lambda devices=None: None)
    database = folder / "results.sqlite"
    before = database.read_bytes()
    for path, words in (
        (database, "it is not replaced"),
        (folder, "it is a folder"),
        (folder / "no" / "x", "is not a folder"),
    ):
        assert run_command(arguments(folder, path), CATALOGUE) == MISUSED
        said = capsys.readouterr()
        assert said.err.count("\n") == 1
        assert said.err.count("cannot be written") <= 1
        assert str(path) in said.err
        assert words in said.err
        assert said.out == ""
    assert database.read_bytes() == before


@pytest.mark.parametrize("command", [["results", "--csv", "all", "--parquet"], ["bench", "density", "--json"]])
def test_two_outputs_of_a_command_are_two_files(command, folder, tmp_path, monkeypatch, capsys):
    """The second would replace the first without a word."""
    monkeypatch.setattr("supermask.analysis.system.platform.set_up_jax", lambda devices=None: None)
    monkeypatch.chdir(tmp_path)
    Path("link.svg").symlink_to("all")
    folders = ["--results", str(folder)] if "results" in command else []
    for same in ("all", "ALL", "link.svg") if folders else ("all.svg",):
        assert run_command([*command, same, *folders], CATALOGUE) == MISUSED
        said = capsys.readouterr()
        assert re.fullmatch(rf"supermask: error: (csv|json) and .* are both '{re.escape(same)}'; .*\n", said.err)
        assert said.out == ""
    assert names(tmp_path) == ["link.svg"]


@needs_full
@pytest.mark.parametrize("arguments", OUTPUTS[:1])
def test_a_full_disk_is_a_failure_in_one_line(arguments, folder, capsys):
    assert run_command(arguments(folder, FULL), CATALOGUE) == FAILED
    said = capsys.readouterr().err
    assert said == "supermask: error: file /dev/full cannot be written: No space left on device\n"


def test_the_table_goes_through_pipes_and_over_an_earlier_one(folder, tmp_path, capsys):
    path = tmp_path / "all.csv"
    for _ in range(2):
        assert run_command(["results", "--results", str(folder), "--csv", str(path)], CATALOGUE) == 0
    assert path.read_text().startswith("id,kind,")
    assert names(tmp_path) == ["all.csv"]
