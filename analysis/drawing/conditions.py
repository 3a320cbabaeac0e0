"""Conditions on a table's rows, such as criterion=large_final or learning_rate=0.003. Numbers compare as numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supermask.analysis.kinds.fields import ColumnType
from supermask.analysis.system.errors import UsageError, choose
from supermask.analysis.system.words import number_of

DIGITS = 12
"""Significant digits to which numbers are compared, so that 0.003 matches 0.0029999999999999996."""

_TRUTHS = {"true": True, "false": False}
_WORDS = {
    **{"whole": "a whole number", "number": "a number", "truth": "true or false"},
    **dict.fromkeys(("text", "mixed"), "printable text"),
}


@dataclass(frozen=True)
class Condition:
    """A condition that a column has a value. An empty value matches empty cells."""

    column: str
    type: ColumnType
    text: str

    def matches(self, cell: Any) -> bool:
        """Return whether a cell has the value."""
        if cell in (None, "") or not self.text:
            return cell in (None, "") and not self.text
        if self.type == "truth":
            return bool(cell is _TRUTHS[self.text.lower()])
        if self.type == "text" or isinstance(cell, str):
            return str(cell) == self.text
        number = number_of(self.text)
        return number is not None and _rounded(cell) == _rounded(number)


def parse(where: Sequence[str], types: Mapping[str, ColumnType]) -> tuple[Condition, ...]:
    """Parse conditions on columns of these types.

    Raises UsageError if one is not of the form column=value, names an unknown column, or has a value that the column
    cannot have.
    """
    conditions = []
    for each in where:
        column, equals, text = each.partition("=")
        if not equals:
            raise UsageError(f"where has {each!r}; it should read like criterion=large_final")
        kind = types[choose("where", column, types)]
        if text and not _fits(text, kind):
            raise UsageError(f"where has {each!r}; {column} is {_WORDS[kind]}, or empty")
        conditions.append(Condition(column, kind, text))
    return tuple(conditions)


def _fits(text: str, kind: ColumnType) -> bool:
    """Return whether a column of that type can have this value."""
    number = number_of(text)
    match kind:
        case "whole":
            return number is not None and number.is_integer()
        case "number":
            return number is not None
        case "truth":
            return text.lower() in _TRUTHS
    return text.isprintable()  # all cells are, and SQLite takes no bytes that are no text


def _rounded(number: float) -> str:
    return f"{number + 0.0:.{DIGITS}g}"  # -0 is 0
