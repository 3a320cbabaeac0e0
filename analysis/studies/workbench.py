"""What is kept from one part of a study to the next: trainers, each of which is compiled once."""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from analysis.store.checkpoints import FolderCheckpoints

Made = TypeVar("Made")

KEPT = 4
"""Trainers that are kept at most: each holds the data set on the devices."""


class Workbench:
    """Trainers by what they were made for, on one data set.

    networks: how many they are to have slots for, where that is known beforehand; else as many as are missing. A fixed
        number saves a compilation where parts of a study differ in size.
    checkpoints: those that its trainers were made with; None before the first.
    """

    def __init__(self, networks: int | None = None) -> None:
        self.networks = networks
        self.checkpoints: FolderCheckpoints | None = None
        self._made: dict[Hashable, Any] = {}

    def slots(self, networks: int) -> int:
        """How many networks a trainer is to have slots for, where so many are missing."""
        return networks if self.networks is None else self.networks

    def trainer(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """The trainer of that key, made now if it was not before or is gone."""
        made: Made = self._made.pop(key) if key in self._made else make()
        self._made[key] = made
        for oldest in list(self._made)[:-KEPT]:
            del self._made[oldest]
        return made
