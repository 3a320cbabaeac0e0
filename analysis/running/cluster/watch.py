"""Watches a Dask cluster: present and missing workers, lost tasks, and when to stop waiting.

Dask waits forever for workers and schedulers that are gone, and loses tasks: a task that prefers a worker, though any
may take it (`allow_other_workers`), waits for that worker alone if there was no worker for a moment.
`tests/test_cluster_watch.py` shows this in ten lines. The client therefore asks the scheduler every two seconds which
tasks the workers have, and resends tasks that no worker has.
"""

import time
from asyncio import CancelledError
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from distributed import Client

from supermask.analysis.running.progress import duration
from supermask.analysis.system.words import count

LOOK_SECONDS = 2.0
"""Interval at which the client asks for the workers."""

ANSWER_SECONDS = 10.0
"""Maximum time for the scheduler's answer."""

NOTICE_SECONDS = 20.0
"""Time after which something missing is reported; a worker that died returns after a few seconds."""

ASTRAY_SECONDS = 6.0
"""Time after which a task that no worker has, while one is idle, is resent."""

Seen = Mapping[str, frozenset[str]]
"""Present workers, each with the keys of its tasks."""


def look(client: Client) -> Seen | None:
    """Ask the scheduler for its workers. Returns None if it does not answer."""
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
    """Watches the cluster, and reports what is missing and for how long.

    look: returns the present workers. say: prints lines for the user. revive: replaces lost workers, if this process
    can. expected: number of workers expected, 0 if unknown; the most that were seen count then. wait: seconds after
    which a cluster without workers or scheduler is given up.
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
        self._missing, self._since = "", clock()  # description of what is missing, and its start
        self._short = clock()  # start of the time in which something was missing, whatever it was
        self._hopeless: float | None = None  # start of the time in which no result can be made
        self._said, self._revived = "", clock()
        self._astray: dict[str, float] = {}

    def once(self, left: int) -> Seen | None:
        """Check once; `left` is the number of outstanding results. Returns None if the scheduler does not answer."""
        seen = self._look()
        now = self._clock()
        missing = self._words(seen)
        if seen:
            self._hopeless = None
        elif self._hopeless is None:
            self._hopeless = now
        if not (missing and self._missing):
            self._short = now
        if missing != self._missing:
            self._missing, self._since = missing, now
        if not missing and self._said:
            self._say(f"cluster: {count(len(seen or ()), 'worker', ('is', 'are'))} there again")
            self._said = ""
        if missing and now - self._since >= NOTICE_SECONDS and self._said != missing:
            self._say(f"cluster: {missing}; {self._consequence(seen, left)}")
            self._said = missing
        if missing and min(now - self._short, now - self._revived) >= NOTICE_SECONDS:
            self._revived = now
            self._revive()
        self._most = max(self._most, len(seen or ()))
        return seen

    @property
    def complete(self) -> bool:
        """Return whether all expected workers were present at the last check, or have had time to start."""
        return not self._missing or self._clock() - self._short >= NOTICE_SECONDS

    @property
    def given_up(self) -> str | None:
        """Return why waiting is pointless, or None."""
        if self._hopeless is None or self._clock() - self._hopeless < self._wait:
            return None
        return f"{self._missing}, for {duration(self._wait)}"

    def astray(self, seen: Seen, pending: Iterable[str]) -> list[str]:
        """Return unfinished tasks that no worker has had for too long.

        While all workers are busy this is normal: the scheduler keeps tasks until a worker is free.
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
