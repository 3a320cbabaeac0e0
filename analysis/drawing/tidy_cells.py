"""A stored result as cells of the tidy table. What results of several seeds and rounds share is worked out once.

See docs/results.md for the columns.
"""

import csv
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import compress
from typing import Any, NamedTuple

from supermask.analysis.kinds import BY_NAME, KINDS
from supermask.analysis.kinds.fields import ColumnType, is_whole
from supermask.analysis.kinds.schema import unknown_part
from supermask.analysis.store.families import Family
from supermask.analysis.store.identity import Description
from supermask.analysis.store.store import StoredResult
from supermask.analysis.studies.recipes import words_of
from supermask.analysis.studies.rules import REGISTRIES, present_names
from supermask.counts import LAYER_KINDS

_OF_KINDS = {name: kind_ for kind in KINDS for name, kind_ in kind.column_types.items()}
_RATES = tuple(f"rate_{kind}" for kind in LAYER_KINDS)
COLUMNS = (
    *("id", "kind", "dataset", "data_digest", "network", "optimiser", "learning_rate", "batch_size", "steps"),
    *("evaluate_every", "recipe", *_OF_KINDS),
    *(*_RATES, "plugins", "seed", "round", "metric", "value"),
    *("seconds", "stored_at", "supermask", "commit", "python", "jax", "jaxlib", "flax", "optax", "numpy"),
    *("backend", "device", "devices", "machine", "revision"),
)
_WHOLE = ("batch_size", "steps", "evaluate_every", "seed", "round", "devices", "revision")
_NUMBERS = ("learning_rate", *_RATES, "value", "seconds")
TYPES: dict[str, ColumnType] = {
    **dict.fromkeys(COLUMNS, "text"),
    **dict.fromkeys(_WHOLE, "whole"),
    **dict.fromkeys(_NUMBERS, "number"),
    **_OF_KINDS,
}
"""Types of the columns. `start` is a number for learned masks and a name for sparse trainings."""

_TYPES: dict[ColumnType, set[type]] = {
    "text": {str},
    "whole": {int},
    "number": {int, float},
    "truth": {bool},
    "mixed": {str, int, float},
}
_DESCRIBED = (
    *("kind", "dataset", "data_digest", "network", "optimiser", "learning_rate", "batch_size", "steps"),
    *("evaluate_every", "criterion", "seed", "round", "revision"),
)
_MADE_WITH = COLUMNS[COLUMNS.index("supermask") : COLUMNS.index("revision")]
CELLS = tuple(name for name in COLUMNS if name not in ("metric", "value"))
METRIC = COLUMNS.index("metric")
"""Number of cells of a result that stand before its metrics."""

_SEED = COLUMNS.index("seed")
_OF_DESCRIPTION = (*COLUMNS[1:_SEED], "round", "revision")
_OF_RESULT = ("id", "seed", "seconds", "stored_at")
_NEVER_EMPTY = (*_OF_RESULT, "kind", "dataset", "network")


Line = Callable[[Iterable[Any]], str]
"""Formats cells as a line of a CSV file, without its end."""


class Described(NamedTuple):
    """Cells that a family's results share, by `_OF_DESCRIPTION`. `csv` is the text of all before the round."""

    cells: tuple[Any, ...]
    csv: str
    round: str | None
    """The number of the description that is a result's round; None if all have the same cell."""


class Tabulated(NamedTuple):
    """A result's cells, by COLUMNS without metric and value, and the names and values of its metrics, by name."""

    cells: tuple[Any, ...]
    names: tuple[str, ...]
    values: tuple[float, ...]
    described: Described | None

    def csv(self, line: Line) -> str:
        """Return the result's lines of a CSV file, one per metric; `line` formats cells."""
        if self.described is None:
            start = line(self.cells[:METRIC])
        else:
            id_, seed, round_ = self.cells[0], *self.cells[_SEED : _SEED + 2]
            start = f"{id_},{self.described.csv},{seed},{'' if round_ is None else round_}"
        end = f",{self.cells[METRIC]!r},{_csv_of(line, *self.cells[METRIC + 1 :])}\n"
        return "".join(
            [
                f"{start},{name},{'' if value != value else repr(value)}{end}"
                for name, value in zip(_each_csv_of(line, self.names), self.values, strict=True)
            ]
        )


