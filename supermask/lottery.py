"""The lottery ticket algorithm and its variants: train, choose a mask, restart, again.

A *run* is a treatment (`restarts.Treatment`) with a seed. Rounds of a run follow one another; the runs of a population
move in lockstep, a round at a time. Round 0 trains the unpruned network and has no treatment: all runs of a seed share
it.

Frankle & Carbin 2019 (arXiv 1803.03635), section 1; Zhou et al. 2019, section 2.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Protocol, runtime_checkable

from supermask.checks import check_seed, check_whole
from supermask.counts import Rates
from supermask.intervals import OnProgress, ignore_progress
from supermask.keys import Purpose, derive_key
from supermask.masks import full_masks, weights_remaining
from supermask.networks import Network, initialise
from supermask.params import Params, kernels_of
from supermask.population import batched
from supermask.restarts import End, Origin, Pruning, Start, restart, zeroed_of
from supermask.restarts import Treatment as Treatment
from supermask.short import short
from supermask.training import Job, Trained, Trainer


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
        return weights_remaining(self.start.masks)


@runtime_checkable
class Memory(Protocol):
    """Storage of trained rounds, which the loop reads and never trains again."""

    def has(self, treatment: Treatment | None, seed: int, round_: int) -> bool:
        """Return whether that round is stored; round 0 has no treatment."""
        ...

    def round_zero(self, seed: int) -> tuple[Params, Params]:
        """Return the initial parameters, and those at the end of round 0."""
        ...

    def end_of_round(self, treatment: Treatment, seed: int, round_: int) -> End:
        """Return a later round's end; it says which weights started at 0 if the treatment `asks_for_zeros`."""
        ...

    def remember(self, records: Sequence[RoundRecord]) -> None:
        """Store the finished rounds of one population."""
        ...


class InMemory:
    """Memory that keeps only the last round of every run, from which the next one starts."""

    def __init__(self) -> None:
        self._origins: dict[int, tuple[Params, Params]] = {}
        self._ends: dict[tuple[Treatment, int], tuple[int, End]] = {}

    def has(self, treatment: Treatment | None, seed: int, round_: int) -> bool:
        """Return whether the run has reached that round."""
        if treatment is None:
            return seed in self._origins
        return (treatment, seed) in self._ends and self._ends[treatment, seed][0] >= round_

    def round_zero(self, seed: int) -> tuple[Params, Params]:
        """Return the initial parameters, and those at the end of round 0."""
        return self._origins[seed]

    def end_of_round(self, treatment: Treatment, seed: int, round_: int) -> End:
        """Return the end of the run's last round. Raises KeyError for any other."""
        kept_round, end = self._ends[treatment, seed]
        if kept_round != round_:
            raise KeyError(f"round {round_} of {treatment} is gone; round {kept_round} is kept")
        return end

    def remember(self, records: Sequence[RoundRecord]) -> None:
        """Replace each run's round by its newest one."""
        for record in records:
            final, treatment = record.trained.params, record.treatment
            if treatment is None:
                self._origins[record.seed] = (record.start.params, final)
                continue
            asked = treatment.asks_for_zeros
            zeroed = zeroed_of(record.start, self._origins[record.seed][0]) if asked else {}
            end = End(record.start.masks, kernels_of(final), zeroed, final)
            self._ends[treatment, record.seed] = (record.round, end)


def find_tickets(
    trainer: Trainer,
    rates: Rates,
    treatments: Sequence[Treatment],
    seeds: Sequence[int],
    rounds: int,
    memory: Memory | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Iterator[RoundRecord]:
    """Run every treatment with every seed for rounds 0 to `rounds`, in lockstep; yield each round's record.

    Rounds in the memory are neither trained nor yielded again, so an interrupted study resumes.
    Raises ValueError, before any training, for rounds or seeds that cannot be, or a rewind step beyond the training.
    """
    check_whole("rounds", rounds, 0)
    for seed in seeds:
        check_seed(seed)
    for treatment in treatments:
        if treatment.rewind_step > trainer.config.steps:
            raise ValueError(f"rewind_step is {treatment.rewind_step}; a training has {trainer.config.steps} steps")
    memory = InMemory() if memory is None else memory
    yield from _round_zero(trainer, seeds, memory, on_progress)
    pruning = Pruning(trainer.network, trainer.data.image_shape, rates, trainer.scores)
    rewind_step = attrgetter("rewind_step")
    for step, same_step in groupby(sorted(treatments, key=rewind_step), key=rewind_step):
        runs = [(treatment, seed) for treatment in same_step for seed in seeds]
        origins = _origins(trainer, seeds, [treatment for treatment, _ in runs], step, memory, on_progress)
        for round_ in range(1, rounds + 1):
            missing = [run for run in runs if not memory.has(*run, round_)]
            for some in batched(missing, trainer.placement.slots):
                starts = [
                    restart(pruning, treatment, origins[seed], round_, _end_before(memory, treatment, seed, round_))
                    for treatment, seed in some
                ]
                yield from _trained(trainer, some, round_, starts, step, memory, on_progress)


def initial_params(trainer: Trainer, seed: int) -> Params:
    """Return the initial parameters of a seed."""
    return initial_of(trainer.network, seed, trainer.data.image_shape)


def initial_of(network: Network, seed: int, image_shape: tuple[int, int, int]) -> Params:
    """Return a network's initial parameters for a seed and images of (height, width, channels)."""
    return initialise(network, derive_key(seed, Purpose.INITIAL_WEIGHTS), image_shape)


def _trained(
    trainer: Trainer,
    runs: Sequence[tuple[Treatment | None, int]],
    round_: int,
    starts: Sequence[Start],
    step: int,
    memory: Memory,
    on_progress: OnProgress,
) -> list[RoundRecord]:
    """Train and remember a round of some runs, from `step` of round 0 on."""
    jobs = [Job(start.params, start.masks, seed, step) for start, (_, seed) in zip(starts, runs, strict=True)]
    ends = zip(runs, starts, trainer.train(jobs, on_progress), strict=True)
    records = [RoundRecord(*run, round_, start, outcome) for run, start, outcome in ends]
    memory.remember(records)
    return records


def _round_zero(
    trainer: Trainer, seeds: Sequence[int], memory: Memory, on_progress: OnProgress
) -> Iterator[RoundRecord]:
    missing = [seed for seed in seeds if not memory.has(None, seed, 0)]
    for some in batched(missing, trainer.placement.slots):
        initial = [initial_params(trainer, seed) for seed in some]
        starts = [Start(full_masks(kernels_of(params)), params) for params in initial]
        yield from _trained(trainer, [(None, seed) for seed in some], 0, starts, 0, memory, on_progress)


def _origins(
    trainer: Trainer,
    seeds: Sequence[int],
    treatments: Sequence[Treatment],
    step: int,
    memory: Memory,
    on_progress: OnProgress,
) -> dict[int, Origin]:
    """Return the origin of every seed, for treatments that rewind to the same step.

    The weights of step k come from training to it again: the same batches give the same bits as in round 0.
    """
    needs_gradient = any("gradient" in treatment.criterion.needs for treatment in treatments)
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
            kernels_of(memory.round_zero(seed)[1]),
            trainer.gradients(initial[seed]) if needs_gradient else None,
            memory.round_zero(seed)[1],
        )
        for seed in seeds
    }


def _end_before(memory: Memory, treatment: Treatment, seed: int, round_: int) -> End:
    if round_ == 1:
        trained = memory.round_zero(seed)[1]
        return End(full_masks(kernels_of(trained)), kernels_of(trained), {}, trained)
    return memory.end_of_round(treatment, seed, round_ - 1)
