"""Masks found by gradient descent, on weights that stay as they were drawn.

Every weight has a logit m; the network's weights are w · mask, and the mask is 1 with probability sigmoid(m), drawn
anew at every step. The gradient goes straight through the draw to sigmoid(m). Biases are 0 and stay so; what else a
network has, such as the scale of batch norm, stays as it was drawn, and its running statistics follow. Zhou et al.
2019, section 5.2; edge-popup, where the mask is the top k of each layer's |scores|: Ramanujan et al. 2020 (arXiv
1911.13299); signed supermasks, which also invert weights: Koster et al. 2022 (arXiv 2201.13361); edge-popup on binary
weights: Diffenderfer & Kailkhura 2021 (arXiv 2103.09377).

Seeds, weights, rescaling and starts are data of one compiled program, so they train side by side as one population.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import numpy as np
import optax
from jaxtyping import Array, Int32, Key

from supermask.checks import check_seed
from supermask.datasets import Dataset
from supermask.descent import Descent, Rule, descending, stepping, train_population
from supermask.evaluation import PlacedData, training_loss
from supermask.intervals import Course, DataOrder, OnProgress, TrainingConfig, ignore_progress
from supermask.keys import Purpose, derive_key, step_key
from supermask.mask_logits import (
    BINARY,
    MASK_METHODS,
    Given,
    Learned,
    decay_of,
    effective_kernels,
    limits_of,
    start_scores,
    weights_under,
)
from supermask.mask_logits import LearnedMask as LearnedMask
from supermask.mask_logits import kept_by_layer as kept_by_layer
from supermask.mask_scores import UNSEEN, MaskScores, completed, judge, others_of
from supermask.networks import Network, statistics_of
from supermask.params import Kernels, Params, kernels_of
from supermask.population import Placement, Run, in_groups, over_population
from supermask.resuming import Checkpoints
from supermask.short import short

OPTIMISERS = ("sgd", "adam")


def mask_optimiser(name: str, learning_rate: float, steps: int) -> optax.GradientTransformation:
    """Return an optimiser of logits. 'sgd': momentum 0.9, as in the paper; 'adam': its rate falls to 0 by a cosine.

    A logit's gradient has the factor w σ(m) (1 - σ(m)), which is small, so plain descent takes a rate of 100 and many
    steps. Adam takes a tenth of them. Raises ValueError for another name.
    """
    if name not in OPTIMISERS:
        raise ValueError(f"optimiser is {name!r}; allowed: {', '.join(OPTIMISERS)}")
    if name == "sgd":
        return optax.sgd(learning_rate, momentum=0.9)
    return optax.adam(optax.cosine_decay_schedule(learning_rate, max(steps, 1)))


@short
@dataclass(frozen=True)
class MaskJob:
    """One mask to learn: the network's initial parameters, how, and the seed of its data order and draws."""

    initial: Params
    learned: LearnedMask
    seed: int


@short
class LearnedOutcome(NamedTuple):
    """The outcome of learning one mask; arrays on the host.

    `logits` are those of the step of lowest validation loss, `early_stop`; 'edge_popup' and 'signed' have scores in
    their place.
    `state` is the network's at that step, such as running statistics; {} for most.
    The curves hold one value an evaluation, at `evaluated_at` steps, on validation data.
    """

    logits: Kernels
    early_stop: int
    validation_at_early_stop: MaskScores
    validation_at_end: MaskScores
    test_at_early_stop: MaskScores
    test_at_end: MaskScores
    evaluated_at: Int32[np.ndarray, " evaluations"]
    curves: MaskScores
    state: Params


