"""Checks that a folder's file system locks files: without locks, two writing processes would damage a file."""

import errno
import struct
import sys
from pathlib import Path

from supermask.analysis.system.errors import UsageError, reason
from supermask.reading import is_regular

_BUSY = {errno.EAGAIN, errno.EACCES}


def check_locks(folder: Path) -> None:
    """Raise UsageError if locks are refused, or granted to everyone, in that folder.

    Tests a file beside the results, because SQLite's own file would show the fault only when it is too late.
    """
    if sys.platform == "win32":  # its file systems always lock
        return
    path = folder / ".locks"
    try:
        is_regular(path)
        with path.open("ab") as first, path.open("ab") as second:
            granted = _lock(first.fileno()) and _lock(second.fileno())
    except OSError as error:
        if error.filename is not None:  # it could not be opened, which says nothing about locks
            raise UsageError(f"{path}, by which locks are tried, cannot be used: {reason(error)}") from None
        raise UsageError(f"{_REFUSAL.format(folder)}: {error.strerror}") from None
    if granted:
        raise UsageError(f"{_REFUSAL.format(folder)}: one lock was granted twice")


def _lock(descriptor: int) -> bool:
    """Return whether the file's first byte could be locked for this descriptor alone; False if it is already locked.

    Uses locks per open file where available, because locks per process are granted again to their owner.
    """
    import fcntl

    try:
        if hasattr(fcntl, "F_OFD_SETLK"):
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 1, 0))
        else:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
            return False  # nothing more can be asked here
    except OSError as error:
        if error.errno in _BUSY:
            return False
        raise
    return True


_REFUSAL = "results folder {} is on a file system that does not lock files: choose one on a local disk"
