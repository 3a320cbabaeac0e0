"""Reads compressed files and tar archives in which nothing can be trusted, in one pass and in memory.

Python's gzip, lzma and tarfile read every form that there is. Some forms take them minutes, gigabytes or all of the
stack: millions of empty gzip members, an extended header of five million digits. Here everything has a bound.
Format of tar: POSIX.1-1988 (ustar), https://www.gnu.org/software/tar/manual/html_node/Standard.html.
"""

import lzma
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from supermask.reading import open_regular

SLACK = 1 << 20
"""Bytes that a file may have beyond what is wanted of it: headers, padding, a read-me."""

MOST_PARTS = 10_000
"""Of a compressed file, each compressed for itself. Block compressors make one of every 64 kB."""

DAMAGE = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)
"""What reading damaged or foreign files raises."""

_BLOCK = 512  # bytes: the unit of a tar archive
_CHUNK = 1 << 16
_REGULAR = b"0\0007"  # types of members that are files: ordinary, of old archives, contiguous


class TooMuchError(ValueError):
    """A file holds more than it may."""


class ForeignMemberError(ValueError):
    """A wanted member of an archive is not what it should be; the message says what it is."""


@runtime_checkable
class Reader(Protocol):
    """What can be read."""

    def read(self, count: int, /) -> bytes:
        """The next bytes: fewer than asked for at the end only."""


@runtime_checkable
class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /, max_length: int) -> bytes: ...


class _Gzip:
    """zlib's decompressor of one gzip member, with the interface of lzma's."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


_DECOMPRESSORS: Mapping[str, Callable[[], _Decompressor]] = {".gz": _Gzip, ".xz": lzma.LZMADecompressor}
"""By the end of a file's name; every other file is read as it is."""


@contextmanager
def unpacked(path: Path, most: int) -> Iterator[Reader]:
    """The content of a regular file, decompressed if its name ends in .gz or .xz.

    Args:
        path: the file; links are followed, nothing is waited for.
        most: bytes that the file may have if it is compressed. Parts that hold nothing could go on for ever.

    Raises:
        OSError: the file cannot be read or is not a regular file.
        TooMuchError: a compressed file has more than `most` bytes.
    """
    with open_regular(path) as file:
        begin = _DECOMPRESSORS.get(path.suffix)
        if begin and os.fstat(file.fileno()).st_size > most:
            raise TooMuchError(f"more than {most} bytes")
        yield _Decompressed(file, begin) if begin else file


class _Decompressed:
    """A file of one or several compressed parts, one behind the other, with zeros in between or not.

    Args:
        file: where the parts are.
        begin: makes the decompressor of a part.
    """

    def __init__(self, file: BinaryIO, begin: Callable[[], _Decompressor]) -> None:
        self._file, self._begin = file, begin
        self._part, self._parts = begin(), 1
        self._ahead = file.read(_CHUNK)  # read but not yet given to the decompressor
        if not self._ahead:
            raise EOFError("an empty file")

    def read(self, count: int, /) -> bytes:
        """The next bytes: fewer than `count` at the end only.

        Raises:
            OSError, EOFError, zlib.error, lzma.LZMAError: the file is damaged or cut off.
            TooMuchError: the file has more than `MOST_PARTS` parts.
        """
        pieces = []
        while count and (piece := self._piece(min(count, SLACK))):
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    def _piece(self, most: int) -> bytes:
        """Some of the next bytes; none at the end of the file."""
        while not self._part.eof or self._has_another():
            if not self._ahead and self._part.needs_input:
                self._ahead = self._file.read(_CHUNK)
            at_end = not self._ahead
            piece = self._part.decompress(self._ahead, max_length=most)
            self._ahead = b""
            if piece:
                return piece
            if at_end and self._part.needs_input and not self._part.eof:
                raise EOFError("it ends in the middle of its compressed data")
        return b""

    def _has_another(self) -> bool:
        """Goes on to the part behind the one that has ended, if there is one."""
        data = self._part.unused_data
        while not (data := data.lstrip(b"\0")):
            if not (data := self._file.read(_CHUNK)):
                return False
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise TooMuchError(f"more than {MOST_PARTS} compressed parts")
        self._part, self._ahead = self._begin(), data
        return True


def read_members(source: Reader, sizes: Mapping[str, int]) -> dict[str, bytes]:
    """The wanted members of a tar archive, which is read to its end, checksums behind it included.

    Extended headers (pax, GNU) are skipped like any other member that is not wanted: names that are looked for fit into
    a plain header. Of several members of one name, the first counts.

    Args:
        source: the archive, decompressed.
        sizes: bytes of each wanted member, by its exact name.

    Returns:
        Contents by name; members that the archive lacks are missing.

    Raises:
        TooMuchError: the archive has more than `SLACK` bytes besides the wanted members; told before they are read.
        ValueError: it is no tar archive, is cut off, or a wanted member is no file or has another size.
    """
    found: dict[str, bytes] = {}
    left = SLACK
    while True:
        header = source.read(_BLOCK)
        if not header.strip(b"\0"):
            break
        name, kind, size = _parse(header)
        padding = -size % _BLOCK
        wanted = name in sizes and name not in found
        if wanted:
            if size != sizes[name]:
                raise ForeignMemberError(f"{name} of {size} bytes")
            if kind not in _REGULAR:
                raise ForeignMemberError(f"{name}, which is not a file")
        left -= _BLOCK + padding + (0 if wanted else size)
        if left < 0:
            raise TooMuchError
        content = _exactly(source, size)
        if wanted:
            found[name] = content
        _exactly(source, padding)
    while rest := source.read(_CHUNK):
        left -= len(rest)
        if left < 0:
            raise TooMuchError
    return found


def _parse(header: bytes) -> tuple[str, bytes, int]:
    """Name, type and size of the member that a header of 512 bytes begins."""
    if len(header) < _BLOCK:
        raise ValueError("it ends in the middle of a header")
    total = sum(header) - sum(header[148:156]) + 8 * ord(" ")
    if _number(header[148:156]) != total:
        raise ValueError("a header with a wrong checksum")
    name = _text(header[:100])
    if header[257:263] == b"ustar\0" and (prefix := _text(header[345:500])):
        name = f"{prefix}/{name}"
    return name.rstrip("/"), header[156:157], _number(header[124:136])


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode(errors="surrogateescape")


def _number(field: bytes) -> int:
    match = re.fullmatch(rb"[ \0]*([0-7]+)[ \0]*", field)  # sizes beyond 8 GB are written in another way
    if not match:
        raise ValueError(f"a header with a number of bytes {field.hex(' ')}")
    return int(match[1], 8)


def _exactly(source: Reader, count: int) -> bytes:
    content = source.read(count)
    if len(content) < count:
        raise EOFError("it ends in the middle of a member")
    return content
