"""What there is to do for a study, and word of what is done."""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from analysis.store import Storage, Store
from analysis.studies import KINDS, Description, Experiment, Study, identity

Run = TypeVar("Run")


class Count(NamedTuple):
    """How many results of a kind a study needs, and how many of them are stored."""

    needed: int
    stored: int


@dataclass(frozen=True)
class Workload:
    """What is to be done for a study, and what of it is stored.

    `counts` are by kind of result, in the order of `KINDS`; `work` is what is missing, in network-steps: see
    `Experiment.work_of`.
    """

    counts: Mapping[str, Count]
    work: float


@dataclass(frozen=True)
class Done:
    """Told to whoever watches: work and results of a kind done since the last word."""

    work: float = 0
    kind: str = "training"
    results: int = 0


Watcher = Callable[[Done], None]


def steps_teller(watch: Watcher, cost: float = 1.0) -> Callable[[int], None]:
    """Tells the watcher of steps that take `cost` times the work of a network-step: an `intervals.OnProgress`."""
    return lambda steps: watch(Done(work=steps * cost))


def missing_runs(
    store: Storage, describe: Callable[[Run, int], Description], runs: Iterable[tuple[Run, int]]
) -> list[tuple[Run, int]]:
    """Those of the runs, each with its seed, whose result is not stored; in their order."""
    ids = {run: identity(describe(*run)) for run in runs}
    stored = store.known(ids.values())
    return [run for run, id_ in ids.items() if id_ not in stored]


def workload(experiment: Experiment, study: Study, store: Store, wanted: Container[str] | None = None) -> Workload:
    """Counts a study's results, stored and missing; of those wanted alone, if there are any such."""
    every = {identity(d): d for d in experiment.descriptions(study)}
    descriptions = every if wanted is None else {id_: d for id_, d in every.items() if id_ in wanted}
    stored = store.known(descriptions)
    kinds = [(d["kind"], id_ in stored) for id_, d in descriptions.items()]
    counts = {
        kind: Count(kinds.count((kind, True)) + kinds.count((kind, False)), kinds.count((kind, True)))
        for kind in KINDS
        if (kind, True) in kinds or (kind, False) in kinds
    }
    return Workload(counts, sum(experiment.work_of(d) for id_, d in descriptions.items() if id_ not in stored))


def missing_results(experiment: Experiment, study: Study, store: Store) -> int:
    """How many of a study's results are not stored."""
    ids = {identity(description) for description in experiment.descriptions(study)}
    return len(ids - store.known(ids))
