"""A small study of permuted tasks: each mask does on its permuted data what is stored, and the others follow of it."""

from dataclasses import replace
from itertools import combinations

import jax.numpy as jnp
import numpy as np
import pytest

import supermask as sm
from supermask.analysis.kinds.leaves import decode_masks
from supermask.analysis.kinds.plan import missing_results
from supermask.analysis.kinds.superposition import BATCH, BATCHES, SUPERPOSITIONS, Superposed
from supermask.analysis.kinds.task_mask import TASK_MASKS
from supermask.analysis.kinds.task_pair import TASK_PAIRS, TaskPairs
from supermask.analysis.kinds.tasks import (
    FEW,
    PERMUTED,
    TaskMasks,
    network_of,
    task_of,
    training_seed,
    untrained_weights,
)
from supermask.analysis.running import runner
from supermask.analysis.store.store import Store
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.keys import batch_order
from supermask.networks import kernels_of, logits, pruned, with_kernels
from supermask.overlaps import overlap_by_units, overlap_of
from supermask.permuted_tasks import permute_images

RUNS = (
    *(TaskMasks(permuted, found) for found in ("learned", "cut") for permuted in PERMUTED),
    *(TaskPairs(permuted, found) for found in ("learned", "cut") for permuted in PERMUTED[1:]),
    Superposed(),
)


@pytest.fixture(scope="module")
def made(digits, small_network, tmp_path_factory):
    changes = Changes(dataset="digits", epochs=2, rounds=2, seeds=1, task_epochs=8)
    own = protocol("quick", changes=changes)
    own = replace(own, tasks=replace(own.tasks, outputs=30, superposed=(3, 6)))
    experiment = Experiment(own, digits, own_network=small_network)
    folder = tmp_path_factory.mktemp("results")
    with Store(folder) as store:
        runner.run(experiment, Study(RUNS), store)
    return experiment, folder


@pytest.fixture(scope="module")
def stored(made):
    """By run and seed: each task's permutation, mask, and metrics."""
    experiment, folder = made
    weights = untrained_weights(experiment, 0)
    with Store(folder) as store:
        return {
            (run, seed): [
                (
                    task_of(experiment, named.description, seed),
                    decode_masks(store.arrays(named.id), "mask", weights),
                    store.metrics(named.id),
                )
                for named in TASK_MASKS.results(experiment, run, seed)
            ]
            for run in RUNS
            if isinstance(run, TaskMasks)
            for seed in experiment.seeds
        }


def accuracy(experiment, seed, masks, task):
    """Of a mask on a task's images, as they are."""
    test = sm.permute_data(experiment.data, task).test
    params = pruned(untrained_weights(experiment, seed), masks)
    outputs = logits(network_of(experiment), params, jnp.asarray(test.images / np.float32(experiment.data.maximum)))
    return float((np.asarray(outputs).argmax(axis=1) == test.labels).mean())


def test_a_mask_does_on_its_task_what_is_stored(made, stored):
    experiment, _ = made
    assert {run.permuted: len(stored[run, 0]) for run in RUNS[:3]} == {"nothing": 1, "pixels": 6, "classes": FEW}
    assert len(stored[TaskMasks("pixels", "cut"), 0]) == FEW
    for (run, seed), tasks in stored.items():
        for task, masks, metrics in tasks[:2]:
            assert accuracy(experiment, seed, masks, task) == pytest.approx(metrics["test_accuracy"], abs=0.003), run
            kept = sum(mask.sum() for mask in masks.values()) / sum(mask.size for mask in masks.values())
            assert metrics["weights_remaining"] == pytest.approx(kept)
    learned = [metrics["test_accuracy"] for run in RUNS[:3] for _, _, metrics in stored[run, 0]]
    assert np.mean(learned) > 0.4, "far above chance"


def test_tasks_differ_in_what_they_permute_and_are_the_same_for_both_ways(stored):
    for permuted in PERMUTED:
        learned, cut = (stored[TaskMasks(permuted, found), 0] for found in ("learned", "cut"))
        for (one, *_), (other, *_) in zip(learned, cut, strict=False):
            np.testing.assert_array_equal(one.pixels, other.pixels)
            np.testing.assert_array_equal(one.classes, other.classes)
        orders = {(task.pixels.tobytes(), task.classes.tobytes()) for task, *_ in learned}
        assert len(orders) == len(learned)
        assert all((task.pixels == np.arange(64)).all() == (permuted != "pixels") for task, *_ in learned)
        assert all((task.classes == np.arange(10)).all() == (permuted != "classes") for task, *_ in learned)


