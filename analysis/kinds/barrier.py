"""Error barriers on the line between two trained networks (Frankle et al. 2020; Paul et al. 2023).

The two are the stored training of a round and either the same training with another order of data, or the training of
the round before.
"""

import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from supermask.analysis.kinds.base import Context, Kind, training_flops
from supermask.analysis.kinds.fields import TEXT, WHOLE, ColumnTypes, Parts
from supermask.analysis.kinds.rounds import ROUNDS, StoredRounds, Unpruned, trainer_of
from supermask.analysis.store.identity import Description
from supermask.analysis.store.store import Result
from supermask.analysis.studies.experiment import Experiment
from supermask.connectivity import PLACES, error_barrier, on_line
from supermask.criteria import CRITERIA, Criterion
from supermask.masks import Masks, full_masks, weights_remaining
from supermask.networks import Params, kernels_of, pruned
from supermask.population import batched
from supermask.restarts import Treatment
from supermask.training import Job, Trainer

BETWEEN = ("orders", "rounds")
OTHER_ORDERS = 1 << 30
"""Added to a seed for the second order of data: no seed of a study is as large."""


@dataclass(frozen=True)
class UnprunedBarrier:
    """The line between two trainings of the unpruned network, by two orders of data: round 0, for every criterion."""

    between: ClassVar[str] = "orders"


@dataclass(frozen=True)
class Barrier:
    """The lines of all rounds of pruning by a criterion.

    between: 'orders' of data, from the same start under the same mask; or successive 'rounds'.
    """

    criterion: Criterion = CRITERIA["large_final"]
    between: str = BETWEEN[0]

    def __post_init__(self) -> None:
        if self.between not in BETWEEN:
            raise ValueError(f"between is {self.between!r}; allowed: {', '.join(BETWEEN)}")

    @property
    def treatment(self) -> Treatment:
        """The rounds whose trainings are at the lines' ends: rewound to the start, pruned weights at 0."""
        return Treatment(self.criterion)


class _Line(NamedTuple):
    """A result to be made."""

    run: Barrier | UnprunedBarrier
    seed: int
    round: int
    description: Description


class Barriers(Kind[Barrier | UnprunedBarrier]):
    """Accuracy along lines between trained networks: one result per round."""

    name, plural = "barrier", "lines between networks"
    run_types = (UnprunedBarrier, Barrier)
    required = ("barrier.between", "barrier.places", "round")
    parts: ClassVar[Parts] = {"barrier": {"between": TEXT, "places": WHOLE}}
    column_types: ClassVar[ColumnTypes] = {"between": "text"}
    metrics = ("weights_remaining", "error_barrier", *(f"test_accuracy_at_{place:g}" for place in PLACES))

    def describe(self, experiment: Experiment, run: Barrier | UnprunedBarrier, seed: int) -> Sequence[Description]:
        """Describe the training of each round, and what its line leads to."""
        own = {"kind": self.name, "barrier": {"between": run.between, "places": len(PLACES)}}
        of = run.treatment if isinstance(run, Barrier) else Unpruned()
        return [named.description | own for named in ROUNDS.results(experiment, of, seed)]

    def sources(self, run: Barrier | UnprunedBarrier) -> Sequence[Hashable]:
        """Return the unpruned network's training, and the rounds."""
        return (Unpruned(), run.treatment) if isinstance(run, Barrier) else (Unpruned(),)

    def make(self, context: Context, runs: Sequence[Barrier | UnprunedBarrier]) -> None:
        """Train the missing second networks, population by population, and evaluate the lines to them."""
        lacking = self.missing(context, ((run, seed) for run in runs for seed in context.experiment.seeds))
        lines = [line for run, seed in lacking for line in self._lines(context, run, seed)]
        if not lines:
            return
        trainer, stored = trainer_of(context), StoredRounds(context)
        for some in batched(lines, trainer.placement.slots):
            started = time.monotonic()
            ends = _ends(context, trainer, stored, some)
            measured = [_measured(trainer, *pair) for pair in ends]
            seconds = (time.monotonic() - started) / len(some)
            results = [
                Result(line.description, metrics, None, seconds) for line, metrics in zip(some, measured, strict=True)
            ]
            work = sum(_looks(context.experiment, line.description) for line in some)
            context.keep(self.name, results, work)

    def _lines(self, context: Context, run: Barrier | UnprunedBarrier, seed: int) -> list[_Line]:
        named = self.results(context.experiment, run, seed)
        known = context.store.known(each.id for each in named)
        return [
            _Line(run, seed, round_, each.description)
            for round_, each in enumerate(named, int(isinstance(run, Barrier)))
            if each.id not in known
        ]

    def columns(self, description: Description) -> dict[str, Any]:
        """Return the treatment, and what the line leads to."""
        return ROUNDS.columns(description) | {"between": description["barrier"]["between"]}

    def uses(self, run: Barrier | UnprunedBarrier) -> frozenset[str]:
        """Return no fields of its own: it depends only on its sources."""
        return frozenset()

    def work(self, experiment: Experiment, description: Description) -> float:
        """Return the second training, if it is not stored anyway, and forward passes of the test images."""
        trained = description["steps"] if description["barrier"]["between"] == "orders" else 0
        return trained + _looks(experiment, description)

    def flops(self, experiment: Experiment, description: Description, forward: float) -> float:
        """Return the FLOPs of the second training, and of forward passes of the test images at every place."""
        orders = description["barrier"]["between"] == "orders"
        trained = training_flops(experiment, description, forward) if orders else 0.0
        return trained + forward * len(PLACES) * len(experiment.data.test)


BARRIERS = Barriers()


def _looks(experiment: Experiment, description: Description) -> float:
    """Return the cost of the evaluations in steps, each of which costs three forward passes of its batch."""
    return len(PLACES) * len(experiment.data.test) / (3 * description["batch_size"])


def _ends(
    context: Context, trainer: Trainer, stored: StoredRounds, lines: Sequence[_Line]
) -> list[tuple[Params, Params, Masks]]:
    """Return both networks of each line, and the mask of the first."""
    firsts = [_stored_end(stored, line, line.round) for line in lines]
    jobs = {
        index: Job(pruned(stored.round_zero(line.seed)[0], masks), masks, OTHER_ORDERS + line.seed)
        for index, (line, (_, masks)) in enumerate(zip(lines, firsts, strict=True))
        if line.run.between == "orders"
    }
    others = dict(zip(jobs, trainer.train(list(jobs.values()), context.steps()), strict=True)) if jobs else {}
    return [
        (final, others[index].params if index in others else _stored_end(stored, line, line.round - 1)[0], masks)
        for index, (line, (final, masks)) in enumerate(zip(lines, firsts, strict=True))
    ]


def _stored_end(stored: StoredRounds, line: _Line, round_: int) -> tuple[Params, Masks]:
    """Return parameters at the end of a stored round, and its mask."""
    if round_ == 0 or isinstance(line.run, UnprunedBarrier):
        final = stored.round_zero(line.seed)[1]
        return final, full_masks(kernels_of(final))
    end = stored.end_of_round(line.run.treatment, line.seed, round_)
    assert end.params is not None  # noqa: S101 - a stored round has all of them
    return end.params, end.masks


def _measured(trainer: Trainer, first: Params, second: Params, masks: Masks) -> Mapping[str, float]:
    accuracies = [float(score.accuracy) for score in trainer.evaluate(on_line(first, second))]
    along = {f"test_accuracy_at_{place:g}": value for place, value in zip(PLACES, accuracies, strict=True)}
    return {"weights_remaining": weights_remaining(masks), "error_barrier": error_barrier(accuracies)} | along
