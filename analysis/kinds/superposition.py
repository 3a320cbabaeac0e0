"""Supermasks in superposition: the task of unlabelled batches inferred among many (Wortsman et al. 2020)."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from supermask.analysis.kinds.base import Context, Kind, Made, Wanted
from supermask.analysis.kinds.fields import WHOLE, ColumnTypes, Parts
from supermask.analysis.kinds.task_mask import shared_by_tasks, stored_masks
from supermask.analysis.kinds.tasks import TaskMasks, network_of, untrained_weights
from supermask.analysis.store.identity import Description
from supermask.analysis.studies.experiment import Experiment
from supermask.evaluation import scaled
from supermask.keys import batch_order
from supermask.mask_coding import encode
from supermask.masks import Masks, weights_remaining
from supermask.networks import Kernels, kernels_of, logits, masked, with_kernels
from supermask.permuted_tasks import PermutedTask, permute_images
from supermask.superposition import Superposition

BATCH, BATCHES = 128, 7
"""Images of a batch whose task is inferred, as in the paper; and batches of each task, drawn from the test images."""

TOGETHER = 4
"""Tasks whose batches are scored at a time."""


Masked = tuple[PermutedTask, Masks]


@dataclass(frozen=True)
class Superposed:
    """Permutations of pixels whose learned masks lie over one network's weights; one result for each number of them."""


class SuperpositionKind(Kind[Superposed]):
    """Inference of tasks and the answers with it: one result per number of tasks."""

    name, plural = "superposition", "superpositions"
    run_types = (Superposed,)
    required = ("superposition.tasks",)
    parts: ClassVar[Parts] = {"superposition": {"tasks": WHOLE, "batch": WHOLE, "batches": WHOLE}}
    column_types: ClassVar[ColumnTypes] = {"tasks": "whole"}
    metrics = (
        *("weights_remaining", "inference_accuracy", "test_accuracy", "test_accuracy_given"),
        *("bytes_a_task", "bytes_at_one_bit"),
    )

    def describe(self, experiment: Experiment, run: Superposed, seed: int) -> Sequence[Description]:
        """Describe the masks' learning, and how many tasks and batches there are."""
        base = shared_by_tasks(experiment, TaskMasks("pixels"), seed) | {"kind": self.name}
        batches = {"batch": BATCH, "batches": BATCHES}
        return [base | {"superposition": {"tasks": n} | batches} for n in experiment.protocol.tasks.superposed]

    def sources(self, run: Superposed) -> Sequence[Hashable]:
        """Return the masks."""
        return (TaskMasks("pixels"),)

    def make(self, context: Context, runs: Sequence[Superposed]) -> None:
        """Infer the tasks of batches, seed by seed and number by number."""
        experiment = context.experiment
        for seed in experiment.seeds:
            wanted = self.lacking(context, ((run, seed) for run in runs))
            numbers = [each.description["superposition"]["tasks"] for each in wanted]
            every = stored_masks(context, TaskMasks("pixels"), seed, max(numbers, default=0))
            for each, number in zip(wanted, numbers, strict=True):
                own = every[:number]

                def measured(some: Sequence[Wanted[Superposed]], own: Sequence[Masked] = own) -> list[Made]:
                    return [(_measured(experiment, each.seed, own), None) for each in some]

                self.make_wanted(context, [each], 1, measured, self.work(experiment, each.description))

    def columns(self, description: Description) -> dict[str, Any]:
        """Return the number of tasks."""
        return {"tasks": description["superposition"]["tasks"]}

    def uses(self, run: Superposed) -> frozenset[str]:
        """Return no fields of its own: it depends only on its sources."""
        return frozenset()

    def work(self, experiment: Experiment, description: Description) -> float:
        """Return forward passes of images in steps, each of which costs three of its batch."""
        return self._passes(description) / (3 * experiment.training.batch_size)

    def flops(self, experiment: Experiment, description: Description, forward: float) -> float:
        """Return the FLOPs of the same."""
        return forward * self._passes(description)

    def _passes(self, description: Description) -> float:
        """Return forward passes: three for a gradient, one for an answer, and a product with every mask a batch."""
        own = description["superposition"]
        return float(own["tasks"] * own["batches"] * (4 * own["batch"] + own["tasks"]))


SUPERPOSITIONS = SuperpositionKind()


def _measured(experiment: Experiment, seed: int, every: Sequence[Masked]) -> dict[str, float]:
    """Return accuracies of inference and answers over all tasks' batches, and the bytes of a task's mask."""
    network, weights = network_of(experiment), untrained_weights(experiment, seed)
    kernels, masks = kernels_of(weights), [own for _, own in every]

    def apply(kernels: Kernels, images: Array) -> Array:
        return logits(network, with_kernels(weights, kernels), images)

    superposition, accuracies = Superposition(apply, kernels, masks), _answers(apply)
    inferred, given, with_inferred = [], [], []
    for start in range(0, len(every), TOGETHER):
        numbers = range(start, min(start + TOGETHER, len(every)))
        batches = [_batches(experiment, every[number][0], number) for number in numbers]
        scores = superposition.scores(np.concatenate([images for images, _ in batches]))
        guesses = scores.argmax(axis=1).reshape(len(batches), BATCHES)
        for number, own, (images, labels) in zip(numbers, guesses, batches, strict=True):
            inferred.append(own == number)
            given.append(np.asarray(accuracies(masked(kernels, masks[number]), images, labels)))
            answers = given[-1].copy()
            for at in np.flatnonzero(own != number):  # the others have the same mask as if the task were given
                some = slice(at, at + 1)
                answers[some] = accuracies(masked(kernels, masks[own[at]]), images[some], labels[some])
            with_inferred.append(answers)
    return {
        "weights_remaining": float(np.mean([weights_remaining(own) for own in masks])),
        "inference_accuracy": float(np.mean(inferred)),
        "test_accuracy": float(np.mean(with_inferred)),
        "test_accuracy_given": float(np.mean(given)),
        "bytes_a_task": float(np.mean([_bytes(own) for own in masks])),
        "bytes_at_one_bit": float(sum(-(-kernel.size // 8) for kernel in kernels.values())),
    }


def _bytes(masks: Masks) -> int:
    """Return the bytes of a coded mask."""
    return sum(len(encode(np.asarray(mask))[1]) for mask in masks.values())


def _answers(apply: Callable[[Kernels, Array], Array]) -> Callable[..., Array]:
    """Return a compiled function of kernels, batches and their labels: the accuracy on each batch."""

    def accuracy(kernels: Kernels, batch: tuple[Array, Array]) -> Array:
        images, labels = batch
        return (apply(kernels, images).argmax(axis=-1) == labels).mean()

    return jax.jit(lambda kernels, images, labels: lax.map(partial(accuracy, kernels), (images, labels)))


def _batches(experiment: Experiment, task: PermutedTask, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return batches of a task's test images, as the network reads them, and their labels."""
    test = experiment.data.test
    chosen = batch_order(number, len(test), BATCH, 0, BATCHES)
    images = permute_images(test.images[chosen.ravel()], task).reshape(*chosen.shape, *test.images.shape[1:])
    return np.asarray(scaled(jnp.asarray(images), experiment.data.maximum)), test.labels[chosen]
