"""A worker: trains part of a study for a limited time, returns results, and keeps what the next part needs.

The weights of a run stay on the worker from round to round. If the worker lacks something, because it is new or took
over from a worker that died, it asks, and the client sends it from the results folder.
"""

import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from distributed import Worker, WorkerPlugin, get_worker

import supermask
from supermask import datasets
from supermask.analysis.running.cluster.sending import SentNetwork, SentRun, unpacked
from supermask.analysis.running.runner import run
from supermask.analysis.running.units import units
from supermask.analysis.store.identity import REVISIONS, identity
from supermask.analysis.store.store import Result
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.network_files import OwnNetwork
from supermask.analysis.studies.protocols import Protocol
from supermask.analysis.studies.work import Done
from supermask.analysis.studies.workbench import Workbench
from supermask.analysis.system.platform import cores, set_up_jax
from supermask.datasets import DataError, Dataset
from supermask.named_members import BUILT_IN, Members
from supermask.networks import Network
from supermask.population import place

NAME = "supermask"
"""Name of the plugin and of the progress topic, and prefix of the keys of tasks."""

VERSION = f"{supermask.__version__}, revisions of results {REVISIONS}"
"""Version that a worker must share with its client."""

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Setting:
    """Settings sent to every worker once.

    parameters: number of the network's weights and biases, which decides how many train at once.
    devices: CPU devices that a worker uses. pinned: for workers on this machine, each of which keeps to one core.
    plugin: name and content of the user's own file, which workers run as the client did. network: that of a network of
    the user's own.
    """

    protocol: Protocol
    data_digest: str
    parameters: int
    data_dir: Path | None = None
    devices: int = 1
    pinned: bool = False
    plugin: tuple[str, bytes] | None = None
    network: SentNetwork | None = None
    version: str = VERSION


@dataclass(frozen=True)
class Task:
    """Part of a study: the results to make, the networks per population, and the approximate seconds."""

    study: Study
    seeds: tuple[int, ...]
    wanted: frozenset[str]
    networks: int
    seconds: float


class Outcome(NamedTuple):
    """Result of a task: results, or what it lacks to begin."""

    results: tuple[Result, ...]
    made_with: Mapping[str, Any]
    lacks: frozenset[str]
    lacks_data: bool
    worker: str


class Word(NamedTuple):
    """A worker's message between results: that it begins a task (by its key), or work done since its last message."""

    work: float
    task: str = ""
    worker: str = ""


class NotPreparedError(RuntimeError):
    """A worker has no setting, because it or its scheduler is new."""


class Capacity(NamedTuple):
    """Number of networks that a worker trains at once: on an accelerator its slots, on CPU one per device."""

    networks: int


