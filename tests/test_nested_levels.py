"""Sums that grow from level to level: the masked network's scores, and the same bits whatever is asked beside them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supermask.datasets import Split
from supermask.masks import one_shot
from supermask.nested_levels import LANES, evaluate_nested, sums_of
from supermask.networks import FeedForward, kernels_of


def drawn(network, shape, seed):
    """Parameters with biases, and a random ranking of every layer."""
    random = np.random.default_rng(seed)
    sizes = (math.prod(shape), *network.hidden, 10)
    params = {
        name: {
            "kernel": (random.normal(size=(inputs, units)) / math.sqrt(inputs)).astype(np.float32),
            "bias": random.normal(size=units).astype(np.float32),
        }
        for name, inputs, units in zip(network.dense_layers, sizes, sizes[1:], strict=False)
    }
    ranks = {n: random.permutation(k.size).reshape(k.shape).astype(np.int32) for n, k in kernels_of(params).items()}
    return params, ranks


def images_of(shape, size, seed):
    """Random images with labels of ten classes."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (size, *shape), dtype=np.uint8)
    return Split(images, random.integers(0, 10, size).astype(np.int32))


def scores_by_hand(network, params, masks, split):
    """Loss and accuracy of the masked network, in double precision."""
    values = split.images.reshape(len(split), -1) / 255.0
    *hidden, output = network.dense_layers
    layer = lambda name: values @ np.where(masks[name], params[name]["kernel"], 0.0) + params[name]["bias"]  # noqa: E731
    for name in hidden:
        values = np.maximum(layer(name), 0)
    logits = layer(output)
    of_label = logits[np.arange(len(split)), split.labels]
    loss = np.log(np.exp(logits).sum(axis=1)) - of_label
    return loss.mean(), (logits.argmax(axis=1) == split.labels).mean()


@given(
    hidden=st.lists(st.integers(1, 12), max_size=3),
    size=st.integers(1, 2 * LANES + 3),
    parts=st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
def test_scores_are_the_masked_networks(hidden, size, parts, seed):
    """Any depth, any number of images, levels in any order, different in every layer, from no weight to all of them."""
    network, shape = FeedForward(hidden=tuple(hidden)), (3, 4, 1)
    params, ranks = drawn(network, shape, seed)
    split = images_of(shape, size, seed)
    sizes = [(name, ranks[name].size) for name in network.dense_layers]
    levels = [{name: round(part * n) for (name, n), part in zip(sizes, level, strict=False)} for level in parts]
    found = evaluate_nested(network, params, ranks, levels, split, 255, threads=2)
    for level, score in zip(levels, found, strict=True):
        expected = scores_by_hand(network, params, one_shot(ranks, level), split)
        np.testing.assert_allclose(score, expected, rtol=2e-5, atol=1e-6)


def test_a_level_is_the_same_bits_alone_among_others_and_on_any_number_of_threads(digits):
    network = FeedForward(hidden=(30, 20))
    params, ranks = drawn(network, digits.image_shape, 0)
    levels = [{name: int(part * rank.size) for name, rank in ranks.items()} for part in (1, 0.5, 0.41, 0.4, 0.03, 0)]
    together = evaluate_nested(network, params, ranks, levels, digits.test, digits.maximum, 2)
    alone = [evaluate_nested(network, params, ranks, [each], digits.test, digits.maximum, 1)[0] for each in levels]
    assert together == alone
    assert evaluate_nested(network, params, ranks, levels[::-1], digits.test, digits.maximum, 3) == together[::-1]


def test_a_layer_without_ranks_is_dense(digits):
    network = FeedForward(hidden=(30, 20))
    params, ranks = drawn(network, digits.image_shape, 0)
    some = {"hidden1": ranks["hidden1"]}
    found = evaluate_nested(network, params, some, [{"hidden1": 100}], digits.test, digits.maximum, 1)
    full = {name: rank.size for name, rank in ranks.items()}
    expected = evaluate_nested(network, params, ranks, [full | {"hidden1": 100}], digits.test, digits.maximum, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_every_weight_stands_with_its_unit_in_the_order_of_ranks():
    random = np.random.default_rng(0)
    kernel, ranks = random.normal(size=(7, 5)).astype(np.float32), random.permutation(35).reshape(7, 5)
    counts = [35, 20, 0, 20, 3]
    sums = sums_of(kernel, np.zeros(5, np.float32), ranks, counts)
    for unit in range(5):
        start = sums.starts[unit, 0]
        for level, count in enumerate(counts):
            end = sums.starts[unit, sums.place[level]]
            kept = sorted(np.flatnonzero(ranks[:, unit] < count), key=lambda each: ranks[each, unit])
            np.testing.assert_array_equal(sums.inputs[start:end], kept)
            np.testing.assert_array_equal(sums.weights[start:end], kernel[kept, unit])


def test_convolutions_are_refused():
    network = FeedForward(conv_pairs=(4,))
    with pytest.raises(ValueError, match="has convolutions, or code of its own; allowed: a FeedForward of dense"):
        evaluate_nested(network, {}, {}, [], images_of((8, 8, 1), 1, 0), 255, 1)


@pytest.mark.parametrize("ranks", [[[0], [0]], [[1], [2]], [[-1], [0]]])
def test_ranks_that_are_no_order_are_refused(ranks):
    with pytest.raises(ValueError, match="ranks leave out a number; allowed: each of 0 to 1, once"):
        sums_of(np.ones((2, 1), np.float32), np.ones(1, np.float32), np.array(ranks), [1])
