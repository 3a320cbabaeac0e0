"""Schema of a record: description by kind, metrics, provenance.

A digest shows that a record is unchanged, not that this toolkit made it. Records from elsewhere are checked against the
schema before they are merged, and all records by `results --verify`, so that readers can rely on it.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import numpy as np

from supermask.analysis.kinds import BY_NAME, KINDS
from supermask.analysis.kinds.fields import (
    NUMBER,
    TEXT,
    WHOLE,
    Check,
    is_number,
    is_text,
    is_truth,
    is_whole,
)
from supermask.analysis.store.store import StoredResult
from supermask.analysis.studies.recipes import SETTINGS, recipe_from, words_of
from supermask.checks import SEEDS
from supermask.datasets.arrays import MOST_CLASSES

MOST_VALUES = 1 << 24
"""Maximum number of values of an image, of which the shapes of a network follow."""

LARGEST = 1e39
"""No metric is larger: all are computed in float32, or are counts."""

DEPTH = 8
"""Maximum nesting of a description; the deepest kind, a compressed network's, has a depth of four."""


def _is_image_shape(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 3 or not all(map(is_whole, value)):
        return False
    return min(value) > 0 and math.prod(value) <= MOST_VALUES


def _is_classes(value: object) -> bool:
    return isinstance(value, int) and is_whole(value) and 1 <= value <= MOST_CLASSES


def _is_seed(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < SEEDS


def _is_metric(value: object) -> bool:
    """Return whether it is a metric: float32 is infinite from 3.4e38 on, and larger numbers cannot be drawn."""
    return value is None or (isinstance(value, int | float) and is_number(value) and abs(value) <= LARGEST)


def _is_scalar(value: object) -> bool:
    return value is None or is_text(value) or is_number(value) or is_truth(value)


IMAGE_SHAPE: Check = (_is_image_shape, "height, width and channels")
CLASSES: Check = (_is_classes, f"a whole number, 1 to {MOST_CLASSES:,}")
SEED: Check = (_is_seed, f"a whole number, 0 to {SEEDS - 1:,}")

_MADE_WITH = {
    **dict.fromkeys(("supermask", "commit", "python", "jax", "jaxlib", "flax", "optax", "numpy"), TEXT),
    **dict.fromkeys(("backend", "device", "machine"), TEXT),
    "devices": WHOLE,
}
_ALWAYS = {"kind": TEXT, "dataset": TEXT, "network": TEXT, "seed": SEED}
_WHERE_GIVEN = {
    **dict.fromkeys(("revision", "batch_size", "steps", "evaluate_every", "round", "level", "samples"), WHOLE),
    **dict.fromkeys(("data_digest", "optimiser", "criterion", "weights"), TEXT),
    "learning_rate": NUMBER,
    "image_shape": IMAGE_SHAPE,
    "classes": CLASSES,
}
_ANY: Check = (lambda value: True, "any value")
_PARTS: Mapping[str, Mapping[str, Check]] = {
    **{name: part for kind in KINDS for name, part in kind.parts.items()},
    "recipe": dict.fromkeys(SETTINGS, _ANY),
}
"""Parts of descriptions and their fields that are read. A recipe is checked as a whole."""
_MAPPINGS: Mapping[str, Check] = {"rates": NUMBER, "plugins": TEXT, "rules": WHOLE}
"""Parts whose values all have the same type."""


def unknown_part(description: object) -> str | None:
    """Return a kind or choice in a description that only a later version may know; None if there is none."""
    if not isinstance(description, dict):
        return None
    kind = description.get("kind")
    if isinstance(kind, str) and kind.isidentifier() and kind not in BY_NAME:
        return f"kind {kind!r}"
    for name in ("treatment", "mask", "sparse", "recipe"):
        part = description.get(name)
        for field in part if isinstance(part, dict) else ():
            if field.isidentifier() and field not in _PARTS[name]:
                return f"{name}.{field}"
    return None


def fault_of(result: StoredResult) -> str | None:
    """Return what is wrong with the content of a record whose digest matches; None if nothing is."""
    return (
        _fault_of_time(result.stored_at)
        or fault_of_description(result.description)
        or _fault_of_metrics(result)
        or _flat("made_with", result.made_with, _is_scalar)
        or _fields("made_with.", {n: v for n, v in result.made_with.items() if v is not None}, _MADE_WITH)
        or _number_of("seconds", result.seconds)
        or _digest("arrays_sha256", result.arrays_sha256)
    )


def fault_of_texts(*texts: str) -> str | None:
    """Return what is wrong with texts that are JSON objects, or None: SQLite and Python read doubled names differently.

    A condition on a table would then find another result than the table shows.
    """
    try:
        for text in texts:
            json.loads(text, object_pairs_hook=_without_doubles)
    except ValueError as error:
        return str(error)
    return None


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it names {_shown(next(name for name in names if names.count(name) > 1))} twice")
    return found


def _fault_of_time(stored_at: object) -> str | None:
    """Return what is wrong with the time of a result; Python takes any character between date and time."""
    try:
        fits = isinstance(stored_at, str) and is_text(stored_at) and datetime.fromisoformat(stored_at)
    except ValueError:
        fits = False
    return None if fits else f"stored_at is {_shown(stored_at)}; it should be a time"


def _fault_of_metrics(result: StoredResult) -> str | None:
    """Return what is wrong with a result's metrics, or None. Its description must have passed the schema."""
    found = json.loads(result.metrics_text)
    if fault := _flat("metrics", found, _is_metric):
        return fault
    for name, value in found.items():
        if ("accuracy" in name or "weights_remaining" in name) and not (value is not None and 0 <= value <= 1):
            return f"metrics.{name} is {_shown(value)}; it should be a fraction, 0 to 1"
    kind = None if unknown_part(result.description) else BY_NAME.get(result.description["kind"])
    missing = [name for name in kind.metrics if name not in found] if kind else []
    return f"it has no metric {missing[0]}, which results of kind {kind.name} have" if kind and missing else None


def fault_of_arrays(result: StoredResult, arrays: Mapping[str, np.ndarray] | None) -> str | None:
    """Return what is wrong with the arrays of a record that has passed `fault_of`, or None."""
    kind = None if unknown_part(result.description) else BY_NAME.get(result.description["kind"])
    if kind is None or not kind.has_arrays:
        return None
    if arrays is None:
        return f"it has no arrays, which results of kind {kind.name} have"
    try:
        kind.check_arrays(result.description, arrays)
    except KeyError as error:
        return f"it has no array {_shown(error.args[0])}"
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        return " ".join(str(error).split())
    return None


def fault_of_description(description: object) -> str | None:
    """Return what is wrong with a description, or None. Fields that nothing reads may hold any plain value."""
    if not isinstance(description, dict):
        return f"its description is a {type(description).__name__}, not an object"
    if fault := _not_plain(description, DEPTH):
        return fault
    fields = _ALWAYS | {name: check for name, check in _WHERE_GIVEN.items() if name in description}
    if fault := _fields("", description, fields, required=True):
        return fault
    for name, part in _PARTS.items():
        if name in description and (fault := _fields(f"{name}.", description[name], part)):
            return fault
    for name, check in _MAPPINGS.items():
        if name in description and (fault := _flat(name, description[name], check[0])):
            return fault
    if "recipe" in description and not unknown_part(description) and (fault := _fault_of_recipe(description)):
        return fault
    compression = description.get("compression")
    if isinstance(compression, dict) and (fault := _flat("compression.bits", compression.get("bits", {}), is_whole)):
        return fault
    kind = BY_NAME.get(description["kind"])
    if kind is None and not unknown_part(description):
        return f"kind is {_shown(description['kind'])}; it should be a name"
    required = kind.required if kind else ()
    if description.get("round"):
        required = (*required, "treatment")
    if missing := [name for name in required if not _has(description, name)]:
        return f"it has no {missing[0]}, which a description of kind {description['kind']} has"
    try:
        if kind and not unknown_part(description):
            kind.columns(description)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return f"the table's columns cannot be told from its description: {type(error).__name__} {_shown(error.args)}"
    return None


def _fault_of_recipe(description: Mapping[str, Any]) -> str | None:
    try:
        recipe_from(description)
        words_of(description["recipe"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return f"its recipe is none: {type(error).__name__} {_shown(error.args)}"
    return None


def _has(description: Mapping[str, Any], name: str) -> bool:
    first, _, rest = name.partition(".")
    value = description.get(first)
    return value is not None and (not rest or (isinstance(value, dict) and value.get(rest) is not None))


def _fields(where: str, part: object, checks: Mapping[str, Check], *, required: bool = False) -> str | None:
    if not isinstance(part, dict):
        return f"{where.rstrip('.')} is a {type(part).__name__}, not an object"
    for name, (fits, words) in checks.items():
        if name not in part:
            if required:
                return f"it has no {where}{name}"
        elif not fits(part[name]):
            return f"{where}{name} is {_shown(part[name])}; it should be {words}"
    return None


def _flat(where: str, part: object, fits: Callable[[object], bool]) -> str | None:
    if not isinstance(part, dict):
        return f"{where} is a {type(part).__name__}, not an object"
    for name, value in part.items():
        if not is_text(name) or not fits(value):
            return f"{where} has {_shown(name)}: {_shown(value)}"
    return None


def _not_plain(value: object, depth: int) -> str | None:
    """Return the part of a value that is not printable text, a finite number, true, false, null, or made of these."""
    if not isinstance(value, dict | list):
        return None if _is_scalar(value) else f"its description has {_shown(value)}"
    if not depth:
        return f"its description is more than {DEPTH} deep"
    for part in [*value.keys(), *value.values()] if isinstance(value, dict) else value:
        if not (isinstance(part, str) and part.isprintable()) and (fault := _not_plain(part, depth - 1)):
            return fault
    return None


def _number_of(name: str, value: object) -> str | None:
    fits = isinstance(value, float) and math.isfinite(value) and value >= 0
    return None if fits else f"{name} is {_shown(value)}; it should be a number, 0 or more"


def _digest(name: str, value: object) -> str | None:
    fits = value is None or (isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value))
    return None if fits else f"{name} is {_shown(value)}; it should be 64 hex digits"


def _shown(value: object) -> str:
    return ascii(value)[:60]
