"""The deeper networks: the papers' numbers of parameters and multiplications, and which layers they leave dense."""

import math

import pytest

from supermask.networks import NETWORKS, kernels_of, parameter_count, shapes_of
from supermask.zoo import BUILT_IN, ZOO, built_in
from supermask.zoo.mobilenet import MobileNet
from supermask.zoo.resnet import ResNet
from supermask.zoo.wide_resnet import WideResNet

CIFAR = (32, 32, 3)
PROJECTIONS = 16 * 32 + 32 * 64 + 2 * (32 + 64)
"""Parameters of the shortcuts' 1×1 convolutions and batch norms, which He et al. 2016 have none of."""


def dense_in(name):
    shapes = shapes_of(BUILT_IN[name], CIFAR)
    return {layer: leaves["weight"].size for layer, leaves in shapes.items() if "weight" in leaves}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet20", 269_722 + PROJECTIONS),
        ("resnet32", 464_154 + PROJECTIONS),
        ("resnet56", 853_018 + PROJECTIONS),
        ("resnet18", 11_173_962),
        ("vgg11", 9_231_114),
        ("vgg16", 14_728_266),
        ("vgg19", 20_040_522),
        ("wrn28-2", 1_467_610),
        ("mobilenet", 3_217_226),
        ("lstm", 4 * 128 * (3 * 32 + 128 + 1) + 129 * 10),
    ],
)
def test_parameter_counts_are_the_published_ones(name, parameters):
    assert parameter_count(ZOO[name], CIFAR) == parameters


def test_the_same_rules_give_the_published_numbers_of_larger_ones():
    """WRN-28-10 of Zagoruyko & Komodakis 2016; MobileNetV1 for the 1,000 classes of ImageNet, and half as wide."""
    assert parameter_count(WideResNet(depth=28, width=10), CIFAR) == 36_479_194
    assert parameter_count(built_in("mobilenet", 1000), CIFAR) == 4_231_976
    assert parameter_count(MobileNet(width=0.5, classes=1000), CIFAR) == 1_331_592


def test_lstms_have_the_parameters_and_products_of_their_equations():
    """Four gates a unit, each of all inputs, all states and a bias: 4(nm + n² + n)."""
    shape = (28, 28, 1)
    assert parameter_count(ZOO["lstm"], shape) == 4 * 128 * (28 + 128 + 1) + 129 * 10 == 81_674
    products = {"lstm1/input": 28 * 28 * 512, "lstm1/recurrent": 28 * 128 * 512, "output": 1280}
    assert ZOO["lstm"].layer_products(shape) == products
    characters = built_in("char-lstm", 65)
    assert parameter_count(characters, (32, 1, 1)) == 4 * 128 * (65 + 128 + 1) + 129 * 65
    assert characters.products((32, 1, 1)) == 32 * (65 + 128) * 512 + 128 * 65


def test_conv8_has_the_published_number_of_weights():
    """Ramanujan et al. 2020; Koster et al. 2022."""
    assert sum(kernel.size for kernel in kernels_of(shapes_of(NETWORKS["conv8"], CIFAR)).values()) == 5_275_840


@pytest.mark.parametrize(
    ("name", "millions"),
    [("resnet20", 40.81), ("resnet18", 555.42), ("vgg16", 313.20), ("mobilenet", 46.35)],
)
def test_multiplications_are_the_published_ones(name, millions):
    assert ZOO[name].products(CIFAR) / 1e6 == pytest.approx(millions, abs=0.006)


def test_multiplications_are_those_of_every_layer():
    """Of a convolution: its weights, dense or not, times the positions of its output."""
    products = ZOO["resnet20"].layer_products(CIFAR)
    assert list(products)[:4] == ["stem", "block1/conv1", "block1/conv2", "block2/conv1"]
    assert list(products)[-1] == "output"
    assert products["block4/shortcut"] == 16 * 32 * 16 * 16
    assert products["block9/conv2"] == 9 * 64 * 64 * 8 * 8
    assert set(products) == {
        n for n, leaves in shapes_of(ZOO["resnet20"], CIFAR).items() if {"kernel", "weight"} & leaves.keys()
    }


@pytest.mark.parametrize("name", ["fc", "lenet5"])
def test_products_counted_in_the_program_are_those_of_the_formula(name):
    """FC's formula is one of its shape; the base class counts in the program."""
    shape = (28, 28, 1)
    counted = super(type(NETWORKS[name]), NETWORKS[name]).layer_products(shape)
    assert counted == NETWORKS[name].layer_products(shape)


def test_dense_layers_are_those_of_the_papers():
    """Frankle & Carbin 2019: 2,560 and 640 weights of ResNet stay; DSR: first and down-sampling convolutions."""
    resnet = dense_in("resnet20")
    assert resnet.pop("output") == 640
    assert sum(resnet.values()) == 2_560
    assert set(dense_in("wrn28-2")) == {"stem", "block1/shortcut", "block5/shortcut", "block9/shortcut"}
    assert set(dense_in("vgg16")) == {"output"}
    assert set(dense_in("mobilenet")) == {"stem", *(f"block{index}/depthwise" for index in range(1, 14))}
    assert dense_in("conv4") == {}


@pytest.mark.parametrize("name", ZOO)
def test_a_name_is_of_the_network_and_classes_are_the_datas(name):
    shape = (8, 1, 1) if ZOO[name].reads_codes else (8, 8, 1)
    kernels = {n: leaf for leaves in [shapes_of(built_in(name, 7), shape)] for n, leaf in leaves["output"].items()}
    assert kernels["bias"].shape == (7,)
    assert built_in(name, 10) is ZOO[name]
    assert all(math.prod(k.shape) for k in kernels_of(shapes_of(ZOO[name], shape)).values())


def test_depths_and_widths_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="depth is 27; allowed: 10, 16, 22, 28"):
        shapes_of(WideResNet(depth=27, width=2), CIFAR)
    with pytest.raises(ValueError, match=r"width is 0.01; allowed: 1/32 or more"):
        shapes_of(MobileNet(width=0.01), CIFAR)
    assert parameter_count(ResNet(stages=((4, 1),)), (8, 8, 1)) == 4 * 9 + 2 * 4 * 4 * 9 + 3 * 8 + 4 * 10 + 10
