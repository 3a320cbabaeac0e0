"""Atomic file writes, used for all files of this package and the command.

A new file with an unpredictable name is created beside the old one, forced to disk, and renamed into its place. A
reader therefore sees the old file or the new one, writers never touch each other's files, and a full disk leaves
nothing behind.
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
"""Names of this process's own descriptors, such as standard output, which are never replaced."""


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Replace a file's content atomically, by `replacing`. Raises OSError if it cannot be written."""
    with replacing(path) as part, part.open("wb") as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a new, empty file that replaces `path` when the block ends without an error.

    If the block raises, the file is deleted. Links are followed: their target is replaced. A character device or a pipe
    stays, and the content is written into it.

    Raises OSError if the file cannot be written: a folder, a disk or a socket has that name, or a pipe has no reader.
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
    """Return the status of what has that name, following links; None if nothing has. Raises OSError if unwritable."""
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
    """Force the content to disk before it is renamed, with the permissions of the file that it replaces."""
    descriptor = os.open(part, os.O_RDWR)
    try:
        if mode is not None and hasattr(os, "fchmod"):
            os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy_into(part: Path, path: Path) -> None:
    """Write a file's content into a device or a pipe. A pipe without a reader is an error instead of a wait.

    A descriptor of this process, such as standard output, continues at its position; if it were opened again, a file
    would be overwritten from its beginning.
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
