"""The papers' networks, in Flax: FC (LeNet-300-100), the VGG-like Conv2, Conv4 and Conv6, and LeNet-5.

Parameters are plain pytrees, {layer: {"kernel", "bias"}}. ReLU, 3×3 'same' convolutions, 2×2 max pooling after each
pair of them; no batch norm, no dropout. Glorot-normal kernels, zero biases. Zhou et al. 2019, table 1; Frankle & Carbin
2019, figure 2. LeNet-5 is that of Deep Compression (Han et al. 2016, table 3): 5×5 'valid' convolutions, each pooled.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from supermask.checks import check_call, check_fields, check_params, check_variables
from supermask.convolution import conv_relu
from supermask.extras import missing
from supermask.params import AnyArray as AnyArray
from supermask.params import Kernels as Kernels
from supermask.params import Params as Params
from supermask.params import kernels_of as kernels_of
from supermask.params import layer_kinds as layer_kinds
from supermask.params import masked as masked
from supermask.params import pruned as pruned
from supermask.params import with_kernels as with_kernels
from supermask.settings import check_draws
from supermask.valid_convolution import valid_conv_relu_pool

try:
    from flax import linen as nn
    from flax.errors import FlaxError, InvalidRngError
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


class Network(nn.Module):
    """Base of the networks: a Flax module from images to logits. A layer's prunable weights are its leaf 'kernel'."""

    @property
    def convolutional(self) -> bool:
        """Whether it has any convolutions."""
        raise NotImplementedError

    @property
    def dense_layers(self) -> tuple[str, ...]:
        """The layers of a network that is nothing but dense layers with ReLUs between them, in their order.

        Such a network may be computed in other ways and trained without some units. Empty for all others.
        """
        return ()

    @property
    def pixel_layer(self) -> str | None:
        """The dense layer that reads an image's pixels; None where none is known to."""
        return next(iter(self.dense_layers), None)

    @property
    def statistics(self) -> Mapping[str, tuple[str, ...]]:
        """The names, by layer, of parameters that are running statistics of batches: see `in_training`. None for most.

        They are no weights: training sets them rather than descends, and `logits` reads them.
        """
        return {}

    def shrunk(self, hidden: tuple[int, ...]) -> "Network":
        """Return a network of `dense_layers` with these numbers of units in its hidden layers."""
        raise NotImplementedError

    def products(self, image_shape: tuple[int, int, int]) -> float:
        """Return the multiplications of one image's forward pass."""
        raise NotImplementedError

    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch classes"]:
        """Return logits of images scaled to [0, 1]."""
        raise NotImplementedError


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

    def products(self, image_shape: tuple[int, int, int]) -> float:
        """Return the multiplications of one image's forward pass: one per weight and place where it is used."""
        convolved = self.maps(image_shape)[:-1]
        places = {f"conv{index + 1}": height * width for index, (height, width) in enumerate(convolved)}
        kernels = kernels_of(shapes_of(self, image_shape))
        return float(sum(kernel.size * places.get(layer, 1) for layer, kernel in kernels.items()))

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
    "lenet5": FeedForward(valid_convs=(20, 50), hidden=(500,)),
}


def network_of(name: str, classes: int) -> FeedForward:
    """Return the network of that name in `NETWORKS`, with an output for each class."""
    network = NETWORKS[name]
    if classes == network.classes:
        return network
    own: FeedForward = network.clone(classes=classes)
    return own


def initialise(network: Network, key: Key[Array, ""], image_shape: tuple[int, int, int]) -> Params:
    """Draw all parameters, for images of (height, width, channels). Raises ValueError as `shapes_of` does."""
    check_draws()
    shapes_of(network, image_shape)
    variables = network.init(key, jnp.zeros((1, *image_shape), jnp.float32))
    return {layer: dict(leaves) for layer, leaves in variables["params"].items()}


def logits(
    network: Network, params: Params, images: Float[Array, "batch height width channels"]
) -> Float[Array, "batch classes"]:
    """Return the network's logits for images scaled to [0, 1].

    Raises ValueError for a network that draws random numbers when it is applied, or has state beside its parameters.
    """
    try:
        outputs: Any = network.apply({"params": params}, images)
    except (FlaxError, TypeError) as error:
        height, width, channels = images.shape[1:]
        shapes_of(network, (height, width, channels))  # says so where the network is not one that is served
        if not isinstance(error, InvalidRngError):
            raise
        raise ValueError(
            f"network {_name(network)} draws random numbers when it is applied; allowed: networks whose logits "
            "depend on parameters and images alone"
        ) from None
    return outputs


