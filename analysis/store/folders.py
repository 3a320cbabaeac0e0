"""Whether a folder holds results: said before anything is read from one that does not."""

from pathlib import Path

from analysis.store.database import NAME, is_there
from analysis.system.errors import UsageError
from analysis.system.files import check_is_folder


def lacking(folder: Path, argument: str = "results") -> str:
    """Why there is nothing to read in a folder: it is not there, or has no results; empty where it has some.

    Raises UsageError where it is something else than a folder, or cannot be read.
    """
    check_is_folder(argument, folder)
    if is_there(folder / NAME):
        return ""
    return f"it has no {NAME}" if folder.is_dir() else "it is not there"


def check_stored(argument: str, folder: Path) -> None:
    """Raises UsageError for a folder without results: what can only read has nothing to do there."""
    if why := lacking(folder, argument):
        where = f"{argument} {str(folder)!r}"
        raise UsageError(f"{where} is not a results folder: {why}; `supermask reproduce` makes one")
