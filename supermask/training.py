"""Training a population of masked networks.

Each network has its own weights, masks and order of batches; data, optimiser and length are shared. A weight whose mask
is 0 is bit-equal before and after training: masks select the entries of the *update*, which is exact for any optimiser
and any frozen value. Validation data is evaluated at a fixed interval of steps. The parameters of lowest validation
loss are kept (the papers' early stopping), and test data is evaluated once, at the end.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float32, Int32, Key, PyTree

from supermask import networks
from supermask.batch_gradients import Given, batch_gradient
from supermask.checks import check_counts, check_layers, check_masks, check_seed
from supermask.compaction import Compaction, compaction
from supermask.criteria import Criterion
from supermask.datasets import Dataset, Split
from supermask.descent import Descent, Looks, Rule, descending, stepping, train_population
from supermask.evaluation import (
    UNSEEN,
    Examples,
    PlacedData,
    Scores,
    evaluate,
    evaluated_on,
)
from supermask.extras import need
from supermask.intervals import Course, DataOrder, OnProgress, Stepping, ignore_progress
from supermask.intervals import TrainingConfig as TrainingConfig
from supermask.keys import Purpose, derive_key, raw_key
from supermask.live_weights import Adam, Engine, LiveMasks, live_masks, pays, serves
from supermask.live_weights.population import evaluate_live, train_live
from supermask.masks import Masks
from supermask.nested_levels import evaluate_nested
from supermask.networks import Network
from supermask.normalisation import Normalised, normalisation_of
from supermask.params import AnyArray, Kernels, Params, masked_update
from supermask.population import Placement, Run, batched, in_groups, over_population
from supermask.recipe import PLAIN, Recipe, at_step, check_recipe
from supermask.resuming import Checkpoints
from supermask.running_in import run_in
from supermask.short import short
from supermask.whole_network import mean_gradient, network_scores

need("networks")  # checks for numba too, which is imported in the middle of trainings


@short
@dataclass(frozen=True)
class Job:
    """One network to train: its initial parameters, which weights may move, and the seed of its data order.

    It takes the steps `first_step` to `last_step` - 1 of that order: by default all configured steps, fewer after
    rewinding to a later step (`first_step` > 0) or to reach such a step (`last_step`). A recipe's schedule has taken
    `first_step` steps before, or `schedule_step` where that is given.
    """

    params: Params
    masks: Mapping[str, Bool[AnyArray, "..."]]
    seed: int
    first_step: int = 0
    last_step: int | None = None
    schedule_step: int | None = None


@short
class Trained(NamedTuple):
    """The outcome of one training; arrays on the host.

    `early_stop` is the step of lowest validation loss among the evaluated steps, including the first and the last.
    The curves hold one value per evaluation, at the steps `evaluated_at`.
    """

    params: Params
    early_stop: int
    validation_at_early_stop: Scores
    validation_at_end: Scores
    test_at_early_stop: Scores
    test_at_end: Scores
    evaluated_at: Int32[np.ndarray, " evaluations"]
    validation_loss: Float32[np.ndarray, " evaluations"]
    validation_accuracy: Float32[np.ndarray, " evaluations"]


@short
@dataclass(frozen=True, eq=False)
class Trainer:
    """Trains populations of one network on one data set. Programs are compiled once, on first use.

    The recipe is the papers' Adam at a constant rate unless another is given. An optax optimiser takes the place of
    the recipe's, and begins anew in every job. With `checkpoints`, an interrupted training resumes from its last
    checkpoint. Raises ValueError for a recipe that contradicts `config` or the optimiser.
    """

    network: Network
    data: Dataset
    config: TrainingConfig
    placement: Placement
    optimiser: optax.GradientTransformation | None = None
    checkpoints: Checkpoints | None = None
    recipe: Recipe = PLAIN

    def __post_init__(self) -> None:
        other = self.optimiser is not None
        check_recipe(self.recipe, self.config.learning_rate, self.config.batch_size, other_optimiser=other)
        self._placed  # noqa: B018 - raises before training if the data does not fit the network

    def train(self, jobs: Sequence[Job], on_progress: OnProgress = ignore_progress) -> list[Trained]:
        """Train all jobs in populations; return their outcomes in order. Raises ValueError for unfit masks.

        A population contains jobs of one length. Networks trained on live weights alone (`supermask.live_weights`), and
        networks that leave out different numbers of dead units (`supermask.compaction`), form populations of their own.
        """
        check_jobs(jobs)
        live = [self._live_masks(job) for job in jobs]
        smaller = [self._compaction(job) if masks is None else None for job, masks in zip(jobs, live, strict=True)]
        sizes = [() if plan is None else plan.sizes for plan in smaller]
        kinds = [(self._length(job), masks is not None, own) for job, masks, own in zip(jobs, live, sizes, strict=True)]

        def train(places: Sequence[int]) -> list[Trained]:
            if live[places[0]] is not None:
                return self._train_live([(jobs[place], live[place]) for place in places], on_progress)
            return self._train_population([(jobs[place], smaller[place]) for place in places], on_progress)

        return in_groups(kinds, self.placement.slots, train)

    def gradients(self, params: Params) -> Kernels:
        """Return the gradient of the mean loss over the whole training split with respect to every kernel."""
        return jax.tree.map(np.asarray, self._mean_gradient(params, self._placed.train))

    def scores(
        self, criterion: Criterion, initial: Params, final: Params, masks: Masks, key: Key[Array, ""]
    ) -> Kernels:
        """Return a whole-network criterion's scores by layer; its loss is that of the training split."""
        given = initial, final, dict(masks), key, self._placed.train
        return jax.tree.map(np.asarray, self._network_scores(criterion, *given))

    def evaluate(self, params: Sequence[Params], split: Split | None = None) -> list[Scores]:
        """Return loss and accuracy of networks without training, on test data or another split."""
        examples = self._placed.test if split is None else evaluated_on(self._reader, self.placement, split)
        return self._placed.evaluate(params, examples)

    def evaluate_levels(
        self,
        params: Params,
        ranks: Mapping[str, Int32[AnyArray, "..."]],
        levels: Sequence[Mapping[str, int]],
    ) -> list[Scores]:
        """Return test loss and accuracy of a network under each mask of one ranking, without training.

        Each level keeps the `level[layer]` best-ranked weights of a layer and sets the others to 0. On CPU, sums of
        dense networks grow from level to level (`nested_levels`). Elsewhere the devices make each mask from the ranks.
        Running statistics, which an untrained network has none of, are those of training images: see `running_in`.
        """
        network = self._reader
        check_layers("ranks", ranks, networks.kernels_of(params))
        for level in levels:
            check_counts("levels", {n: level[n] for n in level if n in ranks}, {n: r.size for n, r in ranks.items()})
        if self.placement.one_at_a_time and network.dense_layers:
            threads, data = len(self.placement.devices), self.data
            nested = evaluate_nested(network, params, ranks, levels, data.test, data.maximum, threads)
            return [Scores(*np.array(each, np.float32)) for each in nested]
        place, levels_on_host = self.placement, [{n: np.asarray(k, np.int32) for n, k in one.items()} for one in levels]
        train = self._placed.train if networks.statistics_of(network, self.data.image_shape) else None
        shared = *place.shared((params, {n: np.asarray(rank) for n, rank in ranks.items()}, self._placed.test)), train
        scores: list[Scores] = []
        for some in batched(levels_on_host, place.slots):
            empty = place.stack([UNSEEN] * len(some))
            tested = self._evaluated_levels(empty, place.stack(some), shared, place.counts(len(some)))
            scores += place.unstack(tested, len(some))
        return scores

    def _length(self, job: Job) -> int:
        return (self.config.steps if job.last_step is None else job.last_step) - job.first_step

    def _live_masks(self, job: Job) -> LiveMasks | None:
        """Return the live weights of a job to train on them alone: by a plain recipe, and where that pays."""
        if not self._plain or not serves(self.network, self.placement, self.data.dtype):
            return None
        kernels = networks.kernels_of(job.params)
        size = sum(kernel.size for kernel in kernels.values())
        kept = sum(int(np.sum(job.masks[n])) if n in job.masks else kernel.size for n, kernel in kernels.items())
        if not pays(size, kept, self._length(job)):
            return None
        return live_masks(self.network, job.params, job.masks)

    def _compaction(self, job: Job) -> Compaction | None:
        """Return what the job may leave out: by a plain recipe, and only where networks are trained one at a time."""
        if not self._plain or not self.placement.one_at_a_time:
            return None
        return compaction(self.network, job.params, job.masks, self._length(job))

    def _train_live(self, jobs: Sequence[tuple[Job, LiveMasks | None]], on_progress: OnProgress) -> list[Trained]:
        engine, threads = self._engine, len(self.placement.devices)
        lives = [engine.begin(job.params, masks) for job, masks in jobs if masks is not None]
        course = self._course([job for job, _ in jobs])
        ends, curves = train_live(engine, course, lives, self.checkpoints, on_progress)
        return outcomes(ends, curves, lambda params: evaluate_live(engine, lives, params, threads))

    def _course(self, jobs: Sequence[Job]) -> Course:
        orders = [DataOrder(job.seed, job.first_step, len(self.data.train)) for job in jobs]
        return Course(self._placed, self.config, orders, self._length(jobs[0]))

    def _train_population(
        self, jobs: Sequence[tuple[Job, Compaction | None]], on_progress: OnProgress
    ) -> list[Trained]:
        course = self._course([job for job, _ in jobs])
        ends, curves = train_population(course, self._stepping(course, jobs), self.checkpoints, on_progress)
        states = [_whole(*job, end) for job, end in zip(jobs, ends, strict=True)]
        return outcomes(states, curves, self.evaluate)

    def _stepping(self, course: Course, jobs: Sequence[tuple[Job, Compaction | None]]) -> Stepping:
        """Return the stepping of a population of one length and size."""
        plan = jobs[0][1]
        program = self._program(self._reader if plan is None else plan.network(self.network))
        draws = self.recipe.augment is not None or self.network.model().draws
        given = [_given(*job, draws) for job in jobs]
        return stepping(program, course, [self._start(*job) for job in jobs], given)

    def _start(self, job: Job, smaller: Compaction | None) -> Descent:
        params = jax.tree.map(np.asarray, job.params) if smaller is None else smaller.params(job.params)
        optimiser_state = jax.tree.map(np.asarray, self._fresh_optimiser_state(params))
        if self.optimiser is None:
            begun = job.first_step if job.schedule_step is None else job.schedule_step
            optimiser_state = at_step(optimiser_state, begun)
        return Descent.begin(params, optimiser_state, UNSEEN, job.first_step)

    @cached_property
    def _optimiser(self) -> optax.GradientTransformation:
        own = self.recipe.transformation(self.config.learning_rate, self.config.steps)
        return own if self.optimiser is None else self.optimiser

    @property
    def _plain(self) -> bool:
        """Whether weights without a gradient stay, at a constant rate of Adam, on images as they are."""
        return self.optimiser is None and self.recipe.plain

    @cached_property
    def _reader(self) -> Network:
        """The network, or what normalises images before it reads them."""
        if not self.recipe.normalise:
            return self.network
        return Normalised(self.network, *normalisation_of(self.data.train.images, self.data.maximum))

    @cached_property
    def _fresh_optimiser_state(self) -> Callable[[Params], PyTree]:
        """Compiled, because its many small operations would take a tenth of the time of a short training."""
        return jax.jit(self._optimiser.init)

    @cached_property
    def _placed(self) -> PlacedData:
        return PlacedData(self.data, self.placement, self._reader)

    @cached_property
    def _engine(self) -> Engine:
        return Engine(self.network, self.data, self.config.batch_size, Adam(self.config.learning_rate))

    @property
    def _looks(self) -> Looks | None:
        """What looks at the parameters between steps: nothing here."""
        return None

    @cached_property
    def _programs(self) -> dict[Network, Run]:
        return {}

    def _program(self, network: Network) -> Run:
        """Return the compiled interval of the network, whole or without dead units."""
        if network not in self._programs:
            given = self._rule(network), self._optimiser, self.data.maximum, self.placement
            self._programs[network] = descending(*given, self._looks)
        return self._programs[network]

    def _rule(self, network: Network) -> Rule:
        maximum = self.data.maximum

        def moved(params: Params, updates: Params, given: Given, state: Params) -> Params:
            return networks.with_statistics(masked_update(params, updates, given.masks), state)

        return Rule(
            batch_gradient(network, self.recipe),
            moved,
            lambda params, given, split: evaluate(network, params, split, maximum, given.inputs),
        )

    @cached_property
    def _mean_gradient(self) -> Callable[[Params, Examples], Kernels]:
        return mean_gradient(self._reader, self.data.maximum)

    @cached_property
    def _network_scores(self) -> Callable[..., Kernels]:
        return network_scores(self._reader, self.data.image_shape, self.data.maximum)

    @cached_property
    def _evaluated_levels(self) -> Callable[..., Scores]:
        network, maximum = self._reader, self.data.maximum

        def scores(unseen: Scores, level: Mapping[str, Array], shared: Any) -> Scores:
            params, ranks, split, train = shared
            kept = {
                layer: jnp.where(rank < level[layer], params[layer]["kernel"], jnp.float32(0))
                for layer, rank in ranks.items()
            }
            masked = networks.with_kernels(params, kept)
            return evaluate(network, run_in(network, masked, train, maximum), split, maximum)

        return over_population(scores, self.placement)


