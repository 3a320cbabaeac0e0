"""Files that a user names: read up to a maximum size, checked before long work, written atomically.

Every error of the operating system becomes one line with the path: `UsageError` where another path would help,
`FileError` where the system failed (a full disk).
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from supermask import writing
from supermask.analysis.system.errors import FileError, StoreError, UsageError, reason
from supermask.reading import open_regular

_HEAD = 4096


@dataclass(frozen=True)
class FileKind:
    """A kind of file that a command writes.

    words: description of the kind: 'a safetensors file'.
    fits: whether a file that begins with these bytes (4,096 at most) is of the kind.
    """

    words: str
    fits: Callable[[bytes], bool]

    @classmethod
    def starting(cls, words: str, *beginnings: bytes) -> "FileKind":
        """Return the kind of files that begin with one of these byte strings."""
        return cls(words, lambda head: head.startswith(beginnings))


def is_safetensors(head: bytes) -> bool:
    """Return whether a file begins like safetensors: with a header's length and a JSON object."""
    return len(head) > 9 and 2 <= int.from_bytes(head[:8], "little") <= 100_000_000 and head[8:9] == b"{"


SAFETENSORS = FileKind("a safetensors file", is_safetensors)
PICTURES = {
    ".svg": FileKind("an SVG picture", lambda head: b"<svg" in head),
    ".png": FileKind.starting("a PNG picture", b"\x89PNG\r\n\x1a\n"),
    ".pdf": FileKind.starting("a PDF file", b"%PDF-"),
}
PARQUET = FileKind.starting("a Parquet file", b"PAR1")


def read_at_most(path: Path, most: int, what: str = "network of ours") -> bytes:
    """Return the content of a regular file.

    Raises UsageError if it cannot be read or is not a regular file (reading a pipe might never end), and StoreError if
    it has more bytes than `most`; the message then says that it is no `what`.
    """
    with reading(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise StoreError(f"{path} is no {what}: it has more than {most:,} bytes")
    return content


@contextmanager
def reading(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading, without waiting. Raises UsageError if it cannot be read."""
    try:
        file = open_regular(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"file {path} cannot be read: {reason(error)}") from None
    try:
        with file:
            yield file
    except OSError as error:
        raise FileError(f"file {path} cannot be read: {reason(error)}") from None


def read_text(path: Path, most: int = 1 << 24, what: str = "text of ours") -> str:
    """Return the text of a regular file: UTF-8 under any locale, with or without a byte-order mark.

    Raises UsageError if it cannot be read or is not UTF-8, StoreError if it has more bytes than `most`.
    """
    try:
        return read_at_most(path, most, what).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"file {path} is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}") from None


def check_output(argument: str, path: Path, kind: FileKind) -> None:
    """Raise UsageError if a file could not be written, or would replace a file of another kind.

    Call it before long work. It writes and changes nothing.
    """
    named = f"{argument} {str(path)!r} cannot be written"
    try:
        found = path.stat()
    except FileNotFoundError:
        found = None
    except (OSError, ValueError) as error:
        raise UsageError(f"{named}: {_not_a_folder(path) or reason(error)}") from None
    if found is None or stat.S_ISREG(found.st_mode):
        if words := _not_a_folder(path):
            raise UsageError(f"{named}: {words}")
        if not os.access(folder := Path(os.path.realpath(path)).parent, os.W_OK | os.X_OK):
            raise UsageError(f"{named}: nothing can be written in {folder}")
    if found is None:
        return
    if stat.S_ISDIR(found.st_mode):
        raise UsageError(f"{named}: it is a folder")
    if not os.access(path, os.W_OK):
        raise UsageError(f"{named}: it may not be written to")
    if stat.S_ISREG(found.st_mode):
        check_replaced(argument, path, kind)


def check_apart(arguments: str, one: Path, other: Path) -> None:
    """Raise UsageError if two outputs of a command are one file: the second would replace the first."""
    if os.path.realpath(one).casefold() == os.path.realpath(other).casefold():
        raise UsageError(f"{arguments} are both {str(other)!r}; allowed: two files")


def _not_a_folder(path: Path) -> str:
    """Return an error text if a file's parent is not a folder."""
    return "" if path.parent.is_dir() else f"{path.parent} is not a folder"


def check_is_folder(argument: str, path: Path) -> None:
    """Raise UsageError if a path or one of its parents exists and is not a folder."""
    nearest = _nearest(f"{argument} {str(path)!r} cannot be read", path)
    if not nearest.is_dir():
        raise UsageError(f"{argument} {str(path)!r} is no folder: {nearest} is something else")


def check_folder(argument: str, path: Path) -> None:
    """Raise UsageError if a folder could not be created or written to. Changes nothing."""
    named = f"{argument} {str(path)!r} cannot be written to"
    nearest = _nearest(named, path)
    if not nearest.is_dir():
        raise UsageError(f"{named}: {nearest} is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(f"{named}: nothing can be written in {nearest}")


def _nearest(named: str, path: Path) -> Path:
    """Return the path or its nearest existing parent. Raises UsageError, which quotes `named`."""
    try:
        return next(each for each in (path, *path.absolute().parents) if each.is_dir() or os.path.lexists(each))
    except (OSError, ValueError) as error:
        raise UsageError(f"{named}: {reason(error)}") from None


def check_replaced(argument: str, path: Path, kind: FileKind) -> None:
    """Raise UsageError if a regular file is neither empty nor of the kind that would replace it."""
    with reading(path) as file:
        head = file.read(_HEAD)
    if head and not kind.fits(head):
        raise UsageError(f"{argument} {str(path)!r} is there and is not {kind.words}: it is not replaced; name another")


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file atomically. Raises FileError if it cannot be written."""
    with replacing(path) as part, part.open("wb") as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a new file that replaces `path` at the end, by `supermask.writing.replacing`. Raises FileError."""
    if "\0" in str(path):  # Python would raise ValueError
        raise UsageError(f"file {str(path)!r} cannot be written: a name has no null characters")
    try:
        with writing.replacing(path) as part:
            yield part
    except OSError as error:
        raise FileError(f"file {path} cannot be written: {reason(error)}") from None


def make_folder(path: Path) -> None:
    """Create a folder and its parents unless they exist. Raises FileError if that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise FileError(f"folder {path} cannot be made: {reason(error)}") from None
