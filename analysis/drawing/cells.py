"""Checks the cells of a figure's table before drawing: a non-number in a column of numbers is refused by its place.

Pandas and Matplotlib would misread such a table silently: they rename a second column of the same name, turn a column
with one word into text, and leave a round without a number out of every mean.
"""

import io
import re
from collections import Counter
from collections.abc import Mapping
from csv import Error, reader
from pathlib import Path

from supermask.analysis.system.errors import UsageError

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_COMMA = re.compile(r"[+-]?[\d.]*\d,\d+(e[+-]?\d+)?", re.IGNORECASE)

_WHOLE = {
    *("seed", "round", "early_stop_step", "step", "live_weights", "live_edges", "carrying_edges", "parameters"),
    *("bytes", "live", "row", "in_region", "classes", "swapping_steps"),
}
_NUMBERS = {
    *("changes", "compression", "value_bits", "gap_bits", "paper_percent", "w_initial", "w_final", "cell", "distance"),
    *("exchanged", "density", "sparsity", "rate", "swapped", "paper_weights_percent"),
}
_FRACTIONS = {"overlap", "share", "kept_from_start", "toward_zero", "flipped", "lower"}

_SHARED = ("dataset", "network", "protocol")
"""Columns that have one value: a picture and its caption are of one."""

_KEYS = ("seed", "round")
_OF_PARTS = {"panel", "part", "kind"}
"""Columns of tables with several kinds of rows, in which a seed or a round may be empty."""


def check_cells(csv: Path, text: str) -> None:
    """Refuse a table that would be drawn differently from its text.

    Raises UsageError if the file is no CSV, a column is named twice or not at all, a row has other columns than the
    header, a number has a decimal comma, a column of numbers holds something else, or rows are of two networks, data
    sets or protocols. The message has file, line, column, and what is allowed.
    """
    lines = reader(io.StringIO(text))
    try:
        header = next(lines, [])
        if header:  # an empty file is no table of any figure, which who draws it says
            _check_header(csv, header)
        kinds = {name: kind for name in header if (kind := _kind(name))}
        needed = [name for name in _KEYS if name in header and not _OF_PARTS & set(header)]
        rows, first = 0, dict[str, str]()
        for cells in lines:
            if cells:  # an empty line is none
                where = f"file {csv}, line {lines.line_num}"
                _check_row(where, header, cells, kinds, needed)
                for name, cell in zip(header, cells, strict=True):
                    if name in _SHARED and first.setdefault(name, cell) != cell:
                        raise UsageError(f"{where}, column {name!r} has {cell!r}; allowed: {first[name]!r}, as above")
                rows += 1
        if header and not rows:
            raise UsageError(f"file {csv} has no rows; allowed: a first line that names all columns, and rows below it")
    except Error as error:  # a field without end, or null characters
        raise UsageError(f"file {csv} is no table: {error}") from None


def _check_header(csv: Path, header: list[str]) -> None:
    if len(header) == 1 and ";" in header[0]:
        raise UsageError(f"file {csv} is no table: it has semicolons between its columns; allowed: commas")
    if not all(name.strip() for name in header):
        raise UsageError(f"file {csv} is no table: a column has no name; allowed: a first line that names all columns")
    name, times = Counter(header).most_common(1)[0]
    if times > 1:
        raise UsageError(f"file {csv} names column {name!r} {times} times; allowed: once")


def _kind(name: str) -> str:
    """Return a column's type by its name; empty for text, and for columns that are numbers only in some tables."""
    if name in _WHOLE:
        return "a whole number from 0 on"
    if name in _FRACTIONS or "accuracy" in name or name.endswith("weights_remaining"):
        return "a number from 0 to 1"
    return "a finite number" if name in _NUMBERS or "loss" in name else ""


def _check_row(where: str, header: list[str], cells: list[str], kinds: Mapping[str, str], needed: list[str]) -> None:
    for cell in cells:
        if _COMMA.fullmatch(cell.strip()):
            raise UsageError(f"{where} has {cell!r}: a number with a decimal comma; allowed: decimal points")
    if len(cells) != len(header):
        raise UsageError(f"{where} has {len(cells)} cells; allowed: {len(header)}, one for each column")
    for name, cell in zip(header, cells, strict=True):
        if name in kinds and not (_fits(cell.strip(), kinds[name]) or (not cell and name not in needed)):
            empty = "" if name in needed else ", or nothing"
            raise UsageError(f"{where}, column {name!r} has {cell!r}; allowed: {kinds[name]}{empty}")


def _fits(cell: str, kind: str) -> bool:
    if not _NUMBER.fullmatch(cell):
        return False
    value = float(cell)
    if kind.startswith("a whole"):
        return value.is_integer() and 0 <= value < 1 << 53
    return 0 <= value <= 1 if "0 to 1" in kind else abs(value) != float("inf")
