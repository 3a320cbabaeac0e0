"""One progress display for a whole job: a live line in a terminal, a line a minute in a log."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from analysis.studies import KINDS
from analysis.work import Done, Workload

SECONDS_BETWEEN_LINES = 60.0


class JobProgress:
    """Counts what the runner says is done. A context manager; `watch` is the runner's watcher."""

    def __init__(self, load: Workload, console: Console) -> None:
        self._load, self._console = load, console
        self._done = {kind: count.stored for kind, count in load.counts.items()}
        self._work = 0.0
        self._started = self._said = time.monotonic()
        self._display = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("gone,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            refresh_per_second=2,
            disable=not console.is_terminal,
        )
        self._task = self._display.add_task("compiling", total=load.work)

    def __enter__(self) -> "JobProgress":
        self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.stop()

    def watch(self, done: Done) -> None:
        """Takes in what is done since the last word."""
        if done.results:
            self._done[done.kind] += done.results
        self._work += done.work
        self._display.update(self._task, advance=done.work, description=self._words())
        now = time.monotonic()
        if self._display.disable and now - self._said > SECONDS_BETWEEN_LINES:
            self._said = now
            left = (now - self._started) * (self._load.work - self._work) / max(self._work, 1.0)
            self._console.print(f"{self._words()}, about {duration(left)} left", highlight=False)

    def _words(self) -> str:
        counts = [f"{self._done[kind]}/{count.needed} {KINDS[kind]}" for kind, count in self._load.counts.items()]
        return f"{', '.join(counts)}, {self._work / (time.monotonic() - self._started):,.0f} network-steps/s"


def duration(seconds: float) -> str:
    """Seconds as '3 min 05 s', or '2 h 10 min'."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"
