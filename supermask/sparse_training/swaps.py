"""Edge swaps under DNW: the loss on a step's own batch, with the edges from before the step and from after it.

Wortsman, Farhadi & Rastegari 2019 (arXiv 1906.00586, section 2.3 and its proof) claim that the loss on the batch falls
when an edge is swapped, for a learning rate that is small enough and plain SGD. Both losses are taken at the updated
weights, so they differ by the swap alone. The argument is of first order: a dead edge overtakes a live one if the
gradient pulls it up faster, and the loss falls along that gradient. A swap, however, moves two weights by the whole
threshold, which is as large at a small rate as at a large one. How often the loss falls is therefore measured.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Float, Float32, Int32

from supermask.checks import check_counts, check_seed
from supermask.datasets import Dataset
from supermask.evaluation import PlacedData, Scores, cross_entropy, scaled
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
from supermask.networks import Network, statistics_of
from supermask.params import AnyArray, Params, kernels_of, pruned, with_kernels
from supermask.population import Placement, Run, batched, over_population, program_text
from supermask.resuming import Checkpoints
from supermask.short import short
from supermask.sparse_training.base import Counts, Horizon, State, inform, start
from supermask.sparse_training.dnw import dnw

_DNW = dnw(optax.sgd(1.0), Horizon(1, 1))
"""The rule under plain SGD; gradients are multiplied by the rate before, so one program serves all rates."""


@short
class Swap(NamedTuple):
    """What one step did: the number of edges that came alive, and losses on its batch at the updated weights.

    old, new: losses with the edges from before the step and from after it. They are equal if no edge came alive.
    """

    edges: Int32[Array, ""]
    old: Float32[Array, ""]
    new: Float32[Array, ""]


def swap_step(
    loss: Callable[[Params], Float[Array, ""]], rate: Float[AnyArray, ""] | float, state: State, params: Params
) -> tuple[Params, State, Swap]:
    """Take one step of DNW by plain SGD, and return the network after it, the method's state, and what was swapped.

    loss: the loss on the step's batch, as a function of the parameters. rate: the learning rate. state: as from
        `dnw(...).init`. params: the sparse network's parameters, with zeros where edges are dead.
    """
    moved, after, _ = _DNW.step(state, jax.tree.map(lambda slope: rate * slope, jax.grad(loss)(params)), params)
    edges = sum(inform(state.masks, after.masks).grown.values(), start=jnp.int32(0))
    old = loss(pruned(with_kernels(moved, after.own.weights), state.masks))
    return moved, after, Swap(edges, old, loss(moved))


@short
@dataclass(frozen=True)
class SwapJob:
    """One network to train: its dense initial parameters, its live edges per layer, its learning rate and its seed."""

    params: Params
    counts: Counts
    rate: float
    seed: int


@short
class Tally(NamedTuple):
    """Sums over the steps that swapped edges.

    steps: number of such steps. fell, rose: number of those with a lower, or higher, loss with the new edges. edges:
    edges that came alive. old, new: sums of both losses.
    """

    steps: Int32[AnyArray, ""]
    fell: Int32[AnyArray, ""]
    rose: Int32[AnyArray, ""]
    edges: Int32[AnyArray, ""]
    old: Float32[AnyArray, ""]
    new: Float32[AnyArray, ""]


@short
class SwapOutcome(NamedTuple):
    """The outcome of one training; arrays on the host."""

    tally: Tally
    test: Scores


class _Walk(NamedTuple):
    """A network on its way."""

    params: Params
    method: State
    tally: Tally


@short
@dataclass(frozen=True, eq=False)
class SwapTrainer:
    """Trains populations of one network by DNW and plain SGD, and counts swaps whose loss fell.

    config: number of steps, batch size, and steps between checkpoints; each job has a learning rate of its own.

    Raises ValueError for a network with dropout or running statistics, whose loss on a batch is no function of the
    parameters alone.
    """

    network: Network
    data: Dataset
    config: TrainingConfig
    placement: Placement
    checkpoints: Checkpoints | None = None

    def __post_init__(self) -> None:
        if self.network.model().draws or statistics_of(self.network, self.data.image_shape):
            raise ValueError(
                f"network {type(self.network).__name__} has dropout or running statistics; allowed: networks without, "
                "whose loss on a batch is a function of the parameters"
            )

    def train(self, jobs: Sequence[SwapJob], on_progress: OnProgress = ignore_progress) -> list[SwapOutcome]:
        """Train all jobs in populations; return outcomes in order. Raises ValueError for unfit counts."""
        for job in jobs:
            check_seed(job.seed)
            check_counts("counts", job.counts, {layer: kernel.size for layer, kernel in kernels_of(job.params).items()})
        outcomes: list[SwapOutcome] = []
        for some in batched(jobs, self.placement.slots):
            course = Course(
                self._placed,
                self.config,
                [DataOrder(job.seed, 0, len(self.data.train)) for job in some],
                self.config.steps,
            )
            state, _ = train_in_intervals(course, self._stepping(course, some), self.checkpoints, on_progress)
            ends = self.placement.unstack((state.params, state.tally), len(some))
            scores = self._placed.evaluate([params for params, _ in ends], self._placed.test)
            outcomes += [SwapOutcome(tally, test) for (_, tally), test in zip(ends, scores, strict=True)]
        return outcomes

    def _begun(self, job: SwapJob) -> _Walk:
        key = np.asarray(raw_key(derive_key(job.seed, Purpose.SPARSE_STRUCTURE)))
        counts = {layer: np.int32(count) for layer, count in job.counts.items()}
        params, state = self._started(key, jax.tree.map(np.asarray, job.params), counts)
        nothing: Any = np.asarray(0, np.int32)
        tally = Tally(*[nothing] * 4, *[np.asarray(0, np.float32)] * 2)
        return jax.tree.map(np.asarray, _Walk(params, state, tally))

    def _stepping(self, course: Course, jobs: Sequence[SwapJob]) -> Stepping:
        place, data, counts = self.placement, self._placed, course.counts
        begun, rates = place.stack([self._begun(job) for job in jobs]), place.stack([np.float32(j.rate) for j in jobs])

        def arguments(done: int, length: int) -> tuple[Any, Any, Any]:
            return (rates, course.batches(done, length)), (data.train, np.int32(length)), counts

        return Stepping(
            begun,
            rates,
            lambda state, done, length: self._walked(state, *arguments(done, length)),
            lambda state: tuple(state.tally),
            lambda: program_text(self._walked, begun, *arguments(0, 0)),
        )

    @cached_property
    def _placed(self) -> PlacedData:
        return PlacedData(self.data, self.placement, self.network)

    @cached_property
    def _started(self) -> Callable[..., tuple[Params, State]]:
        def started(key: Any, params: Params, counts: Any) -> tuple[Params, State]:
            state = _DNW.init(key, params, counts)
            return start(state, params), state

        return jax.jit(started)

    @cached_property
    def _walked(self) -> Run:
        network, maximum = self.network, self.data.maximum

        def interval(walk: _Walk, own: Any, shared: Any) -> _Walk:
            (rate, order), (train, length) = own, shared

            def one_step(index: Array, walk: _Walk) -> _Walk:
                batch = lax.dynamic_index_in_dim(order, index, keepdims=False)
                images, labels = scaled(train.images[batch], maximum), train.labels[batch]
                loss = lambda params: cross_entropy(network, params, images, labels)  # noqa: E731
                params, state, swap = swap_step(loss, rate, walk.method, walk.params)
                return _Walk(params, state, _counted(walk.tally, swap))

            return lax.fori_loop(0, length, one_step, walk)

        return over_population(interval, self.placement)


def _counted(tally: Tally, swap: Swap) -> Tally:
    """Return the sums with one more step, if it swapped edges."""
    swapped = swap.edges > 0
    added = Tally(
        swapped.astype(jnp.int32),
        (swapped & (swap.new < swap.old)).astype(jnp.int32),
        (swapped & (swap.new > swap.old)).astype(jnp.int32),
        swap.edges,
        jnp.where(swapped, swap.old, 0.0),
        jnp.where(swapped, swap.new, 0.0),
    )
    return jax.tree.map(jnp.add, tally, added)
