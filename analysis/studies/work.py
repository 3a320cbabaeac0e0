"""Word of what is done."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Done:
    """Told to whoever watches: work and results of a kind done since the last word."""

    work: float = 0
    kind: str = "training"
    results: int = 0


Watcher = Callable[[Done], None]


def steps_teller(watch: Watcher, cost: float = 1.0) -> Callable[[int], None]:
    """Tells the watcher of steps that take `cost` times the work of a network-step: an `intervals.OnProgress`."""
    return lambda steps: watch(Done(work=steps * cost))
