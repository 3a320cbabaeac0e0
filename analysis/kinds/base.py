"""Interface of a kind of result: how its runs are described, made, priced and tabulated.

A *run* is one thing that a figure asks for, independent of seed and protocol: a treatment over its rounds, a mask to
learn, a neural graph to train. Runs are small frozen dataclasses; each type of run belongs to one kind. A run with a
seed makes one or more *results*, each stored under the hash of its description.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np

from supermask.analysis.kinds.fields import ColumnTypes, Parts
from supermask.analysis.store.identity import Description, identity
from supermask.analysis.store.provenance import provenance
from supermask.analysis.store.store import Result, Storage
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import Protocol
from supermask.analysis.studies.work import Done, Watcher
from supermask.analysis.studies.workbench import Workbench
from supermask.intervals import OnProgress
from supermask.networks import Network, Params, parameter_count
from supermask.population import Placement, batched, place
from supermask.resuming import Checkpoints

Run = TypeVar("Run", bound=Hashable)
Metrics = dict[str, float]
Arrays = Mapping[str, np.ndarray]
Made = tuple[Metrics, Arrays | None]
"""Metrics of a result, and its arrays if it has any."""

RECORD_BYTES = 2600
"""Bytes of a result in SQLite, including its description and metrics (measured)."""

FILE_BYTES = 800
"""Bytes of a file of arrays besides their values, for names and shapes (measured)."""


class Named(NamedTuple):
    """A result that an experiment needs: its description, and the id derived from it."""

    description: Description
    id: str


class Wanted(NamedTuple, Generic[Run]):
    """A result that the store lacks: the run and the seed that make it, and its description."""

    run: Run
    seed: int
    description: Description


@dataclass(frozen=True)
class Context:
    """Context for making runs: experiment, store, watcher, checkpoints, cached trainers, and the whole study.

    A kind may look at the study to choose a number of slots that stays the same while parts of it are made.
    """

    experiment: Experiment
    store: Storage
    watch: Watcher
    checkpoints: Checkpoints | None
    bench: Workbench
    study: Study = field(default_factory=Study)

    @property
    def there(self) -> "Context":
        """The context on the experiment's other data set."""
        return replace(self, experiment=self.experiment.there, study=Study())

    def slots(self, missing: int, every: int) -> Placement:
        """Return slots for networks of the experiment's shape: see `placement`."""
        return self.placement(self.experiment.network, missing, every)

    def placement(self, network: Network, missing: int, every: int) -> Placement:
        """Return slots for `every` network of a shape, `missing` ones of which the store lacks.

        The workbench's fixed number of slots goes first, if it has one. Slots are part of what a checkpoint is found
        by, so their number stays the same while results are stored. There are fewer, for what is missing alone, only
        where all networks fit one population and an empty slot would cost as much as a filled one.
        """
        size = parameter_count(network, self.experiment.data.image_shape)
        whole = place(size, networks=self.bench.slots(every))
        if whole.one_at_a_time or whole.slots < every:
            return whole
        return place(size, networks=self.bench.slots(missing))

    def steps(self, cost: float = 1.0) -> OnProgress:
        """Return a function that reports steps to the watcher, each as `cost` network-steps."""
        return lambda steps: self.watch(Done(work=steps * cost))

    def keep(self, kind: str, results: Sequence[Result], work: float = 0.0) -> None:
        """Store finished results in one transaction, and tell the watcher."""
        self.store.add(results, provenance())
        self.watch(Done(work, kind, len(results)))


