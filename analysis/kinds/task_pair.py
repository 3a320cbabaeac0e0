"""What masks of different tasks have in common, and what a mask is worth on the tasks of the others."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import jax
import numpy as np

from supermask.analysis.kinds.base import Context, Kind, evaluation_steps
from supermask.analysis.kinds.fields import TEXT, WHOLE, ColumnTypes, Parts
from supermask.analysis.kinds.task_mask import shared_by_tasks, stored_masks, trainer_of
from supermask.analysis.kinds.tasks import FEW, FOUND, PERMUTED, TaskMasks, network_of, untrained_weights
from supermask.analysis.store.identity import Description
from supermask.analysis.studies.experiment import Experiment
from supermask.evaluation import PlacedData
from supermask.masks import weights_remaining
from supermask.networks import kernels_of, masked, with_kernels
from supermask.overlaps import overlap_by_units, overlap_of
from supermask.permuted_tasks import onto_data

TASKS = FEW + 1
"""Tasks that are compared: the data as it is, and the first permutations of a kind."""


@dataclass(frozen=True)
class TaskPairs:
    """All pairs among the identity and `FEW` permutations of pixels, or of classes."""

    permuted: str = PERMUTED[1]
    found: str = FOUND[0]

    def __post_init__(self) -> None:
        if self.permuted not in PERMUTED[1:]:
            raise ValueError(f"permuted is {self.permuted!r}; allowed: {', '.join(PERMUTED[1:])}")
        TaskMasks(self.permuted, self.found)  # raises for another `found`

    @property
    def sources(self) -> tuple[TaskMasks, TaskMasks]:
        """The identity's mask and those of the permutations."""
        return TaskMasks(found=self.found), TaskMasks(self.permuted, self.found)


class TaskPairKind(Kind[TaskPairs]):
    """Means over pairs of masks: one result each."""

    name, plural = "task_pair", "comparisons of tasks"
    run_types = (TaskPairs,)
    required = ("pairs.permuted", "pairs.found")
    parts: ClassVar[Parts] = {"pairs": {"permuted": TEXT, "found": TEXT, "tasks": WHOLE}}
    column_types: ClassVar[ColumnTypes] = {"permuted": "text", "found": "text"}
    metrics = ("weights_remaining", "overlap", "overlap_by_chance", "overlap_by_units", "test_accuracy")

    def describe(self, experiment: Experiment, run: TaskPairs, seed: int) -> Sequence[Description]:
        """Describe the first permutation's mask, and how many are compared."""
        own = {"permuted": run.permuted, "found": run.found, "tasks": TASKS}
        return (shared_by_tasks(experiment, run.sources[1], seed) | {"kind": self.name, "pairs": own},)

    def sources(self, run: TaskPairs) -> Sequence[Hashable]:
        """Return the masks that are compared."""
        return run.sources

    def make(self, context: Context, runs: Sequence[TaskPairs]) -> None:
        """Compare stored masks, and evaluate each on the tasks of the others."""
        experiment = context.experiment
        wanted = self.lacking(context, ((run, seed) for run in runs for seed in experiment.seeds))
        if not wanted:
            return
        number = TASKS * (TASKS - 1)
        network = network_of(experiment)
        placement = context.placement(network, number, number)
        placed = context.bench.trainer((self.name, placement), lambda: PlacedData(experiment.data, placement, network))
        self.make_wanted(
            context,
            wanted,
            1,
            lambda some: [(_compared(context, placed, each.run, each.seed), None) for each in some],
            evaluation_steps(experiment, number),
        )

    def columns(self, description: Description) -> dict[str, Any]:
        """Return what the tasks permute, and how their masks were found."""
        return {name: description["pairs"][name] for name in ("permuted", "found")}

    def uses(self, run: TaskPairs) -> frozenset[str]:
        """Return no fields of its own: it depends only on its sources."""
        return frozenset()

    def work(self, experiment: Experiment, description: Description) -> float:
        """Return evaluations of each mask on the test images of all other tasks."""
        return evaluation_steps(experiment, TASKS * (TASKS - 1))

    def flops(self, experiment: Experiment, description: Description, forward: float) -> float:
        """Return the FLOPs of forward passes of the test images."""
        return forward * TASKS * (TASKS - 1) * len(experiment.data.test)


TASK_PAIRS = TaskPairKind()


def _compared(context: Context, placed: PlacedData, run: TaskPairs, seed: int) -> dict[str, float]:
    """Return means over pairs of the overlap, of what chance would have, and of accuracy on another's task."""
    weights, layers = untrained_weights(context.experiment, seed), network_of(context.experiment).dense_layers
    every = [own for source in run.sources for own in stored_masks(context, source, seed, FEW)]
    elsewhere = [
        onto_data(masked(kernels_of(weights), own), task, layers)
        for number, (_, own) in enumerate(every)
        for at, (task, _) in enumerate(every)
        if at != number
    ]
    networks = [jax.tree.map(np.asarray, with_kernels(weights, kernels)) for kernels in elsewhere]
    pairs = [(first, second) for (_, first), (_, second) in combinations(every, 2)]
    overlaps = np.array([(*overlap_of(*pair), overlap_by_units(*pair)) for pair in pairs]).mean(axis=0)
    scores = (
        placed.evaluate(networks, placed.test) if run.found == "learned" else trainer_of(context).evaluate(networks)
    )
    return {
        "weights_remaining": float(np.mean([weights_remaining(own) for _, own in every])),
        **dict(zip(("overlap", "overlap_by_chance", "overlap_by_units"), map(float, overlaps), strict=True)),
        "test_accuracy": float(np.mean([float(each.accuracy) for each in scores])),
    }
