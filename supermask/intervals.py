"""The training loop: alternates a fixed number of steps with an evaluation, and resumes from checkpoints.

All trainers use it: of networks, masks, sparse networks and shared values. They differ in the functions of a
`Stepping`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Int32, PyTree

from supermask.checks import check_whole
from supermask.counts import exact_fraction
from supermask.evaluation import PlacedData
from supermask.keys import batch_order
from supermask.resuming import Checkpoints, Resumable, restored, saved, stacked
from supermask.short import short

OnProgress = Callable[[int], None]
"""Callback that receives the number of network-steps taken since its last call."""


def ignore_progress(steps: int) -> None:
    """Ignore progress: an `OnProgress` that does nothing."""


@dataclass(frozen=True)
class TrainingConfig:
    """Configuration of a training. Lengths are in steps (batches)."""

    steps: int
    learning_rate: float
    batch_size: int = 60
    evaluate_every: int = 100

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("evaluate_every", 1), ("steps", 0)):
            check_whole(name, getattr(self, name), least)
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate is {self.learning_rate}; allowed: more than 0")


def steps_of(epochs: float, examples: int, batch_size: int) -> int:
    """Return floor(epochs × examples / batch size), exactly. 55 epochs of 55,000 images in batches of 60 are 50,416.

    `epochs` stands for its decimal representation: 2.28 epochs of 3,500 images are 133 batches of 60.
    """
    return math.floor(exact_fraction(epochs) * examples / batch_size)


class DataOrder(NamedTuple):
    """Order of a network's batches: its seed, its first step, and the number of training examples."""

    seed: int
    first_step: int
    examples: int


@short
@dataclass(frozen=True)
class Course:
    """The steps of a population: `steps` in number, each on the next batch of every network's own order."""

    data: PlacedData
    config: TrainingConfig
    orders: Sequence[DataOrder]
    steps: int

    @property
    def lengths(self) -> list[int]:
        """Steps before each evaluation: 0 before the first, then `evaluate_every`, then the remainder."""
        every = self.config.evaluate_every
        return [0, *(min(every, self.steps - at) for at in range(0, self.steps, every))]

    @property
    def counts(self) -> Int32[Array, " devices"]:
        """Number of networks on each device."""
        return self.data.placement.counts(len(self.orders))

    def batches(self, done: int, length: int) -> Int32[Array, "slots every batch"]:
        """Return the batches of the `length` steps after the first `done`, placed; at most `evaluate_every`.

        Fewer are padded to that length, so that the shape is constant. The padding is never read.
        """
        filled = np.zeros((len(self.orders), self.config.evaluate_every, self.config.batch_size), np.int32)
        for index in range(len(self.orders)):
            filled[index, :length] = self.batches_of(index, done, length)
        return self.data.placement.stack(list(filled))

    def batches_of(self, network: int, done: int, length: int) -> Int32[np.ndarray, "length batch"]:
        """Return one network's batches of the `length` steps after the first `done`, on the host."""
        order = self.orders[network]
        first = order.first_step + done
        return batch_order(order.seed, order.examples, self.config.batch_size, first, first + length)


@short
class Stepping(NamedTuple):
    """How a population is trained.

    start: the population before its first step, placed.
    given: everything else that its steps depend on, apart from course and programs.
    interval: (state, done, length) -> state. Takes the `length` steps after the first `done`, then evaluates.
    observe: state -> the points of the curves: arrays with a leading axis for networks.
    text: returns the text of all programs that `interval` runs; see `supermask.resuming`.
    """

    start: PyTree
    given: PyTree
    interval: Callable[[Any, int, int], PyTree]
    observe: Callable[[Any], PyTree]
    text: Callable[[], str]


def train_in_intervals(
    course: Course, stepping: Stepping, checkpoints: Checkpoints | None, on_progress: OnProgress
) -> tuple[PyTree, list[PyTree]]:
    """Train a population; evaluate before the first step and after every interval of steps.

    Returns the final state, placed, and each network's history on the host: the output of `observe`, with a leading
    axis for evaluations. Progress is reported, and interrupts are noticed, after every interval. With `checkpoints`, an
    interrupted training resumes from its last checkpoint, to the same bits.
    """
    networks, lengths, state = len(course.orders), course.lengths, stepping.start
    resumable = None
    if checkpoints is not None:
        start, settings = (stepping.start, stepping.given), (course.config, course.orders, course.steps)
        resumable = Resumable.of(checkpoints, course.data.data, start, stepping.text(), *settings)
    history: list[PyTree] = []
    if resumable is not None and (found := resumable.load()) is not None:
        state, history = restored(found, state, stepping.observe)
        on_progress(sum(lengths[: len(history)]) * networks)
    for index in range(len(history), len(lengths)):
        state = stepping.interval(state, sum(lengths[:index]), lengths[index])
        history.append(jax.tree.map(np.asarray, stepping.observe(state)))
        on_progress(lengths[index] * networks)
        if resumable is not None and resumable.checkpoints.due():
            resumable.save(saved(state, history))
    return state, course.data.placement.unstack(stacked(history), networks)
