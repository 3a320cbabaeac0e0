"""Descriptions that differ by seed, round or level alone: what they share is parsed and encoded once.

Parsing a description, and encoding it canonically for its id, takes most of the time in which a record is read, and a
large results folder holds the same description for many seeds and rounds.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from supermask.analysis.store.identity import Description, canonical, id_of_canonical

_NUMBER = re.compile(r'"(seed|round|level)": (0|[1-9][0-9]{0,17})(?=[,}])')
"""Never within a text, whose quotes are escaped in JSON. Of 18 digits at most, which 64 bits hold."""
_PLACE = re.compile(r'"\\u0000 (seed|round|level)"')


@dataclass(frozen=True, eq=False)
class Family:
    """Descriptions that differ by these numbers alone: `names` in the order in which they are written.

    `description` has an unprintable text in place of each, other than all others. `parts` is the canonical JSON around
    the numbers.
    """

    description: Description
    names: tuple[str, ...]
    parts: tuple[str, ...]

    def of(self, numbers: Sequence[str]) -> Description:
        """Return the description with these numbers; other values are shared by all descriptions of the family."""
        return {**self.description, **dict(zip(self.names, map(int, numbers), strict=True))}

    def id_of(self, numbers: Sequence[str]) -> str:
        """Return the id of the description with these numbers."""
        pairs = zip(self.parts, numbers, strict=False)
        return id_of_canonical("".join([text for pair in pairs for text in pair]) + self.parts[-1])


@dataclass(eq=False)
class _Met:
    """Whether descriptions of a family were met before: a family pays only from its second description on."""

    family: Family | None = None
    before: bool = False


def family_of(text: str) -> tuple[Family, list[str]] | None:
    """Return a description's family, and its numbers in digits.

    None if its text is not as the store writes it, or if none of the family was met lately.
    """
    pieces = _NUMBER.split(text)
    key = tuple(pieces[0::3]), tuple(pieces[1::3])
    met = _met(*key)
    if not met.before:
        met.before = True
        return None
    if met.family is None:
        met.family = _family(*key)
    return None if met.family is None else (met.family, pieces[2::3])


@lru_cache(maxsize=1024)
def _met(texts: tuple[str, ...], names: tuple[str, ...]) -> _Met:
    return _Met()


def _family(texts: tuple[str, ...], names: tuple[str, ...]) -> Family | None:
    """Return the family; None if the numbers are not those of the description itself, or its text not sorted."""
    if "seed" not in names or len(set(names)) < len(names) or {"round", "level"} <= set(names):
        return None
    places = {name: f"\0 {name}" for name in names}
    marked = "".join(f'{text}"{name}": {json.dumps(places[name])}' for text, name in zip(texts, names, strict=False))
    try:
        description = json.loads(marked + texts[-1])
        if not isinstance(description, dict) or {name: description.get(name) for name in names} != places:
            return None  # of a part, or one of two
        pieces = _PLACE.split(canonical(description))
    except (ValueError, RecursionError):
        return None
    return Family(description, names, tuple(pieces[0::2])) if tuple(pieces[1::2]) == names else None
