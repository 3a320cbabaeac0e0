"""Numbers as text, and counts with nouns, singular or plural."""


def number(value: float) -> str:
    """Return a number in its shortest form that still is this number: 0.1, 1e-05, 2, 0.00123456789."""
    short = f"{value:g}"
    return short if float(short) == value or value != value else repr(value)


def count(number: float, noun: str, verbs: tuple[str, str] = ("", "")) -> str:
    """Return a count such as '1 seed', '1,000 seeds' or '0.5 epochs'; `verbs` are the singular and the plural verb.

    >>> count(1, "result", ("is", "are"))
    '1 result is'
    """
    words = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    one = number == 1
    thing, of, whole = noun.partition(" of ")  # the plural of 'file of arrays' is 'files of arrays'
    return " ".join(filter(None, (words, f"{thing}{'' if one else 's'}{of}{whole}", verbs[not one])))


def number_of(text: str) -> float | None:
    """Return the number that a text stands for, or None; unlike Python, it takes no underscores."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None
