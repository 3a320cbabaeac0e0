"""Training a population of sparse networks by one method: seeds and densities at once.

As `supermask.training` does it: the same order of batches, validation every so many steps, the parameters of the lowest
validation loss kept aside, test data seen once at the end. A network that is still denser than asked, as under gradual
pruning, is validated but not kept: what is reported always has the number of weights that it was asked to have.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Bool, Int, Int32

from supermask.checks import check_counts, check_masks, check_seed
from supermask.datasets import Dataset
from supermask.descent import Descent
from supermask.evaluation import UNSEEN, PlacedData, Scores, cross_entropy, scaled, where_better
from supermask.intervals import (
    Course,
    DataOrder,
    OnProgress,
    Stepping,
    TrainingConfig,
    ignore_progress,
    train_in_intervals,
)
from supermask.keys import Purpose, derive_key
from supermask.masks import Masks
from supermask.networks import Network
from supermask.params import AnyArray, Params, kernels_of
from supermask.population import Placement, Run, batched, over_population, program_text
from supermask.resuming import Checkpoints
from supermask.short import short
from supermask.sparse_training import Horizon, Method, MethodSpec, State, start
from supermask.sparse_training.base import LayerCounts, inform, raw_key
from supermask.training import Trained, outcomes


@short
@dataclass(frozen=True)
class SparseJob:
    """One network to train: its dense initial parameters, how many live weights each layer has, and its seed.

    `masks` are the live weights at the start, if not the method's own choice.
    """

    params: Params
    counts: Mapping[str, int]
    seed: int
    masks: Mapping[str, Bool[AnyArray, "..."]] | None = None


@short
class Structure(NamedTuple):
    """Masks at the first and the last step, and what became of them in between.

    live: live weights of each layer at every evaluation, layers in the order of their names.
    grown: how many weights had come alive in each layer by then, since the start; one that comes and goes and comes
        again counts twice.
    halfway: masks at the evaluation nearest to the middle; None where they were not kept.
    """

    first: Masks
    last: Masks
    live: Int[np.ndarray, "evaluations layers"]
    grown: Int[np.ndarray, "evaluations layers"]
    halfway: Masks | None = None


@short
class SparseTrained(NamedTuple):
    """The outcome of one sparse training; arrays on the host."""

    trained: Trained
    structure: Structure


@short
class Moving(NamedTuple):
    """What steps move: parameters, the method's state, and how many weights have come alive in each layer."""

    params: Params
    method: State
    grown: LayerCounts


@short
class Best(NamedTuple):
    """The parameters of lowest validation loss so far, their scores, and the step; -1 while nothing has been kept."""

    params: Params
    validation: Scores
    step: Int32[AnyArray, ""]


@short
class Progress(NamedTuple):
    """One network under way; a population has one more axis in front of every leaf.

    `halfway` are the masks at the evaluation nearest to the middle, those of the start until then.
    """

    moving: Moving
    validation: Scores  # of the last evaluation
    best: Best
    halfway: Masks


Call = tuple[Run, tuple[Any, ...]]
"""A compiled program, and what it is called with."""


