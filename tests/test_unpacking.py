"""Data files that are none, and archives that take Python's readers minutes: refused within a second, by name."""

import gzip
import io
import lzma
import os
import signal
import socket
import struct
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from test_datasets import (  # noqa: F401 (fixtures among them)
    FOLDER,
    RECORD_SOURCE,
    RECORDS,
    TINY,
    TRAIN_IMAGES,
    cache,
    packed,
    published,
    record_files,
    tar_bytes,
    write_records,
)

from supermask.datasets import DataError, load
from supermask.datasets.unpacking import MOST_PARTS, SLACK, read_members, unpacked


@contextmanager
def within_a_second() -> Iterator[None]:
    """Of this process's time, on busy cores too. What waits for ever ends after 20 seconds."""

    def waits(number: int, frame: object) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, waits)
    signal.alarm(20)
    started = time.process_time()
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert time.process_time() - started < 1.0


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def bound_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


PLACES = {
    "idx": TRAIN_IMAGES.removesuffix(".gz"),
    "idx gz": TRAIN_IMAGES,
    "record": f"{FOLDER}/two.bin",
    "gz": "tiny-binary.tar.gz",
    "xz": "tiny-binary.tar.xz",
    "folder": FOLDER,
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes in the file system")
@pytest.mark.parametrize("make", [pipe, device, bound_socket, Path.mkdir])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("where", ["data_dir", "cache"])
def test_what_is_no_file_is_refused(place, make, where, tmp_path, cache, published):  # noqa: F811
    if place == "folder" and make is Path.mkdir:
        pytest.skip("a folder is right there")
    source = TINY.source if place.startswith("idx") else RECORD_SOURCE
    published(source, (4, 2, 3))
    folder = tmp_path / "mine" if where == "data_dir" else cache / "tiny"
    TINY.write(folder) if source is TINY.source else write_records(folder, "folder", record_files())
    path = folder / PLACES[place]
    if place in ("gz", "xz", "folder"):
        for each in (folder / FOLDER).iterdir():
            each.unlink()
        (folder / FOLDER).rmdir()
    path.unlink(missing_ok=True)
    (folder / TRAIN_IMAGES).unlink(missing_ok=True)
    make(path)
    with within_a_second(), pytest.raises(DataError) as caught:
        load("tiny", data_dir=folder if where == "data_dir" else None, download=False)
    assert str(path) in str(caught.value)


def test_a_folder_beside_the_file_is_no_matter(tmp_path, published):  # noqa: F811
    """One well-known copy of MNIST has both."""
    published(TINY.source)
    TINY.write(tmp_path)
    name = TRAIN_IMAGES.removesuffix(".gz")
    (tmp_path / name).mkdir()
    assert load("tiny", data_dir=tmp_path, download=False).source == f"files in {tmp_path}"


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_a_folder_of_an_impossible_name(name, tmp_path, published):  # noqa: F811
    published(TINY.source)
    with pytest.raises(DataError, match="expected a folder with data sets"):
        load("tiny", data_dir=tmp_path / name, download=False)


def test_an_unpacked_copy_that_is_a_pipe_is_passed_over(tmp_path, cache, published):  # noqa: F811
    published(RECORD_SOURCE, (4, 2, 3))
    write_records(tmp_path, "xz", record_files())
    digest = load("tiny", data_dir=tmp_path).digest
    (copy,) = (cache / "unpacked").iterdir()
    copy.unlink()
    os.mkfifo(copy)
    with within_a_second():
        assert load("tiny", data_dir=tmp_path).digest == digest


# --- Archives ---------------------------------------------------------------------------------------------

GOOD = tar_bytes(record_files())


def member(name: str, size: int, kind: bytes = tarfile.REGTYPE, linkname: str = "") -> bytes:
    """A header that says so."""
    made = tarfile.TarInfo(name)
    made.size, made.type, made.linkname = size, kind, linkname
    return made.tobuf(tarfile.GNU_FORMAT)


def filled(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def digits(count: int) -> bytes:
    """A pax header that begins with a number of so many digits; tarfile takes the square of that."""
    return member("././@PaxHeader", count, tarfile.XHDTYPE) + filled(b"1" * count)


LONG_NAME = member("././@LongLink", 4, tarfile.GNUTYPE_LONGNAME) + filled(b"name")
ONE = f"{FOLDER}/one.bin"
EMPTY = packed(b"")
ENDLESS_NAME = b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * (SLACK - 100)

ATTACKS: dict[str, tuple[Callable[[], bytes], str]] = {
    "five million digits": (lambda: packed(digits(5_000_000) + GOOD), "more than .* bytes when unpacked"),
    "100,000 long names": (lambda: 100 * packed(1000 * LONG_NAME) + packed(GOOD), "more than .* bytes when unpacked"),
    "200,000 empty members": (lambda: 100 * packed(2_000 * member("m", 0)), "more than .* bytes when unpacked"),
    "a size that lies": (lambda: packed(member("m", 8**11 - 1) + GOOD), "more than .* bytes when unpacked"),
    "cut off in a member": (lambda: packed(member("m", 1000)), "damaged or foreign file"),
    "a number that is none": (lambda: packed(GOOD[:124] + b"9" * 12 + GOOD[136:]), "damaged or foreign file"),
    "sparse": (lambda: packed(member(ONE, 39, tarfile.GNUTYPE_SPARSE) + GOOD), "which is not a file"),
    "hard link": (lambda: packed(member(ONE, 39, tarfile.LNKTYPE, "/etc/passwd") + GOOD), "which is not a file"),
    "device": (lambda: packed(member(ONE, 39, tarfile.CHRTYPE) + GOOD), "which is not a file"),
    "folder": (lambda: packed(member(f"{ONE}/", 0, tarfile.DIRTYPE) + GOOD), "of 0 bytes"),
    "many parts": (lambda: (MOST_PARTS + 1) * EMPTY + packed(GOOD), "compressed parts"),
    "a million parts": (lambda: 1_000_000 * EMPTY, "more than .* bytes"),
    "a name without end": (lambda: ENDLESS_NAME, "damaged or foreign file"),
    "junk behind": (lambda: packed(GOOD) + b"junk", "damaged or foreign file"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_archive_that_attacks_is_refused(attack, tmp_path):
    make, found = ATTACKS[attack]
    path = tmp_path / "tiny-binary.tar.gz"
    path.write_bytes(make())
    with within_a_second(), pytest.raises(DataError, match=f"expected the TinyColours archive.*{found}") as caught:
        RECORD_SOURCE.read([path], tmp_path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("count", [MOST_PARTS, MOST_PARTS + 1])
def test_many_parts_of_xz(count, tmp_path):
    path = tmp_path / "parts.xz"
    path.write_bytes(count * lzma.compress(b""))
    with within_a_second():
        if count > MOST_PARTS:
            with unpacked(path, SLACK) as stream, pytest.raises(ValueError, match="more than 10000 compressed parts"):
                stream.read(1)
        else:
            with unpacked(path, SLACK) as stream:
                assert stream.read(1) == b""


def test_an_idx_file_of_a_million_parts_is_refused(tmp_path):
    path = tmp_path / TRAIN_IMAGES
    path.write_bytes(1_000_000 * EMPTY)
    with within_a_second(), pytest.raises(DataError, match=f"{path}: .*more than .* bytes"):
        TINY.source.train_images.read(path)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_of_every_common_form_are_read(form, tmp_path):
    """Extended headers are skipped: those of times in fractions of seconds, of long names beside ours, of owners."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as tar:
        for name, data in {f"{FOLDER}/{'long' * 20}/{'name' * 20}": b"read me", **record_files()}.items():
            made = tarfile.TarInfo(name)
            made.size, made.mtime, made.uname = len(data), 1.5 if form == tarfile.PAX_FORMAT else 1, "someone"
            tar.addfile(made, io.BytesIO(data))
    path = tmp_path / "tiny-binary.tar.gz"
    path.write_bytes(packed(stream.getvalue()))
    train, test = RECORD_SOURCE.read([path], tmp_path)
    np.testing.assert_array_equal(np.concatenate([train.labels, test.labels]), RECORDS[:, 0])


def test_members_are_those_that_tarfile_reads():
    names = {f"{'folder' * 12}/{'file' * 12}": b"a name in two fields", "short": bytes(1000), "none": b""}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in names.items():
            made = tarfile.TarInfo(name)
            made.size = len(data)
            tar.addfile(made, io.BytesIO(data))
    found = read_members(io.BytesIO(stream.getvalue()), {name: len(data) for name, data in names.items()})
    assert found == names


@pytest.mark.parametrize("sizes", [[10], [0, 10], [1_200_000, 0, 5, 100]])
@pytest.mark.parametrize("padding", [0, 1, 200_000])
def test_parts_behind_one_another_are_one_file(sizes, padding, tmp_path):
    generator = np.random.default_rng(0)
    contents = [generator.bytes(size // 2) + bytes(size - size // 2) for size in sizes]
    for end, compress in ((".gz", gzip.compress), (".xz", lzma.compress)):
        path = tmp_path / f"file{end}"
        path.write_bytes(b"".join(compress(content) + bytes(4 * padding) for content in contents))
        with unpacked(path, 1 << 24) as stream:
            pieces = list(iter(lambda: stream.read(70_001), b""))
        assert b"".join(pieces) == b"".join(contents)
        assert all(len(piece) == 70_001 for piece in pieces[:-1])


def test_plain_files_are_read_as_they_are(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(struct.pack(">I", 7))
    with unpacked(path, 0) as stream:
        assert stream.read(100) == b"\0\0\0\7"
