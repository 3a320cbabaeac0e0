"""Who tells the workers: cuts a study to size, stores what comes back, and sends what was lost once more.

Only this process writes to the results folder. A task lasts some seconds, or one population where that takes longer;
what is left of it then goes back to the worker that has its weights.
"""

import queue
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from itertools import count, pairwise
from typing import Any, TypeVar

from distributed import Client, Future
from distributed.comm.core import CommClosedError

from analysis.cluster.worker import (
    NAME,
    Arrays,
    Capacity,
    Outcome,
    Setting,
    Task,
    Workshop,
    capacity,
    inputs,
    receive,
    work,
)
from analysis.compression_runs import keep_file
from analysis.errors import UsageError
from analysis.interrupts import Stop
from analysis.store import Store
from analysis.studies import Experiment, Study, identity
from analysis.units import Unit, seeds_of, together, units
from analysis.work import Done, Watcher

T = TypeVar("T")

TRIES = 3
"""How often a task may fail."""

LOSSES = 10
"""How often a task may be lost with a worker: that's no fault of the task's."""

SECONDS_TO_RETURN = 60.0
"""How long to wait for a worker in the place of those that died."""

TASK_SECONDS = 5.0
"""How long a task lasts, so that a worker that dies costs little; what it has in hand is still finished."""

SHARE = 3
"""Into how many parts each worker's share is cut, so that none is left idle for long at the end."""


@dataclass(frozen=True)
class Failure:
    """A task that could not be done: what it was, how many results it leaves missing, and why."""

    what: str
    results: int
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.results} results missing: {self.why}"


def run_on(
    client: Client,
    setting: Setting,
    experiment: Experiment,
    study: Study,
    store: Store,
    wanted: Iterable[str],
    watch: Watcher,
    stop: Stop,
) -> list[Failure]:
    """Makes what is wanted and not stored on the client's workers; returns what could not be made.

    Raises UsageError where there are no workers, or they cannot be used; KeyboardInterrupt where `stop` asks for it.
    """
    capacities = _patiently(client, lambda: _prepared(client, setting))
    asked = frozenset(wanted)
    missing = asked - store.known(asked)
    networks = max(each.networks for each in capacities.values())
    tasks = list(cut(experiment, study, missing, len(capacities), networks))
    return Foreman(client, experiment, store, watch, stop).see_through(tasks)


def _prepared(client: Client, setting: Setting) -> dict[str, Capacity]:
    """What every worker can do, once it was told what this is about."""
    client.register_plugin(Workshop(setting), name=NAME)
    capacities: dict[str, Capacity] = client.run(capacity)
    if not capacities:
        raise CommClosedError("the last worker died")
    return capacities


def _patiently(client: Client, ask: Callable[[], T]) -> T:
    """The answer of workers, of which one may die while it's asked. Raises UsageError where none comes back."""
    for _ in range(LOSSES):
        try:
            client.wait_for_workers(1, timeout=SECONDS_TO_RETURN)
            return ask()
        except TimeoutError:
            break
        except OSError:  # CommClosedError among them: the worker is gone, and the scheduler may not know it yet
            time.sleep(0.5)
    raise UsageError("cluster has no workers left")


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


@dataclass
class Order:
    """A task on its way: what it waits for, where it is best done, how often it failed and was lost, what was told."""

    task: Task
    waits_for: set[str]
    worker: str | None = None
    failures: int = 0
    losses: int = 0
    told: float = 0.0


