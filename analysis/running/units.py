"""Splits a study into units, each trained from start to end in one place. Shards and clusters distribute units.

A unit is one run through all of its rounds, one seed's untrained networks under one criterion, one learned mask, and so
on. Results do not depend on which networks train side by side, so units can be distributed in any way.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from supermask.analysis.kinds.base import Kind
from supermask.analysis.kinds.plan import by_kind, complete, results_of
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.system.errors import UsageError


@dataclass(frozen=True)
class Unit:
    """One unit of a study.

    group: units of the same group are made side by side, in populations.
    study: its runs, for its seed alone.
    ids: ids of the results that it makes.
    needs: ids of the results that it starts from, made by other units.
    work: in network-steps, see `supermask.analysis.kinds.plan.work_of`.
    chained: whether each of its results starts from the previous one.
    """

    group: str
    seed: int
    study: Study
    ids: tuple[str, ...]
    needs: tuple[str, ...]
    work: float
    chained: bool


def units(experiment: Experiment, study: Study) -> Iterator[Unit]:
    """Yield the units of a study, seed by seed and kind by kind, each once and before the units that need it."""
    kinds = list(by_kind(complete(study)))
    for seed in experiment.seeds:
        own = (_unit(experiment, kind, runs, seed) for kind, every in kinds for runs in kind.bundles(every))
        yield from {unit.ids: unit for unit in own}.values()  # two runs may have the same description


def _unit(experiment: Experiment, kind: Kind[Any], runs: tuple[Hashable, ...], seed: int) -> Unit:
    made = [named for run in runs for named in kind.results(experiment, run, seed)]
    sources = dict.fromkeys(source for run in runs for source in kind.sources(run))
    needs = tuple(named.id for source in sources for named in results_of(experiment, source, seed))
    work = sum(kind.work(experiment, named.description) for named in made)
    ids = tuple(named.id for named in made)
    return Unit(kind.group(runs[0]), seed, Study(runs), ids, needs, work, kind.chained)


def together(some: Iterable[Unit]) -> Study:
    """Return the study of all runs of these units."""
    return reduce(Study.__or__, (unit.study for unit in some), Study())


def seeds_of(some: Iterable[Unit]) -> tuple[int, ...]:
    """Return their seeds, in order."""
    return tuple(sorted({unit.seed for unit in some}))


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of a study, numbered from 1 to `count`."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def parse_shard(text: str) -> Shard:
    """Parse a shard such as '2/8'. Raises UsageError for any other text."""
    index, _, count = text.partition("/")
    if not (index.isascii() and count.isascii() and index.isdigit() and count.isdigit() and len(text) < 20):
        raise UsageError(f"shard is {text!r}; allowed: I/N, two whole numbers such as 2/8: the second of eight")
    if int(count) < 1:
        raise UsageError(f"shard is {text!r}, of no parts; allowed: I/N with N from 1 on, and I from 1 to N")
    if not 1 <= int(index) <= int(count):
        raise UsageError(f"shard is {text!r}; allowed: 1/{int(count)} to {int(count)}/{int(count)}")
    return Shard(int(index), int(count))


def deal(experiment: Experiment, study: Study, shard: Shard) -> list[Unit]:
    """Return the shard's units and those that they need, which several shards may make, with the same results.

    Units of each group are dealt in runs of neighbours, so that most seeds need their round 0 in only one shard.
    """
    every = list(units(experiment, study))
    groups: dict[str, list[Unit]] = {}
    for unit in every:
        groups.setdefault(unit.group, []).append(unit)
    dealt: list[Unit] = []
    for own in groups.values():
        dealt += own[len(own) * (shard.index - 1) // shard.count : len(own) * shard.index // shard.count]
    wanted = _with_what_they_need(dealt, {id_: unit for unit in every for id_ in unit.ids})
    return [unit for unit in every if unit.ids[0] in wanted]


def _with_what_they_need(some: Sequence[Unit], makers: Mapping[str, Unit]) -> set[str]:
    """Return the first ids of the units and of all units that they start from."""
    found: set[str] = set()
    left = list(some)
    while left:
        unit = left.pop()
        if unit.ids[0] not in found:
            found.add(unit.ids[0])
            left += [makers[id_] for id_ in unit.needs]
    return found
