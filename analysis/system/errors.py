"""Errors a person can act on, and how choices are suggested."""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path


class UsageError(ValueError):
    """Something asked for is not possible. The message names the argument, the value and what is allowed."""


class StoreError(Exception):
    """A results folder cannot be used, or something in it is damaged."""


class FileError(Exception):
    """The system failed to read or write a file, though nothing was wrong with what was asked for: a full disk."""


def reason(error: OSError | ValueError) -> str:
    """What the operating system says, in words of one line and without the path."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(words.split()) or type(error).__name__


def choose(argument: str, value: str, allowed: Iterable[str], renamed: Mapping[str, str] | None = None) -> str:
    """The value, if allowed. Raises UsageError with the choices, and the nearest one, if not.

    `renamed` has former names; the error for one of them says the new name.
    """
    choices = list(allowed)
    if value in choices:
        return value
    if renamed and value in renamed:
        raise UsageError(f"{argument} {value!r} is now called {renamed[value]!r}")
    near = difflib.get_close_matches(value, choices, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise UsageError(f"{argument} {value!r} is unknown{hint}; choose from: {', '.join(choices)}")


def at_least(argument: str, value: int | float, least: int | float) -> None:
    """Raises UsageError where the value is below the least allowed."""
    if not value >= least:
        raise UsageError(f"{argument} is {value}; allowed: {least} or more")


def between(argument: str, value: int | float, least: int | float, most: int | float) -> None:
    """Raises UsageError where the value is below the least or above the most allowed; NaN is neither."""
    if not least <= value <= most:
        raise UsageError(f"{argument} is {value}; allowed: {least:,} to {most:,}")


def in_a_folder(argument: str, path: Path) -> None:
    """Raises UsageError for a file or folder that cannot be written: what it should lie in is no folder."""
    if not path.parent.is_dir():
        raise UsageError(f"{argument} {str(path)!r} cannot be written: {path.parent} is not a folder")
