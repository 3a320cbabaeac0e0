"""Opens files to be read, regular ones only: reading a pipe or a device might never end."""

import io
import os
import stat
from pathlib import Path


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file for reading, links followed. Nothing is waited for.

    Raises:
        OSError: the file cannot be read, or is not a regular file.
    """
    check_regular(path)  # before it is opened: opening some devices does something
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    file = os.fdopen(descriptor, "rb")
    try:
        _check(os.fstat(descriptor), path)
    except OSError:
        file.close()
        raise
    return file


def read_regular(path: Path) -> bytes:
    """All of a regular file. Raises OSError as `open_regular` does."""
    with open_regular(path) as file:
        return file.read()


def check_regular(path: Path) -> None:
    """Raise OSError where there is nothing of that name, or something that is not a regular file."""
    _check(path.stat(), path)


def is_regular(path: Path) -> bool:
    """Whether a regular file is there; False where nothing is.

    Raises:
        OSError: something else is there, or nothing can be learned of it.
    """
    try:
        check_regular(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _check(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise OSError(None, f"it is {kind}", str(path))
