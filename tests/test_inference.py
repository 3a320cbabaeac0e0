"""Inference from the compressed form: every engine gives the decoded network's logits, and counts what it reads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from supermask.compression.inference import ENGINES, Runner
from supermask.compression.quantisation import expand, quantise
from supermask.keys import Purpose, derive_key
from supermask.lottery import initial_of
from supermask.masks import keep_best
from supermask.networks import NETWORKS, kernels_of, logits


@pytest.fixture(scope="module")
def quantised(small_network):
    """A tenth of the weights, four bits each, biases other than 0."""
    params = initial_of(small_network, 0, (8, 8, 1))
    masks = {}
    for index, (layer, kernel) in enumerate(kernels_of(params).items()):
        key = derive_key(index, Purpose.TIES)
        masks[layer] = np.asarray(keep_best(key, abs(kernel), np.ones(kernel.shape, bool), kernel.size // 10))
    biased = {n: leaves | {"bias": np.linspace(-0.5, 0.5, leaves["bias"].size)} for n, leaves in params.items()}
    biased = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), biased)
    return quantise(biased, masks, dict.fromkeys(masks, 4))


@pytest.mark.parametrize("engine", ENGINES)
def test_logits_are_those_of_the_decoded_network(engine, quantised, small_network, digits):
    if engine == "shared":
        pytest.importorskip("numba")
    images = (digits.test.images[:20] / digits.maximum).astype(np.float32)
    runner = Runner(quantised, engine)
    expected = logits(small_network, expand(quantised), jnp.asarray(images))
    found = np.stack([runner.logits(image) for image in images])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_work_is_counted_by_hand(quantised, digits):
    image = (digits.test.images[0] / digits.maximum).astype(np.float32)
    sizes = {layer: np.size(codes) for layer, codes in quantised.codes.items()}
    live = {layer: int(np.sum(mask)) for layer, mask in quantised.masks.items()}
    dense = Runner(quantised, "dense").cost(image, repeats=3)
    assert dense.products == sum(sizes.values())
    assert dense.bytes_read == 4 * sum(sizes.values())
    sparse = Runner(quantised, "sparse").cost(image, repeats=3)
    assert sparse.products == sum(live.values())
    assert sparse.bytes_read == 8 * sum(live.values()) + 4 * (40 + 20 + 10 + 3)
    assert dense.seconds > 0
    pytest.importorskip("numba")
    shared = Runner(quantised, "shared").cost(image, repeats=3)
    first = np.asarray(quantised.masks["hidden1"])[image.reshape(-1) != 0].sum()
    assert first < shared.products < sparse.products, "zeros of the image, and of hidden units, are skipped"
    assert shared.bytes_read < sparse.bytes_read
    blank = Runner(quantised, "shared").cost(np.zeros_like(image), repeats=1)
    assert blank.products < shared.products


def test_what_cannot_run_is_refused(quantised):
    with pytest.raises(ValueError, match="engine is 'chip'; allowed: 'dense', 'sparse', 'shared'"):
        Runner(quantised, "chip")
    params = initial_of(NETWORKS["lenet5"], 0, (28, 28, 1))
    masks = {layer: np.ones(kernel.shape, bool) for layer, kernel in kernels_of(params).items()}
    with pytest.raises(ValueError, match="quantised has convolutions"):
        Runner(quantise(params, masks, dict.fromkeys(masks, 2)), "dense")
