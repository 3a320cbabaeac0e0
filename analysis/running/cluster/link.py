"""Client side of a Dask cluster: prepares workers, sends them tasks, and receives their messages."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from distributed import Client, Future

from supermask.analysis.running.cluster.sending import packed
from supermask.analysis.running.cluster.worker import (
    NAME,
    Arrays,
    Capacity,
    Outcome,
    Setting,
    Task,
    Word,
    Workshop,
    capacity,
    receive,
    work,
)
from supermask.analysis.studies.experiment import Study
from supermask.datasets import Dataset


class TaskEnd(NamedTuple):
    """End of the task with that key: with an outcome, or with an error."""

    key: str
    outcome: Outcome | None
    error: BaseException | None


class Link:
    """A client with its `setting`. Workers' messages and ends of tasks go to `hear`.

    `hear` is called in threads of Dask and of the link.
    """

    def __init__(self, client: Client, setting: Setting, hear: Callable[[Word | TaskEnd], None]) -> None:
        self._client, self._setting = client, setting
        self._run, self._sent = f"{NAME}-{time.time_ns():x}", 0
        self._hear = hear

    @property
    def running(self) -> bool:
        """Return whether the scheduler is connected."""
        return self._client.status == "running"

    def prepare(self, idempotent: bool = False) -> None:
        """Send the setting to all workers, including later ones.

        With `idempotent`, nothing is sent to a scheduler that already has it. Raises OSError if a worker dies
        meanwhile, and any error of a worker's import or set-up.
        """
        plugin = Workshop(self._setting)
        plugin.idempotent = idempotent
        self._client.register_plugin(plugin, name=NAME)
        self._client.subscribe_topic(NAME, lambda event: self._hear(Word(*event[1])))

    def capacities(self) -> dict[str, Capacity]:
        """Ask every worker for its capacity. Raises OSError if one dies, NotPreparedError if one is new."""
        found: dict[str, Capacity] = self._client.run(capacity)
        return found

    def send(self, task: Task, given: Mapping[str, Arrays], worker: str | None) -> Future[Any]:
        """Send a task with the results that it starts from, preferably to the worker that holds its weights."""
        self._sent += 1
        key = f"{self._run}-{self._sent}"
        # A worker is asked for by name where it has the weights; another may take the work if that one is gone or busy.
        where: dict[str, Any] = {"workers": [worker], "allow_other_workers": True} if worker else {}
        bare = replace(task, study=Study())
        # What is sent goes along with its task. Scattered, it would be lost with one worker, and Dask's scheduler may
        # then queue it, as if it could be computed, and stop hearing this client once it is scattered again.
        future = self._client.submit(work, bare, packed(task.study), given, key, key=key, pure=False, **where)
        # In a thread of its own, because Dask waits for a lost outcome until it is computed again.
        future.add_done_callback(lambda done: threading.Thread(target=self._fetch, args=(done,), daemon=True).start())
        return future

    def drop(self, future: Future[Any]) -> None:
        """Cancel a task, if the scheduler is connected."""
        if self.running:
            with suppress(OSError):
                future.cancel()

    def _fetch(self, future: Future[Any]) -> None:
        try:
            self._hear(TaskEnd(str(future.key), future.result(), None))
        except BaseException as error:  # what the task raised, and asyncio's CancelledError, which is no Exception
            self._hear(TaskEnd(str(future.key), None, error))

    def bring(self, data: Dataset, worker: str) -> bool:
        """Send a worker the data set unless it has it; return whether it can use it. Raises OSError if it is gone."""
        return any(self._client.run(receive, each, workers=[worker])[worker] for each in (None, data))

    def close(self) -> None:
        """Stop listening."""
        if self.running:
            self._client.unsubscribe_topic(NAME)