class Kind(ABC, Generic[Run]):
    """One kind of result, with one subclass per kind; see `supermask.analysis.kinds` for how to add one."""

    name: ClassVar[str]
    """Its name in descriptions."""

    plural: ClassVar[str]
    """Plural name for the user."""

    run_types: tuple[type, ...]
    """The types of its runs."""

    required: ClassVar[tuple[str, ...]]
    """Fields that its descriptions must have, as 'part' or 'part.field': a record without them is refused."""

    parts: ClassVar[Parts] = {}
    """Parts of its descriptions, with the types of those fields that are read."""

    column_types: ClassVar[ColumnTypes] = {}
    """Columns that it adds to the tidy table, with their types."""

    metrics: ClassVar[tuple[str, ...]]
    """The metrics that each of its results has: a record that lacks one is none of ours."""

    has_arrays: ClassVar[bool] = False
    """Whether each of its results has arrays."""

    chained: ClassVar[bool] = False
    """Whether each result of a run starts from the previous one."""

    @abstractmethod
    def describe(self, experiment: Experiment, run: Run, seed: int) -> Sequence[Description]:
        """Describe each result of a run with a seed, in order: everything that determines it, and nothing else."""

    @abstractmethod
    def make(self, context: Context, runs: Sequence[Run]) -> None:
        """Make missing results of the runs for all seeds; store each population when it is complete."""

    @abstractmethod
    def columns(self, description: Description) -> dict[str, Any]:
        """Return one result's values in this kind's own columns of the tidy table."""

    def check_arrays(self, description: Description, arrays: Arrays) -> None:
        """Raise KeyError for an array that is missing, ValueError or TypeError for one that is not as it should be.

        `description` has passed the schema. See `supermask.analysis.kinds.layout`.
        """
        return

    def length(self, protocol: Protocol, runs: Sequence[Run]) -> str:
        """Return the length of those runs in the words of a caption; empty if their sources state it."""
        return ""

    def results(self, experiment: Experiment, run: Run, seed: int) -> tuple[Named, ...]:
        """Return the results of a run with a seed, in order. Each is described and named once per experiment."""
        key = (run, seed)
        if key not in experiment.described:
            named = tuple(Named(each, identity(each)) for each in self.describe(experiment, run, seed))
            experiment.described[key] = named
        return experiment.described[key]

    def lacking(self, context: Context, runs: Iterable[tuple[Run, int]]) -> list[Wanted[Run]]:
        """Return the results of runs with seeds that the store lacks, in their order."""
        named = {run: self.results(context.experiment, *run) for run in runs}
        stored = context.store.known(each.id for own in named.values() for each in own)
        return [Wanted(*run, each.description) for run, own in named.items() for each in own if each.id not in stored]

    def missing(self, context: Context, runs: Iterable[tuple[Run, int]]) -> list[tuple[Run, int]]:
        """Return the runs with seeds that lack a result in the store, in their order."""
        return list(dict.fromkeys((each.run, each.seed) for each in self.lacking(context, runs)))

    def make_in_populations(
        self,
        context: Context,
        jobs: Sequence[tuple[Run, int]],
        slots: int,
        make: Callable[[Sequence[tuple[Run, int]]], Iterable[Made]],
    ) -> None:
        """Make runs of one result each, one population at a time, and store each population when it is complete."""
        wanted = [Wanted(*job, self.results(context.experiment, *job)[0].description) for job in jobs]
        self.make_wanted(context, wanted, slots, lambda some: make([(each.run, each.seed) for each in some]))

    def make_wanted(
        self,
        context: Context,
        wanted: Sequence[Wanted[Run]],
        slots: int,
        make: Callable[[Sequence[Wanted[Run]]], Iterable[Made]],
        work: float = 0.0,
    ) -> None:
        """Make results one population at a time, and store each population when it is complete.

        work: in network-steps, that of a result which `make` does not report itself.
        """
        for some in batched(wanted, slots):
            started = time.monotonic()
            made = list(make(some))
            seconds = (time.monotonic() - started) / len(some)
            results = [
                Result(each.description, metrics, arrays, seconds)
                for each, (metrics, arrays) in zip(some, made, strict=True)
            ]
            context.keep(self.name, results, work * len(some))

    @abstractmethod
    def uses(self, run: Run) -> frozenset[str]:
        """Return the protocol fields that a run's results depend on, besides seeds and data.

        They are named as in `Changes`, and a recipe's settings as in `Recipe`.
        """

    def sources(self, run: Run) -> Sequence[Hashable]:
        """Return the runs, of this kind or an earlier one, whose results a run starts from."""
        return ()

    def group(self, run: Run) -> str:
        """Return a run's group: runs of a group are made side by side, in populations."""
        return self.name

    def bundles(self, runs: Sequence[Run]) -> Iterable[tuple[Run, ...]]:
        """Split the runs into bundles that must be made in one place."""
        return ((run,) for run in runs)

    def write_beside(self, folder: Path, id_: str, arrays: Arrays) -> None:
        """Write additional files of a result that was made elsewhere, if it has any."""
        return

    def work(self, experiment: Experiment, description: Description) -> float:
        """Return the cost of a result in steps of one network in the rounds, at their batch size."""
        return float(description["steps"])

    def flops(self, experiment: Experiment, description: Description, forward: float) -> float:
        """Return the FLOPs of making a result; `forward` are those of one image's forward pass."""
        return training_flops(experiment, description, forward)

    def size(self, experiment: Experiment, description: Description, params: Params) -> float:
        """Return a result's bytes in the results folder; `params` have the shapes of the network's parameters."""
        return RECORD_BYTES


def evaluation_steps(experiment: Experiment, number: float) -> float:
    """Return the cost of so many evaluations on the test images, in steps of the rounds.

    A step costs three forward passes of its batch.
    """
    return number * len(experiment.data.test) / (3 * experiment.training.batch_size)


def training_flops(
    experiment: Experiment, description: Description, forward: float, phases: int = 1, looks: int = 1
) -> float:
    """Return the FLOPs of a training: a step costs three forward passes of its batch, an evaluation one forward pass.

    looks: number of networks per evaluation.
    """
    data = experiment.data
    steps = phases * (description["steps"] - description.get("treatment", {}).get("rewind_step", 0))
    seen = (steps // description["evaluate_every"] + phases) * len(data.validation) + 2 * phases * len(data.test)
    return forward * (3.0 * description["batch_size"] * steps + looks * seen)
