"""Results that a study needs in an experiment: those of its runs and of all runs that they start from."""

from collections.abc import Container, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from supermask.analysis.kinds import BY_NAME, KINDS, kind_of
from supermask.analysis.kinds.base import Kind, Named
from supermask.analysis.store.store import Store
from supermask.analysis.studies.experiment import Experiment, Study


def complete(study: Study) -> Study:
    """Return the study with every run that its runs start from, sources first."""

    def with_sources(run: Hashable) -> Iterator[Hashable]:
        for source in kind_of(run).sources(run):
            yield from with_sources(source)
        yield run

    return Study(tuple(dict.fromkeys(each for run in study.runs for each in with_sources(run))))


def by_kind(study: Study) -> Iterator[tuple[Kind[Any], tuple[Any, ...]]]:
    """Yield the study's runs by kind, in the order of `KINDS`; kinds without runs are left out."""
    for kind in KINDS:
        if runs := tuple(run for run in study.runs if isinstance(run, kind.run_types)):
            yield kind, runs


def results_of(experiment: Experiment, run: Hashable, seed: int) -> tuple[Named, ...]:
    """Return the results of a run with a seed, in order."""
    return kind_of(run).results(experiment, run, seed)


def results_needed(experiment: Experiment, study: Study) -> Iterator[Named]:
    """Yield every result that the study needs, once."""
    runs = complete(study).runs
    yield from {
        named.id: named for seed in experiment.seeds for run in runs for named in results_of(experiment, run, seed)
    }.values()


def ids_needed(experiment: Experiment, study: Study) -> frozenset[str]:
    """Return the ids of all results that the study needs."""
    return frozenset(named.id for named in results_needed(experiment, study))


def work_of(experiment: Experiment, description: Mapping[str, Any]) -> float:
    """Return the cost of a result in steps of one network in the rounds, for progress and estimates."""
    return BY_NAME[description["kind"]].work(experiment, dict(description))


class Count(NamedTuple):
    """Numbers of results of one kind: needed by a study, and stored."""

    needed: int
    stored: int


@dataclass(frozen=True)
class Workload:
    """A study's needed and stored results, and the missing work.

    `counts` are by the kind's name, in the order of `KINDS`; `work` is the missing work in network-steps.
    """

    counts: Mapping[str, Count]
    work: float

    def __str__(self) -> str:
        return ", ".join(f"{count.stored} of {count.needed} {BY_NAME[k].plural}" for k, count in self.counts.items())


def workload(experiment: Experiment, study: Study, store: Store, wanted: Container[str] | None = None) -> Workload:
    """Count a study's stored and missing results; only the `wanted` ones, if given."""
    named = [each for each in results_needed(experiment, study) if wanted is None or each.id in wanted]
    stored = store.known(each.id for each in named)
    counts = {}
    for kind in KINDS:
        own = [each for each in named if each.description["kind"] == kind.name]
        if own:
            counts[kind.name] = Count(len(own), sum(each.id in stored for each in own))
    return Workload(counts, sum(work_of(experiment, each.description) for each in named if each.id not in stored))


def missing_results(experiment: Experiment, study: Study, store: Store) -> int:
    """Return the number of a study's results that are not stored."""
    ids = ids_needed(experiment, study)
    return len(ids - store.known(ids))


def uses_of(study: Study) -> frozenset[str]:
    """Return the protocol fields that the study's results depend on, besides data set, network and seeds."""
    return frozenset(name for run in complete(study).runs for name in kind_of(run).uses(run))


def lengths(experiment: Experiment, study: Study) -> Sequence[str]:
    """Return the lengths of the study's runs, kind by kind, in the words of a caption."""
    own = (kind.length(experiment.protocol, runs) for kind, runs in by_kind(complete(study)))
    return [words for words in dict.fromkeys(own) if words]
