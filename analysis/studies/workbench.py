"""Trainers that are reused between the parts of a study, so that each is compiled once."""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from supermask.analysis.store.checkpoints import FolderCheckpoints

Made = TypeVar("Made")

KEPT = 4
"""Maximum number of trainers kept, since each holds the data set on the devices."""


class Workbench:
    """Cache of trainers.

    networks: number of slots of a trainer, if known beforehand; otherwise as many as networks are missing. A fixed
        number saves compilations if the parts of a study differ in size.
    checkpoints: those that the trainers were made with; None before the first.
    """

    def __init__(self, networks: int | None = None) -> None:
        self.networks = networks
        self.checkpoints: FolderCheckpoints | None = None
        self._made: dict[Hashable, Any] = {}

    def slots(self, networks: int) -> int:
        """Return the number of slots for a trainer when `networks` are missing."""
        return networks if self.networks is None else self.networks

    def trainer(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """Return the trainer of that key; make it if it is not in the cache."""
        made: Made = self._made.pop(key) if key in self._made else make()
        self._made[key] = made
        for oldest in list(self._made)[:-KEPT]:
            del self._made[oldest]
        return made
