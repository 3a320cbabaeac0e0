"""Masks found by gradient descent, on weights that stay as they were drawn.

Every weight has a logit m; the network's weights are w · mask, and the mask is 1 with probability sigmoid(m), drawn
anew at every step. The gradient goes straight through the draw to sigmoid(m). Biases are 0 and stay so. Zhou et al.
2019, section 5.2; edge-popup, where the mask is the top k of each layer's |scores|: Ramanujan et al. 2020 (arXiv
1911.13299).

Seeds, weights, rescaling and starts are data of one compiled program, so they train side by side as one population.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.extend.random import threefry_2x32
from jaxtyping import Array, Bool, Float, Float32, Int32, Key, UInt16, UInt32

from supermask.checks import check_seed
from supermask.counts import exact_fraction
from supermask.datasets import Dataset
from supermask.descent import Descent, Rule, descending, stepping, train_population
from supermask.evaluation import Evaluated, PlacedData, cross_entropy, evaluate
from supermask.intervals import Course, DataOrder, OnProgress, TrainingConfig, ignore_progress
from supermask.keys import Purpose, derive_key
from supermask.masks import check_fraction, keep_best, share
from supermask.networks import AnyArray, Kernels, Network, Params, kernels_of
from supermask.population import Placement, Run, batched, over_population
from supermask.resuming import Checkpoints
from supermask.short import short
from supermask.supermasks import WEIGHTS, fan_in, rescaling, untrained_kernels

METHODS = ("bernoulli", "threshold", "edge_popup")
EVALUATION_SAMPLES = 10
"""Masks drawn to judge logits by, as in the released code. The same draws are used at every evaluation of a seed."""
OPTIMISERS = ("sgd", "adam")


def mask_optimiser(name: str, learning_rate: float, steps: int) -> optax.GradientTransformation:
    """An optimiser of logits by name. 'sgd': momentum 0.9, as in the paper; 'adam': its rate falls to 0 by a cosine.

    A logit's gradient carries w σ(m) (1 - σ(m)): small, and smaller the surer the mask is. Plain descent takes a rate
    of 100 and very many steps; Adam's steps are of one size in every logit, and it gets as far in a tenth of them.

    Raises ValueError for another name.
    """
    if name not in OPTIMISERS:
        raise ValueError(f"optimiser is {name!r}; allowed: {', '.join(OPTIMISERS)}")
    if name == "sgd":
        return optax.sgd(learning_rate, momentum=0.9)
    return optax.adam(optax.cosine_decay_schedule(learning_rate, max(steps, 1)))


@dataclass(frozen=True)
class LearnedMask:
    """How a mask is learned, and what it goes onto. The default is the paper's, on initial weights.

    weights: what the kept weights are, a name in `WEIGHTS`.
    rescaled: dynamic weight rescaling: each layer times (weights in it / ones in its mask), at every step.
    method: 'bernoulli' draws the mask at every step; 'threshold' keeps logits above 0; 'edge_popup' keeps the top of
        each layer's |scores|.
    start: the logits' start value, which moves the sparsity: sigmoid(start) of the weights are kept at first.
        'threshold' scatters the starts around it, uniformly by up to 0.01, since equal logits would fall together.
    kept: the fraction of each layer's weights that 'edge_popup' keeps; of no meaning for the others.
    through_factor: whether the gradient passes through the factor of rescaling, as in the released code, or takes it
        for constant. Passed through, every weight that is kept lowers all others, so masks end sparser. Of no meaning
        for what is not rescaled, nor for 'edge_popup', whose masks always have the same number of ones.

    Raises ValueError where a value is not allowed.
    """

    weights: str = "initial"
    rescaled: bool = False
    method: str = "bernoulli"
    start: float = 0.0
    kept: float = 0.5
    through_factor: bool = True

    def __post_init__(self) -> None:
        for name, choices in {"weights": WEIGHTS, "method": METHODS}.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed: {', '.join(choices)}")
        if not abs(self.start) <= 20:
            raise ValueError(f"start is {self.start}; allowed: -20 to 20")
        if self.kept == 0:
            raise ValueError("kept is 0; allowed: 0 < kept < 1")
        check_fraction("kept", self.kept)


@short
class MaskScores(NamedTuple):
    """What a learned mask is worth on a split: means over the drawn masks, and the rounded mask's own.

    Losses in nats; accuracies and weights remaining are fractions. The rounded mask keeps what is kept with a
    probability above one half. For the methods that draw nothing both are the same.
    """

    loss: Float32[AnyArray, ""]
    accuracy: Float32[AnyArray, ""]
    remaining: Float32[AnyArray, ""]
    rounded_loss: Float32[AnyArray, ""]
    rounded_accuracy: Float32[AnyArray, ""]
    rounded_remaining: Float32[AnyArray, ""]


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

    `logits` are those of the step of lowest validation loss, `early_stop`; 'edge_popup' has scores in their place.
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


_UNSEEN = MaskScores(*np.array([np.inf, 0, 0, np.inf, 0, 0], np.float32))


@short
class Given(NamedTuple):
    """What belongs to one network and does not change: its weights and what its draws come from."""

    kernels: Kernels  # what the mask goes onto
    rescaled: Bool[AnyArray, ""]
    through_factor: Bool[AnyArray, ""]
    counts: dict[str, Int32[AnyArray, ""]]  # how many weights edge-popup keeps in each layer
    training_key: UInt32[AnyArray, "2"]
    evaluation_key: UInt32[AnyArray, "2"]


@jax.custom_jvp
def straight_through(hard: Float[Array, "*shape"], soft: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """`hard`, to the bit, whose gradient is that of `soft` (Bengio et al. 2013)."""
    return hard


@straight_through.defjvp
def _straight_through_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    return primals[0], tangents[1]


def random_bits(key: Key[Array, ""], shape: tuple[int, ...]) -> UInt16[Array, "..."]:
    """Sixteen random bits a weight: threefry's own words, of which each block gives four weights theirs.

    `jax.random.bits` folds a block's two words into one, so that every element can be drawn by itself; drawing was a
    third of a step that way.
    """
    size = int(np.prod(shape))
    words = threefry_2x32(jax.random.key_data(key), jnp.arange(2 * -(-size // 4), dtype=jnp.uint32))
    return lax.bitcast_convert_type(words, jnp.uint16).ravel()[:size].reshape(shape)


def draw_masks(key: Key[Array, ""], logits: Kernels) -> dict[str, Bool[Array, "..."]]:
    """A mask of every layer: 1 with probability sigmoid(logit), to within 2⁻¹⁶.

    The layers' bits are drawn at one go, in the order of their names: drawing by layer costs a twentieth of a step.
    """
    layers = sorted(logits)
    ends = np.cumsum([np.prod(logits[layer].shape, dtype=int) for layer in layers])
    bits = jnp.split(random_bits(key, (int(ends[-1]),)), ends[:-1])
    return {
        layer: own.reshape(logits[layer].shape).astype(jnp.float32) * jnp.float32(2.0**-16)
        < jax.nn.sigmoid(logits[layer])
        for layer, own in zip(layers, bits, strict=True)
    }


def rounded_masks(method: str, logits: Kernels, counts: Mapping[str, Int32[AnyArray, ""]]) -> dict[str, Array]:
    """The one mask that logits or scores stand for: what is kept with a probability above one half, or the top."""
    if method == "edge_popup":
        # Scores are continuous draws, so ties are as good as impossible; the key only settles them the same way always.
        key = derive_key(0, Purpose.TIES)
        return {
            layer: keep_best(key, jnp.abs(scores), jnp.ones(scores.shape, bool), counts[layer])
            for layer, scores in logits.items()
        }
    return {layer: jnp.asarray(values) > 0 for layer, values in logits.items()}


@short
@dataclass(frozen=True, eq=False)
class MaskTrainer:
    """Learns populations of masks on one network and data set. Compiled once a method, on first use.

    The optimiser is the paper's SGD unless another is given: see `mask_optimiser`. Logits that are
    read by their sign or rank alone ('threshold', 'edge_popup') want a smaller learning rate: see docs/supermasks.md.
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
        """Learns all masks, as many at once as there are slots, and returns their outcomes in order."""
        for job in jobs:
            check_seed(job.seed)
        outcomes: dict[int, LearnedOutcome] = {}
        by_method = sorted(range(len(jobs)), key=lambda index: jobs[index].learned.method)
        for method, group in groupby(by_method, key=lambda index: jobs[index].learned.method):
            for indices in batched(list(group), self.placement.slots):
                learned = self._train_population(method, [jobs[index] for index in indices], on_progress)
                outcomes.update(zip(indices, learned, strict=True))
        return [outcomes[index] for index in range(len(jobs))]

    def _train_population(self, method: str, jobs: Sequence[MaskJob], on_progress: OnProgress) -> list[LearnedOutcome]:
        orders = [DataOrder(job.seed, 0, len(self.data.train)) for job in jobs]
        course = Course(self._placed, self.config, orders, self.config.steps)
        steps = stepping(
            self._programs[method], course, [self._start(job) for job in jobs], [given_of(job) for job in jobs]
        )
        states, curves = train_population(course, steps, self.checkpoints, on_progress)
        at_best = self._tested(method, jobs, [last.best_params for last in states])
        at_end = self._tested(method, jobs, [last.params for last in states])
        return [
            LearnedOutcome(
                last.best_params,
                int(last.best_step),
                last.best_validation,
                last.validation,
                best,
                end,
                curve[0],
                MaskScores(*curve[1:]),
            )
            for last, best, end, curve in zip(states, at_best, at_end, curves, strict=True)
        ]

    def _tested(self, method: str, jobs: Sequence[MaskJob], logits: Sequence[Kernels]) -> list[MaskScores]:
        place = self.placement
        own = (place.stack([given_of(job) for job in jobs]), place.stack(logits))
        nothing, counts = place.stack([_UNSEEN] * len(jobs)), place.counts(len(jobs))
        tested = self._judged[method](nothing, own, self._placed.test, counts)
        return place.unstack(tested, len(jobs))

    def _start(self, job: MaskJob) -> Descent:
        logits = jax.tree.map(np.asarray, start_logits(job))
        return Descent.begin(logits, jax.tree.map(np.asarray, self._optimiser.init(logits)), _UNSEEN)

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
        return {method: descending(self._rule(method), self._optimiser, maximum, place) for method in METHODS}

    @cached_property
    def _judged(self) -> Mapping[str, Run]:
        network, maximum = self.network, self.data.maximum

        def judged(method: str) -> Callable[..., MaskScores]:
            return lambda _, own, split: judge(network, method, own[1], own[0], split, maximum)

        return {method: over_population(judged(method), self.placement) for method in METHODS}

    def _rule(self, method: str) -> Rule:
        network, maximum = self.network, self.data.maximum

        def loss(logits: Kernels, key: Key[Array, ""], given: Given, images: Array, labels: Array) -> Array:
            kernels = effective_kernels(method, logits, key, given)
            return cross_entropy(network, _without_biases(kernels), images, labels)

        gradient = jax.grad(loss)

        def drawn(logits: Kernels, given: Given, step: Array, images: Array, labels: Array) -> Kernels:
            return gradient(logits, jax.random.fold_in(_as_key(given.training_key), step), given, images, labels)

        return Rule(
            drawn,
            lambda logits, updates, given: optax.apply_updates(logits, updates),
            lambda logits, given, split: judge(network, method, logits, given, split, maximum),
        )


