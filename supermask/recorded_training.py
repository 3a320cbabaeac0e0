"""Trainings of populations of masked networks that record sign flips: the same trainings, to the bit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np

from supermask.checks import check_whole
from supermask.compaction import Compaction
from supermask.descent import Descent, Looks, train_population
from supermask.intervals import OnProgress, ignore_progress
from supermask.params import Params, kernels_of
from supermask.population import in_groups
from supermask.short import short
from supermask.sign_flips import SignFlips, record_flips, watch_signs
from supermask.training import Job, Trained, Trainer, check_jobs, outcomes

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
        check_jobs(jobs)

        def train(places: Sequence[int]) -> list[Recorded]:
            some = [jobs[place] for place in places]
            course = self._course(some)
            stepping = self._stepping(course, [(job, None) for job in some])
            ends, curves = train_population(course, stepping, self.checkpoints, on_progress)
            trained = outcomes(ends, curves, self.evaluate)
            return [Recorded(own, end.record) for own, end in zip(trained, ends, strict=True)]

        return in_groups([self._length(job) for job in jobs], self.placement.slots, train)

    @property
    def _plain(self) -> bool:
        return False

    def _start(self, job: Job, smaller: Compaction | None) -> Descent:
        kernels = kernels_of(job.params)
        masks = {layer: job.masks.get(layer) for layer in kernels}
        record = watch_signs(kernels, masks, where=lambda path, leaf: True, longest=LONGEST)
        return super()._start(job, smaller)._replace(record=jax.tree.map(np.asarray, record))

    @property
    def _looks(self) -> Looks:
        return Looks(self.every, _look)


def _look(record: SignFlips, params: Params) -> SignFlips:
    return record_flips(record, kernels_of(params))
