"""Types of the fields of descriptions, and of columns of the tidy table."""

import math
from collections.abc import Callable, Mapping
from typing import Literal

from supermask.checks import is_text as is_text

ColumnType = Literal["text", "whole", "number", "truth", "mixed"]
"""Type of a column; 'mixed' columns hold numbers and text."""


def is_whole(value: object) -> bool:
    """Return whether it is a whole number that SQLite and Parquet can hold."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63


def is_number(value: object) -> bool:
    """Return whether it is a finite number."""
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def is_truth(value: object) -> bool:
    """Return whether it is true or false."""
    return isinstance(value, bool)


Check = tuple[Callable[[object], bool], str]
TEXT: Check = (is_text, "printable text")
WHOLE: Check = (is_whole, "a whole number")
NUMBER: Check = (is_number, "a finite number")
TRUTH: Check = (is_truth, "true or false")

Parts = Mapping[str, Mapping[str, Check]]
ColumnTypes = Mapping[str, ColumnType]
