"""The lottery ticket algorithm and its variants: train, choose a mask, restart, again.

A *treatment* is the algorithm's three choices (mask criterion, mask-1 action, mask-0 action) and its schedule. A *run*
is a treatment with a seed. Rounds of a run follow one another; the runs of a population move in lockstep, a round at a
time. Round 0 trains the unpruned network and has no treatment: all runs of a seed share it.

Frankle & Carbin 2019 (arXiv 1803.03635), section 1; Zhou et al. 2019, section 2; rewinding to a later step: Frankle et
al. 2019 (arXiv 1903.01611).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from supermask import masks as mask_functions
from supermask.actions import KEPT_ACTIONS, PRUNED_ACTIONS, Action, ActionFacts, start_weights
from supermask.checks import check_seed
from supermask.criteria import CRITERIA, RENAMED, Criterion, LayerFacts, score_layers
from supermask.intervals import OnProgress, ignore_progress
from supermask.keys import Number, Purpose, derive_key
from supermask.masks import Masks, Rates, full_masks, kept_counts
from supermask.members import MemberError
from supermask.networks import Kernels, Network, Params, initialise, kernels_of, layer_kinds, with_kernels
from supermask.population import batched
from supermask.short import short
from supermask.training import Job, Trained, Trainer


@dataclass(frozen=True)
class Treatment:
    """How a run is pruned and restarted. The default is the lottery ticket algorithm.

    criterion: which weights to keep, a name in `CRITERIA`.
    kept: where they restart (mask-1 action), a name in `KEPT_ACTIONS`.
    pruned: where the others are frozen (mask-0 action), a name in `PRUNED_ACTIONS`.
    schedule: 'iterative' prunes a little after every round; 'one_shot' makes each round's mask from round 0 alone.
    ranking: weights compete within their 'layer', or 'global'ly (then the rate of dense layers holds for all).
    rewind_step: the step of round 0 whose weights 'rewind' goes back to; training then takes the steps after it.

    Raises ValueError where a value is not allowed.
    """

    criterion: str = "large_final"
    kept: str = "rewind"
    pruned: str = "zero"
    schedule: str = "iterative"
    ranking: str = "layer"
    rewind_step: int = 0

    def __post_init__(self) -> None:
        allowed: dict[str, Iterable[str]] = {
            "criterion": CRITERIA,
            "kept": KEPT_ACTIONS,
            "pruned": PRUNED_ACTIONS,
            "schedule": ("iterative", "one_shot"),
            "ranking": ("layer", "global"),
        }
        if self.criterion in RENAMED:
            raise ValueError(f"criterion is {self.criterion!r}; this rule is now {RENAMED[self.criterion]!r}")
        for name, choices in allowed.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed: {', '.join(choices)}")
        if self.rewind_step < 0:
            raise ValueError(f"rewind_step is {self.rewind_step}; allowed: 0 or more")

    @property
    def asks_for_zeros(self) -> bool:
        """Whether an action asks which weights the round before started at 0."""
        actions = KEPT_ACTIONS[self.kept], PRUNED_ACTIONS[self.pruned]
        return self.schedule == "iterative" and any("zeroed" in action.needs for action in actions)


@short
@dataclass(frozen=True)
class Origin:
    """Where the runs of one seed come from: shared by all of them.

    `rewind` are the parameters that rewinding goes back to, `trained` the kernels at the end of round 0, and `gradient`
    that of the loss at initialisation, which only some criteria need.
    """

    seed: int
    initial: Params
    rewind: Params
    trained: Kernels
    gradient: Kernels | None = None


@short
@dataclass(frozen=True)
class Start:
    """Where a round starts: its masks, and its parameters with pruned weights frozen."""

    masks: Masks
    params: Params


@short
@dataclass(frozen=True)
class RoundRecord:
    """One finished round of one run."""

    treatment: Treatment | None  # None in round 0
    seed: int
    round: int
    start: Start
    trained: Trained

    @property
    def weights_remaining(self) -> float:
        """Fraction of all kernels' weights that the round's masks keep."""
        return mask_functions.weights_remaining(self.start.masks)


@short
@dataclass(frozen=True)
class Pruning:
    """What is pruned, and how much of it a round."""

    network: Network
    image_shape: tuple[int, int, int]
    rates: Rates


@short
class End(NamedTuple):
    """How a round ended: its masks, its final kernels, and where it had started weights at 0 (no layers: nowhere)."""

    masks: Masks
    final: Kernels
    zeroed: Masks


def zeroed_of(start: Start, initial: Params) -> Masks:
    """Where a round starts a kept weight at 0 in place of its initial value.

    Layers without such a weight are left out.
    """
    zeroed: Masks = {}
    for layer, kernel in kernels_of(initial).items():
        at_zero = np.asarray(start.params[layer]["kernel"]) == 0
        at_zero &= np.asarray(start.masks[layer]) & (np.asarray(kernel) != 0)
        if at_zero.any():
            zeroed[layer] = at_zero
    return zeroed


def restart(pruning: Pruning, treatment: Treatment, origin: Origin, round_: int, end: End) -> Start:
    """The start of round `round_` (1 or more) from the end of the round before.

    Everything random in it comes from (seed, purpose, round). Biases go back with the weights.
    """
    masks, final, zeroed = end
    if treatment.schedule == "one_shot":
        masks, final, zeroed = full_masks(origin.trained), origin.trained, {}
    initial = kernels_of(origin.initial)
    scores = scores_of(CRITERIA[treatment.criterion], initial, final, masks, origin.gradient)
    named = origin.seed, round_
    rates = pruning.rates.by_layer(layer_kinds(initial))
    if treatment.ranking == "layer":
        counts = kept_counts({layer: kernel.size for layer, kernel in initial.items()}, rates, round_)[round_]
        new_masks = _keep_best_of_layers(named, scores, masks, counts)
    else:
        total = {"network": sum(kernel.size for kernel in initial.values())}
        counts = kept_counts(total, {"network": pruning.rates.dense}, round_)[round_]
        new_masks = _keep_best_of_network(named, scores, masks, counts["network"])
    kept = KEPT_ACTIONS[treatment.kept]
    fresh = initial
    if "w_fresh" in kept.needs:
        fresh_key = derive_key(origin.seed, Purpose.FRESH_WEIGHTS, round_)
        fresh = kernels_of(initialise(pruning.network, fresh_key, pruning.image_shape))
    before = (kernels_of(origin.rewind), final, fresh, masks, zeroed)
    kernels = _start_kernels(kept, PRUNED_ACTIONS[treatment.pruned], named, before, new_masks)
    return Start(new_masks, with_kernels(origin.rewind, kernels))


def facts_of(initial: Kernels, final: Kernels, masks: Masks, gradient: Kernels | None) -> dict[str, LayerFacts]:
    """What criteria may ask of every layer."""
    return {
        layer: LayerFacts(
            jnp.asarray(initial[layer]),
            jnp.asarray(final[layer]),
            jnp.asarray(masks[layer]),
            None if gradient is None else jnp.asarray(gradient[layer]),
        )
        for layer in initial
    }


def scores_of(
    criterion: Criterion, initial: Kernels, final: Kernels, masks: Masks, gradient: Kernels | None
) -> mask_functions.Scores:
    """The criterion's scores of every layer, kernels and masks being on the host or on a device; compiled.

    Raises MemberError where a user's own criterion scores NaN for a live weight of a layer whose weights are numbers:
    that would rank like -∞, and leave the choice to the key.
    """
    scores = _scores_of(criterion, initial, final, masks, gradient)
    if criterion.source:
        for layer, values in scores.items():
            alive = np.asarray(masks[layer])
            missing = int(np.isnan(np.asarray(values)[alive]).sum())
            if missing and all(np.isfinite(np.asarray(w[layer])).all() for w in (initial, final)):
                weights = f"{missing} of {alive.sum()} weights of {layer}"
                raise MemberError(f"criterion {criterion.name} scores NaN for {weights}; allowed: numbers, ∞ included")
    return scores


@partial(jax.jit, static_argnums=0)
def _scores_of(
    criterion: Criterion, initial: Kernels, final: Kernels, masks: Masks, gradient: Kernels | None
) -> mask_functions.Scores:
    return score_layers(criterion, facts_of(initial, final, masks, gradient))


Named = tuple[Number, Number]
"""Seed and round: the numbers that a round's keys are derived from, inside of what is compiled."""


