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
from supermask.evaluation import UNSEEN, PlacedData, Scores, cross_entropy, evaluate, scaled, where_better
from supermask.intervals import DataOrder, OnProgress, TrainingConfig, batches_of, ignore_progress
from supermask.keys import Purpose, derive_key
from supermask.masks import Masks
from supermask.networks import AnyArray, Network, Params, kernels_of
from supermask.population import Placement, batched, over_population
from supermask.short import short
from supermask.sparse_training import Entry, Horizon, Method, State, start
from supermask.sparse_training.base import LayerCounts, inform, raw_key
from supermask.training import Trained


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
class Progress(NamedTuple):
    """One network under way; a population has one more axis in front of every leaf."""

    params: Params
    method: State
    grown: dict[str, Int32[AnyArray, ""]]
    validation: Scores
    best_params: Params
    best_validation: Scores
    best_step: Int32[AnyArray, ""]  # -1 while nothing has been kept


@short
class Best(NamedTuple):
    """The parameters of lowest validation loss so far, their scores, and the step; -1 while nothing has been kept."""

    params: Params
    validation: Scores
    step: Int32[AnyArray, ""]


Moving = tuple[Params, State, LayerCounts, Params]
"""What a step moves: parameters, the method's state, how many weights came alive; and the gradient it went by."""


