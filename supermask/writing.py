"""Writes files whole or not at all: the one way in which this package and the command write any.

A new file under a name that nobody can guess is made beside the old one, forced to the disk, and put in its place. So a
reader sees the old file or the new one, several writers never touch each other's, and a full disk leaves nothing.
"""

import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NEW = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)|/dev/(stdout|stderr)")
"""Names of this process's own descriptors, such as standard output: what they stand for is never replaced."""


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Replace a file by a complete one with this content, or leave it as it is.

    See `replacing` for links, devices and pipes.

    Raises:
        OSError: the file cannot be written.
    """
    with replacing(path) as part, part.open("wb") as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a new, empty file that takes the place of `path` when the block ends without an error.

    It is gone when the block ends with one. A link is followed: what it points to is replaced. A character device or a
    pipe stays what it is, and the content is written into it.

    Raises:
        OSError: the file cannot be written; there is a folder, a disk or a socket of that name; nobody reads the pipe.
    """
    now = _existing(path)
    into = now is not None and (not stat.S_ISREG(now.st_mode) or _DESCRIPTOR.fullmatch(str(path)) is not None)
    target = Path(os.path.realpath(path))
    folder = Path(tempfile.gettempdir()) if into else target.parent
    part = folder / f".supermask-{secrets.token_hex(8)}.part"
    os.close(os.open(part, _NEW, 0o600 if into else 0o666))
    try:
        yield part
        if into:
            _copy_into(part, path)
        else:
            _settle(part, None if now is None else stat.S_IMODE(now.st_mode))
            part.replace(target)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _existing(path: Path) -> os.stat_result | None:
    """What there is of that name, links followed; None where nothing is. Raises OSError where it cannot be written."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(None, "it is a folder", str(path))
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISCHR(found.st_mode) or stat.S_ISFIFO(found.st_mode)):
        raise OSError(None, "it is neither a file, a pipe nor a character device", str(path))
    if not os.access(path, os.W_OK):
        raise PermissionError(None, "it may not be written to", str(path))
    return found


def _settle(part: Path, mode: int | None) -> None:
    """Has the content on the disk before its name is; the file is as accessible as the one that it replaces."""
    descriptor = os.open(part, os.O_RDWR)
    try:
        if mode is not None and hasattr(os, "fchmod"):
            os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy_into(part: Path, path: Path) -> None:
    """Writes a file's content into a device or a pipe. A pipe that nobody reads is an error, not a wait.

    A descriptor of this process, such as standard output, goes on where it is: opened anew, a file would be written
    from its beginning.
    """
    own = _DESCRIPTOR.fullmatch(str(path))
    if own:
        descriptor = os.dup(int(own[1] or {"stdout": 1, "stderr": 2}[own[2]]))
    else:
        try:
            descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            raise OSError(errno.ENXIO, "nobody reads it", str(path)) from None
        os.set_blocking(descriptor, True)
    with part.open("rb") as source, os.fdopen(descriptor, "wb") as target:
        shutil.copyfileobj(source, target)