def given_of(job: MaskJob) -> Given:
    """What a job's network is made of, on the host."""
    kernels = untrained_kernels(kernels_of(job.initial), job.learned.weights)
    return Given(
        {layer: np.asarray(kernel) for layer, kernel in kernels.items()},
        np.asarray(job.learned.rescaled),
        np.asarray(job.learned.through_factor and job.learned.method != "edge_popup"),
        kept_by_layer(job.learned, kernels),
        np.asarray(jax.random.key_data(derive_key(job.seed, Purpose.MASK_SAMPLES))),
        np.asarray(jax.random.key_data(derive_key(job.seed, Purpose.MASK_EVALUATION))),
    )


def kept_by_layer(learned: LearnedMask, kernels: Kernels) -> dict[str, Int32[AnyArray, ""]]:
    """How many weights of each layer edge-popup keeps: size - floor((1 - kept) · size)."""
    return {
        layer: np.asarray(kernel.size - share(1 - exact_fraction(learned.kept), int(kernel.size)), np.int32)
        for layer, kernel in kernels.items()
    }


def start_logits(job: MaskJob) -> Kernels:
    """Logits, or edge-popup's scores, before the first step.

    Scores start uniform in ±1/√fan-in, as in edge-popup's released code.
    """
    kernels, learned = kernels_of(job.initial), job.learned
    key = derive_key(job.seed, Purpose.MASK_SCORES)
    start: Kernels = {}
    for index, layer in enumerate(sorted(kernels)):
        shape = kernels[layer].shape
        if learned.method == "bernoulli":
            start[layer] = np.full(shape, learned.start, np.float32)
            continue
        reach = 1 / np.sqrt(fan_in(shape)) if learned.method == "edge_popup" else 0.01
        centre = 0.0 if learned.method == "edge_popup" else learned.start
        start[layer] = centre + jax.random.uniform(
            jax.random.fold_in(key, index), shape, jnp.float32, -float(reach), float(reach)
        )
    return start


