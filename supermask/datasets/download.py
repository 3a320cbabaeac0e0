"""Downloads published archives from mirrors in order, verifies them, and moves them into place atomically."""

import logging
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from supermask.datasets.base import DataError
from supermask.extras import need

_CHUNK = 1 << 16  # bytes per read
_TIMEOUT = 30.0  # seconds without an answer or without data before a mirror is given up


@dataclass(frozen=True)
class Archive:
    """A published file: its name, its size in bytes and its SHA-256 (hex)."""

    name: str
    size: int
    sha256: str


class _Meter:
    """Progress bar for pooch: prints every tenth and stops a mirror that sends too much."""

    def __init__(self, archive: Archive, show: bool) -> None:
        self.total = archive.size  # pooch sets it to what the mirror announces
        self._archive = archive
        self._show = show
        self._received = 0
        self._tenths = 0

    def update(self, count: int) -> None:
        self._received += count
        # pooch counts whole chunks, also for the last, shorter one.
        if self._received > self._archive.size + _CHUNK:
            raise ValueError(f"sent more than the {self._archive.size} bytes of the file")
        tenths = min(10, 10 * self._received // self._archive.size)
        if self._show and tenths > self._tenths:
            megabytes = self._archive.size / 1e6
            print(f"{self._archive.name}: {10 * tenths}% of {megabytes:.1f} MB", file=sys.stderr, flush=True)
        self._tenths = max(tenths, self._tenths)

    def reset(self) -> None:
        self._received = 0

    def close(self) -> None:
        pass


def fetch(archive: Archive, mirrors: Sequence[str], folder: Path, *, progress: bool = False) -> Path:
    """Download an archive into a folder, from the first mirror that delivers it.

    The file appears under its name only when it is complete and has the right digest.

    Args:
        archive: what to download.
        mirrors: addresses to which the archive's name is appended, tried in order.
        folder: where to put the file; created if necessary.
        progress: whether to report every tenth on standard error.

    Returns:
        Path of the file.

    Raises:
        DataError: no mirror delivered, one line for each with the reason; or the folder can't be made.
    """
    need("data")
    import pooch

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot be downloaded, there is no place for it: {error}") from error
    failures = []
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)  # otherwise pooch announces every download
    try:
        for mirror in mirrors:
            meter = _Meter(archive, progress)
            downloader = pooch.HTTPDownloader(progressbar=meter, chunk_size=_CHUNK, timeout=_TIMEOUT)
            try:
                found = pooch.retrieve(
                    mirror + archive.name,
                    known_hash=f"sha256:{archive.sha256}",
                    fname=archive.name,
                    path=folder,
                    downloader=downloader,
                )
                return Path(found)
            except (OSError, ValueError) as error:  # requests' errors are OSErrors
                failures.append(f"  {mirror}{archive.name}: {_reason(error)}")
    finally:
        logger.setLevel(level)
    raise DataError("cannot be downloaded, no mirror delivered it:\n" + "\n".join(failures))


def _reason(error: Exception) -> str:
    """Format a network error on one line; requests nests the useful part two levels deep."""
    inner = error.args[0] if error.args else error
    reason = getattr(inner, "reason", inner) if isinstance(inner, Exception) else error
    return textwrap.shorten(str(reason) or type(reason).__name__, 240, placeholder=" …")
