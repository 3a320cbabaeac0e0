"""What a worker does: it trains part of a study for a while, hands back results, and keeps what the next part needs.

The weights of a run stay on the worker from round to round. What the worker lacks (it is new, or the work was another's
who died) it asks for, and the client sends it from the results folder.
"""

import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from distributed import Worker, WorkerPlugin, get_worker

import supermask
from analysis.running.runner import run
from analysis.running.units import units
from analysis.store.identity import REVISIONS, identity
from analysis.store.store import Result
from analysis.studies.experiment import Experiment, Study
from analysis.studies.protocols import Protocol
from analysis.studies.work import Done
from analysis.studies.workbench import Workbench
from analysis.system.platform import cores, set_up_jax
from supermask import datasets
from supermask.datasets import DataError, Dataset
from supermask.networks import NETWORKS, parameter_count
from supermask.population import place

NAME = "supermask"
"""Of the plugin, of the topic of progress, and before the keys of tasks."""

VERSION = f"{supermask.__version__}, revisions of results {REVISIONS}"
"""What a worker must have in common with its client."""

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Setting:
    """What every worker is told once.

    devices: CPU devices that a worker uses. pinned: for workers on this machine, each of which keeps to one core.
    plugin: name and content of the user's own file, which workers run as the client did.
    """

    protocol: Protocol
    data_digest: str
    data_dir: Path | None = None
    devices: int = 1
    pinned: bool = False
    plugin: tuple[str, bytes] | None = None
    version: str = VERSION


@dataclass(frozen=True)
class Task:
    """Part of a study: the results to make, in populations of so many networks, for about so many seconds."""

    study: Study
    seeds: tuple[int, ...]
    wanted: frozenset[str]
    networks: int
    seconds: float


class Outcome(NamedTuple):
    """What comes back of a task: results, or what it lacks to begin with."""

    results: tuple[Result, ...]
    made_with: Mapping[str, Any]
    lacks: frozenset[str]
    lacks_data: bool
    worker: str


class Word(NamedTuple):
    """What a worker tells between results: that it begins a task (by its key), or work done since its last word."""

    work: float
    task: str = ""
    worker: str = ""


class NotPreparedError(RuntimeError):
    """A worker was not told what this is about: it, or its scheduler, is new."""


class Capacity(NamedTuple):
    """How many networks a worker trains at once: on an accelerator as many as it has slots for, on CPU one a device."""

    networks: int


def inputs(experiment: Experiment, study: Study, wanted: Iterable[str]) -> frozenset[str]:
    """Ids of the results that making the wanted ones starts from."""
    wanted = frozenset(wanted)
    needed: set[str] = set()
    for unit in units(experiment, study):
        own = [index for index, id_ in enumerate(unit.ids) if id_ in wanted]
        if own:
            needed.update(unit.needs)
            if unit.chained and own[0] > 0:
                needed.add(unit.ids[own[0] - 1])
    return frozenset(needed - wanted)


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


class Workshop(WorkerPlugin):
    """A worker's share of the toolkit: data, trainers, and results that go on to a next round."""

    name = NAME

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def setup(self, worker: Worker) -> None:
        """Prepares the process before its first task. Raises RuntimeError for another version of the toolkit."""
        if self._setting.version != VERSION:
            raise RuntimeError(
                f"worker {worker.address} has supermask {VERSION}; the client has {self._setting.version}"
            )
        if self._setting.pinned:
            _pin(worker.name)
        _keep_memory()
        set_up_jax(min(self._setting.devices, cores()))
        if self._setting.plugin is not None:
            _run_plugin(*self._setting.plugin, Path(worker.local_directory))
        self._folder = Path(worker.local_directory)
        self._lock = threading.Lock()  # a process has one set of devices, however many threads Dask gives it
        self._data: Dataset | None = None
        self._made: dict[str, Arrays] = {}
        self._benches: dict[int, Workbench] = {}

    def capacity(self) -> Capacity:
        """How many networks this worker trains at once."""
        data = datasets.DATASETS[self._setting.protocol.dataset]
        placement = place(parameter_count(NETWORKS[self._setting.protocol.network], data.image_shape))
        return Capacity(len(placement.devices) if placement.one_at_a_time else placement.slots)

    def receive(self, data: Dataset | None) -> bool:
        """Takes the data set, if it is the right one and not here yet; whether it's here. Waits for no task."""
        if self._data is None and data is not None and data.digest == self._setting.data_digest:
            self._data = data
        return self._data is not None

    def work(self, task: Task, given: Mapping[str, Arrays], worker: Worker) -> Outcome:
        """Works on the task until its time is over, or all of it is done."""
        with self._lock:
            if not self._has_data():
                return Outcome((), {}, frozenset(), True, worker.address)
            assert self._data is not None  # noqa: S101  for the type checker
            experiment = Experiment(self._setting.protocol, self._data, task.seeds)
            needed = inputs(experiment, task.study, task.wanted)
            self._made |= given
            if lacks := needed - self._made.keys():
                return Outcome((), {}, lacks, False, worker.address)
            from analysis.store.provenance import provenance

            bench = self._benches.setdefault(task.networks, Workbench(task.networks))
            collected = Collected(self._folder, task.wanted, self._made, time.monotonic() + task.seconds)
            with suppress(TimeIsUpError):
                run(experiment, task.study, collected, _teller(worker), bench=bench)
            left = task.wanted - {identity(result.description) for result in collected.results}
            self._forget(task.wanted | needed, inputs(experiment, task.study, left))
            return Outcome(tuple(collected.results), provenance(), frozenset(), False, worker.address)

    def _has_data(self) -> bool:
        """Whether the data set is here: it was sent, or this machine has it."""
        if self._data is None:
            name, folder = self._setting.protocol.dataset, self._setting.data_dir
            with suppress(DataError):
                self.receive(
                    datasets.load(name, data_dir=folder if folder and folder.is_dir() else None, download=False)
                )
        return self._data is not None

    def _forget(self, used: Iterable[str], still_needed: Iterable[str]) -> None:
        """Drops arrays that nothing here will start from again; round 0, which many start from, is kept."""
        for id_ in set(used) - set(still_needed):
            if id_ in self._made and not any(name.startswith("initial.") for name in self._made[id_]):
                del self._made[id_]


