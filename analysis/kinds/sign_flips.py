"""Sign flips during trainings: how many weights change their sign, how often, and how long they wait in between.

The trainings are those of `rounds`, made once more with a recorder. It looks at the signs after every few steps. Pruned
rounds are trained densely here, with the same masks and the same start: where `rounds` trains them on live weights
alone, rounding differs. arXiv 2602.17063 (2026).
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from supermask.analysis.kinds.base import FILE_BYTES, RECORD_BYTES, Context, Kind, Made, Wanted
from supermask.analysis.kinds.fields import WHOLE, ColumnTypes, Parts
from supermask.analysis.kinds.layout import check_array, check_layers, params_of
from supermask.analysis.kinds.metrics import TRAINING_METRICS, training_metrics
from supermask.analysis.kinds.rounds import ROUNDS, StoredRounds, Unpruned
from supermask.analysis.store.identity import Description
from supermask.analysis.studies.experiment import Experiment
from supermask.intervals import TrainingConfig
from supermask.masks import full_masks, weights_remaining
from supermask.networks import Params, kernels_of, pruned
from supermask.recorded_training import Recorded, RecordingTrainer
from supermask.restarts import Treatment
from supermask.sign_flips import FlipCounts, flip_counts, flip_numbers, flips_by_distance
from supermask.training import Job

EVERY = 10
"""Most steps from one look to the next. Flips back and forth in between are not seen."""

PARTS = 10
"""Parts of each layer, by the distance of the initial weights from 0."""

LEVELS = 8
"""Most rounds of pruning that are recorded, because dense trainings take their time: every third round of 24."""

SIDE_BY_SIDE = 4
"""Rounds that are trained side by side."""


@dataclass(frozen=True)
class UnprunedFlips:
    """Flips in a training of the unpruned network.

    rate, length: factors of the rounds' learning rate, and of their epochs.
    every_step: whether signs are looked at after every step.
    """

    rate: float = 1.0
    length: float = 1.0
    every_step: bool = False


@dataclass(frozen=True)
class Flips:
    """Flips in rounds of the lottery ticket algorithm: in each of up to `LEVELS`, else in every second, third, ..."""


class SignFlipTrainings(Kind[UnprunedFlips | Flips]):
    """Trainings with a recorder of sign flips: one result per training."""

    name, plural = "sign_flips", "trainings with recorded signs"
    run_types = (UnprunedFlips, Flips)
    required = ("flips.every", "round")
    parts: ClassVar[Parts] = {"flips": {"every": WHOLE}}
    column_types: ClassVar[ColumnTypes] = {"looked_every": "whole"}
    metrics = ("weights_remaining", "changed", "flipped", "flips_per_weight", *TRAINING_METRICS)
    has_arrays = True

    def describe(self, experiment: Experiment, run: UnprunedFlips | Flips, seed: int) -> Sequence[Description]:
        """Describe each training, and how often signs are looked at."""
        own = {"kind": self.name, "flips": {"every": _every(experiment, run)}}
        if isinstance(run, Flips):
            step = -(-experiment.protocol.rounds // LEVELS)
            rounds = ROUNDS.results(experiment, Treatment(), seed)[step - 1 :: step]
            return [named.description | own for named in rounds]
        return (experiment.describe(self.name, seed, _training(experiment, run)) | {"round": 0} | own,)

    def sources(self, run: UnprunedFlips | Flips) -> Sequence[Hashable]:
        """Return the unpruned network's training, which has the initial weights, and the rounds, which have masks."""
        return (Unpruned(), Treatment()) if isinstance(run, Flips) else (Unpruned(),)

    def make(self, context: Context, runs: Sequence[UnprunedFlips | Flips]) -> None:
        """Make the missing trainings, those of one length and rate in populations."""
        stored = StoredRounds(context)
        programs: dict[tuple[TrainingConfig, int], list[Wanted[UnprunedFlips | Flips]]] = {}
        for each in self.lacking(context, ((run, seed) for run in runs for seed in context.experiment.seeds)):
            program = _training(context.experiment, each.run), _every(context.experiment, each.run)
            programs.setdefault(program, []).append(each)
        for (training, every), wanted in programs.items():
            trainer = _trainer(context, training, every)
            self.make_wanted(context, wanted, trainer.placement.slots, partial(_made, context, trainer, stored))

    def columns(self, description: Description) -> dict[str, Any]:
        """Return the treatment, and the steps from one look to the next."""
        return ROUNDS.columns(description) | {"looked_every": description["flips"]["every"]}

    def check_arrays(self, description: Description, arrays: Mapping[str, np.ndarray]) -> None:
        """Check each layer's numbers of flips, waiting times, and counts by initial distance from 0."""
        for layer in check_layers(arrays, "number.", params_of(description)):
            check_array(arrays, f"number.{layer}", "iu", (None,))
            check_array(arrays, f"waits.{layer}", "iu", (None,))
            check_array(arrays, f"distance.{layer}", "iu", (PARTS, len(FlipCounts._fields)))

    def uses(self, run: UnprunedFlips | Flips) -> frozenset[str]:
        """Return no fields of its own: it depends on those of its sources."""
        return frozenset()

    def size(self, experiment: Experiment, description: Description, params: Params) -> float:
        """Return the bytes of the arrays: waiting times are at most as many as looks."""
        looks = description["steps"] // description["flips"]["every"]
        numbers = PARTS * len(FlipCounts._fields) + looks / 2
        return RECORD_BYTES + FILE_BYTES + 8 * numbers * len(kernels_of(params))


