"""Dense-sparse-dense training: train dense, prune the smallest and retrain, then let the pruned ones back in at 0.

The last phase has a tenth of the learning rate. The control that counts has the same budget: the same three phases,
with the same rates and batches, and no mask. Han et al. 2017 (arXiv 1607.04381), algorithm 1; they ran such a control
for ResNet.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from supermask.compression.pruning import largest_of_layers
from supermask.intervals import OnProgress, ignore_progress
from supermask.masks import full_masks
from supermask.params import Params, kernels_of, pruned
from supermask.short import short
from supermask.training import Job, Trained, Trainer

LAST_RATE = 0.1
"""The last phase's learning rate over the others'."""


@dataclass(frozen=True)
class DSDRun:
    """A dense-sparse-dense training: the part of each layer's weights that is pruned in between; 0 is the control.

    Raises ValueError for a sparsity outside 0 <= sparsity < 1.
    """

    sparsity: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity < 1:
            raise ValueError(f"sparsity is {self.sparsity}; allowed: 0 <= sparsity < 1")


@short
class Phases(NamedTuple):
    """The outcomes of the three phases, of equal length."""

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
    """Every sparsity from every seed's start, by (sparsity, seed). A phase takes the trainer's steps.

    The first phase is trained once a seed: all sparsities share it. Batches go on from phase to phase.
    """
    steps = trainer.config.steps
    slow = replace(trainer, config=replace(trainer.config, learning_rate=LAST_RATE * trainer.config.learning_rate))
    first = trainer.train(
        [Job(p, full_masks(kernels_of(p)), s) for p, s in zip(starts, seeds, strict=True)], on_progress
    )
    dense = dict(zip(seeds, first, strict=True))
    runs = [(sparsity, seed) for sparsity in sparsities for seed in seeds]
    masks = {run: largest_of_layers(dense[run[1]].params, *run) for run in runs}
    jobs = [Job(pruned(dense[run[1]].params, masks[run]), masks[run], run[1], steps, 2 * steps) for run in runs]
    second = dict(zip(runs, trainer.train(jobs, on_progress), strict=True))
    jobs = [
        Job(second[run].params, full_masks(kernels_of(second[run].params)), run[1], 2 * steps, 3 * steps)
        for run in runs
    ]
    third = dict(zip(runs, slow.train(jobs, on_progress), strict=True))
    return {run: Phases(dense[run[1]], second[run], third[run]) for run in runs}
