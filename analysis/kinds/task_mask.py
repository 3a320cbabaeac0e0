"""Masks for many permutations of a data set on one network's weights (Zhou et al. 2019; Wortsman et al. 2020).

A task is the data with its pixels, or its classes, in another order: see `tasks`. Its mask is found on the data as it
is, and moved back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from supermask.analysis.kinds.base import (
    FILE_BYTES,
    RECORD_BYTES,
    Context,
    Kind,
    Made,
    Wanted,
    evaluation_steps,
)
from supermask.analysis.kinds.fields import TEXT, WHOLE, ColumnTypes, Parts
from supermask.analysis.kinds.layout import check_layers, check_mask, images_of
from supermask.analysis.kinds.learned_mask import OPTIMISERS
from supermask.analysis.kinds.leaves import decode_masks
from supermask.analysis.kinds.tasks import (
    FEW,
    FOUND,
    LEARNED,
    TaskMasks,
    network_of,
    numbers_of,
    outputs_of,
    task_of,
    training_seed,
    under,
    untrained,
    weights_on_data,
)
from supermask.analysis.store.identity import Description
from supermask.analysis.studies.experiment import Experiment, rates_by_layer, rates_of
from supermask.analysis.studies.protocols import Protocol
from supermask.analysis.studies.recipes import SETTINGS
from supermask.analysis.studies.rules import rules_of_criterion
from supermask.analysis.system.words import count
from supermask.bits import pack
from supermask.criteria import CRITERIA
from supermask.datasets import Dataset, Split
from supermask.evaluation import PlacedData, Scores
from supermask.intervals import TrainingConfig
from supermask.keys import Purpose, derive_key
from supermask.learned_masks import MaskJob, MaskTrainer, mask_optimiser
from supermask.mask_logits import rounded_masks
from supermask.mask_scores import EVALUATION_SAMPLES
from supermask.masks import Masks, full_masks, kept_counts, one_shot, rank_layers, weights_remaining
from supermask.networks import Params, kernels_of, shapes_of
from supermask.permuted_tasks import PermutedTask, onto_task
from supermask.restarts import scores_of
from supermask.training import Job, Trainer
from supermask.zoo import BUILT_IN, built_in

JUDGED = 250
"""Images for the evaluations while a mask is learned, each of eleven masks: more would take longer than the steps."""

CRITERION = CRITERIA["large_final_same_sign"]


Task = Wanted[TaskMasks]


class TaskMaskKind(Kind[TaskMasks]):
    """Masks of permuted tasks, rounded and moved back to their task: one result per task."""

    name, plural = "task_mask", "masks of tasks"
    run_types = (TaskMasks,)
    required = ("task.permuted", "task.number", "task.found", "task.outputs")
    parts: ClassVar[Parts] = {"task": {"permuted": TEXT, "number": WHOLE, "found": TEXT, "outputs": WHOLE}}
    column_types: ClassVar[ColumnTypes] = {"permuted": "text", "task": "whole", "found": "text"}
    metrics = ("weights_remaining", "test_accuracy", "test_loss", "validation_accuracy", "validation_loss")
    has_arrays = True

    def describe(self, experiment: Experiment, run: TaskMasks, seed: int) -> Sequence[Description]:
        """Describe how masks are found, and each task by its number, from which its permutation is drawn."""
        own: Description = {"weights": LEARNED.weights}
        if run.found == "learned":
            base = experiment.describe(self.name, seed, training_of(experiment), OPTIMISERS["adam"])
            own |= {"samples": EVALUATION_SAMPLES}
        else:
            base = experiment.describe(self.name, seed)
            own |= {"criterion": CRITERION.name, "levels": experiment.protocol.rounds}
            own |= rates_of(experiment) | rules_of_criterion(CRITERION)
        task = {"permuted": run.permuted, "found": run.found, "outputs": outputs_of(experiment)}
        return tuple(base | own | {"task": task | {"number": number}} for number in numbers_of(experiment, run))

    def group(self, run: TaskMasks) -> str:
        """Separate learned masks from trainings."""
        return f"tasks, {run.found}"

    def make(self, context: Context, runs: Sequence[TaskMasks]) -> None:
        """Learn the masks that the store lacks, then train networks and cut masks from them."""
        for found, make in (("learned", self._learn), ("cut", self._cut)):
            own = [run for run in runs if run.found == found]
            if missing := self.lacking(context, ((run, seed) for run in own for seed in context.experiment.seeds)):
                make(context, own, missing)

    def _learn(self, context: Context, runs: Sequence[TaskMasks], missing: Sequence[Task]) -> None:
        experiment, config = context.experiment, training_of(context.experiment)
        network, every = network_of(experiment), sum(len(numbers_of(experiment, run)) for run in runs)
        placement = context.placement(network, len(missing), every * len(experiment.seeds))
        optimiser = mask_optimiser("adam", config.learning_rate, config.steps)
        data, given = _with_few_judged(experiment.data), (config, placement, optimiser, context.checkpoints)
        key = (self.name, config, placement)
        trainer = context.bench.trainer(key, partial(MaskTrainer, network, data, *given))
        placed = context.bench.trainer((*key, "data"), partial(PlacedData, experiment.data, placement, network))
        told = context.steps(experiment.step_cost(config.batch_size))

        def learn(some: Sequence[Task]) -> list[Made]:
            tasks = [task_of(experiment, each.description, each.seed) for each in some]
            jobs = [
                MaskJob(
                    weights_on_data(experiment, each.seed, task), LEARNED, training_seed(each.description, each.seed)
                )
                for each, task in zip(some, tasks, strict=True)
            ]
            found = [rounded_masks(LEARNED.method, each.logits, {}) for each in trainer.train(jobs, told)]
            masks: list[Masks] = [{layer: np.asarray(mask) for layer, mask in each.items()} for each in found]
            starts = (untrained(experiment, job.initial) for job in jobs)
            networks = [under(start, own) for start, own in zip(starts, masks, strict=True)]
            scores = [placed.evaluate(networks, split) for split in (placed.test, placed.validation)]
            return [_made(experiment, *each) for each in zip(tasks, masks, *scores, strict=True)]

        self.make_wanted(context, missing, placement.slots, learn)

    def _cut(self, context: Context, runs: Sequence[TaskMasks], missing: Sequence[Task]) -> None:
        experiment, trainer = context.experiment, trainer_of(context)

        def cut(some: Sequence[Task]) -> list[Made]:
            tasks = [task_of(experiment, each.description, each.seed) for each in some]
            starts = [weights_on_data(experiment, each.seed, task) for each, task in zip(some, tasks, strict=True)]
            jobs = [
                Job(start, full_masks(kernels_of(start)), training_seed(each.description, each.seed))
                for each, start in zip(some, starts, strict=True)
            ]
            trained = trainer.train(jobs, context.steps())
            return [
                _made(experiment, task, *_best_cut(experiment, trainer, each.seed, job.params, outcome.params))
                for each, task, job, outcome in zip(some, tasks, jobs, trained, strict=True)
            ]

        self.make_wanted(context, missing, trainer.placement.slots, cut)

    def columns(self, description: Description) -> dict[str, Any]:
        """Return what the task permutes, its number, and how its mask was found."""
        task = description["task"]
        return {"permuted": task["permuted"], "task": task["number"], "found": task["found"]}

    def check_arrays(self, description: Description, arrays: Mapping[str, np.ndarray]) -> None:
        """Check a mask per layer."""
        images, task = images_of(description), description["task"]
        if description["network"] not in BUILT_IN or images is None:
            return
        params = shapes_of(built_in(description["network"], task["outputs"]), images[0])
        check_layers(arrays, "mask.", params)
        for layer, kernel in kernels_of(params).items():
            check_mask(arrays, f"mask.{layer}", kernel.size)

    def uses(self, run: TaskMasks) -> frozenset[str]:
        """Return the length of learning, or what the training and its levels depend on."""
        return frozenset({"task_epochs"} if run.found == "learned" else {"epochs", "rounds", "rates", *SETTINGS})

    def length(self, protocol: Protocol, runs: Sequence[TaskMasks]) -> str:
        """Return the epochs."""
        learned = f"masks of tasks learned for {count(protocol.tasks.epochs, 'epoch')}"
        cut = f"cut after {count(protocol.epochs, 'epoch')}"
        found = {run.found for run in runs}
        return ", ".join(words for name, words in zip(FOUND, (learned, cut), strict=True) if name in found)

    def work(self, experiment: Experiment, description: Description) -> float:
        """Return its steps and evaluations, which take as long as so few steps."""
        steps = description["steps"] * experiment.step_cost(description["batch_size"])
        return float(steps + evaluation_steps(experiment, self._looks(experiment, description)))

    def flops(self, experiment: Experiment, description: Description, forward: float) -> float:
        """Return the FLOPs of the training, and of evaluations of its mask or of those of every level."""
        looks = self._looks(experiment, description) * len(experiment.data.test)
        return forward * (3.0 * description["batch_size"] * description["steps"] + looks)

    def size(self, experiment: Experiment, description: Description, params: Params) -> float:
        """Return the bytes of a mask."""
        return RECORD_BYTES + FILE_BYTES + sum(kernel.size for kernel in kernels_of(params).values()) / 8

    def _looks(self, experiment: Experiment, description: Description) -> float:
        """Return evaluations beside the steps, in those of the test images."""
        validation, test = len(experiment.data.validation), len(experiment.data.test)
        if description["task"]["found"] == "cut":
            evaluations = 2 + description["steps"] // description["evaluate_every"] + description["levels"]
            return 3 + evaluations * validation / test
        judged = 4 * (1 + EVALUATION_SAMPLES) * min(JUDGED, validation)
        return 1 + (validation + judged) / test


TASK_MASKS = TaskMaskKind()


def training_of(experiment: Experiment) -> TrainingConfig:
    """Return the training of each task's mask, with epochs converted to steps."""
    tasks = experiment.protocol.tasks
    config = experiment.config(tasks.epochs, tasks.learning_rate, tasks.batch_size)
    return replace(config, evaluate_every=max(config.steps, 1))