def test_no_two_tasks_share_their_draws(made):
    experiment, _ = made
    described = [
        (each.description, seed)
        for permuted in PERMUTED
        for seed in (0, 1)
        for each in TASK_MASKS.results(experiment, TaskMasks(permuted), seed)
    ]
    assert len({training_seed(*each) for each in described}) == len(described)
    pixels = [TASK_MASKS.results(experiment, TaskMasks("pixels"), seed)[0].description for seed in (0, 1)]
    orders = [task_of(experiment, each, seed).pixels for seed, each in enumerate(pixels)]
    assert (orders[0] != orders[1]).any(), "a seed has its own"


@pytest.mark.parametrize("run", [run for run in RUNS if isinstance(run, TaskPairs)], ids=str)
def test_pairs_are_compared_and_tried_on_one_anothers_tasks(made, stored, run):
    experiment, folder = made
    seed = 0
    with Store(folder) as store:
        metrics = store.metrics(TASK_PAIRS.results(experiment, run, seed)[0].id)
    tasks = [*stored[TaskMasks(found=run.found), seed], *stored[TaskMasks(run.permuted, run.found), seed][:FEW]]
    pairs = list(combinations([masks for _, masks, _ in tasks], 2))
    assert metrics["overlap"] == pytest.approx(np.mean([overlap_of(*pair)[0] for pair in pairs]))
    assert metrics["overlap_by_chance"] == pytest.approx(np.mean([overlap_of(*pair)[1] for pair in pairs]))
    assert metrics["overlap_by_units"] == pytest.approx(np.mean([overlap_by_units(*pair) for pair in pairs]))
    found = [
        accuracy(experiment, seed, masks, task)
        for at, (_, masks, _) in enumerate(tasks)
        for place, (task, *_) in enumerate(tasks)
        if place != at
    ]
    assert metrics["test_accuracy"] == pytest.approx(np.mean(found), abs=0.002)


def test_tasks_are_inferred_batch_by_batch(made, stored):
    """By hand, for three tasks: a batch, its task inferred alone, and the answers under the inferred mask."""
    experiment, folder = made
    seed, number = 0, 3
    network, test, weights = network_of(experiment), experiment.data.test, untrained_weights(experiment, seed)
    with Store(folder) as store:
        named = SUPERPOSITIONS.results(experiment, Superposed(), seed)
        assert [each.description["superposition"]["tasks"] for each in named] == [3, 6]
        metrics = store.metrics(named[0].id)
    tasks = stored[TaskMasks("pixels"), seed][:number]
    masks = [own for _, own, _ in tasks]

    def apply(kernels, images):
        return logits(network, with_kernels(weights, kernels), images)

    superposition = sm.Superposition(apply, kernels_of(weights), masks)
    right, given, inferred = [], [], []
    for at, (task, own, _) in enumerate(tasks):
        for chosen in batch_order(at, len(test), BATCH, 0, BATCHES):
            images = permute_images(test.images[chosen], task) / np.float32(experiment.data.maximum)
            guess = superposition.infer(images)
            inferred.append(guess == at)
            for answers, mask in ((given, own), (right, masks[guess])):
                outputs = np.asarray(logits(network, pruned(weights, mask), jnp.asarray(images)))
                answers.append((outputs.argmax(axis=1) == test.labels[chosen]).mean())
    assert metrics["inference_accuracy"] == pytest.approx(np.mean(inferred))
    assert metrics["test_accuracy"] == pytest.approx(np.mean(right), abs=2e-3)
    assert metrics["test_accuracy_given"] == pytest.approx(np.mean(given), abs=2e-3)
    assert np.mean(inferred) > 0.9
    assert 0 < metrics["bytes_a_task"] <= metrics["bytes_at_one_bit"] == (64 * 40 + 40 * 20 + 20 * 30) / 8


@pytest.mark.thorough
def test_a_missing_mask_is_made_alone_and_the_same(made):
    experiment, folder = made
    with Store(folder) as store:
        assert missing_results(experiment, Study(RUNS), store) == 0
        for run in (TaskMasks("classes"), TaskMasks("classes", "cut")):
            victim = TASK_MASKS.results(experiment, run, 0)[2]
            before = store.metrics(victim.id), store.arrays(victim.id)
            store.remove(victim.id)
            runner.run(experiment, Study((run,)), store)
            assert store.metrics(victim.id) == before[0]
            for name, array in store.arrays(victim.id).items():
                np.testing.assert_array_equal(array, before[1][name])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: TaskMasks("rows"), "permuted is 'rows'; allowed: nothing, pixels, classes"),
        (lambda: TaskMasks(found="drawn"), "found is 'drawn'; allowed: learned, cut"),
        (lambda: TaskPairs("nothing"), "permuted is 'nothing'; allowed: pixels, classes"),
        (lambda: TaskPairs(found="drawn"), "found is 'drawn'"),
    ],
)
def test_other_tasks_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
