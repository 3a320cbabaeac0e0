"""Opens regular files for reading; reading a pipe or a device might never end."""

import io
import os
import stat
from pathlib import Path


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file for reading, following links and without waiting. Raises OSError where that is impossible."""
    check_regular(path)  # before opening it, because opening some devices has effects
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    file = os.fdopen(descriptor, "rb")
    try:
        check_regular(path, os.fstat(descriptor))
    except OSError:
        file.close()
        raise
    return file


def read_regular(path: Path) -> bytes:
    """Return the content of a regular file. Raises OSError as `open_regular` does."""
    with open_regular(path) as file:
        return file.read()


def is_regular(path: Path) -> bool:
    """Return whether a regular file exists. Raises OSError if something else has that name, or cannot be read."""
    try:
        check_regular(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def check_regular(path: Path, status: os.stat_result | None = None) -> None:
    """Raise OSError for anything but a regular file, by its status, or that of what has the name."""
    found = path.stat() if status is None else status
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise OSError(None, f"it is {kind}", str(path))
