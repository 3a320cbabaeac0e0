"""Trains a population of sparse networks by one method: several seeds and densities at once.

Order of batches, evaluation intervals and early stopping are those of `supermask.training`. A network that is denser
than requested, as during gradual pruning, is validated but not kept: reported parameters always have the requested
number of weights.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool

from supermask.augmentation import Augmentation
from supermask.checks import check_counts, check_masks, check_seed
from supermask.datasets import Dataset
from supermask.evaluation import UNSEEN, PlacedData, Scores, where_better
from supermask.intervals import (
    Course,
    DataOrder,
    OnProgress,
    Stepping,
    TrainingConfig,
    ignore_progress,
    train_in_intervals,
)
from supermask.keys import Purpose, derive_key, raw_key
from supermask.live_weights import Adam, Engine, Momentum, Optimiser, pays, serves
from supermask.masks import Masks
from supermask.networks import Network
from supermask.params import AnyArray, Params, kernels_of
from supermask.population import Placement, Run, in_groups, over_population, program_text
from supermask.resuming import Checkpoints
from supermask.short import short
from supermask.sparse_training import Horizon, Method, MethodSpec, State, start
from supermask.sparse_training.on_live_weights import OnLiveWeights, live_stepping
from supermask.sparse_training.progress import (
    Best,
    Moving,
    Progress,
    SparseTrained,
    Structure,
    change_of,
    ended,
    middle_of,
    observed,
    stretch_of,
)
from supermask.training import outcomes


@short
@dataclass(frozen=True)
class SparseJob:
    """One network to train: its dense initial parameters, its live weights per layer, and its seed.

    `masks` are the initial live weights; None for the method's own choice.
    """

    params: Params
    counts: Mapping[str, int]
    seed: int
    masks: Mapping[str, Bool[AnyArray, "..."]] | None = None


Call = tuple[Run, tuple[Any, ...]]
"""A compiled program and its arguments."""


@short
@dataclass(frozen=True, eq=False)
class SparseTrainer:
    """Trains populations of one network on one data set by one method. Programs are compiled once, on first use.

    With an optimiser of `supermask.live_weights`, steps are taken on live weights alone where that pays: see
    `on_live_weights`. With `checkpoints`, an interrupted training resumes from its last checkpoint. `augmentation`
    changes the images of every batch. `watched` makes an array from the masks; the outcome's structure has its results
    at all evaluations. Running statistics of the network are updated at every step.
    """

    network: Network
    data: Dataset
    config: TrainingConfig
    placement: Placement
    entry: MethodSpec
    optimiser: optax.GradientTransformation | Optimiser
    method_config: Any = None
    checkpoints: Checkpoints | None = None
    augmentation: Augmentation | None = None
    watched: Callable[[Masks], Array] | None = None

    def __post_init__(self) -> None:
        self._placed  # noqa: B018 - raises before training if the data does not fit the network

    def train(self, jobs: Sequence[SparseJob], on_progress: OnProgress = ignore_progress) -> list[SparseTrained]:
        """Train all jobs in populations; return outcomes in order. Raises ValueError for unfit counts or masks."""
        for job in jobs:
            _check_job(job)
        dense = [not self._is_live(job) for job in jobs]

        def train(places: Sequence[int]) -> list[SparseTrained]:
            return self._train_population([jobs[place] for place in places], on_progress, live=not dense[places[0]])

        return in_groups(dense, self.placement.slots, train)

    @cached_property
    def method(self) -> Method:
        """The method with the optimiser, for trainings of this length."""
        horizon = Horizon(self.config.steps, max(len(self.data.train) // self.config.batch_size, 1))
        own = self.optimiser
        optimiser = own.transformation if isinstance(own, Adam | Momentum) else own
        return self.entry.make(optimiser, horizon, self.method_config)

    def begin(self, job: SparseJob) -> Progress:
        """Return a network before its first step, on the host."""
        return self._begun(self._start(job))

    def _start(self, job: SparseJob) -> tuple[State, Params]:
        """Return the method's state and the parameters, without waiting for the device."""
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

    def _is_live(self, job: SparseJob) -> bool:
        """Return whether steps are taken on live weights alone once these are few enough."""
        if self.augmentation is not None or self.watched is not None:
            return False
        can = serves(self.network, self.placement, self.data.dtype)
        if not can or not isinstance(self.optimiser, Adam | Momentum) or self.method.dense_steps is None:
            return False
        weights = sum(kernel.size for kernel in kernels_of(job.params).values())
        return pays(weights, sum(job.counts.values()), self.config.steps)

    def _train_population(
        self, jobs: Sequence[SparseJob], on_progress: OnProgress, *, live: bool
    ) -> list[SparseTrained]:
        orders = [DataOrder(job.seed, 0, len(self.data.train)) for job in jobs]
        course = Course(self._placed, self.config, orders, self.config.steps)
        begun = [self._begun(started) for started in [self._start(job) for job in jobs]]
        if live:
            ends, curves = self._train_live(course, begun, on_progress)
        else:
            state, curves = train_in_intervals(course, self._stepping(course, begun), self.checkpoints, on_progress)
            ends = self.placement.unstack(state, len(jobs))
        trained = outcomes([ended(each) for each in ends], curves, self.evaluate)
        structures = [
            Structure(before.halfway, end.moving.method.masks, curve[3], curve[4], end.halfway, *curve[5:])
            for before, end, curve in zip(begun, ends, curves, strict=True)
        ]
        return [SparseTrained(*each) for each in zip(trained, structures, strict=True)]

    def _train_live(
        self, course: Course, begun: Sequence[Progress], on_progress: OnProgress
    ) -> tuple[list[Progress], list[tuple[np.ndarray, ...]]]:
        steps = live_stepping(self._on_live_weights, course, begun)
        ends, curves = train_in_intervals(course, steps, self.checkpoints, on_progress)
        return list(ends), curves

    def _stepping(self, course: Course, begun: Sequence[Progress]) -> Stepping:
        """Return the stepping of a population: in parts that end where masks change; evaluation is its own program."""
        start, counts, data = self.placement.stack(begun), course.counts, self._placed
        middle, changes = middle_of(self.config), self._changes

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
            moving, end, halfway = state.moving, done + length, state.halfway
            for until in sorted({each for each in changes | {middle} if done < each < end} | ({end} - {done})):
                program, arguments = advance(moving, done, until)
                moving, done = program(*arguments), until
                if done == middle:
                    halfway = jax.tree.map(jnp.copy, moving.method.masks)
            program, arguments = look(moving)
            scores = program(*arguments)
            program, arguments = keep(moving, state.best, scores)
            return Progress(moving, scores, program(*arguments), halfway)

        def observe(state: Progress) -> tuple[Array | np.ndarray, ...]:
            watched = () if self._watched is None else (self._watched(state.moving.method.masks),)
            return *observed(state.moving, state.validation), *watched

        def text() -> str:
            moving, scores, best, _ = start
            calls = [advance(moving, 0, 0), look(moving), keep(moving, best, scores)]
            calls += [] if self._watched is None else [(self._watched, (moving.method.masks,))]
            return "\n".join(program_text(program, *arguments) for program, arguments in calls)

        return Stepping(start, np.array(sorted(changes), np.int32), interval, observe, text)

    @cached_property
    def _watched(self) -> Callable[..., Array] | None:
        return None if self.watched is None else jax.jit(jax.vmap(self.watched))

    @cached_property
    def _changes(self) -> frozenset[int]:
        """Numbers of steps after which masks change."""
        taken = np.arange(1, self.config.steps + 1)
        due = np.asarray(self.method.due(taken), bool) if taken.size else np.zeros(0, bool)
        return frozenset(taken[due].tolist())

    @cached_property
    def _on_live_weights(self) -> OnLiveWeights:
        optimiser = self.optimiser
        if not isinstance(optimiser, Adam | Momentum):
            raise TypeError("optimiser is not the sparse engine's; `_is_live` says which trainings it is for")
        engine = Engine(self.network, self.data, self.config.batch_size, optimiser)
        return OnLiveWeights(
            engine, self.method, self._changes, jax.jit(self._stretch), jax.jit(change_of(self.method))
        )

    def evaluate(self, params: Sequence[Params]) -> list[Scores]:
        """Return test loss and accuracy of networks without training, in the given order."""
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
        return over_population(self._stretch, self.placement)

    @cached_property
    def _stretch(self) -> Callable[[Moving, Any, Any], Moving]:
        return stretch_of(
            self.network, self.method, self.data.maximum, changes=bool(self._changes), augmentation=self.augmentation
        )

    @cached_property
    def _keep_best(self) -> Run:
        """Compiled without the method's own memory, so that all methods share one program."""

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