@short
@dataclass(frozen=True, eq=False)
class SparseTrainer:
    """Trains populations of one network on one data set by one method. Compiled once, on first use."""

    network: Network
    data: Dataset
    config: TrainingConfig
    placement: Placement
    entry: Entry
    optimiser: optax.GradientTransformation
    method_config: Any = None

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
        nothing = np.asarray(0, np.int32)
        return Progress(
            params, state, dict.fromkeys(state.masks, nothing), UNSEEN, params, UNSEEN, np.asarray(-1, np.int32)
        )

    def _train_population(self, jobs: Sequence[SparseJob], on_progress: OnProgress) -> list[SparseTrained]:
        place, steps = self.placement, self.config.steps
        counts = place.counts(len(jobs))
        begun = [self._begun(started) for started in [self._start(job) for job in jobs]]
        first: list[Masks] = [{layer: np.array(mask) for layer, mask in each.method.masks.items()} for each in begun]
        state = place.stack(begun)
        orders = [DataOrder(job.seed, 0, len(self.data.train)) for job in jobs]
        evaluations, changes = self._calendar()
        history: list[Any] = []
        middle = min(evaluations | {0}, key=lambda at: abs(2 * at - steps))
        halfway: Sequence[Masks] = ()
        done = 0
        for until in [0, *sorted(evaluations | changes)]:
            length = until - done
            if length:
                order = place.stack([batches_of(each, self.config, done, length) for each in orders])
                rewire = np.bool_(until in changes)
                state = self._interval(state, order, (self._placed.train, np.int32(length), rewire), counts)
                done = until
                on_progress(length * len(jobs))
            if until in evaluations or until == 0:
                state = self._look(state, len(jobs), counts)
                history.append(self._glance(state))
            if until == middle:
                halfway = place.unstack(state.method.masks, len(jobs))
        return self._outcomes(place.unstack(state, len(jobs)), first, halfway, history)

    def _calendar(self) -> tuple[set[int], set[int]]:
        """The numbers of steps after which networks are evaluated, and after which their masks change."""
        every, steps = self.config.evaluate_every, self.config.steps
        taken = np.arange(1, steps + 1)
        due = np.asarray(self.method.due(taken), bool) if steps else np.zeros(0, bool)
        longest = set(range(every, steps + 1, every)) | ({steps} if steps else set())
        return longest, {int(step) for step in taken[due]}

    def _glance(self, state: Progress) -> Any:
        """What a history keeps of a population at one evaluation."""
        layers = sorted(state.grown)
        live = [
            np.asarray(jnp.sum(state.method.masks[n], axis=tuple(range(1, state.method.masks[n].ndim)))) for n in layers
        ]
        grown = [np.asarray(state.grown[layer]) for layer in layers]
        at, scores = np.asarray(state.method.step), jax.tree.map(np.asarray, state.validation)
        return at, scores.loss, scores.accuracy, np.stack(live, axis=-1), np.stack(grown, axis=-1)

    def _outcomes(
        self, states: list[Progress], first: list[Masks], halfway: Sequence[Masks], history: list[Any]
    ) -> list[SparseTrained]:
        at_early_stop = self.evaluate([state.best_params for state in states])
        at_end = self.evaluate([state.params for state in states])
        stacked = tuple(np.stack(parts, axis=1) for parts in zip(*history, strict=True))
        curves = self.placement.unstack(stacked, len(states))
        outcomes = []
        for index, state in enumerate(states):
            step, loss, accuracy, live, grown = curves[index]
            trained = Trained(
                state.params,
                int(state.best_step),
                state.best_validation,
                state.validation,
                at_early_stop[index],
                at_end[index],
                step,
                loss,
                accuracy,
            )
            last: Masks = {layer: np.asarray(mask) for layer, mask in state.method.masks.items()}
            outcomes.append(SparseTrained(trained, Structure(first[index], last, live, grown, halfway[index])))
        return outcomes

    def evaluate(self, params: Sequence[Params]) -> list[Scores]:
        """Loss and accuracy on test data of networks as they are, in the order given."""
        return [scores for some in batched(params, self.placement.slots) for scores in self._test(some)]

    def _test(self, params: Sequence[Params]) -> list[Scores]:
        place = self.placement
        empty = place.stack([UNSEEN] * len(params))
        tested = self._tested(empty, place.stack(params), self._placed.test, place.counts(len(params)))
        return place.unstack(tested, len(params))

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
    def _interval(self) -> Callable[..., Progress]:
        network, method, maximum = self.network, self.method, self.data.maximum
        gradient = jax.grad(lambda params, images, labels: cross_entropy(network, params, images, labels))
        _, changes = self._calendar()

        def interval(progress: Progress, order: Any, shared: Any) -> Progress:
            train, length, rewire_now = shared

            def step_gradient(index: Array | int, params: Params) -> Params:
                batch = lax.dynamic_index_in_dim(order, index, keepdims=False)
                return gradient(params, scaled(train.images[batch], maximum), train.labels[batch])

            def one_step(index: Array, moving: Moving) -> Moving:
                params, state, grown, _ = moving
                before, grads = state.masks, step_gradient(index, params)
                params, state = method.advance(state, grads, params)
                return params, state, _add_grown(grown, before, state.masks), grads

            def rewired(moving: Moving) -> Moving:
                params, state, grown, grads = moving
                before = state.masks
                params, state = method.rewire(state, grads, params)
                return params, state, _add_grown(grown, before, state.masks), grads

            # A change stands outside the loop, to which the last gradient is handed: inside, choosing would copy the
            # network at every step.
            nothing = jax.tree.map(jnp.zeros_like, progress.params)
            moving = (progress.params, progress.method, progress.grown, nothing)
            moving = lax.fori_loop(0, length, one_step, moving)
            if changes:  # else what nobody needs would be compiled
                moving = lax.cond(rewire_now, rewired, lambda moving: moving, moving)
            params, state, grown, _ = moving
            return progress._replace(params=params, method=state, grown=grown)

        return over_population(interval, self.placement)

    def _look(self, state: Progress, networks: int, counts: Int32[Array, "devices"]) -> Progress:
        """Evaluates a population on validation data and keeps what is best.

        Two programs that know nothing of the method's own memory, so that all methods have the same ones.
        """
        empty = self.placement.stack([UNSEEN] * networks)
        scores = self._tested(empty, state.params, self._placed.validation, counts)
        best = Best(state.best_params, state.best_validation, state.best_step)
        found = (state.params, scores, state.method.step, state.method.masks, state.method.kept)
        best = self._keep_best(best, found, (), counts)
        return state._replace(
            validation=scores, best_params=best.params, best_validation=best.validation, best_step=best.step
        )

    @cached_property
    def _keep_best(self) -> Callable[..., Best]:
        def keep(best: Best, found: Any, _: Any) -> Best:
            params, scores, step, masks, kept = found
            live = sum((jnp.sum(mask, dtype=jnp.int32) for mask in masks.values()), start=jnp.int32(0))
            asked = sum(kept.values(), start=jnp.int32(0))
            better = (scores.loss < best.validation.loss) | (best.step < 0)
            better &= live <= asked
            return where_better(better, Best(params, scores, step), best)

        return over_population(keep, self.placement)

    @cached_property
    def _tested(self) -> Callable[..., Scores]:
        network, maximum = self.network, self.data.maximum
        return over_population(lambda _, params, test: evaluate(network, params, test, maximum), self.placement)


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
