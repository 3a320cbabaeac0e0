"""Rich's console for the commands: no markup, no control codes outside a terminal, tables that fit."""

import os
from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.style import Style
from rich.table import Table
from rich.text import Text

from supermask.analysis.system.terminal import is_terminal, plain

PADDING = 3
"""Width that a column needs besides its cells: a space on both sides, and a line."""


class Screen(Console):
    """Prints texts literally: [brackets] stay, control characters are escaped.

    Colours and a live line appear only on a terminal, whatever FORCE_COLOR says; NO_COLOR disables styles.
    """

    def __init__(self) -> None:
        shown = is_terminal()
        super().__init__(
            color_system=None if not shown or os.environ.get("NO_COLOR") else "auto",
            force_terminal=shown,
            force_interactive=shown,
            force_jupyter=False,
            markup=False,
            emoji=False,
            highlight=False,
        )

    def render_str(  # noqa: D102 - the base's
        self, text: str, *, style: str | Style = "", justify: JustifyMethod | None = None, **_: object
    ) -> Text:
        return super().render_str(plain(text), style=style, justify=justify, markup=False, emoji=False, highlight=False)


def print_table(
    screen: Console,
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: bool = True,
    lines: bool = True,
) -> None:
    """Print a table, split into several below one another if the columns do not fit; each repeats the first column.

    Cells and headers wrap between words. numbers: whether all columns except the first are right-aligned. lines:
    whether to draw lines around the table.
    """
    every = list(zip(columns, *rows, strict=True))
    least = [_widest(word for text in column for word in text.split()) for column in every]
    most = [_widest(line for text in column for line in text.splitlines()) for column in every]
    for number, chosen in enumerate(dealt(least, screen.width - 1)):
        widths = fitted([least[at] for at in chosen], [most[at] for at in chosen], screen.width - 1)
        table = Table(title=None if number else title or None, title_justify="left", pad_edge=lines)
        if not lines:
            table.box = None
        for at, width in zip(chosen, widths, strict=True):
            right = numbers and at > 0
            table.add_column(plain(columns[at]), width=width, justify="right" if right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(plain(row[at]) for at in chosen))
        screen.print(table)


def dealt(least: Sequence[int], width: int) -> list[list[int]]:
    """Distribute columns over tables of at most `width`; `least` are their minimum widths. Each table has the first."""
    tables: list[list[int]] = [[0]]
    for at in range(1, len(least)):
        taken = sum(least[each] + PADDING for each in tables[-1])
        if taken + least[at] + PADDING > width and len(tables[-1]) > 1:
            tables.append([0])
        tables[-1].append(at)
    return tables


def fitted(least: Sequence[int], most: Sequence[int], width: int) -> list[int]:
    """Return column widths between `least` and `most` that use as much of the total width as possible."""
    widths = list(least)
    left = width - PADDING * len(widths) - sum(widths)
    while left > 0 and any(own < wanted for own, wanted in zip(widths, most, strict=True)):
        gaps = [wanted - own for own, wanted in zip(widths, most, strict=True)]
        widths[gaps.index(max(gaps))] += 1
        left -= 1
    while left < 0 and max(widths) > 1:  # the terminal is narrower than a word
        widths[widths.index(max(widths))] -= 1
        left += 1
    return widths


def _widest(texts: Iterable[str]) -> int:
    return max(map(cell_len, texts), default=0)
