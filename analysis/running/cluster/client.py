"""Dask client: sends tasks to workers, stores their results, and sends what is lost again.

Only this process writes to the results folder. A task lasts a few seconds, or one population if that takes longer; its
remaining work then returns to the worker that holds its weights.
"""

import queue
import time
from asyncio import CancelledError
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import CancelledError as FuturesCancelledError
from dataclasses import replace
from typing import Any

from distributed import Client, Future
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker

from supermask.analysis.kinds import BY_NAME
from supermask.analysis.kinds.plan import work_of
from supermask.analysis.running.cluster.link import Link, TaskEnd
from supermask.analysis.running.cluster.orders import Failure, Order, cut, taken_apart, words
from supermask.analysis.running.cluster.watch import ASTRAY_SECONDS, LOOK_SECONDS, Watch
from supermask.analysis.running.cluster.worker import (
    Arrays,
    Capacity,
    NotPreparedError,
    Outcome,
    Setting,
    Task,
    Word,
    inputs,
)
from supermask.analysis.running.interrupts import Stop
from supermask.analysis.store.identity import identity
from supermask.analysis.store.store import Store
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.work import Done, Watcher
from supermask.analysis.system.errors import UsageError
from supermask.analysis.system.words import count

TRIES = 3
"""Number of times that a task may fail, or be lost with a worker that had begun it."""

LOSSES = 10
"""Number of times that a task may be lost before a worker begins it, or with its scheduler, which is not its fault."""


def run_on(
    client: Client,
    setting: Setting,
    experiment: Experiment,
    study: Study,
    store: Store,
    wanted: Iterable[str],
    progress: Watcher,
    stop: Stop,
    watch: Watch,
) -> list[Failure]:
    """Make wanted results that are not stored on the client's workers; return what failed.

    Raises UsageError if the workers cannot be used, KeyboardInterrupt if `stop` requests it.
    """
    asked = frozenset(wanted)
    missing = asked - store.known(asked)
    foreman = Foreman(client, setting, experiment, store, progress, stop, watch)
    capacities = foreman.assemble(len(missing))
    if not capacities:
        return [Failure("everything", len(missing), f"cluster: {watch.given_up}")]
    networks = max(each.networks for each in capacities.values())
    return foreman.see_through(list(cut(experiment, study, missing, len(capacities), networks)))


