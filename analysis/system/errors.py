"""Errors that a user can act on, and suggestions for misspelt choices."""

import difflib
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any


class UsageError(ValueError):
    """A request that cannot be met. The message names the argument, the value and what is allowed."""


class StoreError(Exception):
    """A results folder that cannot be used, or that is damaged."""


class FileError(Exception):
    """A failure of the system to read or write a file although the request was valid, such as a full disk."""


def reason(error: OSError | ValueError) -> str:
    """Return the operating system's message, on one line and without the path."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(words.split()) or type(error).__name__


def choose(argument: str, value: str, allowed: Iterable[str], renamed: Mapping[str, str] | None = None) -> str:
    """Return the value if it is allowed. Otherwise raise UsageError with the choices and the nearest one.

    `renamed` maps former names to new ones, which the error then names.
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
    """Raise UsageError if the value is below the minimum."""
    if not value >= least:
        raise UsageError(f"{argument} is {value}; allowed: {least} or more")


def between(argument: str, value: Any, least: int | float, most: int | float) -> None:
    """Raise UsageError if the value is below the minimum or above the maximum, is NaN or no number."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not (number and least <= value <= most):
        raise UsageError(f"{argument} is {value!r}; allowed: {least:,} to {most:,}")


def whole_between(argument: str, value: Any, least: int, most: int) -> int:
    """Return a whole number as Python's own. Raise UsageError for any other value, or one out of the range."""
    between(argument, value, least, most)
    if not isinstance(value, Integral):
        raise UsageError(f"{argument} is {value!r}; allowed: whole numbers, {least:,} to {most:,}")
    return int(value)


def in_a_folder(argument: str, path: Path) -> None:
    """Raise UsageError for a file or folder whose parent is not a folder, so that it cannot be written."""
    if not path.parent.is_dir():
        raise UsageError(f"{argument} {str(path)!r} cannot be written: {path.parent} is not a folder")