@jax.jit
def _keep_best_of_layers(
    named: Named, scores: mask_functions.Scores, masks: Masks, counts: Mapping[str, Number]
) -> Masks:
    return mask_functions.keep_best_of_layers(_key(named, Purpose.TIES), scores, masks, counts)


@jax.jit
def _keep_best_of_network(named: Named, scores: mask_functions.Scores, masks: Masks, count: Number) -> Masks:
    return mask_functions.keep_best_of_network(_key(named, Purpose.TIES), scores, masks, count)


@partial(jax.jit, static_argnums=(0, 1))
def _start_kernels(
    kept_action: Action,
    pruned_action: Action,
    named: Named,
    before: tuple[Kernels, Kernels, Kernels, Masks, Masks],
    masks: Masks,
) -> Kernels:
    """`start_weights` of every layer, each layer with keys of its own."""
    keys = [_key(named, purpose) for purpose in (Purpose.KEPT_VALUES, Purpose.PRUNED_VALUES)]
    kernels: Kernels = {}
    for index, layer in enumerate(sorted(masks)):
        initial, final, fresh, alive = (jnp.asarray(tree[layer]) for tree in before[:4])
        mask = jnp.asarray(masks[layer])
        zeroed = jnp.asarray(before[4][layer]) if layer in before[4] else jnp.zeros(mask.shape, bool)
        kept, pruned = (
            ActionFacts(jax.random.fold_in(key, index), initial, final, fresh, mask, alive, zeroed) for key in keys
        )
        kernels[layer] = start_weights(kept_action, pruned_action, kept, pruned)
    return kernels


