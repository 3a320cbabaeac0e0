"""Flax NNX and Linen, Equinox and plain functions: the same network has the same masks, and trains."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from supermask.adapters import of_equinox, of_functions, of_linen, of_nnx
from supermask.counts import Rates
from supermask.criteria import CRITERIA
from supermask.keys import layer_order
from supermask.lottery import initial_of
from supermask.masks import full_masks
from supermask.networks import in_training, kernels_of, logits, parameter_count, shapes_of, statistics_of
from supermask.population import place
from supermask.restarts import End, Origin, Pruning, restart
from supermask.training import Job, Trainer, TrainingConfig
from supermask.treatments import Treatment

SHAPE = (8, 8, 1)


class LinenResNet(nn.Module):
    @nn.compact
    def __call__(self, x, training: bool):
        norm = lambda name: nn.BatchNorm(use_running_average=not training, momentum=0.9, name=name)  # noqa: E731
        x = nn.relu(norm("norm1")(nn.Conv(6, (3, 3), use_bias=False, name="stem")(x)))
        x = nn.relu(x + norm("norm2")(nn.Conv(6, (3, 3), use_bias=False, name="conv")(x)))
        return nn.Dense(10, name="output")(x.mean((1, 2)))


class NNXResNet(nnx.Module):
    def __init__(self, rngs):
        self.stem, self.conv = (nnx.Conv(c, 6, (3, 3), use_bias=False, rngs=rngs) for c in (1, 6))
        self.norm1, self.norm2 = (nnx.BatchNorm(6, momentum=0.9, rngs=rngs) for _ in range(2))
        self.output = nnx.Linear(6, 10, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.norm1(self.stem(x)))
        x = nnx.relu(x + self.norm2(self.conv(x)))
        return self.output(x.mean((1, 2)))


class EquinoxResNet(eqx.Module):
    stem: eqx.nn.Conv2d
    conv: eqx.nn.Conv2d
    norm1: eqx.nn.BatchNorm
    norm2: eqx.nn.BatchNorm
    output: eqx.nn.Linear

    def __init__(self, key):
        keys = jax.random.split(key, 3)
        self.stem, self.conv = (
            eqx.nn.Conv2d(c, 6, 3, padding=1, use_bias=False, key=k) for c, k in zip((1, 6), keys, strict=False)
        )
        self.norm1, self.norm2 = (eqx.nn.BatchNorm(6, "batch", momentum=0.9, mode="ema") for _ in range(2))
        self.output = eqx.nn.Linear(6, 10, key=keys[2])

    def __call__(self, x, state):
        y, state = self.norm1(self.stem(x), state)
        x = jax.nn.relu(y)
        y, state = self.norm2(self.conv(x), state)
        return self.output(jax.nn.relu(x + y).mean((1, 2))), state


def make_equinox(key):
    return eqx.nn.make_with_state(EquinoxResNet)(key)


def draw(key, images):
    one, two = jax.random.split(key)
    hidden = jax.random.normal(one, (64, 30)) / 8
    return {"hidden": {"w": hidden, "b": jnp.zeros(30)}, "output": {"w": jax.random.normal(two, (30, 10)) / 6}}


def call(params, images):
    flat = images.reshape(len(images), -1)
    return jax.nn.relu(flat @ params["hidden"]["w"] + params["hidden"]["b"][None]) @ params["output"]["w"]


NETWORKS = {
    "linen": of_linen(LinenResNet()),
    "nnx": of_nnx(NNXResNet),
    "equinox": of_equinox(make_equinox),
    "functions": of_functions(draw, call),
}
RESIDUAL = ("linen", "nnx", "equinox")
NORMS = {"scale": "weight", "bias": "bias"}
"""Names of Flax's leaves of batch norm in Equinox."""


def as_equinox(params):
    """Linen's parameters by Equinox's names: kernels alike, for layers have their outputs last."""
    own = {layer: {"kernel": params[layer]["kernel"]} for layer in ("stem", "conv", "output")}
    own["output"]["bias"] = params["output"]["bias"]
    own |= {norm: {NORMS[n]: params[norm][n] for n in NORMS} for norm in ("norm1", "norm2")}
    return own


