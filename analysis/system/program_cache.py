"""The cache of compiled programs: entries that a killed process left half written are removed before JAX reads them.

JAX writes an entry in place, so that a kill or a power cut leaves a part of it. Later processes would warn at every
use, and compile the program anew each time, because JAX never replaces an entry.
"""

import os
import zlib
from contextlib import suppress
from pathlib import Path

from supermask.writing import write_whole

_ENTRY = "*-cache"
_CHECKED = "checked"
"""Its time is that of the last check: older entries are whole."""
_ZSTD = b"\x28\xb5\x2f\xfd"
_MARGIN = 2 * 10**9
"""Nanoseconds by which times of files may be coarse."""


def remove_torn(cache: Path) -> int:
    """Remove torn entries among those written since the last call; return their number.

    An entry that another process is writing at this moment is removed as well: its program is compiled once more. What
    cannot be read or removed is left.
    """
    stamp, removed = cache / _CHECKED, 0
    try:
        last = stamp.stat().st_mtime_ns
    except OSError:
        last = 0
    newest = last
    for path in cache.glob(_ENTRY):
        with suppress(OSError):
            written = path.stat().st_mtime_ns
            if written < last - _MARGIN:
                continue
            newest = max(newest, written)
            if not _is_whole(path.read_bytes()):
                path.unlink(missing_ok=True)
                removed += 1
    with suppress(OSError):
        if newest > last:
            write_whole(stamp, b"")
            os.utime(stamp, ns=(newest, newest))
    return removed


def _is_whole(entry: bytes) -> bool:
    """Return whether an entry can be unpacked to its end, where zlib has a checksum.

    Where the package zstandard is installed, JAX compresses by that: such entries are not checked.
    """
    if entry.startswith(_ZSTD):
        return True
    unpacked = zlib.decompressobj()
    try:
        unpacked.decompress(entry)
    except zlib.error:
        return False
    return unpacked.eof