def _key(named: Named, purpose: Purpose) -> Key[Array, ""]:
    seed, round_ = named
    return derive_key(seed, purpose, round_)


@runtime_checkable
class Memory(Protocol):
    """What has been trained: where rounds are kept between the loop's steps, and what need not be trained again."""

    def has(self, treatment: Treatment | None, seed: int, round_: int) -> bool:
        """Whether that round is there; round 0 is asked for with no treatment."""
        ...

    def round_zero(self, seed: int) -> tuple[Params, Kernels]:
        """Initial parameters, and kernels at the end of round 0."""
        ...

    def end_of_round(self, treatment: Treatment, seed: int, round_: int) -> End:
        """How a later round ended; where it started weights at 0 is known if the treatment `asks_for_zeros`."""
        ...

    def remember(self, records: Sequence[RoundRecord]) -> None:
        """Keeps finished rounds: those of one population at a time."""
        ...


class InMemory:
    """A memory that keeps, of every run, its last round: what the next one needs."""

    def __init__(self) -> None:
        self._origins: dict[int, tuple[Params, Kernels]] = {}
        self._ends: dict[tuple[Treatment, int], tuple[int, End]] = {}

    def has(self, treatment: Treatment | None, seed: int, round_: int) -> bool:
        """Whether the run has got that far."""
        if treatment is None:
            return seed in self._origins
        return (treatment, seed) in self._ends and self._ends[treatment, seed][0] >= round_

    def round_zero(self, seed: int) -> tuple[Params, Kernels]:
        """Initial parameters, and kernels at the end of round 0."""
        return self._origins[seed]

    def end_of_round(self, treatment: Treatment, seed: int, round_: int) -> End:
        """How the run's last round ended. Raises KeyError for any other."""
        kept_round, end = self._ends[treatment, seed]
        if kept_round != round_:
            raise KeyError(f"round {round_} of {treatment} is gone; round {kept_round} is kept")
        return end

    def remember(self, records: Sequence[RoundRecord]) -> None:
        """Keeps each run's newest round in place of the one before."""
        for record in records:
            final, treatment = kernels_of(record.trained.params), record.treatment
            if treatment is None:
                self._origins[record.seed] = (record.start.params, final)
                continue
            asked = treatment.asks_for_zeros
            zeroed = zeroed_of(record.start, self._origins[record.seed][0]) if asked else {}
            self._ends[treatment, record.seed] = (record.round, End(record.start.masks, final, zeroed))


