"""Splits a study into tasks for workers, splits tasks that fail, and describes tasks for the user."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from supermask.analysis.kinds.plan import by_kind
from supermask.analysis.running.cluster.worker import Arrays, Task
from supermask.analysis.running.units import Unit, seeds_of, together, units
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.system.words import count

TASK_SECONDS = 5.0
"""Duration of a task, short so that a worker's death costs little; a population in progress is still finished."""

SHARE = 3
"""Number of tasks per worker, so that none is idle for long at the end."""

BYTES_A_SECOND = 1e6
"""Minimum assumed bandwidth to the scheduler: within this time, a task being sent does not count as lost."""


@dataclass(frozen=True)
class Failure:
    """A failed task: its description, the number of missing results, and the reason."""

    what: str
    results: int
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {count(self.results, 'result')} missing: {self.why}"


@dataclass
class Order:
    """A task being processed.

    waits_for: results that it starts from and that are not stored. worker: the preferred worker. begun: the worker that
    reported beginning it. failures, losses, deaths: number of times that it raised an error, was lost, and was lost
    with a worker that had begun it. arrives: time by which it should have reached the scheduler.
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
        """Record that it is sent now, with the results that it starts from."""
        self.begun = None
        size = sum(array.nbytes for arrays in given.values() for array in arrays.values())
        self.arrives = time.monotonic() + size / BYTES_A_SECOND


def cut(experiment: Experiment, study: Study, missing: frozenset[str], workers: int, networks: int) -> Iterator[Task]:
    """Yield tasks that make all missing results, with units of a group side by side, of about equal size.

    A task has as many networks as a worker trains at once, `networks`, or more if there are many, as long as every
    worker gets `SHARE` tasks.
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
    """Yield one task per run of this task, so that a failing run does not cost the others their results."""
    for unit in units(replace(experiment, chosen=task.seeds), task.study):
        if wanted := task.wanted.intersection(unit.ids):
            yield replace(task, study=together([unit]), seeds=seeds_of([unit]), wanted=wanted)


def words(task: Task) -> str:
    """Describe a task for the user: its runs and its seeds."""
    parts = [", ".join(map(str, runs)) for _, runs in by_kind(task.study)]
    seeds = ", ".join(map(str, task.seeds))
    return f"{'; '.join(parts)} of seed{'s' * (len(task.seeds) > 1)} {seeds}"
