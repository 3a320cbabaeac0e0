"""What a kind of result is: how its runs are described, made, priced and tabulated.

A *run* is one thing that a figure asks for, seed and protocol apart: a treatment taken through its rounds, a mask to
learn, a neural graph to train. Runs are small frozen dataclasses; each type of run belongs to one kind. A run of a seed
makes one *result* or several, each of which is stored under the hash of its description.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np

from analysis.store.identity import Description, identity
from analysis.store.provenance import provenance
from analysis.store.store import Result, Storage
from analysis.studies.experiment import Experiment
from analysis.studies.protocols import Protocol
from analysis.studies.work import Done, Watcher, steps_teller
from analysis.studies.workbench import Workbench
from supermask.intervals import OnProgress
from supermask.networks import NETWORKS, Network, Params, parameter_count
from supermask.population import Placement, batched, place
from supermask.resuming import Checkpoints

Run = TypeVar("Run", bound=Hashable)
Metrics = dict[str, float]
Arrays = Mapping[str, np.ndarray]
Made = tuple[Metrics, Arrays | None]
"""What a run of a seed makes: a result's metrics, and its arrays if it has any."""

RECORD_BYTES = 2600
"""What a result takes in SQLite, its description and metrics included: measured."""

FILE_BYTES = 800
"""What a file of arrays takes beyond their values, for names and shapes: measured."""


class Named(NamedTuple):
    """A result that an experiment needs: its description, and the id that is made of it."""

    description: Description
    id: str


@dataclass(frozen=True)
class Context:
    """Where runs are made: an experiment, the place for results, who watches, checkpoints, and the trainers so far.

    networks: how many runs and seeds the study has of rounds of pruning, for which slots are made beforehand.
    """

    experiment: Experiment
    store: Storage
    watch: Watcher
    checkpoints: Checkpoints | None
    bench: Workbench
    networks: int = 1

    def slots(self, networks: int) -> Placement:
        """Slots for as many networks of the experiment's shape, or for as many as the workbench is set to."""
        return self.placement(NETWORKS[self.experiment.protocol.network], networks)

    def placement(self, network: Network, networks: int) -> Placement:
        """Slots for as many networks of a shape."""
        size = parameter_count(network, self.experiment.data.image_shape)
        return place(size, networks=self.bench.slots(networks))

    def steps(self, cost: float = 1.0) -> OnProgress:
        """Tells the watcher of steps that cost so many network-steps each."""
        return steps_teller(self.watch, cost)

    def keep(self, kind: str, results: Sequence[Result], work: float = 0.0) -> None:
        """Stores results that are done, in one transaction, and tells the watcher."""
        self.store.add(results, provenance())
        self.watch(Done(work, kind, len(results)))


