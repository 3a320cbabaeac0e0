"""Files that a user names: read up to a size, written whole or not at all."""

import os
from pathlib import Path

from analysis.errors import StoreError, UsageError


def read_at_most(path: Path, most: int) -> bytes:
    """All of a file. Raises UsageError where it cannot be read, StoreError where it has more bytes than `most`."""
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise UsageError(f"file {path} cannot be read: {error.strerror}") from None
    if len(content) > most:
        raise StoreError(f"{path} is no network of ours: it has more than {most:,} bytes")
    return content


def write_whole(path: Path, content: bytes) -> None:
    """Replaces a file only by a complete one. Raises UsageError where it cannot be written."""
    try:
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise UsageError(f"file {path} cannot be written: {error.strerror}") from None