class Foreman:
    """Sends tasks, stores results, and sends again what was lost."""

    def __init__(self, client: Client, experiment: Experiment, store: Store, watch: Watcher, stop: Stop) -> None:
        self._client, self._experiment, self._store = client, experiment, store
        self._watch, self._stop = watch, stop
        self._heard: queue.Queue[Future[Any] | float] = queue.Queue()
        self._under_way: dict[str, tuple[Future[Any], Order]] = {}
        self._waiting: list[Order] = []
        self._failures: list[Failure] = []
        self._numbers = count()
        self._run = f"{NAME}-{time.time_ns():x}"
        self._progress = 0.0

    def see_through(self, tasks: Sequence[Task]) -> list[Failure]:
        """Does all tasks; returns what failed. Raises KeyboardInterrupt once a stop was requested."""
        self._client.subscribe_topic(NAME, self._hear)
        try:
            for task in tasks:
                self._enqueue(Order(task, self._inputs_of(task)))
            self._send_what_can_be_done()
            while self._under_way:
                self._wait()
                if self._stop.overdue:
                    break
        finally:
            for future, _ in self._under_way.values():
                future.cancel()
            self._client.unsubscribe_topic(NAME)
        if self._stop.requested:
            raise KeyboardInterrupt
        self._failures += [
            Failure(_words(order.task), len(order.task.wanted), "what it starts from failed") for order in self._waiting
        ]
        return self._failures

    def _inputs_of(self, task: Task) -> set[str]:
        return set(inputs(replace(self._experiment, chosen=task.seeds), task.study, task.wanted))

    def _enqueue(self, order: Order) -> None:
        order.waits_for -= self._store.known(order.waits_for)
        self._waiting.append(order)

    def _send_what_can_be_done(self) -> None:
        if self._stop.requested:
            return
        can = [order for order in self._waiting if not order.waits_for]
        self._waiting = [order for order in self._waiting if order.waits_for]
        for order in can:
            self._send(order)

    def _send(self, order: Order, given: Mapping[str, Arrays] | None = None) -> None:
        key = f"{self._run}-{next(self._numbers)}"
        # A worker is asked for by name where it has the weights; another may take the work if that one is gone or busy.
        where: dict[str, Any] = {"workers": [order.worker], "allow_other_workers": True} if order.worker else {}
        # What is sent goes along with its task. Scattered, it would be lost with one worker, and Dask's scheduler may
        # then queue it, as if it could be computed, and stop hearing this client once it is scattered again.
        future = self._client.submit(work, order.task, given or {}, key=key, pure=False, **where)
        self._under_way[key] = (future, order)
        future.add_done_callback(self._heard.put)

    def _wait(self) -> None:
        """Takes in one task that ended, or word of progress, if there is any within half a second."""
        try:
            future = self._heard.get(timeout=0.5)
        except queue.Empty:
            return
        if isinstance(future, float):
            self._progress += future
            self._watch(Done(work=future))
            return
        _, order = self._under_way.pop(str(future.key))
        try:
            outcome: Outcome = future.result()
        except (CancelledError, CommClosedError) as error:  # it went down with a worker
            self._lost(order, error)
            return
        except Exception as error:  # whatever a task raised, Dask's own errors included
            self._failed(order, error)
            return
        if outcome.lacks or outcome.lacks_data:
            self._supply(order, outcome)
        else:
            self._take_in(order, outcome)

    def _supply(self, order: Order, outcome: Outcome) -> None:
        """Sends a task again with what the worker lacked."""
        if self._stop.requested:
            return
        order.worker = outcome.worker
        if outcome.lacks_data:
            try:
                usable = self._bring_data(outcome.worker)
            except OSError as error:
                self._lost(order, error)
                return
            if not usable:
                self._failed(order, UsageError(f"worker {outcome.worker} cannot use the data set that it was sent"))
                return
        self._send(order, {id_: self._store.arrays(id_) for id_ in outcome.lacks})

    def _bring_data(self, worker: str) -> bool:
        """Gives a worker the data set unless it has it by now; whether it can use it. Raises OSError if it is gone."""
        return any(self._client.run(receive, data, workers=[worker])[worker] for data in (None, self._experiment.data))

    def _take_in(self, order: Order, outcome: Outcome) -> None:
        """Stores results, and sends what is left of the task and what waited for them."""
        if not outcome.results:
            self._failed(order, RuntimeError("a worker made none of what was wanted"))
            return
        self._store.add(outcome.results, outcome.made_with)
        kinds: dict[str, int] = {}
        work_done = 0.0
        made: set[str] = set()
        for result in outcome.results:
            id_, kind = identity(result.description), result.description["kind"]
            made.add(id_)
            kinds[kind] = kinds.get(kind, 0) + 1
            work_done += self._experiment.work_of(result.description)
            if kind == "compression" and result.arrays is not None:
                keep_file(self._store.folder, id_, result.arrays["file"].tobytes())
        self._tell(work_done)
        for kind, number in kinds.items():
            self._watch(Done(kind=kind, results=number))
        for waiting in self._waiting:
            waiting.waits_for -= made
        if left := order.task.wanted - made:
            order.task = replace(order.task, wanted=left)
            order.worker, order.failures = outcome.worker, 0
            self._waiting.insert(0, order)
        self._send_what_can_be_done()

    def _lost(self, order: Order, error: BaseException) -> None:
        order.losses += 1
        self._again(order, error, order.losses < LOSSES)

    def _failed(self, order: Order, error: BaseException) -> None:
        order.failures += 1
        self._again(order, error, order.failures < TRIES and type(error).__name__ != "KilledWorker")

    def _again(self, order: Order, error: BaseException, may: bool) -> None:
        """Sends a task once more where it may be; else each run of it by itself; gives up what is one run already."""
        if self._stop.requested:
            return
        if may:
            order.worker = None
            self._send(order)
            return
        if len(alone := list(self._taken_apart(order.task))) > 1:
            for task in alone:
                self._enqueue(Order(task, self._inputs_of(task), failures=TRIES - 1))
            self._send_what_can_be_done()
            return
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"
        self._failures.append(Failure(_words(order.task), len(order.task.wanted), why[:500]))

    def _taken_apart(self, task: Task) -> Iterator[Task]:
        """A task for every run of this one: one that cannot be done must not cost the others their results."""
        for unit in units(replace(self._experiment, chosen=task.seeds), task.study):
            if wanted := task.wanted.intersection(unit.ids):
                yield replace(task, study=together([unit]), seeds=seeds_of([unit]), wanted=wanted)

    def _hear(self, event: tuple[float, Any]) -> None:
        """Steps that workers tell of between results. Runs in Dask's own thread, which must not wait."""
        self._heard.put(float(event[1]))

    def _tell(self, work_done: float) -> None:
        """Tells of the work of results that was not told of while it was under way."""
        told = min(self._progress, work_done)
        self._progress -= told
        self._watch(Done(work=work_done - told))


def _words(task: Task) -> str:
    """What a task is, for a person: what it is made of, and its seeds."""
    parts = [
        ", ".join(map(str, getattr(task.study, name)))
        for name in ("treatments", "untrained", "learned", "sparse", "dsd", "compressed", "graphs", "shared")
        if getattr(task.study, name)
    ]
    seeds = ", ".join(map(str, task.seeds))
    return f"{'; '.join(parts) or 'round 0'} of seed{'s' * (len(task.seeds) > 1)} {seeds}"