class Kind(ABC, Generic[Run]):
    """One kind of result. A subclass a kind; see `analysis.kinds` for how to add one."""

    name: ClassVar[str]
    """What descriptions call it."""

    plural: ClassVar[str]
    """What people call several of them."""

    run_types: tuple[type, ...]
    """The types of its runs."""

    required: ClassVar[tuple[str, ...]]
    """What its descriptions cannot do without, as 'part' or 'part.field': a record that lacks it is none of ours."""

    metrics: ClassVar[tuple[str, ...]]
    """The metrics that each of its results has: a record that lacks one is none of ours."""

    has_arrays: ClassVar[bool] = False
    """Whether each of its results has arrays."""

    chained: ClassVar[bool] = False
    """Whether each result of a run starts from the one before."""

    @abstractmethod
    def describe(self, experiment: Experiment, run: Run, seed: int) -> Sequence[Description]:
        """The description of each result that a run of a seed makes, in order: all that determines it, no more."""

    @abstractmethod
    def make(self, context: Context, runs: Sequence[Run]) -> None:
        """Makes what the store lacks of the runs, for all seeds, storing each population as soon as it is done."""

    @abstractmethod
    def columns(self, description: Description) -> dict[str, Any]:
        """The columns of the tidy table that are this kind's own, of one result."""

    def check_arrays(self, description: Description, arrays: Arrays) -> None:
        """Raise KeyError for an array that is missing, ValueError or TypeError for one that is not as it should be.

        `description` has passed the schema. See `analysis.kinds.layout`.
        """
        return

    @abstractmethod
    def length(self, protocol: Protocol, runs: Sequence[Run]) -> str:
        """How long those runs are, in the words of a caption; empty where their sources say it."""

    def results(self, experiment: Experiment, run: Run, seed: int) -> tuple[Named, ...]:
        """The results that a run of a seed makes, in order. Each is described and named once an experiment."""
        key = (run, seed, self.code(run))
        if key not in experiment.described:
            named = tuple(Named(each, identity(each)) for each in self.describe(experiment, run, seed))
            experiment.described[key] = named
        return experiment.described[key]

    def missing(self, context: Context, runs: Iterable[tuple[Run, int]]) -> list[tuple[Run, int]]:
        """Those of the runs, each with its seed, of which the store lacks a result; in their order."""
        ids = {run: [each.id for each in self.results(context.experiment, *run)] for run in runs}
        stored = context.store.known(id_ for own in ids.values() for id_ in own)
        return [run for run, own in ids.items() if not stored.issuperset(own)]

    def make_in_populations(
        self,
        context: Context,
        jobs: Sequence[tuple[Run, int]],
        slots: int,
        make: Callable[[Sequence[tuple[Run, int]]], Iterable[Made]],
    ) -> None:
        """Makes runs of one result each, as many at once as there are slots, and stores each population when done."""
        for some in batched(jobs, slots):
            started = time.monotonic()
            made = list(make(some))
            seconds = (time.monotonic() - started) / len(some)
            results = [
                Result(self.results(context.experiment, *job)[0].description, metrics, arrays, seconds)
                for job, (metrics, arrays) in zip(some, made, strict=True)
            ]
            context.keep(self.name, results)

    @abstractmethod
    def uses(self, run: Run) -> frozenset[str]:
        """What of a protocol a run's own results depend on, seeds and data set apart: names as in `Changes`."""

    def code(self, run: Run) -> Hashable:
        """What a user's own code in a run is known by: a name that was registered anew makes other results."""
        return ()

    def sources(self, run: Run) -> Sequence[Hashable]:
        """The runs, of this kind or an earlier one, whose results a run starts from."""
        return ()

    def group(self, run: Run) -> str:
        """Runs of one group are made side by side, in populations."""
        return self.plural

    def bundles(self, runs: Sequence[Run]) -> Iterable[tuple[Run, ...]]:
        """The runs, cut into what has to be made in one place."""
        return ((run,) for run in runs)

    def write_beside(self, folder: Path, id_: str, arrays: Arrays) -> None:
        """Writes what lies beside a result that was made elsewhere, if it has any such: a file, say."""
        return

    def work(self, experiment: Experiment, description: Description) -> float:
        """What a result costs, in steps of one network at the protocol's batch size."""
        return float(description["steps"])

    def flops(self, experiment: Experiment, description: Description, forward: float) -> float:
        """Floating-point operations of making a result; `forward` are those of one image through the network."""
        return training_flops(experiment, description, forward)

    def size(self, experiment: Experiment, description: Description, params: Params) -> float:
        """Bytes that a result takes in the results folder; `params` have the shapes of the network's parameters."""
        return RECORD_BYTES


def training_flops(
    experiment: Experiment, description: Description, forward: float, phases: int = 1, looks: int = 1
) -> float:
    """Operations of a training: a step is three times its batch's way forward, an evaluation is one way forward.

    looks: how many networks an evaluation evaluates.
    """
    data = experiment.data
    steps = phases * (description["steps"] - description.get("treatment", {}).get("rewind_step", 0))
    seen = (steps // description["evaluate_every"] + phases) * len(data.validation) + 2 * phases * len(data.test)
    return forward * (3.0 * description["batch_size"] * steps + looks * seen)
