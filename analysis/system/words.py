"""Numbers of things in words."""


def count(number: float, noun: str, verbs: tuple[str, str] = ("", "")) -> str:
    """A number of things, such as '1 seed', '1,000 seeds' or '0.5 epochs'; `verbs` follow one thing, or any others.

    >>> count(1, "result", ("is", "are"))
    '1 result is'
    """
    words = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    one = number == 1
    thing, of, whole = noun.partition(" of ")  # 'file of arrays' has more of files
    return " ".join(filter(None, (words, f"{thing}{'' if one else 's'}{of}{whole}", verbs[not one])))
