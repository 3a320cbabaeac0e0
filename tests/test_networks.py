"""The papers' networks: their sizes, their start, their layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from supermask import networks
from supermask.keys import Purpose, derive_key
from supermask.networks import NETWORKS

MNIST, CIFAR = (28, 28, 1), (32, 32, 3)


@pytest.mark.parametrize(
    ("name", "image_shape", "parameters"),
    [("fc", MNIST, 266_610), ("conv2", CIFAR, 4_301_642), ("conv4", CIFAR, 2_425_930), ("conv6", CIFAR, 2_262_602)],
)
def test_parameter_counts_are_the_papers(name, image_shape, parameters):
    assert networks.parameter_count(NETWORKS[name], image_shape) == parameters


def test_fc_starts_from_glorot_normal_kernels_and_zero_biases():
    params = networks.initialise(NETWORKS["fc"], derive_key(0, Purpose.INITIAL_WEIGHTS), MNIST)
    for leaves in params.values():
        inputs, outputs = leaves["kernel"].shape
        assert np.std(leaves["kernel"]) == pytest.approx((2 / (inputs + outputs)) ** 0.5, rel=0.05)
        assert not np.any(leaves["bias"])


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_finite_and_one_a_class(name):
    shape = (8, 8, 1)
    params = networks.initialise(NETWORKS[name], derive_key(0, Purpose.INITIAL_WEIGHTS), shape)
    images = jax.random.uniform(jax.random.key(0), (3, *shape))
    outputs = networks.logits(NETWORKS[name], params, images)
    assert outputs.shape == (3, 10)
    assert np.isfinite(outputs).all()


def test_layers_have_the_kind_that_their_rate_goes_by():
    params = networks.initialise(NETWORKS["conv2"], derive_key(0, Purpose.INITIAL_WEIGHTS), (8, 8, 1))
    kinds = networks.layer_kinds(networks.kernels_of(params))
    assert kinds == {"conv1": "conv", "conv2": "conv", "hidden1": "dense", "hidden2": "dense", "output": "output"}
    assert list(kinds) == sorted(kinds), "keys are numbered in the order of names: it has to be the network's"


def test_kernels_go_out_and_in_again():
    params = networks.initialise(NETWORKS["fc"], derive_key(1, Purpose.INITIAL_WEIGHTS), MNIST)
    zeros = {"hidden2": jnp.zeros((300, 100))}
    changed = networks.with_kernels(params, zeros)
    assert not np.any(changed["hidden2"]["kernel"])
    assert changed["hidden1"]["kernel"] is params["hidden1"]["kernel"]
    assert changed["hidden2"]["bias"] is params["hidden2"]["bias"]