def find_tickets(
    trainer: Trainer,
    rates: Rates,
    treatments: Sequence[Treatment],
    seeds: Sequence[int],
    rounds: int,
    memory: Memory | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Iterator[RoundRecord]:
    """Runs every treatment with every seed for rounds 0 to `rounds`, in lockstep, yielding each round's record.

    Rounds that the memory has are neither trained nor yielded again, so an interrupted study goes on where it was.
    Raises ValueError, before anything is trained, where a rewind step lies beyond the training, or for a seed outside 0
    to 2³¹ - 1.
    """
    for seed in seeds:
        check_seed(seed)
    for treatment in treatments:
        if treatment.rewind_step > trainer.config.steps:
            raise ValueError(f"rewind_step is {treatment.rewind_step}; a training has {trainer.config.steps} steps")
    memory = InMemory() if memory is None else memory
    yield from _round_zero(trainer, seeds, memory, on_progress)
    pruning = Pruning(trainer.network, trainer.data.image_shape, rates)
    for step, same_step in groupby(sorted(treatments, key=_rewind_step), key=_rewind_step):
        runs = [(treatment, seed) for treatment in same_step for seed in seeds]
        origins = _origins(trainer, seeds, [treatment for treatment, _ in runs], step, memory, on_progress)
        for round_ in range(1, rounds + 1):
            missing = [run for run in runs if not memory.has(*run, round_)]
            for some in batched(missing, trainer.placement.slots):
                starts = [
                    restart(pruning, treatment, origins[seed], round_, _end_before(memory, treatment, seed, round_))
                    for treatment, seed in some
                ]
                jobs = [
                    Job(start.params, start.masks, seed, step) for start, (_, seed) in zip(starts, some, strict=True)
                ]
                trained = trainer.train(jobs, on_progress)
                records = [
                    RoundRecord(*run, round_, start, outcome)
                    for run, start, outcome in zip(some, starts, trained, strict=True)
                ]
                memory.remember(records)
                yield from records


def initial_params(trainer: Trainer, seed: int) -> Params:
    """The seed's initial parameters: its one draw, whatever is done with it."""
    return initial_of(trainer.network, seed, trainer.data.image_shape)


def initial_of(network: Network, seed: int, image_shape: tuple[int, int, int]) -> Params:
    """A network's initial parameters by its seed, for images of (height, width, channels)."""
    return initialise(network, derive_key(seed, Purpose.INITIAL_WEIGHTS), image_shape)


def _rewind_step(treatment: Treatment) -> int:
    return treatment.rewind_step


def _round_zero(
    trainer: Trainer, seeds: Sequence[int], memory: Memory, on_progress: OnProgress
) -> Iterator[RoundRecord]:
    missing = [seed for seed in seeds if not memory.has(None, seed, 0)]
    for some in batched(missing, trainer.placement.slots):
        starts = []
        for seed in some:
            params = initial_params(trainer, seed)
            starts.append(Start(full_masks(kernels_of(params)), params))
        jobs = [Job(start.params, start.masks, seed) for start, seed in zip(starts, some, strict=True)]
        trained = trainer.train(jobs, on_progress)
        records = [
            RoundRecord(None, seed, 0, start, outcome)
            for seed, start, outcome in zip(some, starts, trained, strict=True)
        ]
        memory.remember(records)
        yield from records


def _origins(
    trainer: Trainer,
    seeds: Sequence[int],
    treatments: Sequence[Treatment],
    step: int,
    memory: Memory,
    on_progress: OnProgress,
) -> dict[int, Origin]:
    """The origin of every seed, for treatments that rewind to one and the same step.

    The weights of step k are found by training to it once more: the same batches give the same bits as in round 0, and
    round 0 needs to know nothing of who rewinds to where.
    """
    needs_gradient = any("gradient" in CRITERIA[treatment.criterion].needs for treatment in treatments)
    initial = {seed: memory.round_zero(seed)[0] for seed in seeds}
    rewind = initial
    if step:
        jobs = [Job(params, full_masks(kernels_of(params)), seed, last_step=step) for seed, params in initial.items()]
        rewind = {seed: outcome.params for seed, outcome in zip(seeds, trainer.train(jobs, on_progress), strict=True)}
    return {
        seed: Origin(
            seed,
            initial[seed],
            rewind[seed],
            memory.round_zero(seed)[1],
            trainer.gradients(initial[seed]) if needs_gradient else None,
        )
        for seed in seeds
    }


def _end_before(memory: Memory, treatment: Treatment, seed: int, round_: int) -> End:
    if round_ == 1:
        trained = memory.round_zero(seed)[1]
        return End(full_masks(trained), trained, {})
    return memory.end_of_round(treatment, seed, round_ - 1)