def trainer_of(context: Context) -> Trainer:
    """Return the trainer of networks that masks are cut from, which also evaluates them."""
    experiment, network = context.experiment, network_of(context.experiment)
    every = (1 + 2 * FEW) * len(experiment.seeds)
    placement = context.placement(network, every, every)
    given = (network, experiment.data, experiment.training, placement)
    new = partial(Trainer, *given, checkpoints=context.checkpoints, recipe=experiment.protocol.recipe)
    return context.bench.trainer((TASK_MASKS.name, "cut", placement), new)


def encode(masks: Masks) -> dict[str, np.ndarray]:
    """Return the arrays of a mask."""
    return {f"mask.{layer}": pack(mask) for layer, mask in masks.items()}


def stored_masks(context: Context, run: TaskMasks, seed: int, number: int) -> list[tuple[PermutedTask, Masks]]:
    """Return the first tasks of a run, each with its stored mask."""
    experiment = context.experiment
    shapes = shapes_of(network_of(experiment), experiment.data.image_shape)
    return [
        (task_of(experiment, each.description, seed), decode_masks(context.store.arrays(each.id), "mask", shapes))
        for each in TASK_MASKS.results(experiment, run, seed)[:number]
    ]


def shared_by_tasks(experiment: Experiment, run: TaskMasks, seed: int) -> Description:
    """Return what describes the masks of a run's tasks alike, for results that are made of several."""
    first = TASK_MASKS.results(experiment, run, seed)[0].description
    return {name: part for name, part in first.items() if name != "task"}


