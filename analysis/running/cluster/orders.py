"""A study as tasks for workers: cut to size, taken apart where one cannot be done, named for a person."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from analysis.kinds.plan import by_kind
from analysis.running.cluster.worker import Arrays, Task
from analysis.running.units import Unit, seeds_of, together, units
from analysis.studies.experiment import Experiment, Study
from analysis.system.words import count

TASK_SECONDS = 5.0
"""How long a task lasts, so that a worker that dies costs little; what it has in hand is still finished."""

SHARE = 3
"""Into how many parts each worker's share is cut, so that none is left idle for long at the end."""

BYTES_A_SECOND = 1e6
"""How slow a way to the scheduler may be: so long a task on its way is not taken for lost."""


@dataclass(frozen=True)
class Failure:
    """A task that could not be done: what it was, how many results it leaves missing, and why."""

    what: str
    results: int
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {count(self.results, 'result')} missing: {self.why}"


@dataclass
class Order:
    """A task on its way.

    waits_for: what it starts from and is not stored. worker: where it is best done. begun: the worker that said that it
    began it. failures, losses, deaths: how often it raised an error, got lost, and went down with a worker that had
    begun it. arrives: when it should have reached the scheduler.
    """

    task: Task
    waits_for: set[str]
    worker: str | None = None
    begun: str | None = None
    failures: int = 0
    losses: int = 0
    deaths: int = 0
    arrives: float = 0.0

    def leaves(self, given: Mapping[str, Arrays]) -> None:
        """Note that it is sent now, with what it starts from."""
        self.begun = None
        size = sum(array.nbytes for arrays in given.values() for array in arrays.values())
        self.arrives = time.monotonic() + size / BYTES_A_SECOND


def cut(experiment: Experiment, study: Study, missing: frozenset[str], workers: int, networks: int) -> Iterator[Task]:
    """Tasks that make all that is missing: units of a group side by side, as even as can be.

    A task has as many networks as a worker trains at once, `networks`, or more where there is plenty: no more than
    gives every worker `SHARE` tasks.
    """
    groups: dict[str, list[Unit]] = {}
    for unit in units(experiment, study):
        if not missing.isdisjoint(unit.ids):
            groups.setdefault(unit.group, []).append(unit)
    for own in groups.values():
        size = max(networks, -(-len(own) // (workers * SHARE)))
        pieces = -(-len(own) // size)
        bounds = [len(own) * piece // pieces for piece in range(pieces + 1)]
        for first, last in pairwise(bounds):
            some = own[first:last]
            ids = missing.intersection(id_ for unit in some for id_ in unit.ids)
            yield Task(together(some), seeds_of(some), ids, max(len(some), networks), TASK_SECONDS)


def taken_apart(experiment: Experiment, task: Task) -> Iterator[Task]:
    """A task for every run of this one: one that cannot be done must not cost the others their results."""
    for unit in units(replace(experiment, chosen=task.seeds), task.study):
        if wanted := task.wanted.intersection(unit.ids):
            yield replace(task, study=together([unit]), seeds=seeds_of([unit]), wanted=wanted)


def words(task: Task) -> str:
    """What a task is, for a person: what it is made of, and its seeds."""
    parts = [", ".join(map(str, runs)) for _, runs in by_kind(task.study)]
    seeds = ", ".join(map(str, task.seeds))
    return f"{'; '.join(parts)} of seed{'s' * (len(task.seeds) > 1)} {seeds}"