SIGN_FLIPS = SignFlipTrainings()


def _training(experiment: Experiment, run: UnprunedFlips | Flips) -> TrainingConfig:
    if isinstance(run, Flips):
        return experiment.training
    own = experiment.by_recipe(experiment.protocol.epochs * run.length)
    return replace(own, learning_rate=own.learning_rate * run.rate)


def _every(experiment: Experiment, run: UnprunedFlips | Flips) -> int:
    """Return the steps from one look to the next: the most up to `EVERY` that divide those between evaluations."""
    if isinstance(run, UnprunedFlips) and run.every_step:
        return 1
    between = experiment.training.evaluate_every
    return next(every for every in range(EVERY, 0, -1) if between % every == 0)


def _trainer(context: Context, training: TrainingConfig, every: int) -> RecordingTrainer:
    experiment = context.experiment
    networks = SIDE_BY_SIDE * len(experiment.seeds)
    recipe = replace(experiment.protocol.recipe, learning_rate=None, batch_size=None)  # `training` has its own

    def make() -> RecordingTrainer:
        given = experiment.network, experiment.data, training, context.slots(networks, networks)
        return RecordingTrainer(*given, checkpoints=context.checkpoints, recipe=recipe, every=every)

    return context.bench.trainer((SIGN_FLIPS.name, training, every, context.bench.slots(networks)), make)


def _made(
    context: Context,
    trainer: RecordingTrainer,
    stored: StoredRounds,
    some: Sequence[Wanted[UnprunedFlips | Flips]],
) -> list[Made]:
    jobs = [_job(stored, each) for each in some]
    return [_result(*pair) for pair in zip(jobs, trainer.train_recorded(jobs, context.steps()), strict=True)]


def _job(stored: StoredRounds, wanted: Wanted[UnprunedFlips | Flips]) -> Job:
    """Return the training of a round from its own start, with its own order of batches."""
    initial = stored.round_zero(wanted.seed)[0]
    if isinstance(wanted.run, UnprunedFlips):
        return Job(initial, full_masks(kernels_of(initial)), wanted.seed)
    masks = stored.end_of_round(Treatment(), wanted.seed, wanted.description["round"]).masks
    return Job(pruned(initial, masks), masks, wanted.seed)


def _result(job: Job, recorded: Recorded) -> Made:
    """Return metrics, and for each layer the distributions of flips and waiting times, without zeros at their ends.

    `distance.LAYER` has a row for each part of the layer, from the nearest to 0 to the farthest, with columns as in
    `FlipCounts`.
    """
    flips = recorded.flips
    total = FlipCounts(*np.sum([*flip_counts(flips).values()], axis=0).tolist())
    arrays: dict[str, np.ndarray] = {}
    for layer, parts in flips_by_distance(flips, kernels_of(job.params), PARTS).items():
        arrays[f"number.{layer}"] = flip_numbers(flips)[layer].astype(np.int32)
        arrays[f"waits.{layer}"] = np.trim_zeros(np.asarray(flips.waits[layer], np.int32), "b")
        arrays[f"distance.{layer}"] = np.array(parts, np.int32)
    weights = max(total.weights, 1)
    metrics = {
        "weights_remaining": weights_remaining(dict(job.masks)),
        "changed": total.changed / weights,
        "flipped": total.flipped / weights,
        "flips_per_weight": total.flips / weights,
    }
    return metrics | training_metrics(recorded.trained), arrays
