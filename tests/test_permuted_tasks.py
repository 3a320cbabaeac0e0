"""Permuted tasks: data by hand, kernels that do the same, and a training that is the same on either."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import supermask as sm
from supermask import mask_logits
from supermask.datasets import from_arrays
from supermask.learned_masks import LearnedMask, MaskJob, MaskTrainer
from supermask.lottery import initial_of
from supermask.networks import FeedForward, initialise, kernels_of, logits, with_kernels
from supermask.permuted_tasks import permute_images
from supermask.population import place
from supermask.training import TrainingConfig

LAYERS = ("hidden1", "output")
NETWORK = FeedForward(hidden=(9,), classes=5)
TASK = sm.PermutedTask(np.array([3, 0, 1, 2]), np.array([1, 2, 0]))


@pytest.fixture
def small():
    """Six images of 2×2 pixels and three classes."""
    images = np.arange(24, dtype=np.uint8).reshape(6, 2, 2)
    labels = np.array([0, 1, 2, 0, 1, 2])
    pair = (images, labels)
    return from_arrays(pair, pair, validation=pair, name="small", class_names=("ant", "bee", "cow"))


def test_pixels_and_classes_go_where_the_task_says(small):
    moved = sm.permute_data(small, TASK)
    assert moved.train.images[1].ravel().tolist() == [7, 4, 5, 6]
    assert moved.train.labels.tolist() == [1, 2, 0, 1, 2, 0]
    assert moved.class_names == ("cow", "ant", "bee"), "class 0 is now called what class 2 was"
    assert moved.image_shape == small.image_shape
    assert moved.digest != small.digest
    assert moved.name == f"{small.name}-permuted-{moved.digest[:8]}"
    assert moved.source == f"{small.source}; permuted pixels and classes"
    assert sm.permute_data(small, TASK._replace(classes=np.arange(3))).source.endswith("; permuted pixels")
    same = sm.permute_data(small, sm.PermutedTask(np.arange(4), np.arange(3)))
    assert (same.digest, same.source) == (small.digest, f"{small.source}; nothing permuted")


def test_what_is_not_permuted_stays_in_order():
    key = jax.random.key(3)
    pixels, classes, both, nothing = (
        sm.permuted_task(key, 40, 7, permute_pixels=one, permute_classes=other)
        for one, other in ((True, False), (False, True), (True, True), (False, False))
    )
    for task in (pixels, classes, both, nothing):
        assert [np.sort(order).tolist() for order in task] == [[*range(40)], [*range(7)]]
    np.testing.assert_array_equal(pixels.pixels, both.pixels)
    np.testing.assert_array_equal(classes.classes, both.classes)
    assert pixels.pixels.tolist() != [*range(40)]
    assert classes.classes.tolist() != [*range(7)]
    for order, task in ((pixels.classes, 7), (classes.pixels, 40), (nothing.pixels, 40), (nothing.classes, 7)):
        assert order.tolist() == [*range(task)]
    assert sm.permuted_task(jax.random.key(4), 40, 7).pixels.tolist() != pixels.pixels.tolist()


@settings(max_examples=10)
@given(st.integers(0, 2**31 - 1))
def test_permuted_kernels_do_on_the_data_what_kernels_do_on_the_task(seed):
    task = sm.permuted_task(jax.random.key(seed), 16, 5, permute_classes=True)
    params = initialise(NETWORK, jax.random.key(seed), (4, 4, 1))
    kernels = kernels_of(params)
    images = np.random.default_rng(seed).random((11, 4, 4, 1), np.float32)
    moved = sm.onto_data(kernels, task, LAYERS)
    on_task = logits(NETWORK, params, jnp.asarray(permute_images(images, task)))
    on_data = logits(NETWORK, with_kernels(params, moved), jnp.asarray(images))
    np.testing.assert_allclose(on_data, np.asarray(on_task)[:, task.classes], rtol=1e-5, atol=1e-6)
    for layer, kernel in sm.onto_task(moved, task, LAYERS).items():
        np.testing.assert_array_equal(kernel, kernels[layer])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda data: sm.permute_data(data, TASK._replace(pixels=np.arange(5))), "pixels of the task is no order of 4"),
        (lambda data: sm.permute_data(data, TASK._replace(classes=np.array([0, 0, 1]))), "classes of the task is no"),
        (lambda data: sm.permuted_task(jax.random.key(0), 0, 3), "inputs is 0; allowed: 1 or more"),
        (lambda data: sm.permuted_task(0, 4, 3), r"key is 0; allowed: jax\.random\.key"),
        (lambda data: sm.onto_data({"a": np.ones((4, 3))}, TASK, ("b",)), "allowed: some of a, the output layer last"),
        (lambda data: sm.onto_data({"a": np.ones((4, 3))}, TASK, ()), "allowed: some of a"),
        (lambda data: sm.onto_data({"a": np.ones((3, 3, 1, 4))}, TASK, ("a",)), "allowed: dense"),
        (lambda data: sm.onto_task({"a": np.ones((5, 3))}, TASK, ("a",)), "pixels of the task is no order of 5"),
        (lambda data: sm.onto_task({"a": np.ones((4, 2))}, TASK, ("a",)), "a has 2 outputs; allowed: 3 or more"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_permuted_is_refused(small, call, words):
    with pytest.raises(ValueError, match=words):
        call(small)


def test_one_layer_has_both_rows_and_columns_permuted():
    kernel = np.arange(12).reshape(4, 3)
    moved = sm.onto_data({"a": kernel}, TASK, ("a",))["a"]
    assert moved.tolist() == kernel[np.ix_(np.argsort(TASK.pixels), TASK.classes)].tolist()


def test_outputs_beyond_the_classes_stay():
    kernel = np.arange(20).reshape(4, 5)
    moved = sm.onto_data({"a": kernel}, TASK, ("a",))["a"]
    assert moved[0].tolist() == [6, 7, 5, 8, 9], "row 1 of the task's first pixel, and classes 1, 2, 0"
    assert sm.onto_task({"a": moved}, TASK, ("a",))["a"].tolist() == kernel.tolist()


@pytest.mark.thorough
def test_learning_on_permuted_weights_is_learning_on_permuted_data(digits, small_network, monkeypatch):
    """The same logits, up to rounding, where both draw the same: here every draw keeps the weights that logits say.

    Otherwise a draw falls on another weight of a row that was moved, and is as good as the other's. On initial weights,
    because signed constants sum to exactly 0 here and there, where rounding decides of a ReLU.
    """
    monkeypatch.setattr(mask_logits, "random_bits", lambda key, shape: jnp.full(shape, (1 << 15) - 1, jnp.uint16))
    task = sm.permuted_task(jax.random.key(5), 64, 10, permute_classes=True)
    config = TrainingConfig(4, 100.0, batch_size=50, evaluate_every=4)
    initial = initial_of(small_network, 3, digits.image_shape)
    layers = small_network.dense_layers
    moved = with_kernels(initial, dict(sm.onto_data(kernels_of(initial), task, layers)))
    learned = LearnedMask()
    outcomes = []
    for data, start in ((sm.permute_data(digits, task), initial), (digits, moved)):
        trainer = MaskTrainer(small_network, replace(data, name="either"), config, place(4000, networks=1))
        outcomes += trainer.train([MaskJob(start, learned, seed=7)])
    on_task, on_data = outcomes
    back = sm.onto_task(on_data.logits, task, layers)
    for layer, own in on_task.logits.items():
        assert np.ptp(own) > 0.05, "it learned"
        np.testing.assert_allclose(back[layer], own, atol=1e-5)
    for split in ("test", "validation"):
        one, other = (getattr(each, f"{split}_at_early_stop") for each in outcomes)
        np.testing.assert_allclose(one.loss, other.loss, rtol=1e-5)
        assert float(one.rounded_accuracy) == pytest.approx(float(other.rounded_accuracy), abs=0.005)
