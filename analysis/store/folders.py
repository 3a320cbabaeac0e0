"""Checks that a folder holds results before anything is read from it."""

from pathlib import Path

from supermask.analysis.store.database import NAME, is_there
from supermask.analysis.system.errors import UsageError
from supermask.analysis.system.files import check_is_folder


def lacking(folder: Path, argument: str = "results") -> str:
    """Return why there is nothing to read in a folder: it does not exist or has no results; empty if it has some.

    Raises UsageError if the path is not a folder or cannot be read.
    """
    check_is_folder(argument, folder)
    if is_there(folder / NAME):
        return ""
    return f"it has no {NAME}" if folder.is_dir() else "it is not there"


def check_stored(argument: str, folder: Path) -> None:
    """Raise UsageError for a folder without results. For commands that only read."""
    if why := lacking(folder, argument):
        where = f"{argument} {str(folder)!r}"
        raise UsageError(f"{where} is not a results folder: {why}; `supermask reproduce` makes one")