def in_training(
    network: Network, params: Params, images: Float[Array, "batch height width channels"]
) -> tuple[Float[Array, "batch classes"], Params]:
    """Return the logits of a batch in training, and the running statistics after it; most networks have none.

    A network with `statistics` is called with `training=True` and then normalises by the batch's own. It sows what its
    running ones are to be in the collection 'statistics', as 'moved'; see `with_statistics`.
    """
    if not network.statistics:
        return logits(network, params, images), {}
    outputs: Any
    outputs, variables = network.apply({"params": params}, images, training=True, mutable=["statistics"])
    moved = variables["statistics"]["moved"]
    return outputs, {layer: {n: moved[layer][n] for n in names} for layer, names in network.statistics.items()}


def with_statistics(params: Params, statistics: Params) -> Params:
    """Return the parameters with these running statistics in place of theirs."""
    return {layer: {**leaves, **statistics.get(layer, {})} for layer, leaves in params.items()}


def check_descends(network: Network) -> None:
    """Raise ValueError for running statistics, which a trainer that sets none would descend like weights."""
    if network.statistics:
        raise ValueError(
            f"network {_name(network)} keeps running statistics of batches (in {', '.join(network.statistics)}); "
            "allowed here: networks of weights alone. supermask.sparse_training.trainer trains it"
        )


def parameter_count(network: Network, image_shape: tuple[int, int, int]) -> int:
    """Return the number of weights and biases for images of that shape; nothing is drawn."""
    return sum(leaf.size for leaf in jax.tree.leaves(shapes_of(network, image_shape)))


def shapes_of(network: Network, image_shape: tuple[int, int, int]) -> Params:
    """Return parameters of the network's shapes for images of (height, width, channels): all 0, in no memory.

    They are read-only: the next caller gets the same ones.

    Raises ValueError for a network that is not served. One that is served is a `Network` with hashable fields, called
    with images alone (`checks.check_call`). It has parameters alone, no batch statistics and no dropout
    (`checks.check_variables`), in one level of layers (`checks.check_params`).
    """
    if not isinstance(network, Network):
        raise ValueError(f"network is a {_name(network)}; allowed: an instance of supermask.networks.Network")
    check_fields(_name(network), {field.name: getattr(network, field.name) for field in fields(network)})
    return _shapes_of(network, image_shape)


@cache
def _shapes_of(network: Network, image_shape: tuple[int, int, int]) -> Params:
    check_call(_name(network), network.__call__)
    try:
        network.convolutional  # noqa: B018 - asked for in the middle of evaluations
    except NotImplementedError:
        raise ValueError(
            f"network {_name(network)} does not say whether it is convolutional; allowed: a property or class "
            "attribute `convolutional`, True or False"
        ) from None
    random: list[str] = []

    def noting_dropout(call: Callable[..., Any], args: Any, named: Any, context: nn.module.InterceptorContext) -> Any:
        if isinstance(context.module, nn.Dropout) and context.module.rate > 0:
            random.append(context.module.name or "Dropout")
        return call(*args, **named)

    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    with nn.intercept_methods(noting_dropout):
        variables = jax.eval_shape(network.init, jax.random.key(0, impl="threefry2x32"), image)
    check_variables(_name(network), variables, random)
    shapes = variables["params"]
    check_params(shapes)
    return {
        layer: {name: np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape) for name, leaf in leaves.items()}
        for layer, leaves in shapes.items()
    }


def _name(network: object) -> str:
    return type(network).__name__


def outputs_of(network: Network, image_shape: tuple[int, int, int]) -> int:
    """Return the number of logits for images of (height, width, channels); nothing is computed.

    Raises ValueError as `shapes_of` does, and for outputs other than logits of shape (batch, classes).
    """
    shapes_of(network, image_shape)
    return _outputs_of(network, image_shape)


@cache
def _outputs_of(network: Network, image_shape: tuple[int, int, int]) -> int:
    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    outputs = jax.eval_shape(lambda params, x: logits(network, params, x), shapes_of(network, image_shape), image)
    if not isinstance(outputs, jax.ShapeDtypeStruct):
        raise ValueError(f"network puts out a {_name(outputs)} for an image; allowed: logits, (batch, classes)")
    if not jnp.issubdtype(outputs.dtype, jnp.floating):
        raise ValueError(f"network puts out {outputs.dtype}; allowed: logits of floating-point numbers")
    if len(outputs.shape) != 2:
        raise ValueError(f"network puts out shape {outputs.shape} for an image; allowed: logits, (batch, classes)")
    return int(outputs.shape[1])
