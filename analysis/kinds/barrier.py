"""Error barriers on the line between two trained networks (Frankle et al. 2020; Paul et al. 2023).

The two are the stored training of a round and either the same training with another order of data, or the training of
the round before.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from supermask.analysis.kinds.base import Context, Kind, Made, Wanted, evaluation_steps, training_flops
from supermask.analysis.kinds.fields import TEXT, WHOLE, ColumnTypes, Parts
from supermask.analysis.kinds.rounds import ROUNDS, StoredRounds, Unpruned, trainer_of
from supermask.analysis.store.identity import Description
from supermask.analysis.studies.experiment import Experiment
from supermask.connectivity import PLACES, error_barrier, on_line
from supermask.criteria import CRITERIA, Criterion
from supermask.masks import Masks, full_masks, weights_remaining
from supermask.networks import Params, kernels_of, pruned
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


Line = Wanted[Barrier | UnprunedBarrier]


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
        lines = self.lacking(context, ((run, seed) for run in runs for seed in context.experiment.seeds))
        if not lines:
            return
        trainer, stored = trainer_of(context), StoredRounds(context)

        def measured(some: Sequence[Line]) -> list[Made]:
            return [(_measured(trainer, *ends), None) for ends in _ends(context, trainer, stored, some)]

        looks = evaluation_steps(context.experiment, len(PLACES))
        self.make_wanted(context, lines, trainer.placement.slots, measured, looks)

    def columns(self, description: Description) -> dict[str, Any]:
        """Return the treatment, and what the line leads to."""
        return ROUNDS.columns(description) | {"between": description["barrier"]["between"]}

    def uses(self, run: Barrier | UnprunedBarrier) -> frozenset[str]:
        """Return no fields of its own: it depends only on its sources."""
        return frozenset()

    def work(self, experiment: Experiment, description: Description) -> float:
        """Return the second training, if it is not stored anyway, and forward passes of the test images."""
        trained = description["steps"] if description["barrier"]["between"] == "orders" else 0
        return trained + evaluation_steps(experiment, len(PLACES))

    def flops(self, experiment: Experiment, description: Description, forward: float) -> float:
        """Return the FLOPs of the second training, and of forward passes of the test images at every place."""
        orders = description["barrier"]["between"] == "orders"
        trained = training_flops(experiment, description, forward) if orders else 0.0
        return trained + forward * len(PLACES) * len(experiment.data.test)


BARRIERS = Barriers()


def _ends(
    context: Context, trainer: Trainer, stored: StoredRounds, lines: Sequence[Line]
) -> list[tuple[Params, Params, Masks]]:
    """Return both networks of each line, and the mask of the first."""
    firsts = [_stored_end(stored, line, line.description["round"]) for line in lines]
    jobs = {
        index: Job(pruned(stored.round_zero(line.seed)[0], masks), masks, OTHER_ORDERS + line.seed)
        for index, (line, (_, masks)) in enumerate(zip(lines, firsts, strict=True))
        if line.run.between == "orders"
    }
    others = dict(zip(jobs, trainer.train(list(jobs.values()), context.steps()), strict=True)) if jobs else {}
    seconds = [
        others[index].params if index in others else _stored_end(stored, line, line.description["round"] - 1)[0]
        for index, line in enumerate(lines)
    ]
    return [(final, second, masks) for (final, masks), second in zip(firsts, seconds, strict=True)]


def _stored_end(stored: StoredRounds, line: Line, round_: int) -> tuple[Params, Masks]:
    """Return parameters at the end of a stored round, and its mask."""
    if round_ == 0 or isinstance(line.run, UnprunedBarrier):
        final = stored.round_zero(line.seed)[1]
        return final, full_masks(kernels_of(final))
    end = stored.end_of_round(line.run.treatment, line.seed, round_)
    assert end.params is not None  # noqa: S101 - a stored round has all of them
    return end.params, end.masks


def _measured(trainer: Trainer, first: Params, second: Params, masks: Masks) -> dict[str, float]:
    accuracies = [float(score.accuracy) for score in trainer.evaluate(on_line(first, second))]
    along = {f"test_accuracy_at_{place:g}": value for place, value in zip(PLACES, accuracies, strict=True)}
    return {"weights_remaining": weights_remaining(masks), "error_barrier": error_barrier(accuracies)} | along
