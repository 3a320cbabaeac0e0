"""Deeper networks by name: residual networks, VGG with batch norm, wide residual networks, MobileNet and LSTMs.

They are Flax modules of modules. Which of their kernels are pruned, and which stay dense, is as in the papers that
prune them: each class says so in `prunes`. Those of convolutions have batch norm, and begin with a 3×3 convolution of
stride 1, for small images.
"""

from collections.abc import Mapping

from supermask.model import Network, for_classes
from supermask.networks import NETWORKS
from supermask.zoo.mobilenet import MobileNet
from supermask.zoo.recurrent import LSTM, CharLSTM
from supermask.zoo.resnet import ResNet
from supermask.zoo.vgg import VGG
from supermask.zoo.wide_resnet import WideResNet

ZOO: Mapping[str, Network] = {
    "resnet20": ResNet(stages=((16, 3), (32, 3), (64, 3))),
    "resnet32": ResNet(stages=((16, 5), (32, 5), (64, 5))),
    "resnet56": ResNet(stages=((16, 9), (32, 9), (64, 9))),
    "resnet18": ResNet(stages=((64, 2), (128, 2), (256, 2), (512, 2))),
    "vgg11": VGG(stages=((64, 1), (128, 1), (256, 2), (512, 2), (512, 2))),
    "vgg16": VGG(stages=((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))),
    "vgg19": VGG(stages=((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))),
    "wrn28-2": WideResNet(depth=28, width=2),
    "wrn22-2": WideResNet(depth=22, width=2),
    "mobilenet": MobileNet(),
    "lstm": LSTM(),
    "char-lstm": CharLSTM(),
}
"""The networks of this module, by name."""

BUILT_IN: Mapping[str, Network] = {**NETWORKS, **ZOO}
"""All of the toolkit's networks by name, for ten classes."""


def built_in(name: str, classes: int) -> Network:
    """Return the network of that name in `BUILT_IN`, with an output for each class."""
    return for_classes(BUILT_IN[name], classes)