def _with_few_judged(data: Dataset) -> Dataset:
    """Return the data with a few validation images for both evaluations of a training, which decide nothing."""
    few = Split(data.validation.images[:JUDGED], data.validation.labels[:JUDGED])
    return replace(data, validation=few, test=few, digest="")


def _made(experiment: Experiment, task: PermutedTask, masks: Masks, test: Scores, validation: Scores) -> Made:
    """Return the result of a mask that was found on the data: it is moved back to its task."""
    own: Masks = dict(onto_task(masks, task, network_of(experiment).dense_layers))
    scores = {"test": test, "validation": validation}
    metrics = {f"{split}_{name}": float(getattr(s, name)) for split, s in scores.items() for name in Scores._fields}
    return {"weights_remaining": weights_remaining(own)} | metrics, encode(own)


def _best_cut(
    experiment: Experiment, trainer: Trainer, seed: int, initial: Params, final: Params
) -> tuple[Masks, Scores, Scores]:
    """Return the criterion's mask at the level of highest validation accuracy, and its test and validation scores."""
    kernels, full = kernels_of(initial), full_masks(kernels_of(initial))
    ranks = rank_layers(
        derive_key(seed, Purpose.TIES), scores_of(CRITERION, kernels, kernels_of(final), full, None), full
    )
    sizes = {layer: kernel.size for layer, kernel in kernels.items()}
    counts = kept_counts(sizes, rates_by_layer(experiment), experiment.protocol.rounds)[1:]
    masks: list[Masks] = [{layer: np.asarray(mask) for layer, mask in one_shot(ranks, kept).items()} for kept in counts]
    network = untrained(experiment, initial)
    networks = [under(network, each) for each in masks]
    validation = trainer.evaluate(networks, experiment.data.validation)
    best = int(np.argmax([float(scores.accuracy) for scores in validation]))
    (test,) = trainer.evaluate([networks[best]])
    return masks[best], test, validation[best]
