"""Trainings by DNW under plain SGD in which every swap of edges is judged by the loss on its own batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from supermask.analysis.kinds.base import Context, Kind, Made, training_flops
from supermask.analysis.kinds.fields import NUMBER, ColumnTypes, Parts
from supermask.analysis.store.identity import Description
from supermask.analysis.studies.experiment import Experiment, counts_of
from supermask.analysis.studies.protocols import Protocol
from supermask.analysis.system.words import count
from supermask.intervals import TrainingConfig
from supermask.lottery import initial_of
from supermask.networks import kernels_of
from supermask.sparse_training import METHODS, layer_counts
from supermask.sparse_training.swaps import SwapJob, SwapOutcome, SwapTrainer

EXTRA = 2 / 3
"""Cost of the two losses that are taken after a step, in steps: a step is three forward passes."""


@dataclass(frozen=True)
class SwapRun:
    """A training by DNW at a constant rate of plain SGD, as in the paper's proof.

    rate: the learning rate. density: live weights over all weights, spread over layers as DNW's default does.
    """

    rate: float
    density: float = 0.1

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ValueError(f"rate is {self.rate}; allowed: more than 0")


class EdgeSwaps(Kind[SwapRun]):
    """Counts of swaps over one training, one result each."""

    name, plural = "edge_swaps", "trainings whose swaps are judged"
    run_types = (SwapRun,)
    required = ("swaps.density",)
    parts: ClassVar[Parts] = {"swaps": {"density": NUMBER}}
    column_types: ClassVar[ColumnTypes] = {"density": "number"}
    metrics = ("swapping_steps", "fell", "rose", "edges", "old_loss", "new_loss", "test_accuracy", "test_loss")

    def describe(self, experiment: Experiment, run: SwapRun, seed: int) -> Sequence[Description]:
        """Describe the training, and the density."""
        base = experiment.describe(self.name, seed, training_of(experiment, run.rate), "sgd")
        return (base | {"swaps": {"density": run.density}} | counts_of({"density": run.density}),)

    def make(self, context: Context, runs: Sequence[SwapRun]) -> None:
        """Train what the store lacks: all rates and seeds in populations."""
        experiment = context.experiment
        missing = self.missing(context, ((run, seed) for run in runs for seed in experiment.seeds))
        if not missing:
            return
        network, shape = experiment.network, experiment.data.image_shape
        placement = context.slots(len(missing), len(runs) * len(experiment.seeds))
        config = training_of(experiment, missing[0][0].rate)  # each job has a rate of its own
        trainer = SwapTrainer(network, experiment.data, config, placement, context.checkpoints)
        initial = {seed: initial_of(network, seed, shape) for seed in experiment.seeds}
        shapes = {layer: tuple(kernel.shape) for layer, kernel in kernels_of(initial[missing[0][1]]).items()}
        distribution = METHODS["dnw"].distribution

        def train(some: Sequence[tuple[SwapRun, int]]) -> list[Made]:
            jobs = [
                SwapJob(initial[seed], layer_counts(shapes, run.density, distribution), run.rate, seed)
                for run, seed in some
            ]
            return [(metrics_of(each), None) for each in trainer.train(jobs, context.steps(1 + EXTRA))]

        self.make_in_populations(context, missing, placement.slots, train)

    def columns(self, description: Description) -> dict[str, Any]:
        """Return the density; the rate has a column of all trainings."""
        return {"density": description["swaps"]["density"]}

    def uses(self, run: SwapRun) -> frozenset[str]:
        """Return the length of sparse trainings."""
        return frozenset({"sparse_epochs"})

    def length(self, protocol: Protocol, runs: Sequence[SwapRun]) -> str:
        """Return the epochs."""
        return count(protocol.sparse.epochs, "epoch")

    def work(self, experiment: Experiment, description: Description) -> float:
        """Return its steps, and the two losses after each."""
        return float(description["steps"]) * (1 + EXTRA)

    def flops(self, experiment: Experiment, description: Description, forward: float) -> float:
        """Return the FLOPs of its steps, and of the two losses after each."""
        losses = 2.0 * forward * description["batch_size"] * description["steps"]
        return training_flops(experiment, description, forward) + losses


SWAPS = EdgeSwaps()


def training_of(experiment: Experiment, rate: float) -> TrainingConfig:
    """Return a training as long as other sparse ones, at that rate."""
    return experiment.config(experiment.protocol.sparse.epochs, rate)


def metrics_of(outcome: SwapOutcome) -> dict[str, float]:
    """Return means over the steps that swapped edges; NaN if none did.

    `swapping_steps` is their number. `fell` and `rose` are the fractions of them whose loss is lower, or higher, with
    the new edges than with the old; `edges` come alive in one of them. `old_loss` and `new_loss` are the batch's.
    """
    (steps, *sums), test = outcome
    means = [float(each) / float(steps) if steps else float("nan") for each in sums]
    names = ("fell", "rose", "edges", "old_loss", "new_loss")
    scores = {"test_accuracy": float(test.accuracy), "test_loss": float(test.loss)}
    return {"swapping_steps": float(steps)} | dict(zip(names, means, strict=True)) | scores
