"""A study cut into units: what is trained from start to end in one place. Shards and clusters are made of them.

A unit is one run through all of its rounds, one seed's untrained networks under one criterion, one learned mask, and so
on. Results do not depend on what a network is trained beside, so units can be dealt out at will.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import chain

from analysis.errors import UsageError
from analysis.studies import Experiment, Study, identity
from supermask.sparse_training.runs import SMALL_DENSE, SparseRun

_NOTHING = Study(unpruned=False)


@dataclass(frozen=True)
class Unit:
    """One unit of a study.

    group: units of one group train side by side, in populations.
    study: what it takes, for its seed alone.
    ids: of the results it makes.
    needs: ids of results that it starts from, which other units make.
    work: in network-steps, see `Experiment.work_of`.
    """

    group: str
    seed: int
    study: Study
    ids: tuple[str, ...]
    needs: tuple[str, ...]
    work: float


def units(experiment: Experiment, study: Study) -> Iterator[Unit]:
    """The units of a study, seed by seed: those that others need come before them, and what is the same comes once."""
    for seed in experiment.seeds:
        own = chain(*(of(experiment, study, seed) for of in (_of_rounds, _of_one_result, _of_graphs)))
        yield from {unit.ids: unit for unit in own}.values()


def _of_rounds(experiment: Experiment, study: Study, seed: int) -> Iterator[Unit]:
    """Round 0, and what starts from it."""
    if not study.has_round_zero:
        return
    rounds = experiment.protocol.rounds
    first = experiment.describe_training(None, seed, 0)
    yield Unit("round 0", seed, Study(), (identity(first),), (), experiment.work_of(first))
    for treatment in study.treatments:
        trained = [experiment.describe_training(treatment, seed, round_) for round_ in range(1, rounds + 1)]
        ids, work = tuple(map(identity, trained)), sum(map(experiment.work_of, trained))
        yield Unit("rounds", seed, replace(_NOTHING, treatments=(treatment,)), ids, (identity(first),), work)
    for criterion in dict.fromkeys(each.criterion for each in study.untrained):
        own = tuple(each for each in study.untrained if each.criterion == criterion)
        seen = [experiment.describe_untrained(each, seed, level) for each in own for level in range(rounds + 1)]
        ids, work = tuple(map(identity, seen)), sum(map(experiment.work_of, seen))
        yield Unit("untrained", seed, replace(_NOTHING, untrained=own), ids, (identity(first),), work)


def _of_one_result(experiment: Experiment, study: Study, seed: int) -> Iterator[Unit]:
    for learned in study.learned:
        own = experiment.describe_learned(learned, seed)
        group = f"learned, {learned.method}"
        yield Unit(group, seed, replace(_NOTHING, learned=(learned,)), (identity(own),), (), experiment.work_of(own))
    sparse = dict.fromkeys(with_source for run in study.sparse for with_source in (*_sources(run), run))
    sparse |= dict.fromkeys(each for run in study.compressed for each in (*_sources(run.source), run.source))
    for run in sparse:
        own = experiment.describe_sparse(run, seed)
        needs = tuple(identity(experiment.describe_sparse(each, seed)) for each in _sources(run))
        group = f"sparse, {run.method}" + (f", {run.density:g}, {run.shape}" if run.method == SMALL_DENSE else "")
        group += ", from another" if needs else ""
        yield Unit(group, seed, replace(_NOTHING, sparse=(run,)), (identity(own),), needs, experiment.work_of(own))
    if study.dsd:  # all sparsities share the first phase
        phases = [experiment.describe_dsd(each, seed) for each in study.dsd]
        work = sum(map(experiment.work_of, phases))
        yield Unit("dsd", seed, replace(_NOTHING, dsd=study.dsd), tuple(map(identity, phases)), (), work)
    for compressed in study.compressed:
        own = experiment.describe_compression(compressed, seed)
        source = identity(experiment.describe_sparse(compressed.source, seed))
        work = experiment.work_of(own)
        yield Unit("compression", seed, replace(_NOTHING, compressed=(compressed,)), (identity(own),), (source,), work)


def _of_graphs(experiment: Experiment, study: Study, seed: int) -> Iterator[Unit]:
    """Neural graphs, and curves over one shared weight, which start from a trained network of either kind."""
    for graph in study.graphs:
        own = experiment.describe_graph(graph, seed)
        group = f"graphs, {graph.setting}"
        yield Unit(group, seed, replace(_NOTHING, graphs=(graph,)), (identity(own),), (), experiment.work_of(own))
    for shared in study.shared:
        own, needs = experiment.describe_shared(shared, seed), (identity(experiment.describe_source(shared, seed)),)
        alone, work = replace(_NOTHING, shared=(shared,)), experiment.work_of(own)
        yield Unit("shared weight", seed, alone, (identity(own),), needs, work)


def _sources(run: SparseRun) -> tuple[SparseRun, ...]:
    return () if run.source is None else (run.source,)


def together(some: Iterable[Unit]) -> Study:
    """The study that units make up."""
    return reduce(Study.__or__, (unit.study for unit in some), _NOTHING)


def seeds_of(some: Iterable[Unit]) -> tuple[int, ...]:
    """Their seeds, in order."""
    return tuple(sorted({unit.seed for unit in some}))


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of a study, 1 to `count`."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def parse_shard(text: str) -> Shard:
    """A shard from text such as '2/8'. Raises UsageError where it is not like that."""
    index, _, count = text.partition("/")
    if not (index.isascii() and count.isascii() and index.isdigit() and count.isdigit() and len(text) < 20):
        raise UsageError(f"shard is {text!r}; it should read like 2/8: the second of eight")
    if not 1 <= int(index) <= int(count):
        raise UsageError(f"shard is {text!r}; allowed: 1/{count} to {count}/{count}")
    return Shard(int(index), int(count))


def deal(experiment: Experiment, study: Study, shard: Shard) -> list[Unit]:
    """The shard's units, and those that they need: these may be in several shards, with the same results.

    Units of each group are dealt in runs of neighbours, so that most of a seed's need its round 0 in one shard alone.
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
    """First ids of the units and of all that they start from."""
    found: set[str] = set()
    left = list(some)
    while left:
        unit = left.pop()
        if unit.ids[0] not in found:
            found.add(unit.ids[0])
            left += [makers[id_] for id_ in unit.needs]
    return found
