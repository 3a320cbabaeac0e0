"""Short texts of objects that hold arrays, for notebooks and error messages: shapes and types in place of numbers.

>>> record
RoundRecord(treatment=None, seed=0, round=0, start=Start(...), trained=Trained(...))
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np

Own = TypeVar("Own")

LONGEST = 400
"""Characters of a text; a part of it has a quarter of that."""


def short(own: type[Own]) -> type[Own]:
    """Give a dataclass or named tuple the text of `short_repr`."""
    own.__repr__ = short_repr  # type: ignore[method-assign]
    return own


def short_repr(value: Any) -> str:
    """Return `Class(field=value, ...)` in at most `LONGEST` characters, for a dataclass or a named tuple.

    Arrays are told by type and shape, scalars by value, dicts by their keys where they would be long.
    """
    return _fields(value, LONGEST)


def _fields(value: Any, room: int) -> str:
    name = type(value).__name__
    names = [each.name for each in fields(value)] if is_dataclass(value) else value._fields
    parts = [f"{each}={_text(getattr(value, each), room // 4)}" for each in names]
    whole = f"{name}({', '.join(parts)})"
    if len(whole) <= room:
        return whole
    kept: list[str] = []
    while parts and len(f"{name}({', '.join([*kept, parts[0]])}, ...)") <= room:
        kept.append(parts.pop(0))
    return f"{name}({', '.join([*kept, '...'])})"


def _text(value: Any, room: int) -> str:
    """Return a value's text in at most `room` characters."""
    if isinstance(value, np.ndarray | np.generic) or (hasattr(value, "shape") and hasattr(value, "dtype")):
        return _array(value)
    if isinstance(value, Mapping):
        text = "{" + ", ".join(f"{key}: {_text(each, room // 2)}" for key, each in value.items()) + "}"
        keys = ", ".join(map(str, value))
        return text if len(text) <= room else f"{{{keys}}}" if len(keys) <= room else f"{{{len(value)} keys}}"
    names = [each.name for each in fields(value)] if is_dataclass(value) else []
    if "parent" in names:  # a Flax module, whose own text has a line for each field
        own = {name: getattr(value, name) for name in names if name not in ("parent", "name")}
        text = f"{type(value).__name__}({', '.join(f'{name}={each!r}' for name, each in own.items())})"
    elif _has_fields(value):
        text = _fields(value, room)
    else:
        text = repr(value).replace("\n", " ")
    return text if len(text) <= room else f"{type(value).__name__}(...)" if "(" in text else f"{text[: room - 3]}..."


def _has_fields(value: Any) -> bool:
    """Return whether its text shows its fields: a named tuple, or a dataclass without a text of its own."""
    parameters = getattr(value, "__dataclass_params__", None)
    return hasattr(value, "_fields") or (parameters is not None and parameters.repr)


def _array(array: Any) -> str:
    """Return a text such as `float32[784, 300]`; for a scalar, its number."""
    if array.shape == () and getattr(array.dtype, "kind", "V") in "biuf":
        try:
            return f"{np.asarray(array)[()]:.6g}"
        except Exception:  # a traced array has no number
            return f"{array.dtype}[]"
    return f"{array.dtype}{list(array.shape)}"
