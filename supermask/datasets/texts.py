"""Texts as data sets for recurrent networks: windows of characters, each labelled by the character after it.

A character is the number of its place in the sorted alphabet of the whole text, a byte. Every position of the text is
one example, so trainers of images serve as they are: an example is an 'image' of `WINDOW`×1 with one label.
"""

from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from supermask.datasets.arrays import Part, assembled
from supermask.datasets.base import Dataset, reason, refusal
from supermask.datasets.unpacking import read_at_most
from supermask.reading import open_regular

WINDOW = 32
"""Characters that are read before the one that is to be predicted."""

HELD_OUT_SHARE = 10
"""One in so many characters is held out for validation, and as many for testing: the last ones of the text."""

MOST_BYTES = 1 << 22
"""Maximum bytes of a text: its windows take 32 times as many."""

MOST_SYMBOLS = 256
"""Maximum number of different characters: a byte has a code for each."""

EXPECTED = "a text in UTF-8"


def from_text(text: str, name: str = "text") -> Dataset:
    """Make a data set of a text: what comes after `WINDOW` characters?

    The first eight tenths are for training, then a tenth each for validation and for testing. No window crosses from
    one to the next. Classes are the different characters, in the order of their code points.

    Raises ValueError for a text of more than `MOST_BYTES` characters, of fewer than 330, or of more than 256 different
    ones.
    """
    parts, symbols = windows_of(text)
    return assembled(name, parts, len(symbols), f"a text of {len(text)} characters", symbols)


def read_text(path: Path) -> str:
    """Return the content of a text file. Raises DataError if it cannot be read, is too long, or is not UTF-8."""
    try:
        with open_regular(path) as file:
            content = read_at_most(file, MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise refusal(path, f"{EXPECTED} of up to {MOST_BYTES} bytes", "more")
        return content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise refusal(path, EXPECTED, f"none that can be read ({reason(error)})") from None


def windows_of(text: str) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Return a text's windows and what comes after them, by split, and the names of its characters.

    Raises ValueError as `from_text` does.
    """
    least = HELD_OUT_SHARE * (WINDOW + 1)
    if not least <= len(text) <= MOST_BYTES:
        raise ValueError(f"text has {len(text)} characters; allowed: {least} to {MOST_BYTES}")
    points, codes = np.unique(np.frombuffer(text.encode("utf-32-le"), "<u4"), return_inverse=True)
    if len(points) > MOST_SYMBOLS:
        raise ValueError(f"text has {len(points)} different characters; allowed: up to {MOST_SYMBOLS}")
    held = len(text) // HELD_OUT_SHARE
    cuts = np.split(codes.astype(np.uint8), [len(text) - 2 * held, len(text) - held])
    parts = {
        split: Part(
            sliding_window_view(own[:-1], WINDOW)[:, :, None], own[WINDOW:], f"{split} windows", f"{split} text"
        )
        for split, own in zip(("train", "validation", "test"), cuts, strict=True)
    }
    return parts, tuple(_shown(chr(point)) for point in points)


def _shown(symbol: str) -> str:
    """Return a character as it can be shown: itself, or its code point if it is blank or unprintable."""
    return symbol if symbol.isprintable() and symbol.strip() else f"U+{ord(symbol):04X}"