@pytest.fixture(scope="module")
def weights():
    """The same initial weights, as each of the three has them."""
    params = initial_of(NETWORKS["linen"], 0, SHAPE)
    equinox = initial_of(NETWORKS["equinox"], 0, SHAPE)
    return {"linen": params, "nnx": params, "equinox": {**equinox, **as_equinox(params)}}


@pytest.mark.parametrize("name", RESIDUAL)
def test_the_three_have_the_same_layers(name):
    kernels = kernels_of(shapes_of(NETWORKS[name], SHAPE))
    assert {n: k.shape for n, k in kernels.items()} == {"stem": (3, 3, 1, 6), "conv": (3, 3, 6, 6), "output": (6, 10)}
    assert parameter_count(NETWORKS[name], SHAPE) == 9 * 6 + 9 * 36 + 70 + 4 * 6
    assert statistics_of(NETWORKS[name], SHAPE)
    assert NETWORKS[name].products(SHAPE) == 64 * (54 + 324) + 60
    assert list(NETWORKS[name].layer_products(SHAPE)) == ["stem", "conv", "output"]


def test_the_same_network_has_the_same_outputs(weights, digits):
    """In training, so that running statistics, which Equinox begins elsewhere, do not count."""
    images = jnp.asarray(digits.train.images[:30], jnp.float32) / digits.maximum
    ours = {name: in_training(NETWORKS[name], weights[name], images)[0] for name in RESIDUAL}
    np.testing.assert_allclose(ours["nnx"], ours["linen"], atol=1e-5)
    np.testing.assert_allclose(ours["equinox"], ours["linen"], atol=1e-4)


@pytest.mark.parametrize("criterion", ["large_final", "random", "movement"])
def test_the_same_weights_and_key_give_the_same_masks_bit_for_bit(criterion, weights):
    """Also where a key breaks ties, and with every weight's restart."""
    trained = kernels_of(initial_of(NETWORKS["linen"], 1, SHAPE))
    starts = {}
    for name in RESIDUAL:
        own = weights[name]
        origin = Origin(0, own, own, trained, None, None)
        end = End(full_masks(trained), trained, {}, None)
        pruning = Pruning(NETWORKS[name], SHAPE, Rates(conv=0.3, dense=0.3, output=0.2))
        starts[name] = restart(pruning, Treatment(CRITERIA[criterion]), origin, 1, end)
    for name in ("nnx", "equinox"):
        assert layer_order(starts[name].masks) == layer_order(starts["linen"].masks)
        for layer, mask in starts["linen"].masks.items():
            assert int(np.sum(mask)) == mask.size - int(mask.size * (2 if layer == "output" else 3)) // 10
            np.testing.assert_array_equal(starts[name].masks[layer], mask)
            np.testing.assert_array_equal(starts[name].params[layer]["kernel"], starts["linen"].params[layer]["kernel"])


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_each_trains_and_its_pruned_weights_stay(name, digits):
    network = NETWORKS[name]
    params = initial_of(network, 0, SHAPE)
    masks = {layer: np.random.default_rng(0).random(k.shape) < 0.8 for layer, k in kernels_of(params).items()}
    config = TrainingConfig(400, 2e-2, 30, 60)
    (trained,) = Trainer(network, digits, config, place(3000, networks=1)).train([Job(params, masks, 0)])
    assert trained.test_at_end.accuracy > 0.55
    for layer, mask in masks.items():
        before, after = (np.asarray(own[layer]["kernel"]) for own in (params, trained.params))
        np.testing.assert_array_equal(after[~mask], before[~mask])
        assert (after[mask] != before[mask]).mean() > 0.8, (
            "those of pixels that are black in every image have no gradient"
        )