def tabulated(result: StoredResult) -> Tabulated | None:
    """Return a result's cells and metrics; None if they are not of the columns' types, as a forged record's may be."""
    described = None if result.family is None else _of_family(result.family)
    try:
        if described is None:
            *before, round_, revision = cells = _cells(result.description)
            fits = _fit(cells, _OF_DESCRIPTION)
        else:
            *before, round_, revision = described.cells
            round_, fits = round_ if described.round is None else result.description[described.round], True
        made_with = tuple(map(result.made_with.get, _MADE_WITH))
        id_, seed, *when = own = (result.id, result.description["seed"], result.seconds, result.stored_at)
        names, values = zip(*sorted(metrics.items()), strict=True) if (metrics := result.metrics) else ((), ())
        fits = fits and _fit(own, _OF_RESULT) and _is_origin(*made_with) and _are_measured(names, values)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    cells = (id_, *before, seed, round_, *when, *made_with, revision)
    return Tabulated(cells, names, values, described) if fits else None


def csv_lines() -> Line:
    """Return a function that formats cells as a line of a CSV file, without its end."""
    return csv.writer(_Echo(), lineterminator="").writerow  # it returns what the file's `write` returns


class _Echo:
    def write(self, text: str) -> str:
        return text


@lru_cache(maxsize=4096, typed=True)
def _csv_of(line: Line, *cells: str | int | None) -> str:
    """Cached, because many results were stored together."""
    return line(cells)


@lru_cache(maxsize=1024)
def _each_csv_of(line: Line, names: tuple[str, ...]) -> tuple[str, ...]:
    """Cached, because results share the names of their metrics."""
    return tuple(line([name]) for name in names)


@lru_cache(maxsize=1024)
def _of_family(family: Family) -> Described | None:
    """Return the cells that a family's results share; None if another cell than the round depends on its numbers."""
    try:
        *before, round_, revision = _cells(family.description)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None  # forged, or computed from a number
    number = next((name for name in family.names if round_ == family.description[name]), None)
    cells = (*before, round_ if number is None else 0, revision)
    return Described(cells, csv_lines()(before), number) if _fit(cells, _OF_DESCRIPTION) else None


def _cells(description: Description) -> tuple[Any, ...]:
    """Return the cells of `_OF_DESCRIPTION`."""
    columns: dict[str, Any] = dict(zip(_DESCRIBED, map(description.get, _DESCRIBED), strict=True))
    for kind, rate in description.get("rates", {}).items():
        columns[f"rate_{kind}"] = rate
    columns["recipe"] = words_of(description.get("recipe", {}))
    columns["plugins"] = " ".join(sorted(description.get("plugins", {})))
    columns["weights"] = description.get("weights", "trained")
    if not unknown_part(description):  # results of later versions may have other columns
        columns |= BY_NAME[description["kind"]].columns(description)
    chosen = {name: columns[name] for name in REGISTRIES if isinstance(columns.get(name), str)}
    columns |= present_names(chosen, description.get("rules", {}))
    return tuple(map(columns.get, _OF_DESCRIPTION))


def _fit(cells: Sequence[Any], columns: tuple[str, ...]) -> bool:
    """Return whether cells have their columns' types, printable text, and whole numbers that Parquet can hold."""
    places = _places_of(tuple(map(type, cells)), columns)
    return (
        places is not None
        and "".join(compress(cells, places.texts)).isprintable()
        and all(map(is_whole, compress(cells, places.wholes)))
    )


class _Places(NamedTuple):
    """Which cells are texts, and which are whole numbers."""

    texts: tuple[bool, ...]
    wholes: tuple[bool, ...]


@lru_cache(maxsize=256)
def _places_of(types: tuple[type, ...], columns: tuple[str, ...]) -> _Places | None:
    """Return None if a type is not its column's. Cached, because the results of a kind have few combinations."""
    fits = all(
        type_ in _TYPES[TYPES[name]] or (type_ is type(None) and name not in _NEVER_EMPTY)
        for name, type_ in zip(columns, types, strict=True)
    )
    return _Places(tuple(each is str for each in types), tuple(each is int for each in types)) if fits else None


@lru_cache(maxsize=256, typed=True)
def _is_origin(*made_with: Any) -> bool:
    """Cached, because many results have the same provenance."""
    return _fit(made_with, _MADE_WITH)


def _are_measured(names: tuple[str, ...], values: tuple[Any, ...]) -> bool:
    """Return whether metrics have printable names, and values that a column of numbers can hold."""
    return _are_printable(names) and (
        set(map(type, values)) <= {float}
        or all(type(value) is float or (type(value) is int and is_whole(value)) for value in values)
    )


@lru_cache(maxsize=1024)
def _are_printable(names: tuple[str, ...]) -> bool:
    return "".join(names).isprintable()