def inputs(experiment: Experiment, study: Study, wanted: Iterable[str]) -> frozenset[str]:
    """Return the ids of the results that the wanted ones start from."""
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
    """A worker's state: data, trainers, and results for the next round."""

    name = NAME

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def setup(self, worker: Worker) -> None:
        """Prepare the process before its first task. Raises RuntimeError for another version of the toolkit."""
        if self._setting.version != VERSION:
            raise RuntimeError(
                f"worker {worker.address} has supermask {VERSION}; the client has {self._setting.version}"
            )
        if self._setting.pinned:
            _pin(worker.name)
        _keep_memory()
        set_up_jax(min(self._setting.devices, cores()))
        self._folder = Path(worker.local_directory)
        self.members = BUILT_IN
        if self._setting.plugin is not None:
            self.members = _with_plugin(*self._setting.plugin, self._folder)
        self._own_network: OwnNetwork | None = None
        if self._setting.network is not None:
            self._own_network = self._setting.network.received(self._folder, self._setting.protocol.network_digest)
        self._network: Network | None = None
        self._lock = threading.Lock()  # a process has one set of devices, however many threads Dask gives it
        self._data: Dataset | None = None
        self._made: dict[str, Arrays] = {}
        self._benches: dict[int, Workbench] = {}

    def capacity(self) -> Capacity:
        """Return the number of networks that this worker trains at once."""
        placement = place(self._setting.parameters)
        return Capacity(len(placement.devices) if placement.one_at_a_time else placement.slots)

    def receive(self, data: Dataset | None) -> bool:
        """Take the right data set if it is not here yet; return whether it is here. Does not wait for tasks."""
        if self._data is None and data is not None and data.digest == self._setting.data_digest:
            self._data = data
        return self._data is not None

    def work(self, task: Task, given: Mapping[str, Arrays], worker: Worker) -> Outcome:
        """Work on the task until its time is over or it is complete."""
        with self._lock:
            if not self._has_data():
                return Outcome((), {}, frozenset(), True, worker.address)
            assert self._data is not None  # noqa: S101  for the type checker
            if self._own_network is not None and self._network is None:
                self._network = self._own_network.network(self._data.classes)
            experiment = Experiment(self._setting.protocol, self._data, task.seeds, self._network)
            needed = inputs(experiment, task.study, task.wanted)
            self._made |= given
            if lacks := needed - self._made.keys():
                return Outcome((), {}, lacks, False, worker.address)
            from supermask.analysis.store.provenance import provenance

            bench = self._benches.setdefault(task.networks, Workbench(task.networks))
            collected = Collected(self._folder, task.wanted, self._made, time.monotonic() + task.seconds)
            with suppress(TimeIsUpError):
                run(experiment, task.study, collected, _teller(worker), bench=bench)
            left = task.wanted - {identity(result.description) for result in collected.results}
            self._forget(task.wanted | needed, inputs(experiment, task.study, left))
            return Outcome(tuple(collected.results), provenance(), frozenset(), False, worker.address)

    def _has_data(self) -> bool:
        """Return whether the data set is here: sent, or found on this machine."""
        if self._data is None:
            name, folder = self._setting.protocol.dataset, self._setting.data_dir
            with suppress(DataError):
                self.receive(
                    datasets.load(name, data_dir=folder if folder and folder.is_dir() else None, download=False)
                )
        return self._data is not None

    def _forget(self, used: Iterable[str], still_needed: Iterable[str]) -> None:
        """Drop arrays that nothing here will start from again; keep round 0, from which many start."""
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
        """Return the ids that are done or do not belong to this task."""
        return {id_ for id_ in ids if id_ not in self._wanted or id_ in self._have}

    def arrays(self, id_: str) -> dict[str, np.ndarray]:
        """Return a result's arrays, made here or received."""
        return dict(self._made[id_])

    def add(self, results: Sequence[Result], made_with: Mapping[str, Any]) -> None:
        """Keep a population's results. Raises TimeIsUpError once the time is up."""
        self.results += results
        for result in results:
            id_ = identity(result.description)
            self._have.add(id_)
            if result.arrays is not None:
                self._made[id_] = result.arrays
        if time.monotonic() >= self._until:
            raise TimeIsUpError


def work(task: Task, runs: Sequence[SentRun], given: Mapping[str, Arrays], key: str) -> Outcome:
    """Run a task on a worker, under that key; its study is that of the runs."""
    worker = get_worker()
    worker.log_event(NAME, tuple(Word(0.0, key, worker.address)))
    workshop = _workshop_of(worker)
    return workshop.work(replace(task, study=unpacked(runs, workshop.members)), given, worker)


def receive(data: Dataset | None, dask_worker: Worker) -> bool:
    """Give a worker a missing data set; return whether it has it afterwards."""
    return _workshop_of(dask_worker).receive(data)


def capacity(dask_worker: Worker) -> Capacity:
    """Return a worker's capacity, which determines the size of tasks."""
    return _workshop_of(dask_worker).capacity()


def _workshop_of(worker: Worker) -> Workshop:
    workshop: Any = worker.plugins.get(NAME)
    if workshop is None:
        raise NotPreparedError(f"worker {worker.address} was not prepared")
    return workshop


def _teller(worker: Worker) -> Callable[[Done], None]:
    """Return a function that reports work to the client, at most once a second."""
    told, sum_ = time.monotonic(), 0.0

    def tell(done: Done) -> None:
        nonlocal told, sum_
        sum_ += done.work
        if time.monotonic() - told >= 1.0:
            worker.log_event(NAME, tuple(Word(sum_)))
            told, sum_ = time.monotonic(), 0.0

    return tell


def _keep_memory() -> None:
    """Let glibc keep freed memory for the next array. Dask's MALLOC_TRIM_THRESHOLD_ makes it return all memory at once:
    every array of a megabyte then needs new memory from the kernel, and small networks train at half the speed.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((M_MMAP_THRESHOLD, 32 << 20), (M_TRIM_THRESHOLD, 1 << 30)):
            mallopt(parameter, value)


def _pin(name: object) -> None:
    """Pin all threads of this process to one core, chosen by the worker's name."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        core = allowed[int(str(name)) % len(allowed)]
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})


def _with_plugin(name: str, content: bytes, folder: Path) -> Members:
    from supermask.analysis.studies.plugin_files import load_plugin

    path = folder / Path(name).name
    path.write_bytes(content)
    return BUILT_IN.plus(*load_plugin(path).members())
