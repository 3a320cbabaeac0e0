"""One progress display for a whole job: a live line in a terminal, a line a minute in a log."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from analysis.runner import Done, Workload

SECONDS_BETWEEN_LINES = 60.0


class JobProgress:
    """Counts what the runner says is done. A context manager; `watch` is the runner's watcher.

    `steps_an_evaluation` is what an evaluation weighs in network-steps.
    """

    def __init__(self, load: Workload, steps_an_evaluation: float, console: Console) -> None:
        self._load, self._console, self._weight = load, console, steps_an_evaluation
        self._total = load.steps + steps_an_evaluation * (load.evaluations - load.evaluations_stored)
        self._trainings, self._evaluations, self._steps = load.trainings_stored, load.evaluations_stored, 0.0
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
        self._task = self._display.add_task("compiling", total=self._total)

    def __enter__(self) -> "JobProgress":
        self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.stop()

    def watch(self, done: Done) -> None:
        """Takes in what is done since the last word."""
        self._trainings += done.trainings
        self._evaluations += done.evaluations
        steps = done.steps + self._weight * done.evaluations
        self._steps += steps
        self._display.update(self._task, advance=steps, description=self._words())
        now = time.monotonic()
        if self._display.disable and now - self._said > SECONDS_BETWEEN_LINES:
            self._said = now
            left = (now - self._started) * (self._total - self._steps) / max(self._steps, 1.0)
            self._console.print(f"{self._words()}, about {duration(left)} left", highlight=False)

    def _words(self) -> str:
        words = f"{self._trainings}/{self._load.trainings} trainings"
        if self._load.evaluations:
            words += f", {self._evaluations}/{self._load.evaluations} masks"
        return f"{words}, {self._steps / (time.monotonic() - self._started):,.0f} network-steps/s"


def duration(seconds: float) -> str:
    """Seconds as '3 min 05 s', or '2 h 10 min'."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"