class Dropped(nnx.Module):
    def __init__(self, rngs):
        self.hidden, self.output = nnx.Linear(64, 30, rngs=rngs), nnx.Linear(30, 10, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.output(self.dropout(nnx.relu(self.hidden(x.reshape(len(x), -1)))))


class DroppedEquinox(eqx.Module):
    hidden: eqx.nn.Linear
    output: eqx.nn.Linear
    dropout: eqx.nn.Dropout

    def __init__(self, key):
        self.hidden, self.output = eqx.nn.Linear(64, 30, key=key), eqx.nn.Linear(30, 10, key=key)
        self.dropout = eqx.nn.Dropout(0.5)

    def __call__(self, x, key=None):
        return self.output(self.dropout(jax.nn.relu(self.hidden(x.ravel())), key=key))


@pytest.mark.parametrize("network", [of_nnx(Dropped), of_equinox(DroppedEquinox)], ids=["nnx", "equinox"])
def test_dropout_goes_by_the_key_and_is_off_in_evaluation(network):
    params = initial_of(network, 0, SHAPE)
    assert not statistics_of(network, SHAPE)
    images = jax.random.uniform(jax.random.key(5), (4, *SHAPE))
    first, again, other = (in_training(network, params, images, jax.random.key(seed))[0] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()
    hidden = jax.nn.relu(images.reshape(4, -1) @ params["hidden"]["kernel"] + params["hidden"]["bias"][None])
    exact = hidden @ params["output"]["kernel"] + params["output"]["bias"][None]
    np.testing.assert_allclose(logits(network, params, images), exact, atol=1e-5)


def test_leaves_of_one_module_are_layers_of_their_own():
    """An LSTM's two kernels, and an array that belongs to no module."""

    def init(key, images):
        return {
            "cell": {"w_in": jnp.ones((8, 40)), "w_own": jnp.ones((10, 40)), "b": jnp.ones(40)},
            "read": jnp.ones((10, 5)),
        }

    network = of_functions(
        init, lambda params, images: images.mean((1, 3)) @ params["cell"]["w_in"][:, :5], output="read"
    )
    shapes = shapes_of(network, SHAPE)
    assert {layer: set(leaves) for layer, leaves in shapes.items()} == {
        "cell/w_in": {"kernel"},
        "cell/w_own": {"kernel"},
        "cell": {"b"},
        "read": {"kernel"},
    }


class DropsNothing(eqx.Module):
    """Outside of training, as a network without a key is always called, its dropout does nothing."""

    dense: eqx.nn.Linear
    dropout: eqx.nn.Dropout

    def __init__(self, key):
        self.dense, self.dropout = eqx.nn.Linear(64, 10, key=key), eqx.nn.Dropout(0.9)

    def __call__(self, image):
        return self.dense(self.dropout(image.ravel()))


def test_what_cannot_be_adapted_is_refused(unchecked):
    images = (8, 8, 1)
    for make, message in (
        (lambda: of_linen(LinenResNet), r"module is .*LinenResNet.*; allowed: a Flax Linen module"),
        (lambda: of_functions(1, call), "init is 1; allowed: a function"),
        (lambda: of_linen(LinenResNet(), where="conv"), "where is 'conv'; allowed: a function"),
        (lambda: shapes_of(of_nnx(lambda rngs: 3), images), "make returns a int; allowed: an NNX module"),
        (lambda: shapes_of(of_equinox(lambda key: 3), images), "make returns a int; allowed: an Equinox module"),
        (
            lambda: shapes_of(of_equinox(DropsNothing), images),
            "dropout whose __call__ takes no `key`",
        ),
        (lambda: shapes_of(of_linen(LinenResNet(), where=lambda *_: False), images), "nothing to prune among"),
        (lambda: shapes_of(of_linen(LinenResNet(), output="head"), images), "output is 'head'; allowed: "),
        (
            lambda: shapes_of(of_functions(lambda k, x: ({}, {}), lambda p, x, state: (x, state)), images),
            "apply takes a state, and nothing tells it whether it is trained",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            make()