@short
@dataclass(frozen=True, eq=False)
class SparseTrainer:
    """Trains populations of one network on one data set by one method. Compiled once, on first use.

    With `checkpoints` a training that was cut off goes on where it was saved last.
    """

    network: Network
    data: Dataset
    config: TrainingConfig
    placement: Placement
    entry: MethodSpec
    optimiser: optax.GradientTransformation
    method_config: Any = None
    checkpoints: Checkpoints | None = None

    def __post_init__(self) -> None:
        self._placed  # noqa: B018 - the data fits the network, or an error says so before anything is trained

    def train(self, jobs: Sequence[SparseJob], on_progress: OnProgress = ignore_progress) -> list[SparseTrained]:
        """Trains all jobs, as many at once as there are slots, and returns their outcomes in order.

        Raises ValueError for counts or masks that do not fit the network.
        """
        for job in jobs:
            _check_job(job)
        return [
            outcome
            for some in batched(jobs, self.placement.slots)
            for outcome in self._train_population(some, on_progress)
        ]

    @cached_property
    def method(self) -> Method:
        """The method over the optimiser, for trainings of this length."""
        horizon = Horizon(self.config.steps, max(len(self.data.train) // self.config.batch_size, 1))
        return self.entry.make(self.optimiser, horizon, self.method_config)

    def begin(self, job: SparseJob) -> Progress:
        """A network before its first step, on the host."""
        return self._begun(self._start(job))

    def _start(self, job: SparseJob) -> tuple[State, Params]:
        """The method's state and the parameters, as the device is still working on them."""
        params: Params = jax.tree.map(np.asarray, job.params)
        key = np.asarray(raw_key(derive_key(job.seed, Purpose.SPARSE_STRUCTURE)))
        counts = {layer: np.int32(count) for layer, count in job.counts.items()}
        masks = None if job.masks is None else {layer: np.asarray(mask) for layer, mask in job.masks.items()}
        return self._started(key, params, counts, masks)

    def _begun(self, started: tuple[State, Params]) -> Progress:
        state, params = jax.tree.map(np.asarray, started)
        nothing: Any = np.asarray(0, np.int32)
        moving = Moving(params, state, dict.fromkeys(state.masks, nothing))
        best = Best(params, UNSEEN, np.asarray(-1, np.int32))
        return Progress(moving, UNSEEN, best, state.masks)

    def _train_population(self, jobs: Sequence[SparseJob], on_progress: OnProgress) -> list[SparseTrained]:
        orders = [DataOrder(job.seed, 0, len(self.data.train)) for job in jobs]
        course = Course(self._placed, self.config, orders, self.config.steps)
        begun = [self._begun(started) for started in [self._start(job) for job in jobs]]
        state, curves = train_in_intervals(course, self._stepping(course, begun), self.checkpoints, on_progress)
        ends = self.placement.unstack(state, len(jobs))
        trained = outcomes([_ended(each) for each in ends], curves, self.evaluate)
        structures = [
            Structure(before.halfway, end.moving.method.masks, curve[3], curve[4], end.halfway)
            for before, end, curve in zip(begun, ends, curves, strict=True)
        ]
        return [SparseTrained(*each) for each in zip(trained, structures, strict=True)]

    def _stepping(self, course: Course, begun: Sequence[Progress]) -> Stepping:
        """How a population is stepped: in parts that end where masks change, and evaluated by a program of its own."""
        start, counts, data = self.placement.stack(begun), course.counts, self._placed
        middle, changes = _middle(self.config), self._changes

        def advance(moving: Moving, done: int, until: int) -> Call:
            steps = (data.train, np.int32(until - done), np.bool_(until in changes))
            return self._advanced, (moving, course.batches(done, until - done), steps, counts)

        def look(moving: Moving) -> Call:
            unseen = self.placement.stack([UNSEEN] * len(begun))
            return data.evaluated, (unseen, moving.params, data.validation, counts)

        def keep(moving: Moving, best: Best, scores: Scores) -> Call:
            state = moving.method
            return self._keep_best, (best, (moving.params, scores, state.step, state.masks, state.kept), (), counts)

        def interval(state: Progress, done: int, length: int) -> Progress:
            moving, end = state.moving, done + length
            for until in sorted({change for change in changes if done < change < end} | ({end} - {done})):
                program, arguments = advance(moving, done, until)
                moving, done = program(*arguments), until
            program, arguments = look(moving)
            scores = program(*arguments)
            program, arguments = keep(moving, state.best, scores)
            halfway = jax.tree.map(jnp.copy, moving.method.masks) if end == middle else state.halfway
            return Progress(moving, scores, program(*arguments), halfway)

        def text() -> str:
            moving, scores, best, _ = start
            calls = (advance(moving, 0, 0), look(moving), keep(moving, best, scores))
            return "\n".join(program_text(program, *arguments) for program, arguments in calls)

        return Stepping(start, np.array(sorted(changes), np.int32), interval, _observed, text)

    @cached_property
    def _changes(self) -> frozenset[int]:
        """The numbers of steps after which masks change."""
        taken = np.arange(1, self.config.steps + 1)
        due = np.asarray(self.method.due(taken), bool) if taken.size else np.zeros(0, bool)
        return frozenset(taken[due].tolist())

    def evaluate(self, params: Sequence[Params]) -> list[Scores]:
        """Loss and accuracy on test data of networks as they are, in the order given."""
        return self._placed.evaluate(params, self._placed.test)

    @cached_property
    def _placed(self) -> PlacedData:
        return PlacedData(self.data, self.placement, self.network)

    @cached_property
    def _started(self) -> Callable[..., tuple[State, Params]]:
        method = self.method

        def started(key: Any, params: Params, counts: Any, masks: Any) -> tuple[State, Params]:
            state = method.init(key, params, counts, masks)
            return state, start(state, params)

        return jax.jit(started)

    @cached_property
    def _advanced(self) -> Run:
        network, method, maximum = self.network, self.method, self.data.maximum
        gradient = jax.grad(lambda params, images, labels: cross_entropy(network, params, images, labels))

        def advanced(moving: Moving, order: Any, shared: Any) -> Moving:
            train, length, rewire_now = shared

            def one_step(index: Array, last: tuple[Moving, Params]) -> tuple[Moving, Params]:
                (params, state, grown), _ = last
                batch = lax.dynamic_index_in_dim(order, index, keepdims=False)
                grads = gradient(params, scaled(train.images[batch], maximum), train.labels[batch])
                before = state.masks
                params, state = method.advance(state, grads, params)
                return Moving(params, state, _add_grown(grown, before, state.masks)), grads

            def rewired(last: tuple[Moving, Params]) -> tuple[Moving, Params]:
                (params, state, grown), grads = last
                before = state.masks
                params, state = method.rewire(state, grads, params)
                return Moving(params, state, _add_grown(grown, before, state.masks)), grads

            # A change stands outside the loop, to which the last gradient is handed: inside, choosing would copy the
            # network at every step.
            last = lax.fori_loop(0, length, one_step, (moving, jax.tree.map(jnp.zeros_like, moving.params)))
            if self._changes:  # else what nobody needs would be compiled
                last = lax.cond(rewire_now, rewired, lambda last: last, last)
            return last[0]

        return over_population(advanced, self.placement)

    @cached_property
    def _keep_best(self) -> Run:
        """Compiled without the method's own memory, so that all methods have the same program."""

        def keep(best: Best, found: Any, _: Any) -> Best:
            params, scores, step, masks, kept = found
            live = sum((jnp.sum(mask, dtype=jnp.int32) for mask in masks.values()), start=jnp.int32(0))
            asked = sum(kept.values(), start=jnp.int32(0))
            better = (scores.loss < best.validation.loss) | (best.step < 0)
            better &= live <= asked
            return where_better(better, Best(params, scores, step), best)

        return over_population(keep, self.placement)


def _check_job(job: SparseJob) -> None:
    kernels = kernels_of(job.params)
    check_seed(job.seed)
    check_counts("counts", job.counts, {layer: kernel.size for layer, kernel in kernels.items()})
    if job.masks is not None:
        check_masks(job.masks, kernels)


def _add_grown(grown: LayerCounts, before: Masks, after: Masks) -> LayerCounts:
    if before is after:  # methods that leave the mask alone cost nothing
        return grown
    return jax.tree.map(jnp.add, grown, inform(before, after).grown)


def _middle(config: TrainingConfig) -> int:
    """The evaluation nearest to the middle; of two as near, the one that a set gives first: stored results have it."""
    every, steps = config.evaluate_every, config.steps
    evaluations = set(range(every, steps + 1, every)) | ({steps} if steps else set())
    return min(evaluations | {0}, key=lambda at: abs(2 * at - steps))


def _ended(progress: Progress) -> Descent:
    moving, validation, best, _ = progress
    return Descent(moving.params, (), moving.method.step, validation, *best)


def _observed(progress: Progress) -> tuple[Array | np.ndarray, ...]:
    """What the curves are made of: step, scores, and how many weights of each layer are live and have come alive."""
    method, grown = progress.moving.method, progress.moving.grown
    live = [np.asarray(jnp.sum(method.masks[n], axis=tuple(range(1, method.masks[n].ndim)))) for n in sorted(grown)]
    born = [np.asarray(grown[layer]) for layer in sorted(grown)]
    return method.step, *progress.validation, np.stack(live, axis=-1), np.stack(born, axis=-1)
