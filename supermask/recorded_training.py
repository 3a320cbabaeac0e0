"""Trainings of populations of masked networks that record sign flips: the same trainings, to the bit."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import jax
import numpy as np

from supermask.checks import check_masks, check_seed, check_whole
from supermask.compaction import Compaction
from supermask.descent import Descent, Looks, descending, train_population
from supermask.intervals import OnProgress, ignore_progress
from supermask.networks import Network
from supermask.params import Params, kernels_of
from supermask.population import Run, batched
from supermask.short import short
from supermask.sign_flips import SignFlips, record_flips, watch_signs
from supermask.training import Job, Trained, Trainer, outcomes

LONGEST = 8192
"""Waiting times that are told apart, in looks: more than a training of the papers has looks at every tenth step."""


@short
class Recorded(NamedTuple):
    """The outcome of a training, and the flips of its kernels' weights by layer; arrays on the host."""

    trained: Trained
    flips: SignFlips


@short
@dataclass(frozen=True, eq=False)
class RecordingTrainer(Trainer):
    """A trainer that looks at the signs of all kernels after every `every` steps, and after the last one.

    It trains every network whole: on live weights alone, and without dead units, a training has other rounding. Raises
    ValueError also if `every` does not divide the number of steps between two evaluations.
    """

    every: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("every", self.every, 1)
        if self.config.evaluate_every % self.every:
            raise ValueError(
                f"every is {self.every}; allowed: whole parts of evaluate_every, {self.config.evaluate_every}"
            )

    def train_recorded(self, jobs: Sequence[Job], on_progress: OnProgress = ignore_progress) -> list[Recorded]:
        """Train all jobs in populations; return outcomes and flips in order. Raises ValueError for unfit masks."""
        for job in jobs:
            check_masks(job.masks, kernels_of(job.params))
            check_seed(job.seed)
        found: dict[int, Recorded] = {}
        lengths = [self._length(job) for job in jobs]
        for _, group in groupby(sorted(range(len(jobs)), key=lengths.__getitem__), key=lengths.__getitem__):
            for indices in batched(list(group), self.placement.slots):
                whole: list[tuple[Job, Compaction | None]] = [(jobs[index], None) for index in indices]
                course = self._course([job for job, _ in whole])
                ends, curves = train_population(course, self._stepping(course, whole), self.checkpoints, on_progress)
                trained = outcomes(ends, curves, self.evaluate)
                records = [Recorded(own, end.record) for own, end in zip(trained, ends, strict=True)]
                found |= dict(zip(indices, records, strict=True))
        return [found[index] for index in range(len(jobs))]

    @property
    def _plain(self) -> bool:
        return False

    def _start(self, job: Job, smaller: Compaction | None) -> Descent:
        kernels = kernels_of(job.params)
        masks = {layer: job.masks.get(layer) for layer in kernels}
        record = watch_signs(kernels, masks, where=lambda path, leaf: True, longest=LONGEST)
        return super()._start(job, smaller)._replace(record=jax.tree.map(np.asarray, record))

    def _program(self, network: Network) -> Run:
        if network not in self._programs:
            given = self._rule(network), self._optimiser, self.data.maximum, self.placement
            self._programs[network] = descending(*given, Looks(self.every, _look))
        return self._programs[network]


def _look(record: SignFlips, params: Params) -> SignFlips:
    return record_flips(record, kernels_of(params))
