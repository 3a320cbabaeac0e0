"""Supermasks in superposition: scores are derivatives of the entropy, and known tasks are told apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import supermask as sm

TASKS, INPUTS, CLASSES = 5, 12, 3


def drawn(seed):
    """A network of nested parameters, and masks of its kernels; a bias is in all tasks."""
    keys = jax.random.split(jax.random.key(seed), 3 + 2 * TASKS)
    weights = {
        "body": [{"kernel": jax.random.normal(keys[0], (INPUTS, 8)), "bias": 0.1 * jnp.ones(8)}],
        "head": jax.random.normal(keys[1], (8, CLASSES)),
    }
    masks = [
        {
            "body": [{"kernel": jax.random.bernoulli(first, 0.5, (INPUTS, 8)), "bias": None}],
            "head": jax.random.bernoulli(second, 0.4, (8, CLASSES)),
        }
        for first, second in zip(keys[3 : 3 + TASKS], keys[3 + TASKS :], strict=True)
    ]
    return weights, masks, jax.random.uniform(keys[2], (4, 20, INPUTS))


def apply(weights, images):
    (body,) = weights["body"]
    return jax.nn.relu(images @ body["kernel"] + body["bias"][None]) @ weights["head"]


def test_weights_lie_under_the_mean_of_the_masks():
    weights, masks, _ = drawn(0)
    mean = sm.superpose(weights, masks)
    share = np.mean([mask["head"] for mask in masks], axis=0)
    np.testing.assert_allclose(mean["head"], weights["head"] * share, rtol=1e-6)
    assert mean["body"][0]["bias"] is weights["body"][0]["bias"], "what is not masked stays"
    third = sm.superpose(weights, masks, np.eye(TASKS)[2])
    np.testing.assert_array_equal(
        third["body"][0]["kernel"], weights["body"][0]["kernel"] * masks[2]["body"][0]["kernel"]
    )


def test_scores_are_minus_the_derivatives_of_the_entropy():
    """Against JAX's own derivative with respect to the coefficients, for several batches."""
    weights, masks, batches = drawn(1)

    def entropy(mixture, images):
        p = jax.nn.softmax(apply(sm.superpose(weights, masks, mixture), images))
        return -(p * jnp.log(p)).sum(axis=1).mean()

    scores = sm.Superposition(apply, weights, masks).scores(batches)
    assert scores.shape == (4, TASKS)
    for images, own in zip(batches, scores, strict=True):
        expected = -jax.grad(entropy)(jnp.full(TASKS, 1 / TASKS), images)
        np.testing.assert_allclose(own, expected, rtol=1e-4, atol=1e-6)


def test_masks_are_multiplied_in_parts_of_any_size(monkeypatch):
    weights, masks, batches = drawn(2)
    whole = sm.Superposition(apply, weights, masks).scores(batches)
    monkeypatch.setattr("supermask.superposition.TOGETHER", 2)
    np.testing.assert_allclose(sm.Superposition(apply, weights, masks).scores(batches), whole, rtol=1e-6)


def test_a_task_is_inferred_wherever_its_mask_stands():
    """Each task lights inputs of its own, and its mask keeps their weights alone: the answers are sure under it."""
    weights = {"kernel": 3 * jax.random.rademacher(jax.random.key(0), (INPUTS, CLASSES), jnp.float32)}
    blocks = np.arange(INPUTS)[:, None] // (INPUTS // 4) == np.arange(4)
    masks = [{"kernel": np.repeat(blocks[:, task : task + 1], CLASSES, axis=1)} for task in range(4)]
    answer = lambda weights, images: images @ weights["kernel"]  # noqa: E731
    random = np.random.default_rng(0)
    for order in ([0, 1, 2, 3], [2, 0, 3, 1]):
        for place, task in enumerate(order):
            images = jnp.asarray(random.random((30, INPUTS)) * blocks[:, task], jnp.float32)
            assert sm.infer_task(answer, weights, [masks[each] for each in order], images) == place


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda weights, masks: sm.superpose(weights, []), "masks is empty; allowed: one mask or more"),
        (lambda weights, masks: sm.Superposition(apply, weights, []), "masks is empty"),
        (lambda weights, masks: sm.infer_task(apply, weights, masks, jnp.ones((0, INPUTS))), "images has none"),
        (
            lambda weights, masks: sm.infer_task(apply, weights, masks, jnp.full((2, INPUTS), jnp.nan)),
            "not finite, so that no score is highest",
        ),
        (lambda weights, masks: sm.superpose(weights, masks, jnp.ones(2)), r"mixture has shape \(2,\) for 5 masks"),
        (lambda weights, masks: sm.Superposition(apply, weights, [{"head": masks[0]["head"]}]), "pytrees differ"),
        (
            lambda weights, masks: sm.infer_task(
                apply, weights, [masks[0], {**masks[1], "head": None}], jnp.ones((2, INPUTS))
            ),
            r"masks\[1\] masks body/0/kernel; allowed: the same leaves as masks\[0\], body/0/kernel, head",
        ),
        (
            lambda weights, masks: sm.superpose(weights, [{**masks[0], "head": masks[0]["head"] * 1.0}]),
            "mask of head is float32",
        ),
    ],
)
def test_masks_that_do_not_fit_are_refused(call, words):
    weights, masks, _ = drawn(0)
    with pytest.raises(ValueError, match=words):
        call(weights, masks)