class TimeIsUpError(Exception):
    """Ends a task after a population whose results it has collected."""


class Collected:
    """A `store.Storage` that collects the wanted results of a task, and ends it when its time is up."""

    def __init__(self, folder: Path, wanted: Iterable[str], made: dict[str, Arrays], until: float) -> None:
        self.folder = folder
        self.results: list[Result] = []
        self._wanted, self._made, self._until = frozenset(wanted), made, until
        self._have: set[str] = set()

    def known(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids that are done, or are not this task's to do."""
        return {id_ for id_ in ids if id_ not in self._wanted or id_ in self._have}

    def arrays(self, id_: str) -> dict[str, np.ndarray]:
        """A result's arrays, made here or sent."""
        return dict(self._made[id_])

    def add(self, results: Sequence[Result], made_with: Mapping[str, Any]) -> None:
        """Keeps a population's results. Raises TimeIsUpError where that was enough."""
        self.results += results
        for result in results:
            id_ = identity(result.description)
            self._have.add(id_)
            if result.arrays is not None:
                self._made[id_] = result.arrays
        if time.monotonic() >= self._until:
            raise TimeIsUpError


def work(task: Task, given: Mapping[str, Arrays], key: str) -> Outcome:
    """The task that is sent to workers, under that key."""
    worker = get_worker()
    worker.log_event(NAME, tuple(Word(0.0, key, worker.address)))
    return _workshop_of(worker).work(task, given, worker)


def receive(data: Dataset | None, dask_worker: Worker) -> bool:
    """Brings a worker the data set that it lacks; says whether it has it then."""
    return _workshop_of(dask_worker).receive(data)


def capacity(dask_worker: Worker) -> Capacity:
    """Asked of every worker before work is cut to size."""
    return _workshop_of(dask_worker).capacity()


def _workshop_of(worker: Worker) -> Workshop:
    workshop: Any = worker.plugins.get(NAME)
    if workshop is None:
        raise NotPreparedError(f"worker {worker.address} was not prepared")
    return workshop


def _teller(worker: Worker) -> Callable[[Done], None]:
    """Tells the client, once a second at most, of work done."""
    told, sum_ = time.monotonic(), 0.0

    def tell(done: Done) -> None:
        nonlocal told, sum_
        sum_ += done.work
        if time.monotonic() - told >= 1.0:
            worker.log_event(NAME, tuple(Word(sum_)))
            told, sum_ = time.monotonic(), 0.0

    return tell


def _keep_memory() -> None:
    """Lets glibc keep freed memory for the next array. Dask's MALLOC_TRIM_THRESHOLD_ makes it give all back at once:
    then every array of a megabyte is new memory to the kernel, and small networks train at half the speed.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((M_MMAP_THRESHOLD, 32 << 20), (M_TRIM_THRESHOLD, 1 << 30)):
            mallopt(parameter, value)


def _pin(name: object) -> None:
    """Keeps this process to one core, its number among its machine's by the worker's name: all threads of it."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        core = allowed[int(str(name)) % len(allowed)]
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})


def _run_plugin(name: str, content: bytes, folder: Path) -> None:
    from analysis.studies.plugins import load_plugin, register

    path = folder / Path(name).name
    path.write_bytes(content)
    register(load_plugin(path))
