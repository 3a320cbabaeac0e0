"""Reads untrusted compressed files and tar archives, in one pass and in memory.

Python's gzip, lzma and tarfile read every possible form, and some forms take them minutes, gigabytes or the whole
stack: millions of empty gzip members, an extended header of five million digits. Here everything is bounded.
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
"""Maximum bytes of a file besides the wanted content, for headers, padding and a read-me."""

MOST_BYTES = 1 << 32
"""Maximum bytes of an array of a user's own."""

MOST_PARTS = 10_000
"""Maximum number of separately compressed parts of a file. Block compressors make one per 64 kB."""

DAMAGE = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)
"""Errors from reading damaged or foreign files."""

_BLOCK = 512  # bytes: the unit of a tar archive
_CHUNK = 1 << 16
_REGULAR = b"0\0007"  # types of members that are files: ordinary, of old archives, contiguous


def read_at_most(stream: "Reader", count: int, start: bytes = b"") -> bytes:
    """Return `start` and so many bytes after it, or those that are there; no memory is taken for those that are not."""
    pieces = [start]
    while count > 0 and (piece := stream.read(min(count, SLACK))):
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


class TooMuchError(ValueError):
    """A file that exceeds a limit."""


class ForeignMemberError(ValueError):
    """A wanted member of an archive of an unexpected type or size; the message says what it is."""


@runtime_checkable
class Reader(Protocol):
    """A readable stream."""

    def read(self, count: int, /) -> bytes:
        """Return the next bytes; fewer than requested only at the end."""


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
    """zlib's decompressor for one gzip member, with lzma's interface."""

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
"""Decompressors by file name suffix; all other files are read unchanged."""


@contextmanager
def unpacked(path: Path, most: int) -> Iterator[Reader]:
    """Open a regular file for reading, decompressed if its name ends in .gz or .xz.

    Args:
        path: the file; links are followed, and opening does not wait.
        most: maximum bytes of a compressed file, since empty parts could continue forever.

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
    """A file of one or more compressed parts, one after the other, with or without zeros between them.

    Args:
        file: the compressed file.
        begin: makes the decompressor of a part.
    """

    def __init__(self, file: BinaryIO, begin: Callable[[], _Decompressor]) -> None:
        self._file, self._begin = file, begin
        self._part, self._parts = begin(), 1
        self._ahead = file.read(_CHUNK)  # read but not yet given to the decompressor
        if not self._ahead:
            raise EOFError("an empty file")

    def read(self, count: int, /) -> bytes:
        """Return the next bytes; fewer than `count` only at the end.

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
        """Return some of the next bytes; none at the end of the file."""
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
        """Continue with the next part, if there is one."""
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
    """Read the wanted members of a tar archive, which is read to its end, including checksums after it.

    Extended headers (pax, GNU) are skipped like every unwanted member, because the wanted names fit in a plain header.
    If several members have the same name, the first counts.

    Args:
        source: the archive, decompressed.
        sizes: bytes of each wanted member, by its exact name.

    Returns:
        Contents by name, without members that the archive lacks.

    Raises:
        TooMuchError: the archive has more than `SLACK` bytes besides the wanted members; raised before reading them.
        ValueError: it is no tar archive or is truncated, or a wanted member is no file or has another size.
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
    """Return name, type and size of a member from its header of 512 bytes."""
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
    match = re.fullmatch(rb"[ \0]*([0-7]+)[ \0]*", field)  # sizes beyond 8 GB have another encoding
    if not match:
        raise ValueError(f"a header with a number of bytes {field.hex(' ')}")
    return int(match[1], 8)


def _exactly(source: Reader, count: int) -> bytes:
    content = source.read(count)
    if len(content) < count:
        raise EOFError("it ends in the middle of a member")
    return content