class Foreman:
    """Sends tasks, stores results, and resends lost tasks."""

    def __init__(
        self,
        client: Client,
        setting: Setting,
        experiment: Experiment,
        store: Store,
        progress: Watcher,
        stop: Stop,
        watch: Watch,
    ) -> None:
        self._heard: queue.Queue[TaskEnd | Word] = queue.Queue()
        self._link = Link(client, setting, self._heard.put)
        self._experiment, self._store = experiment, store
        self._progress, self._stop, self._watch = progress, stop, watch
        self._under_way: dict[str, tuple[Future[Any], Order]] = {}
        self._waiting: list[Order] = []
        self._outbox: list[Order] = []  # lost orders, to be resent once there is a worker
        self._failures: list[Failure] = []
        self._told = 0.0
        self._present: frozenset[str] = frozenset()
        self._next_look = 0.0
        self._prepared = True
        self._stopping = False

    def assemble(self, left: int) -> dict[str, Capacity]:
        """Prepare the workers and return their capacities; none if no worker comes in time.

        Raises UsageError if they cannot be used, KeyboardInterrupt if a stop is requested.
        """
        while True:
            self._stop.check()
            seen = self._watch.once(left)
            if seen and self._watch.complete:
                try:
                    self._link.prepare()
                    capacities = self._link.capacities()
                except (OSError, NotPreparedError):  # CommClosedError among them: a worker died, or is new
                    capacities = {}
                except Exception as error:  # whatever a worker's import or set-up raises
                    raise UsageError(f"cluster's workers cannot be used: {' '.join(str(error).split())}") from error
                if capacities:
                    self._present = frozenset(capacities)
                    return capacities
            if self._watch.given_up:
                return {}
            time.sleep(0.2)

    def see_through(self, tasks: Sequence[Task]) -> list[Failure]:
        """Run all tasks; return what failed. Raises KeyboardInterrupt after a stop was requested."""
        try:
            for task in tasks:
                self._enqueue(Order(task, self._inputs_of(task)))
            self._send_what_can_be_done()
            while self._under_way or self._outbox:
                self._take_in_a_word()
                self._look_around()
                if self._stop.requested and not self._worth_waiting_for():
                    break
                if why := self._watch.given_up:
                    left = sum(len(order.task.wanted) for order in self._orders())
                    self._waiting = []
                    self._failures.append(Failure("what was left", left, f"cluster: {why}"))
                    break
        finally:
            for future, _ in self._under_way.values():
                self._link.drop(future)
            self._link.close()
        self._stop.check()
        self._failures += [
            Failure(words(order.task), len(order.task.wanted), "what it starts from failed") for order in self._waiting
        ]
        return self._failures

    # Sending ----------------------------------------------------------------------------------------------------------

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
        if not self._prepared or not self._link.running:
            self._outbox.append(order)
            return
        order.leaves(given or {})
        future = self._link.send(order.task, given or {}, order.worker if order.worker in self._present else None)
        self._under_way[str(future.key)] = (future, order)

    # Looking around ---------------------------------------------------------------------------------------------------

    def _look_around(self) -> None:
        """Check the workers, and resend tasks that no worker has."""
        if time.monotonic() < self._next_look:
            return
        seen = self._watch.once(sum(len(order.task.wanted) for order in self._orders()))
        self._next_look = time.monotonic() + LOOK_SECONDS
        self._present = frozenset(seen or ())
        if self._stop.requested or not seen:
            return
        if not self._prepared:  # the connection broke: this may be a new, unprepared scheduler
            try:
                self._link.prepare(idempotent=True)
            except OSError:
                return
            self._prepared = True
        now = time.monotonic()
        pending = [
            key
            for key, (future, order) in self._under_way.items()
            if future.status in ("pending", "lost") and now >= order.arrives
        ]
        for key in self._watch.astray(seen, pending):
            future, order = self._under_way.pop(key)
            self._link.drop(future)
            self._lost(order, f"no worker had it for {ASTRAY_SECONDS:g} seconds")
        outbox, self._outbox = self._outbox, []
        for order in outbox:
            self._send(order)

    def _orders(self) -> list[Order]:
        return [*(order for _, order in self._under_way.values()), *self._outbox, *self._waiting]

    def _worth_waiting_for(self) -> bool:
        """After a stop request, return whether workers will finish anything; drop tasks that have not begun."""
        if not self._stopping:
            self._stopping = True
            self._outbox = []
            for key in [key for key, (_, order) in self._under_way.items() if order.begun is None]:
                self._link.drop(self._under_way.pop(key)[0])
        return not self._stop.overdue and any(order.begun in self._present for _, order in self._under_way.values())

    # Hearing ----------------------------------------------------------------------------------------------------------

    def _take_in_a_word(self) -> None:
        """Process one ended task or progress message, if one arrives within half a second."""
        try:
            heard = self._heard.get(timeout=min(max(self._next_look - time.monotonic(), 0.01), 0.5))
        except queue.Empty:
            return
        if isinstance(heard, TaskEnd):
            self._take_in_an_end(heard)
        elif heard.work:
            self._told += heard.work
            self._progress(Done(work=heard.work))
        elif heard.task in self._under_way:
            future, order = self._under_way[heard.task]
            if order.begun is not None:  # and now another worker begins it
                order.deaths += 1
            order.begun = heard.worker
            if order.deaths >= TRIES:
                del self._under_way[heard.task]
                self._link.drop(future)
                self._again(order, f"{count(order.deaths, 'worker')} died that had begun it", may=False)

    def _take_in_an_end(self, end: TaskEnd) -> None:
        if end.key not in self._under_way:  # it was dropped
            return
        _, order = self._under_way.pop(end.key)
        match end.error:
            case None:
                assert end.outcome is not None  # noqa: S101  for the type checker
                if end.outcome.lacks or end.outcome.lacks_data:
                    self._supply(order, end.outcome)
                else:
                    self._take_in(order, end.outcome)
            case FuturesCancelledError() | CancelledError() | NotPreparedError():
                self._prepared = False  # the connection broke, or the worker's scheduler is new
                self._lost(order, _told(end.error))
            case CommClosedError():  # it was lost with a worker
                self._lost(order, _told(end.error))
            case KilledWorker():  # Dask also counts workers that did not begin it
                self._lost(order, _told(end.error))
            case _:  # whatever a task raised, Dask's own errors included
                self._failed(order, end.error)

    def _supply(self, order: Order, outcome: Outcome) -> None:
        """Resend a task with what the worker lacked."""
        if self._stop.requested:
            return
        order.worker = outcome.worker
        if outcome.lacks_data:
            try:
                usable = self._link.bring(self._experiment.data, outcome.worker)
            except OSError as error:
                self._lost(order, _told(error))
                return
            if not usable:
                self._failed(order, UsageError(f"worker {outcome.worker} cannot use the data set that it was sent"))
                return
        self._send(order, {id_: self._store.arrays(id_) for id_ in outcome.lacks})

    def _take_in(self, order: Order, outcome: Outcome) -> None:
        """Store results, and send the rest of the task and the tasks that waited for them."""
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
            work_done += work_of(self._experiment, result.description)
            BY_NAME[kind].write_beside(self._store.folder, id_, result.arrays or {})
        self._tell(work_done)
        for kind, number in kinds.items():
            self._progress(Done(kind=kind, results=number))
        for waiting in self._waiting:
            waiting.waits_for -= made
        if left := order.task.wanted - made:
            task = replace(order.task, wanted=left)
            self._waiting.insert(0, Order(task, set(), worker=outcome.worker))
        self._send_what_can_be_done()

    def _lost(self, order: Order, why: str) -> None:
        order.losses += 1
        order.deaths += order.begun is not None
        self._again(order, why, order.losses < LOSSES and order.deaths < TRIES)

    def _failed(self, order: Order, error: BaseException) -> None:
        order.failures += 1
        self._again(order, _told(error), order.failures < TRIES)

    def _again(self, order: Order, why: str, may: bool) -> None:
        """Resend a task if allowed; otherwise send each of its runs alone; give up a single run."""
        if self._stop.requested:
            return
        if may:
            order.worker = None
            self._outbox.append(order)
            self._next_look = 0.0
            return
        if len(alone := list(taken_apart(self._experiment, order.task))) > 1:
            for task in alone:
                self._enqueue(Order(task, self._inputs_of(task), failures=TRIES - 1))
            self._send_what_can_be_done()
            return
        self._failures.append(Failure(words(order.task), len(order.task.wanted), " ".join(why.split())[:500]))

    def _tell(self, work_done: float) -> None:
        """Report the work of results that was not reported while in progress."""
        told = min(self._told, work_done)
        self._told -= told
        self._progress(Done(work=work_done - told))


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
