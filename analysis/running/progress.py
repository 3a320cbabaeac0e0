"""One progress display for a whole job: a live line in a terminal, a bar in a notebook, occasional lines in a log."""

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from supermask.analysis.kinds import BY_NAME
from supermask.analysis.kinds.plan import Workload
from supermask.analysis.running.notebook_bar import NotebookBar
from supermask.analysis.studies.work import Done

SECONDS_BETWEEN_LINES = 60.0
MINUTES_OF_SPEED = 10
SECONDS_TO_FIRST_LINE = 10.0
"""Delay of the first line outside a terminal. The interval grows by half with each line, up to a minute."""


class Speed:
    """Work per second over the last minutes.

    It starts at the first message, because that follows compilation and may include steps restored from a checkpoint.
    """

    def __init__(self) -> None:
        self._marks: deque[tuple[float, float]] = deque(maxlen=MINUTES_OF_SPEED)

    def mark(self, now: float, work: float) -> None:
        """Record all work done so far, once a minute."""
        if not self._marks or now - self._marks[-1][0] >= SECONDS_BETWEEN_LINES:
            self._marks.append((now, work))

    def over(self, now: float, work: float) -> float | None:
        """Return the current speed, given all work done so far; None as long as it cannot be estimated."""
        if not self._marks or now <= self._marks[0][0] or work <= self._marks[0][1]:
            return None
        then, done = self._marks[0]
        return (work - done) / (now - then)


class JobProgress:
    """Counts the work that the runner reports. A context manager; `watch` is the runner's watcher."""

    def __init__(
        self,
        load: Workload,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
        bar: NotebookBar | None = None,
    ) -> None:
        self._load, self._console, self._clock, self._bar = load, console, clock, bar
        self._done = {kind: count.stored for kind, count in load.counts.items()}
        self._work = 0.0
        self._wait, self._told = SECONDS_TO_FIRST_LINE, clock()
        self._speed = Speed()
        self._display = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("gone,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            refresh_per_second=2,
            disable=bar is not None or not console.is_terminal,
        )
        self._task = self._display.add_task("compiling", total=load.work)

    def __enter__(self) -> "JobProgress":
        self._display.start()
        self._began = self._clock()
        if self._bar is not None:
            self._bar.show(0.0, f"{self._words(None)}: compiling", at_once=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.stop()
        if self._bar is not None:
            share = self._share if kind is not None else 1.0
            words = f"{self._words(None)}: {'done' if kind is None else 'stopped'} after "
            self._bar.show(share, words + duration(self._clock() - self._began), at_once=True)

    def watch(self, done: Done) -> None:
        """Add the work done since the last message."""
        if done.results:
            self._done[done.kind] += done.results
        self._work += done.work
        now = self._clock()
        self._speed.mark(now, self._work)
        speed = self._speed.over(now, self._work)
        self._display.update(self._task, advance=done.work, description=self._words(speed))
        left = "" if speed is None else f", about {duration((self._load.work - self._work) / speed)} left"
        if self._bar is not None:
            self._bar.show(self._share, f"{self._words(speed)}{left}")
        elif self._display.disable and now - self._told >= self._wait:
            self._wait, self._told = min(1.5 * self._wait, SECONDS_BETWEEN_LINES), now
            self._console.print(f"{self._words(speed)}{left}")

    def say(self, words: str) -> None:
        """Print a line above the display."""
        self._console.print(words, highlight=False, markup=False, soft_wrap=True)

    @property
    def _share(self) -> float:
        """The fraction of the work that is done."""
        return self._work / self._load.work if self._load.work else 1.0

    def _words(self, speed: float | None) -> str:
        words = [
            f"{self._done[kind]}/{count.needed} {BY_NAME[kind].plural}" for kind, count in self._load.counts.items()
        ]
        return ", ".join([*words, *([] if speed is None else [f"{speed:,.0f} network-steps/s"])])


def duration(seconds: float) -> str:
    """Format seconds as '3 min 05 s' or '2 h 10 min'."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"
