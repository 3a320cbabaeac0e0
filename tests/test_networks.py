"""The papers' networks: their sizes, their start, their layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from supermask import networks
from supermask.keys import Purpose, derive_key, layer_order
from supermask.networks import NETWORKS
from supermask.valid_convolution import valid_conv_relu_pool

MNIST, CIFAR = (28, 28, 1), (32, 32, 3)


@pytest.mark.parametrize(
    ("name", "image_shape", "parameters"),
    [
        ("fc", MNIST, 266_610),
        ("conv2", CIFAR, 4_301_642),
        ("conv4", CIFAR, 2_425_930),
        ("conv6", CIFAR, 2_262_602),
        ("lenet5", MNIST, 431_080),
    ],
)
def test_parameter_counts_are_the_papers(name, image_shape, parameters):
    assert networks.parameter_count(NETWORKS[name], image_shape) == parameters


@pytest.mark.parametrize("name", NETWORKS)
def test_keys_are_numbered_in_the_order_in_which_a_network_declares_its_layers(name):
    """Sorting as text gives the same for the papers' networks, so that their results are those of earlier versions."""
    image = jnp.zeros((1, *(MNIST if name in ("fc", "lenet5") else CIFAR)))
    declared: list[str] = []
    jax.eval_shape(lambda: declared.extend(NETWORKS[name].init(jax.random.key(0), image)["params"]))
    assert layer_order(reversed(declared)) == declared == sorted(declared)


def test_numbers_in_layers_names_are_numbers():
    deep = [f"block{block}/conv{at}/kernel" for block in (1, 2, 10) for at in (1, 9, 10, 11)]
    assert layer_order(sorted(deep)) == deep
    assert layer_order(["a1", "a01"]) == layer_order(["a01", "a1"]), "any two names have one order"
    assert layer_order(["²", "1", ""]) == ["", "1", "²"]


def test_fc_starts_from_glorot_normal_kernels_and_zero_biases():
    params = networks.initialise(NETWORKS["fc"], derive_key(0, Purpose.INITIAL_WEIGHTS), MNIST)
    for leaves in params.values():
        inputs, outputs = leaves["kernel"].shape
        assert np.std(leaves["kernel"]) == pytest.approx((2 / (inputs + outputs)) ** 0.5, rel=0.05)
        assert not np.any(leaves["bias"])


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_finite_and_one_a_class(name):
    shape = (16, 16, 1)  # the smallest that two 5×5 convolutions leave something of
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


def test_lenet5s_layer_is_a_valid_convolution_with_relu_and_pooling():
    """Against XLA's own convolution and gradients, odd sides included."""
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (3, 13, 12, 4))
    kernel, bias = jax.random.normal(keys[1], (5, 5, 4, 6)), jax.random.normal(keys[2], (6,))

    def plain(x, kernel, bias):
        z = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        z = jnp.maximum(z + bias.reshape(1, 1, 1, -1), 0)[:, :8, :8]
        return z.reshape(3, 4, 2, 4, 2, 6).max((2, 4))

    np.testing.assert_allclose(valid_conv_relu_pool(x, kernel, bias), plain(x, kernel, bias), atol=1e-4)
    weigh = jax.random.normal(jax.random.key(1), (3, 4, 4, 6))
    gradients = [
        jax.grad(lambda *a, f=f: (f(*a) * weigh).sum(), argnums=(0, 1, 2))(x, kernel, bias)
        for f in (valid_conv_relu_pool, plain)
    ]
    for ours, expected in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-3)
    with pytest.raises(ValueError, match="6 or more of each side"):
        valid_conv_relu_pool(x[:, :5], kernel, bias)
