"""The papers' networks, in Flax: FC (LeNet-300-100), the VGG-like Conv2, Conv4, Conv6 and Conv8, and LeNet-5.

Parameters are plain pytrees, {layer: {"kernel", "bias"}}. ReLU, 3×3 'same' convolutions, 2×2 max pooling after each
pair of them; no batch norm, no dropout. Glorot-normal kernels, zero biases. Zhou et al. 2019, table 1; Frankle & Carbin
2019, figure 2. Conv8 is that of Ramanujan et al. 2020. LeNet-5 is that of Deep Compression (Han et al. 2016, table 3):
5×5 'valid' convolutions, each pooled. `supermask.zoo` has residual networks and others.
"""

from collections.abc import Mapping

from jaxtyping import Array, Float

from supermask.convolution import conv_relu
from supermask.extras import missing
from supermask.model import Network as Network
from supermask.model import check_descends as check_descends
from supermask.model import for_classes
from supermask.model import in_training as in_training
from supermask.model import initialise as initialise
from supermask.model import is_convolutional as is_convolutional
from supermask.model import logits as logits
from supermask.model import outputs_of as outputs_of
from supermask.model import parameter_count as parameter_count
from supermask.model import shapes_of as shapes_of
from supermask.model import statistics_of as statistics_of
from supermask.model import with_statistics as with_statistics
from supermask.params import AnyArray as AnyArray
from supermask.params import Kernels as Kernels
from supermask.params import Params as Params
from supermask.params import kernels_of as kernels_of
from supermask.params import layer_kinds as layer_kinds
from supermask.params import masked as masked
from supermask.params import pruned as pruned
from supermask.params import with_kernels as with_kernels
from supermask.valid_convolution import valid_conv_relu_pool

try:
    from flax import linen as nn
except ModuleNotFoundError as error:
    raise missing(error, "networks") from None

_glorot = nn.initializers.glorot_normal()


class ConvReLU(nn.Module):
    """3×3 'same' convolution, bias, ReLU, and 2×2 max pooling if asked."""

    features: int
    pool: bool

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch _ _ features"]:
        """Return the layer's output; half as high and wide if pooled."""
        kernel = self.param("kernel", _glorot, (3, 3, x.shape[-1], self.features), x.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), x.dtype)
        return conv_relu(x, kernel, bias, pool=self.pool)


class ValidConvReLU(nn.Module):
    """5×5 'valid' convolution, bias, ReLU, and 2×2 max pooling."""

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch _ _ features"]:
        """Return the layer's output, half as high and wide as the convolution's."""
        kernel = self.param("kernel", _glorot, (5, 5, x.shape[-1], self.features), x.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), x.dtype)
        return valid_conv_relu_pool(x, kernel, bias)


class FeedForward(Network):
    """Pairs of 3×3 convolutions or single 5×5 ones, then dense hidden layers, then the output layer.

    Layers are named conv1, conv2, ...; hidden1, hidden2, ...; output.
    """

    conv_pairs: tuple[int, ...] = ()
    hidden: tuple[int, ...] = (300, 100)
    classes: int = 10
    valid_convs: tuple[int, ...] = ()

    @property
    def convolutional(self) -> bool:
        """Whether it has any convolutions."""
        return bool(self.conv_pairs or self.valid_convs)

    @property
    def glorot(self) -> bool:
        """Whether its kernels are Glorot-normal: they are, unless a subclass draws its own."""
        return True

    @property
    def dense_layers(self) -> tuple[str, ...]:
        """Names of the layers, in their order; empty with convolutions, and for a subclass: its code is its own."""
        if self.convolutional or type(self) is not FeedForward:
            return ()
        return (*(f"hidden{index + 1}" for index in range(len(self.hidden))), "output")

    def shrunk(self, hidden: tuple[int, ...]) -> Network:
        """Return the network with these numbers of units in its hidden layers."""
        smaller: Network = self.clone(hidden=hidden)
        return smaller

    def maps(self, image_shape: tuple[int, int, int]) -> list[tuple[int, int]]:
        """Height and width of each convolution's output before pooling, then of what the first dense layer reads."""
        height, width, _ = image_shape
        found = []
        for index in range(2 * len(self.conv_pairs) + len(self.valid_convs)):
            valid = index >= 2 * len(self.conv_pairs)
            height, width = (height - 4, width - 4) if valid else (height, width)
            found.append((height, width))
            if valid or index % 2:
                height, width = height // 2, width // 2
        return [*found, (height, width)]

    def layer_products(self, image_shape: tuple[int, int, int]) -> Mapping[str, float]:
        """Return the multiplications of one image's forward pass: one per weight and place where it is used."""
        convolved = self.maps(image_shape)[:-1]
        places = {f"conv{index + 1}": height * width for index, (height, width) in enumerate(convolved)}
        kernels = kernels_of(shapes_of(self, image_shape))
        return {layer: float(kernel.size * places.get(layer, 1)) for layer, kernel in kernels.items()}

    def layer_kinds(self, image_shape: tuple[int, int, int]) -> Mapping[str, str]:
        """Return the layers' kinds, which their kernels tell; those of a subclass are found as for any network."""
        if type(self) is not FeedForward:
            return super().layer_kinds(image_shape)
        return layer_kinds(kernels_of(shapes_of(self, image_shape)))

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch classes"]:
        """Return logits of images scaled to [0, 1]."""
        for pair, features in enumerate(self.conv_pairs):
            x = ConvReLU(features, pool=False, name=f"conv{2 * pair + 1}")(x)
            x = ConvReLU(features, pool=True, name=f"conv{2 * pair + 2}")(x)
        for index, features in enumerate(self.valid_convs):
            x = ValidConvReLU(features, name=f"conv{2 * len(self.conv_pairs) + index + 1}")(x)
        x = x.reshape(x.shape[0], -1)
        for index, units in enumerate(self.hidden):
            x = nn.relu(nn.Dense(units, kernel_init=_glorot, name=f"hidden{index + 1}")(x))
        return nn.Dense(self.classes, kernel_init=_glorot, name="output")(x)


NETWORKS: Mapping[str, FeedForward] = {
    "fc": FeedForward(),
    "conv2": FeedForward(conv_pairs=(64,), hidden=(256, 256)),
    "conv4": FeedForward(conv_pairs=(64, 128), hidden=(256, 256)),
    "conv6": FeedForward(conv_pairs=(64, 128, 256), hidden=(256, 256)),
    "conv8": FeedForward(conv_pairs=(64, 128, 256, 512), hidden=(256, 256)),
    "lenet5": FeedForward(valid_convs=(20, 50), hidden=(500,)),
}


def network_of(name: str, classes: int) -> FeedForward:
    """Return the network of that name in `NETWORKS`, with an output for each class."""
    return for_classes(NETWORKS[name], classes)
