"""Watches a Dask cluster: who is there, what is missing, what was lost on the way, and when to stop waiting.

Dask waits without end for workers and schedulers that are gone, and loses tasks: it keeps one that was to go to a
worker that died, if another may take it (`allow_other_workers`), for that worker alone where no worker was left for a
moment. `tests/test_cluster_watch.py` shows that in ten lines. So the client asks the scheduler every two seconds what
the workers have in hand, and tasks that nobody has are sent again.
"""

import time
from asyncio import CancelledError
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from distributed import Client

from analysis.running.progress import duration
from analysis.system.words import count

LOOK_SECONDS = 2.0
"""How often the client asks who is there."""

ANSWER_SECONDS = 10.0
"""How long the scheduler may take to answer."""

NOTICE_SECONDS = 20.0
"""How long something may be missing before it is reported: a worker that died is back after some seconds."""

ASTRAY_SECONDS = 6.0
"""How long a task may be in nobody's hands, while a worker has nothing to do, before it is sent again."""

Seen = Mapping[str, frozenset[str]]
"""The workers that are there, each with the keys of its tasks."""


def look(client: Client) -> Seen | None:
    """Ask the scheduler who is there. None where it does not answer."""
    if client.status != "running":
        return None

    async def ask() -> Mapping[str, Iterable[str]]:
        scheduler: Any = client.scheduler
        answer: Mapping[str, Iterable[str]] = await scheduler.processing(workers=None)
        return answer

    try:
        in_hand = client.sync(ask, callback_timeout=ANSWER_SECONDS)
    except (OSError, CancelledError, AttributeError, RuntimeError):  # as the connection breaks, or is closed
        return None
    return {worker: frozenset(map(str, keys)) for worker, keys in in_hand.items()}


class Watch:
    """Looks around, says what is missing, and knows how long it has been.

    look: who is there. say: takes lines for the user. revive: starts workers in the place of lost ones, where this
    process can. expected: how many workers there should be, 0 where nobody knows; the most that were seen count. wait:
    seconds after which a cluster without workers or scheduler is given up.
    """

    def __init__(
        self,
        look: Callable[[], Seen | None],
        say: Callable[[str], None],
        revive: Callable[[], None] = lambda: None,
        expected: int = 0,
        wait: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look, self._say, self._revive, self._clock = look, say, revive, clock
        self._most, self._wait = expected, wait
        self._missing, self._since = "", clock()  # what is missing, and since when
        self._hopeless: float | None = None  # since when nothing can be made
        self._said, self._revived = "", clock()
        self._astray: dict[str, float] = {}

    def once(self, left: int) -> Seen | None:
        """Look around once; `left` is how many results are still to come. None where the scheduler does not answer."""
        seen = self._look()
        now = self._clock()
        missing = self._words(seen)
        if seen:
            self._hopeless = None
        elif self._hopeless is None:
            self._hopeless = now
        if missing != self._missing:
            self._missing, self._since = missing, now
        if not missing and self._said:
            self._say(f"cluster: {count(len(seen or ()), 'worker', ('is', 'are'))} there again")
            self._said = ""
        if missing and now - self._since >= NOTICE_SECONDS:
            if self._said != missing:
                self._say(f"cluster: {missing}; {self._consequence(seen, left)}")
                self._said = missing
            if now - self._revived >= NOTICE_SECONDS:
                self._revived = now
                self._revive()
        self._most = max(self._most, len(seen or ()))
        return seen

    @property
    def complete(self) -> bool:
        """Whether all workers that are expected were there at the last look, or have had their time to come."""
        return not self._missing or self._clock() - self._since >= NOTICE_SECONDS

    @property
    def given_up(self) -> str | None:
        """Why there is nothing left to wait for, if so."""
        if self._hopeless is None or self._clock() - self._hopeless < self._wait:
            return None
        return f"{self._missing}, for {duration(self._wait)}"

    def astray(self, seen: Seen, pending: Iterable[str]) -> list[str]:
        """Which of the tasks that have not ended are in nobody's hands, and have been for too long.

        While all workers are busy, that is how it should be: the scheduler keeps tasks until a worker is free.
        """
        now = self._clock()
        in_hand = frozenset[str]().union(*seen.values())
        idle = any(not keys for keys in seen.values())
        found = {key for key in pending if key not in in_hand} if idle else set()
        self._astray = {key: self._astray.get(key, now) for key in found}
        return [key for key, since in self._astray.items() if now - since >= ASTRAY_SECONDS]

    def _words(self, seen: Seen | None) -> str:
        if seen is None:
            return "the scheduler does not answer"
        if not seen:
            return "no worker is there"
        if len(seen) < self._most:
            return f"{self._most - len(seen)} of {count(self._most, 'worker')} missing"
        return ""

    def _consequence(self, seen: Seen | None, left: int) -> str:
        if seen:
            return "the others go on"
        return f"{count(left, 'result', ('waits', 'wait'))} for up to {duration(self._wait)}; what is made is stored"
