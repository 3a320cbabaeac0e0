"""Inference from the compressed form: every engine gives the decoded network's logits, and counts what it reads."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from supermask.analysis.command.cli import run_command
from supermask.analysis.command.inferring import one_core
from supermask.compression.file import compress
from supermask.compression.inference import ENGINES, InferenceEngine
from supermask.compression.quantisation import expand, quantise
from supermask.figures.catalogue import CATALOGUE
from supermask.keys import Purpose, derive_key
from supermask.lottery import initial_of
from supermask.masks import keep_best
from supermask.networks import NETWORKS, kernels_of, logits


def compressed_draw(network, shape, bits=4):
    """A tenth of the weights of an initial draw, biases other than 0."""
    params = initial_of(network, 0, shape)
    masks = {}
    for index, (layer, kernel) in enumerate(kernels_of(params).items()):
        key = derive_key(index, Purpose.TIES)
        masks[layer] = np.asarray(keep_best(key, abs(kernel), np.ones(kernel.shape, bool), kernel.size // 10))
    biased = {n: leaves | {"bias": np.linspace(-0.5, 0.5, leaves["bias"].size)} for n, leaves in params.items()}
    biased = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), biased)
    return quantise(biased, masks, dict.fromkeys(masks, bits))


@pytest.fixture(scope="module")
def quantised(small_network):
    """A small one, of four bits a weight."""
    return compressed_draw(small_network, (8, 8, 1))


@pytest.mark.parametrize("engine", ENGINES)
def test_logits_are_those_of_the_decoded_network(engine, quantised, small_network, digits):
    images = (digits.test.images[:20] / digits.maximum).astype(np.float32)
    runner = InferenceEngine(quantised, engine)
    expected = logits(small_network, expand(quantised), jnp.asarray(images))
    found = np.stack([runner.logits(image) for image in images])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_work_is_counted_by_hand(quantised, digits):
    image = (digits.test.images[0] / digits.maximum).astype(np.float32)
    sizes = {layer: np.size(codes) for layer, codes in quantised.codes.items()}
    live = {layer: int(np.sum(mask)) for layer, mask in quantised.masks.items()}
    dense = InferenceEngine(quantised, "dense").cost(image, repeats=3)
    assert dense.products == sum(sizes.values())
    assert dense.bytes_read == 4 * sum(sizes.values())
    sparse = InferenceEngine(quantised, "sparse").cost(image, repeats=3)
    assert sparse.products == sum(live.values())
    assert sparse.bytes_read == 8 * sum(live.values()) + 4 * (40 + 20 + 10 + 3)
    assert dense.seconds > 0
    shared = InferenceEngine(quantised, "shared").cost(image, repeats=3)
    assert 0 < shared.products < sparse.products, "zeros of the image, and of hidden units, are skipped"
    decoded, x, read = expand(quantised), image.reshape(-1), {}
    for layer in ("hidden1", "hidden2", "output"):
        read[layer] = np.asarray(quantised.masks[layer])[x != 0].sum()
        x = np.maximum(x @ np.asarray(decoded[layer]["kernel"]) + np.asarray(decoded[layer]["bias"]), 0)
    assert shared.products == sum(read.values())
    assert shared.bytes_read < sparse.bytes_read
    blank = InferenceEngine(quantised, "shared").cost(np.zeros_like(image), repeats=1)
    assert blank.products < shared.products


def test_what_cannot_run_is_refused(quantised):
    with pytest.raises(ValueError, match="engine is 'chip'; allowed: 'dense', 'sparse', 'shared'"):
        InferenceEngine(quantised, "chip")
    params = initial_of(NETWORKS["lenet5"], 0, (28, 28, 1))
    masks = {layer: np.ones(kernel.shape, bool) for layer, kernel in kernels_of(params).items()}
    with pytest.raises(ValueError, match="quantised has convolutions"):
        InferenceEngine(quantise(params, masks, dict.fromkeys(masks, 2)), "dense")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Compressed networks by name, a damaged one among them."""
    folder = tmp_path_factory.mktemp("compressed")
    for name in ("fc", "lenet5"):
        network = compressed_draw(NETWORKS[name], (28, 28, 1))
        (folder / name).write_bytes(compress(name, (28, 28, 1), network, dict.fromkeys(network.codes, 5))[0])
    network = compressed_draw(NETWORKS["fc"], (28, 28, 1))
    diverged = network._replace(biases={layer: np.full_like(bias, np.nan) for layer, bias in network.biases.items()})
    (folder / "nan").write_bytes(compress("fc", (28, 28, 1), diverged, dict.fromkeys(network.codes, 5))[0])
    content = (folder / "fc").read_bytes()
    (folder / "cut").write_bytes(content[: len(content) // 2])
    return folder


def test_the_command_times_every_engine_on_the_same_images(files, capsys):
    table = files / "times.csv"
    arguments = ["infer", files / "fc", "--images", "3", "--repeats", "5", "--csv", table]
    assert run_command([str(each) for each in arguments], CATALOGUE) == 0
    said = capsys.readouterr().out
    for words in (*ENGINES, "fc, ", "accuracy on these images", "never as ours"):
        assert words in said
    rows = pd.read_csv(table)
    assert rows.groupby("engine").size().to_dict() == dict.fromkeys(ENGINES, 3)
    assert (rows["seconds"] > 0).all()
    products = rows.groupby("engine")["products"].max()
    assert products["dense"] == 266_200
    assert products["sparse"] == 23_520 + 3_000 + 100
    assert products["shared"] < products["sparse"], "zeros of an image are skipped"
    reads = rows.groupby("engine")["bytes_read"].max()
    assert reads["shared"] < reads["sparse"] < reads["dense"]


@pytest.mark.parametrize(
    ("arguments", "message", "status"),
    [
        (["missing"], "cannot be read", 2),
        (["cut"], "cut", 1),
        (["nan"], "has weights or biases that are no finite numbers: its training diverged", 2),
        (["lenet5"], "is of lenet5, with convolutions; allowed: networks of dense layers", 2),
        (["fc", "--dataset", "digits"], "with 64 pixels an image", 2),
        (["fc", "--dataset", "mnist5"], r"did you mean mnist5k?", 2),
        (["fc", "--images", "0"], "images is 0; allowed: 1 or more", 2),
        (["fc", "--images", "1001"], "images is 1001; allowed: 1 to 1000", 2),
        (["fc", "--repeats", "0"], "repeats is 0", 2),
        (["fc", "--csv", "nowhere/times.csv"], "is not a folder", 2),
    ],
)
def test_the_command_refuses_what_it_cannot_do(files, capsys, arguments, message, status):
    assert run_command(["infer", str(files / arguments[0]), *arguments[1:]], CATALOGUE) == status
    assert message in capsys.readouterr().err


def test_one_core_is_given_back():
    before = os.sched_getaffinity(0)
    with one_core():
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before