def _given(job: Job, smaller: Compaction | None, draws: bool) -> Given:
    key = np.asarray(raw_key(derive_key(job.seed, Purpose.AUGMENTATION))) if draws else None
    if smaller is None:
        return Given(dict(job.masks), None, key)
    return Given(smaller.masks(job.masks), smaller.inputs, key)


def _whole(job: Job, smaller: Compaction | None, state: Descent) -> Descent:
    """Return the state with its dead units put back, unchanged by the training."""
    both: Iterable[Params] = (state.params, state.best_params)
    if smaller is not None:
        both = (smaller.restored(params, job.params) for params in both)
    params, best = (jax.tree.map(np.asarray, each) for each in both)  # a leaf without axes may be a number of NumPy's
    return state._replace(params=params, best_params=best)


def check_jobs(jobs: Sequence[Job]) -> None:
    """Raise ValueError for masks that do not fit a job's parameters, and for impossible seeds."""
    for job in jobs:
        check_masks(job.masks, networks.kernels_of(job.params))
        check_seed(job.seed)


def outcomes(
    states: Sequence[Descent], curves: Sequence[Sequence[np.ndarray]], evaluate: Callable[[list[Params]], list[Scores]]
) -> list[Trained]:
    """Return the outcomes of trainings: final states, curves, and test scores, which are evaluated only here."""
    at_early_stop = evaluate([state.best_params for state in states])
    at_end = evaluate([state.params for state in states])
    return [
        Trained(state.params, int(state.best_step), state.best_validation, state.validation, *test, *curve[:3])
        for state, test, curve in zip(states, zip(at_early_stop, at_end, strict=True), curves, strict=True)
    ]
