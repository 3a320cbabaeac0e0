"""Dense-sparse-dense training: train dense, prune the smallest weights and retrain, then restore the pruned ones at 0.

The last phase has a tenth of the learning rate. The control has the same budget: the same three phases, rates and
batches, without a mask. Han et al. 2017 (arXiv 1607.04381), algorithm 1; they ran such a control for ResNet.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from supermask.compression.pruning import largest_of_layers
from supermask.counts import settle_numbers
from supermask.intervals import OnProgress, ignore_progress
from supermask.masks import full_masks
from supermask.params import Params, kernels_of, pruned
from supermask.short import short
from supermask.training import Job, Trained, Trainer

LAST_RATE = 0.1
"""Ratio of the last phase's learning rate to that of the others."""


@dataclass(frozen=True)
class DSDRun:
    """A dense-sparse-dense training. `sparsity`: fraction of each layer pruned in the middle; 0 is the control.

    Raises ValueError for a sparsity outside 0 <= sparsity < 1.
    """

    sparsity: float = 0.0

    def __post_init__(self) -> None:
        settle_numbers(self, "sparsity")
        if not 0 <= self.sparsity < 1:
            raise ValueError(f"sparsity is {self.sparsity}; allowed: 0 <= sparsity < 1")


@short
class Phases(NamedTuple):
    """Outcomes of the three phases, which are of equal length."""

    dense: Trained
    sparse: Trained
    last: Trained


def dense_sparse_dense(
    trainer: Trainer,
    starts: Sequence[Params],
    seeds: Sequence[int],
    sparsities: Sequence[float],
    on_progress: OnProgress = ignore_progress,
) -> dict[tuple[float, int], Phases]:
    """Train every sparsity from every seed's start, and return the outcomes by (sparsity, seed).

    Each phase takes the trainer's number of steps. The first phase is trained once per seed and shared by all
    sparsities. The order of batches continues across phases; the schedule of the trainer's recipe begins anew in each.
    """
    steps = trainer.config.steps
    config = replace(trainer.config, learning_rate=LAST_RATE * trainer.config.learning_rate)
    slow = replace(trainer, config=config, recipe=replace(trainer.recipe, learning_rate=None))
    first = trainer.train(
        [Job(p, full_masks(kernels_of(p)), s) for p, s in zip(starts, seeds, strict=True)], on_progress
    )
    dense = dict(zip(seeds, first, strict=True))
    runs = [(sparsity, seed) for sparsity in sparsities for seed in seeds]
    masks = {run: largest_of_layers(dense[run[1]].params, *run) for run in runs}
    jobs = [Job(pruned(dense[run[1]].params, masks[run]), masks[run], run[1], steps, 2 * steps, 0) for run in runs]
    second = dict(zip(runs, trainer.train(jobs, on_progress), strict=True))
    jobs = [
        Job(second[run].params, full_masks(kernels_of(second[run].params)), run[1], 2 * steps, 3 * steps, 0)
        for run in runs
    ]
    third = dict(zip(runs, slow.train(jobs, on_progress), strict=True))
    return {run: Phases(dense[run[1]], second[run], third[run]) for run in runs}
