"""Steps on live weights alone: as the dense path takes them, but for rounding, and the same bits wherever they run."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numba
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supermask.datasets import Dataset, Split
from supermask.evaluation import Examples, cross_entropy, evaluate, scaled
from supermask.keys import batch_order
from supermask.live_weights import Adam, Engine, Momentum, engine, kernels, live_masks, optimisers, rows
from supermask.masks import weights_remaining
from supermask.networks import NETWORKS, FeedForward, initialise, with_kernels
from supermask.params import masked_update

OPTIMISERS = {
    "adam": (Adam(3e-3), optax.adam(3e-3)),
    "momentum": (
        Momentum(lambda steps: 0.05 * 0.99**steps, 0.9, 1e-3),
        optax.chain(optax.add_decayed_weights(1e-3), optax.sgd(optax.exponential_decay(0.05, 1, 0.99), momentum=0.9)),
    ),
}


def pruned(network, data, kept, seed: int = 0):
    """A random network with random masks, `kept` of each layer; its pruned weights are 0, or -0."""
    random = np.random.default_rng(seed)
    sizes, params, masks = (int(np.prod(data.image_shape)), *network.hidden, network.classes), {}, {}
    for layer, shape in zip(network.dense_layers, pairwise(sizes), strict=True):
        kernel = (random.normal(size=shape) * np.sqrt(2 / sum(shape))).astype(np.float32)
        masks[layer] = random.random(shape) < kept
        params[layer] = {"kernel": np.where(masks[layer], kernel, 0 * kernel), "bias": np.zeros(shape[1], np.float32)}
    return params, masks


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_hundred_steps_are_those_of_the_dense_path(digits, small_network, name):
    ours, dense = OPTIMISERS[name]
    start, masks = pruned(small_network, digits, 0.2)
    engine = Engine(small_network, digits, 60, ours)
    live = engine.begin(start, masks)

    @jax.jit
    def step(params, state, images, labels):
        pixels = scaled(images, digits.maximum)
        grads = jax.grad(lambda p: cross_entropy(small_network, p, pixels, labels))(params)
        updates, state = dense.update(grads, state, params)
        return masked_update(params, updates, on_device), state

    params, state, on_device = start, dense.init(start), jax.tree.map(jnp.asarray, masks)
    validation = Examples(digits.validation.images, digits.validation.labels)
    for taken, batch in enumerate(batch_order(3, len(digits.train), 60, 0, 100)):
        scores = engine.advance(live, batch[None], taken)
        params, state = step(params, state, digits.train.images[batch], digits.train.labels[batch])
        found = engine.params(live)
        tolerance = 2e-6 * (1 + taken) if name == "adam" else 1e-6
        for layer, leaves in params.items():
            for leaf, expected in leaves.items():
                np.testing.assert_allclose(found[layer][leaf], expected, atol=tolerance)
        if taken % 20 == 19:
            expected = evaluate(small_network, params, validation, digits.maximum)
            np.testing.assert_allclose(scores.loss, expected.loss, rtol=1e-5)
            assert abs(scores.accuracy - expected.accuracy) < 1.5 / len(digits.validation)
    for layer, mask in masks.items():
        before, after = np.asarray(start[layer]["kernel"]), found[layer]["kernel"]
        assert after[~mask].tobytes() == before[~mask].tobytes(), "to the bit, the sign of a zero included"
        assert np.signbit(before[~mask]).any()
        assert (after[mask] != before[mask]).mean() > 0.8, "all but those of pixels that are always 0"


def dense_step(params, layers, masks, images, labels, rate: float):
    """One step of plain SGD in double precision."""
    acts, sums = [images], []
    for layer in layers:
        sums.append(acts[-1] @ params[layer]["kernel"].astype(float) + params[layer]["bias"])
        acts.append(np.maximum(sums[-1], 0))
    shifted = np.exp(sums[-1] - sums[-1].max(axis=1, keepdims=True))
    delta = (shifted / shifted.sum(axis=1, keepdims=True) - np.eye(shifted.shape[1])[labels]) / len(labels)
    moved = {}
    for index, layer in reversed(list(enumerate(layers))):
        kernel, bias = params[layer]["kernel"], params[layer]["bias"]
        moved[layer] = {
            "kernel": np.where(masks[layer], kernel - rate * acts[index].T @ delta, kernel),
            "bias": bias - rate * delta.sum(axis=0),
        }
        delta = (delta @ kernel.T) * (acts[index] > 0)
    return moved


def sums_of(params, layers, images):
    """Logits in double precision."""
    for layer in layers:
        images = images @ params[layer]["kernel"].astype(float) + params[layer]["bias"]
        if layer != layers[-1]:
            images = np.maximum(images, 0)
    return images


def small_data(shape, classes: int, seed: int) -> Dataset:
    """Random images of any shape: 37 to train on, and splits that fill no block."""
    random = np.random.default_rng(seed)

    def split(size: int) -> Split:
        images = random.integers(0, 200, (size, *shape)).astype(np.uint8)
        return Split(images, random.integers(0, classes, size).astype(np.int32))

    return Dataset("random", split(37), split(21), split(70), 200, classes, "", "")


@settings(max_examples=12)
@given(
    st.lists(st.integers(1, 30), max_size=3),
    st.sampled_from([(8, 8, 1), (5, 7, 1), (1, 3, 1), (4, 4, 3)]),
    st.sampled_from([1, 16, 60, 64, 100, 128]),  # blocks of 16 and of 64: each is compiled for itself
    st.sampled_from([0.0, 0.02, 0.2, 0.7, 1.0]),
    st.integers(2, 12),
    st.integers(0, 1000),
)
def test_any_network_takes_the_step_of_double_precision(hidden, shape, batch_size, kept, classes, seed):
    """Depths, widths, empty layers and rows, dead units, short images, batches of one block and of several."""
    data, network = small_data(shape, classes, seed), FeedForward(hidden=tuple(hidden), classes=classes)
    params, masks = pruned(network, data, kept, seed)
    random, layers = np.random.default_rng(seed), network.dense_layers
    biases = {layer: random.normal(0, 0.3, params[layer]["bias"].shape).astype(np.float32) for layer in layers}
    params = {layer: {"kernel": params[layer]["kernel"], "bias": biases[layer]} for layer in layers}
    if hidden:  # a hidden unit that nobody reads
        masks["output"][0] = False
        params["output"]["kernel"] = np.where(masks["output"], params["output"]["kernel"], np.float32(0))
    engine = Engine(network, data, batch_size, Momentum(0.5, 0.0))
    live = engine.begin(params, masks)
    expected = params
    for taken, batch in enumerate(random.integers(0, 37, (3, batch_size)).astype(np.int32)):
        images = data.train.images[batch].reshape(batch_size, -1) / 200
        expected = dense_step(expected, layers, masks, images, data.train.labels[batch], 0.5)
        scores = engine.advance(live, batch[None], taken)
    found = engine.params(live)
    for layer in layers:
        for leaf in ("kernel", "bias"):
            np.testing.assert_allclose(found[layer][leaf], expected[layer][leaf], atol=2e-5)
    for split, seen in ((data.validation, scores), (data.test, engine.test(live))):
        logits, rows = sums_of(found, layers, split.images.reshape(len(split), -1) / 200), np.arange(len(split))
        top = logits.max(axis=1)
        losses = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top - logits[rows, split.labels]
        np.testing.assert_allclose(seen.loss, losses.mean(), rtol=1e-5, atol=1e-6)
        ties = np.sort(logits, axis=1)[:, -2] > top - 1e-5
        assert abs(seen.accuracy - (logits.argmax(axis=1) == split.labels).mean()) <= (ties.sum() + 1e-4) / len(split)


def test_bits_do_not_depend_on_threads_or_neighbours(digits, small_network):
    engine = Engine(small_network, digits, 60, Adam(3e-3))
    starts = [pruned(small_network, digits, kept, seed) for seed, kept in enumerate((0.02, 0.3, 0.3, 1.0))]
    order = batch_order(1, len(digits.train), 60, 0, 30)

    def bits(start) -> bytes:
        live = engine.begin(*start)
        scores = [engine.advance(live, order[at : at + 10], at) for at in (0, 10, 20)]
        return live.state.params.tobytes() + live.state.moments.tobytes() + np.array(scores).tobytes()

    alone = [bits(start) for start in starts]
    for threads in (2, 4):
        with ThreadPoolExecutor(threads) as pool:
            assert list(pool.map(bits, starts)) == alone
    live = engine.begin(*starts[1])
    engine.advance(live, order, 0)
    assert live.state.params.tobytes() + live.state.moments.tobytes() == alone[1][: -6 * 4], "cut into other intervals"


def test_a_network_that_diverged_reads_what_the_dense_path_reads(digits):
    """Logits of NaN and of ±∞: the loss is NaN, and the first NaN is the largest."""
    network = FeedForward(hidden=())
    start, masks = pruned(network, digits, 1.0)
    engine, validation = Engine(network, digits, 60, Adam(1e-3)), Examples(*vars(digits.validation).values())
    for broken in ([np.nan] * 10, [0, np.inf, np.nan] + [0] * 7, [0, 0, np.inf] + [0] * 7, [0] * 10):
        params = {"output": {"kernel": start["output"]["kernel"], "bias": np.array(broken, np.float32)}}
        expected = evaluate(network, params, validation, digits.maximum)
        live = engine.begin(params, masks)
        found = engine.advance(live, np.zeros((0, 60), np.int32), 0)
        np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-5)
        np.testing.assert_allclose(found.accuracy, expected.accuracy, atol=1e-6)
    params = {"output": {"kernel": start["output"]["kernel"], "bias": np.array([np.nan] * 10, np.float32)}}
    live = engine.begin(params, masks)
    engine.advance(live, np.zeros((1, 60), np.int32), 0)
    assert np.isnan(live.state.params[: masks["output"].size]).any(), "NaN goes on in a step"


def test_which_networks_can_be_trained_on_live_weights(digits, small_network):
    params, masks = pruned(small_network, digits, 0.3)
    found = live_masks(small_network, params, masks)
    assert found is not None
    assert weights_remaining(found) == pytest.approx(0.3, abs=0.03)
    without = {layer: mask for layer, mask in masks.items() if layer != "output"}
    dense_output = live_masks(small_network, params, without)
    assert dense_output is not None
    assert dense_output["output"].all()
    for frozen in (0.1, np.nan):
        kernel = np.where(masks["hidden2"], params["hidden2"]["kernel"], np.float32(frozen))
        assert live_masks(small_network, with_kernels(params, {"hidden2": kernel}), masks) is None

    class Own(FeedForward):
        pass

    assert live_masks(Own(hidden=(40, 20)), params, masks) is None
    conv = NETWORKS["lenet5"]
    assert live_masks(conv, initialise(conv, jax.random.key(0), (28, 28, 1)), {}) is None


def test_the_engine_refuses_what_it_cannot_train(digits, small_network, unchecked):
    with pytest.raises(ValueError, match="network has convolutions"):
        Engine(NETWORKS["lenet5"], digits, 60, Adam(1e-3))
    with pytest.raises(ValueError, match="batch_size is 0; allowed: 1 or more"):
        Engine(small_network, digits, 0, Adam(1e-3))
    with pytest.raises(ValueError, match="label"):
        Engine(FeedForward(hidden=(4,), classes=9), digits, 60, Adam(1e-3))


def test_machine_code_is_kept_by_the_content_of_its_sources(monkeypatch):
    """A cell that the functions close over is part of their key in numba's cache, and where there is none they work."""
    for function in (kernels.interval, kernels.pack_split):
        assert [cell.cell_contents for cell in function.py_func.__closure__] == [kernels.SOURCES]
        assert kernels.SOURCES[:16] in function.py_func.__qualname__, "numba reads no other version's types"
    made_of = {name for name, part in vars(kernels).items() if getattr(part, "__module__", "").startswith("supermask.")}
    modules = {getattr(kernels, name).__module__ for name in made_of}
    digested = {f"{kernels.__package__}.{file.removesuffix('.py')}" for file in kernels._FILES}
    assert modules <= digested, "what SOURCES is the digest of"
    types = (optimisers.Rule, engine.State, engine.Packed, engine._Data, engine._Work, rows.Rows)
    assert {each.__module__ for each in types} <= digested

    real = numba.njit

    def nowhere(*args, cache: bool = False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available for file")
        return real(*args, **options)

    monkeypatch.setattr(kernels, "numba", SimpleNamespace(njit=nowhere))
    assert kernels.kept(lambda x: x + 1)(2) == 3


def test_blocks_are_as_few_and_as_short_as_they_can_be(digits, small_network):
    lengths = {1: 1, 16: 1, 17: 2, 33: 3, 60: 4, 64: 4, 65: 3, 100: 4, 128: 4, 130: 3, 250: 4}
    for batch_size, sixteens in lengths.items():
        assert len(Engine(small_network, digits, batch_size, Adam(1e-3)).block) == sixteens
    assert all(a < b for a, b in pairwise(lengths))