def effective_kernels(method: str, logits: Kernels, key: Key[Array, ""], given: Given) -> Kernels:
    """The kernels of one step: w · mask, rescaled if asked, with the gradient straight through to the logits.

    The ones in the factor size / ones are a sum over the mask, so the gradient passes through the factor, too (as in
    the released code), unless `given` holds it constant.
    """
    hard = draw_masks(key, logits) if method == "bernoulli" else rounded_masks(method, logits, given.counts)
    soft = jax.tree.map(jnp.abs if method == "edge_popup" else jax.nn.sigmoid, logits)
    effective: Kernels = {}
    for layer, drawn in hard.items():
        mask = straight_through(drawn.astype(jnp.float32), soft[layer])
        factor = rescaling(mask)
        factor = jnp.where(given.through_factor, factor, lax.stop_gradient(factor))
        effective[layer] = given.kernels[layer] * jnp.where(given.rescaled, factor, 1.0) * mask
    return effective


def judge(network: Network, method: str, logits: Kernels, given: Given, split: Evaluated, maximum: int) -> MaskScores:
    """Scores on a split: the mean over `EVALUATION_SAMPLES` drawn masks, and the rounded mask's."""
    size = sum(leaf.size for leaf in jax.tree.leaves(logits))

    def scores(masks: Mapping[str, Array]) -> Float[Array, "3"]:
        kernels = {
            layer: jnp.where(mask, given.kernels[layer] * jnp.where(given.rescaled, rescaling(mask), 1.0), 0.0)
            for layer, mask in masks.items()
        }
        loss, accuracy = evaluate(network, _without_biases(kernels), split, maximum)
        ones = sum((jnp.sum(mask, dtype=jnp.int32) for mask in masks.values()), start=jnp.int32(0))
        return jnp.stack([loss, accuracy, ones.astype(jnp.float32) / size])

    rounded = scores(rounded_masks(method, logits, given.counts))
    if method != "bernoulli":
        return MaskScores(*rounded, *rounded)
    key = _as_key(given.evaluation_key)

    def add_sample(index: Array | int, total: Array) -> Array:
        return total + scores(draw_masks(jax.random.fold_in(key, index), logits))

    drawn = lax.fori_loop(0, EVALUATION_SAMPLES, add_sample, jnp.zeros(3, jnp.float32)) / EVALUATION_SAMPLES
    return MaskScores(*drawn, *rounded)


def _without_biases(kernels: Mapping[str, Float[AnyArray, "..."]]) -> Params:
    """Parameters of those kernels and zero biases."""
    return {layer: {"kernel": k, "bias": jnp.zeros(k.shape[-1], jnp.float32)} for layer, k in kernels.items()}


def _as_key(data: UInt32[AnyArray, "2"]) -> Key[Array, ""]:
    return jax.random.wrap_key_data(jnp.asarray(data), impl="threefry2x32")
