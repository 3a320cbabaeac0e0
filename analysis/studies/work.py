"""Progress messages."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Done:
    """Work and results of a kind completed since the last message to the watcher."""

    work: float = 0
    kind: str = "training"
    results: int = 0


Watcher = Callable[[Done], None]