@short
@dataclass(frozen=True, eq=False)
class MaskTrainer:
    """Learns populations of masks on one network and data set. Compiled once a method, apart for binary weights.

    The optimiser is the paper's SGD unless another is given: see `mask_optimiser`. Scores that are read by their sign,
    rank or size ('threshold', 'edge_popup', 'signed') want a smaller learning rate: see docs/supermasks.md.
    """

    network: Network
    data: Dataset
    config: TrainingConfig
    placement: Placement
    optimiser: optax.GradientTransformation | None = None
    checkpoints: Checkpoints | None = None

    def __post_init__(self) -> None:
        self._placed  # noqa: B018 - the data fits the network, or an error says so before anything is trained

    def train(self, jobs: Sequence[MaskJob], on_progress: OnProgress = ignore_progress) -> list[LearnedOutcome]:
        """Learn all masks, as many at once as there are slots; return their outcomes in order."""
        for job in jobs:
            check_seed(job.seed)
        programs = [(job.learned.method, job.learned.weights == BINARY) for job in jobs]
        return in_groups(
            programs,
            self.placement.slots,
            lambda places: self._train_population(programs[places[0]][0], [jobs[at] for at in places], on_progress),
        )

    def _train_population(self, method: str, jobs: Sequence[MaskJob], on_progress: OnProgress) -> list[LearnedOutcome]:
        orders = [DataOrder(job.seed, 0, len(self.data.train)) for job in jobs]
        course = Course(self._placed, self.config, orders, self.config.steps)
        steps = stepping(
            self._programs[method], course, [self._start(job) for job in jobs], [self._given(job) for job in jobs]
        )
        states, curves = train_population(course, steps, self.checkpoints, on_progress)
        at_best = self._tested(method, jobs, [last.best_params for last in states])
        at_end = self._tested(method, jobs, [last.params for last in states])
        return [
            LearnedOutcome(
                last.best_params.logits,
                int(last.best_step),
                last.best_validation,
                last.validation,
                best,
                end,
                curve[0],
                MaskScores(*curve[1:]),
                last.best_params.state,
            )
            for last, best, end, curve in zip(states, at_best, at_end, curves, strict=True)
        ]

    def _tested(self, method: str, jobs: Sequence[MaskJob], learned: Sequence[Learned]) -> list[MaskScores]:
        place = self.placement
        own = (place.stack([self._given(job) for job in jobs]), place.stack(learned))
        nothing, counts = place.stack([UNSEEN] * len(jobs)), place.counts(len(jobs))
        tested = self._judged[method](nothing, own, self._placed.test, counts)
        return place.unstack(tested, len(jobs))

    def _start(self, job: MaskJob) -> Descent:
        own = self._statistics
        state: Params = {layer: {n: np.asarray(job.initial[layer][n]) for n in names} for layer, names in own.items()}
        learned = Learned(jax.tree.map(np.asarray, start_logits(job)), state)
        return Descent.begin(learned, jax.tree.map(np.asarray, self._optimiser.init(learned)), UNSEEN)

    def _given(self, job: MaskJob) -> Given:
        return given_of(job, glorot=self.network.glorot)

    @cached_property
    def _statistics(self) -> Mapping[str, tuple[str, ...]]:
        return statistics_of(self.network, self.data.image_shape)

    @cached_property
    def _optimiser(self) -> optax.GradientTransformation:
        if self.optimiser is not None:
            return self.optimiser
        return mask_optimiser("sgd", self.config.learning_rate, self.config.steps)

    @cached_property
    def _placed(self) -> PlacedData:
        return PlacedData(self.data, self.placement, self.network)

    @cached_property
    def _programs(self) -> Mapping[str, Run]:
        maximum, place = self.data.maximum, self.placement
        return {method: descending(self._rule(method), self._optimiser, maximum, place) for method in MASK_METHODS}

    @cached_property
    def _judged(self) -> Mapping[str, Run]:
        network, maximum = self.network, self.data.maximum

        def judged(method: str) -> Callable[..., MaskScores]:
            return lambda _, own, split: judge(network, method, own[1], own[0], split, maximum)

        return {method: over_population(judged(method), self.placement) for method in MASK_METHODS}

    def _rule(self, method: str) -> Rule:
        network, maximum = self.network, self.data.maximum

        def loss(
            learned: Learned, key: Key[Array, ""], given: Given, images: Array, labels: Array
        ) -> tuple[Array, Params]:
            kernels = effective_kernels(method, learned.logits, key, given)
            dropped = jax.random.fold_in(key, int(Purpose.DROPOUT)) if network.model().draws else None
            params = completed(kernels, given.others, learned.state)
            return training_loss(network, params, images, labels, dropped)

        gradient = jax.grad(loss, has_aux=True)

        def drawn(learned: Learned, given: Given, step: Array, images: Array, labels: Array) -> tuple[Learned, Params]:
            slope, state = gradient(learned, step_key(given.training_key, step), given, images, labels)
            if (decay := given.decay) is not None:
                decayed = jax.tree.map(lambda own, score: own + decay * score, slope.logits, learned.logits)
                slope = slope._replace(logits=decayed)
            return slope, state

        return Rule(
            drawn,
            lambda learned, updates, given, state: Learned(optax.apply_updates(learned, updates).logits, state),
            lambda learned, given, split: judge(network, method, learned, given, split, maximum),
        )


def given_of(job: MaskJob, *, glorot: bool = True) -> Given:
    """Return the constants of a job's network, on the host. `glorot`: see `untrained_kernels`."""
    kernels, magnitudes = weights_under(job.learned, kernels_of(job.initial), glorot=glorot)
    return Given(
        {layer: np.asarray(kernel) for layer, kernel in kernels.items()},
        np.asarray(job.learned.rescaled),
        np.asarray(job.learned.through_factor and job.learned.method != "edge_popup"),
        limits_of(job.learned, kernels),
        np.asarray(jax.random.key_data(derive_key(job.seed, Purpose.MASK_SAMPLES))),
        np.asarray(jax.random.key_data(derive_key(job.seed, Purpose.MASK_EVALUATION))),
        others_of(job.initial),
        decay_of(job.learned),
        {layer: np.asarray(magnitude) for layer, magnitude in magnitudes.items()},
    )


def start_logits(job: MaskJob) -> Kernels:
    """Return logits, or scores, before the first step."""
    return start_scores(derive_key(job.seed, Purpose.MASK_SCORES), kernels_of(job.initial), job.learned)
