"""Networks of any module system behind one interface: parameters and state as layers, logits, and logits in training.

A `Network` is a Flax module, or an adapter of something else (`supermask.adapters`). Its parameters and its state, such
as the running statistics of batch norm, are one dict of layers: see `supermask.layers`.
"""

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from supermask.checks import check_fields, check_params
from supermask.extras import missing
from supermask.flops import Uses, uses_of_layers
from supermask.layers import Layers, layers_of
from supermask.linen import LinenModel
from supermask.params import Params, kernels_of, layer_kinds
from supermask.settings import check_draws

try:
    from flax import linen as nn
    from flax.errors import InvalidRngError
except ModuleNotFoundError as error:
    raise missing(error, "networks") from None

Images = Float[Array, "batch height width channels"]
Logits = Float[Array, "batch classes"]
ImageShape = tuple[int, int, int]
AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


@runtime_checkable
class Model(Protocol):
    """What a network is made of: functions of its own trees of parameters and state. Hashable."""

    @property
    def draws(self) -> bool:
        """Whether it draws random numbers in training, as dropout does."""
        ...

    def init(self, key: Key[Array, ""], images: Images) -> tuple[PyTree, PyTree]:
        """Draw parameters and state; the state is a dict of collections by name."""
        ...

    def apply(
        self, params: PyTree, state: PyTree, images: Images, key: Key[Array, ""] | None, *, training: bool
    ) -> tuple[Any, PyTree]:
        """Return logits, and the state afterwards. `key` is given in training, to a model that draws."""
        ...

    def check(self, image_shape: ImageShape) -> None:
        """Raise ValueError for a model that is not served."""
        ...


class Network(nn.Module):
    """Base of the networks: a Flax module from images to logits, whose prunable weights are its leaves 'kernel'.

    Modules may be nested, and its __call__ may take `training`, for batch norm and dropout. `supermask.adapters` makes
    a network of any other Flax module, of Equinox modules and of plain functions.
    """

    @property
    def convolutional(self) -> bool | None:
        """Whether it has any convolutions; None to tell it from the kernels."""
        return None

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
    def output_layer(self) -> str:
        """The layer that puts out logits, which has a pruning rate of its own."""
        return "output"

    @property
    def reads_codes(self) -> bool:
        """Whether a pixel, a byte, is the code of a symbol: such images are neither normalised nor changed."""
        return False

    @property
    def glorot(self) -> bool:
        """Whether its kernels are drawn with the variance 2 / (fan-in + fan-out)."""
        return False

    @property
    def statistics(self) -> Mapping[str, tuple[str, ...]]:
        """The names, by layer, of *parameters* that are running statistics; state needs no declaration.

        Such a network defines `trained_outputs` as well.
        """
        return {}

    def shrunk(self, hidden: tuple[int, ...]) -> "Network":
        """Return a network of `dense_layers` with these numbers of units in its hidden layers."""
        raise NotImplementedError

    def products(self, image_shape: ImageShape) -> float:
        """Return the multiplications of one image's forward pass."""
        return float(sum(self.layer_products(image_shape).values()))

    def layer_products(self, image_shape: ImageShape) -> Mapping[str, float]:
        """Return the same by layer, in the order of the network's program, in which they are counted.

        Those of two values that both depend on the image, as in attention, are under ''.
        """
        return _layer_products(self, image_shape)

    def layer_kinds(self, image_shape: ImageShape) -> Mapping[str, str]:
        """Return each prunable layer's kind, by which it has a pruning rate: see `supermask.counts.LAYER_KINDS`.

        Recurrent and depthwise layers are found in the network's program.
        """
        return _layer_kinds(self, image_shape)

    def prunes(self, path: str, leaf: Any) -> bool:
        """Return whether the leaf at a path of the parameters, such as 'block1/conv/kernel', is prunable."""
        return path.rpartition("/")[2] == "kernel"

    def axes(self, path: str, leaf: Any) -> tuple[int, ...] | None:
        """Return the axes of a prunable leaf in the order of inputs and then outputs; None where they are."""
        return None

    def model(self) -> Model:
        """Return the functions that draw and apply it."""
        return LinenModel(self)

    def trained_outputs(self, params: Params, images: Images, key: Key[Array, ""] | None) -> tuple[Logits, Params]:
        """Return the logits of a batch in training, and the state after it, by layer: see `in_training`."""
        found, model = _layers_at(self, images), self.model()
        own, state = found.given(params)
        outputs, moved = model.apply(own, state, images, key, training=True)
        after = found.taken(own, moved)
        return outputs, {layer: {n: after[layer][n] for n in names} for layer, names in found.statistics.items()}

    def __call__(self, x: Images) -> Logits:
        """Return logits of images scaled to [0, 1]."""
        raise NotImplementedError


def for_classes(network: AnyNetwork, classes: int) -> AnyNetwork:
    """Return a network that has a field `classes` with an output for each of them."""
    return network if network.classes == classes else network.clone(classes=classes)


def initialise(network: Network, key: Key[Array, ""], image_shape: ImageShape) -> Params:
    """Draw all parameters and state, for images of (height, width, channels). Raises ValueError as `shapes_of` does."""
    check_draws()
    found = layers_in(network, image_shape)
    return found.taken(*network.model().init(key, jnp.zeros((1, *image_shape), jnp.float32)))


def logits(network: Network, params: Params, images: Images) -> Logits:
    """Return the network's logits for images scaled to [0, 1], outside of training.

    Raises ValueError for a network that draws random numbers then.
    """
    own, state = _layers_at(network, images).given(params)
    try:
        outputs: Any = network.model().apply(own, state, images, None, training=False)[0]
    except InvalidRngError:
        raise ValueError(
            f"network {_name(network)} draws random numbers when it is applied; allowed: networks whose logits "
            "depend on parameters and images alone, except in training"
        ) from None
    return outputs


def in_training(
    network: Network, params: Params, images: Images, key: Key[Array, ""] | None = None
) -> tuple[Logits, Params]:
    """Return the logits of a batch in training, and the state after it by layer, {} for networks without any.

    A network with state is told that it is trained: batch norm then normalises by the batch's own statistics. `key` is
    for what it draws, such as dropout; without one, the draws are always the same.
    """
    height, width, channels = images.shape[1:]
    if not has_training_mode(network, (height, width, channels)):
        return logits(network, params, images), {}
    return network.trained_outputs(params, images, jax.random.key(0, impl="threefry2x32") if key is None else key)


def has_training_mode(network: Network, image_shape: ImageShape) -> bool:
    """Return whether a network's logits in training are others than outside of it: it has state, or draws."""
    return bool(statistics_of(network, image_shape)) or network.model().draws


def statistics_of(network: Network, image_shape: ImageShape) -> Mapping[str, tuple[str, ...]]:
    """Return the names, by layer, of leaves that training sets and does not descend: a network's state."""
    return {**network.statistics, **layers_in(network, image_shape).statistics}


def with_statistics(params: Params, statistics: Params) -> Params:
    """Return the parameters with this state in place of theirs."""
    return {layer: {**leaves, **statistics.get(layer, {})} for layer, leaves in params.items()}


def is_convolutional(network: Network, image_shape: ImageShape) -> bool:
    """Return whether a network has any convolutions: as it says, or any prunable kernel of four axes."""
    own = network.convolutional
    if own is not None:
        return own
    return any(kernel.ndim == 4 for kernel in kernels_of(shapes_of(network, image_shape)).values())


@cache
def _uses(network: Network, image_shape: ImageShape) -> Uses:
    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    return uses_of_layers(lambda params, x: logits(network, params, x), shapes_of(network, image_shape), image)


def _layer_products(network: Network, image_shape: ImageShape) -> Mapping[str, float]:
    return _uses(network, image_shape).checked_products()


def _layer_kinds(network: Network, image_shape: ImageShape) -> Mapping[str, str]:
    uses = _uses(network, image_shape)
    kernels = kernels_of(shapes_of(network, image_shape))
    return layer_kinds(kernels, network.output_layer, uses.depthwise, uses.recurrent)


def check_descends(network: Network, image_shape: ImageShape) -> None:
    """Raise ValueError for state, which a trainer that sets none would descend like weights, and for dropout."""
    if has_training_mode(network, image_shape):
        where = ", ".join(statistics_of(network, image_shape)) or "dropout"
        raise ValueError(
            f"network {_name(network)} is another in training (in {where}); allowed here: networks of weights alone"
        )


def parameter_count(network: Network, image_shape: ImageShape) -> int:
    """Return the number of parameters for images of that shape, without state; nothing is drawn."""
    shapes, own = shapes_of(network, image_shape), layers_in(network, image_shape).statistics
    return sum(
        leaf.size for layer, leaves in shapes.items() for name, leaf in leaves.items() if name not in own.get(layer, ())
    )


def shapes_of(network: Network, image_shape: ImageShape) -> Params:
    """Return parameters and state of the network's shapes for images of (height, width, channels): all 0, in no memory.

    They are read-only: the next caller gets the same ones.

    Raises ValueError for a network that is not served. One that is served is a `Network` with hashable fields. It is
    called with images, and in training told so (`LinenModel.check`); it has a kernel (`checks.check_params`).
    """
    layers_in(network, image_shape)
    return _shapes_of(network, image_shape)


def layers_in(network: Network, image_shape: ImageShape) -> Layers:
    """Return where a network's leaves are among its layers. Raises ValueError as `shapes_of` does."""
    if not isinstance(network, Network):
        raise ValueError(
            f"network is a {_name(network)}; allowed: an instance of supermask.networks.Network, or what a function of "
            "supermask.adapters makes of it"
        )
    check_fields(_name(network), {field.name: getattr(network, field.name) for field in fields(network)})
    return _layers_in(network, image_shape)


def _layers_at(network: Network, images: Images) -> Layers:
    height, width, channels = images.shape[1:]
    return layers_in(network, (height, width, channels))


def _own_shapes(network: Network, image_shape: ImageShape) -> tuple[PyTree, PyTree]:
    image, model = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32), network.model()
    return jax.eval_shape(lambda x: model.init(jax.random.key(0, impl="threefry2x32"), x), image)


@cache
def _layers_in(network: Network, image_shape: ImageShape) -> Layers:
    network.model().check(image_shape)
    params, state = _own_shapes(network, image_shape)
    found = layers_of(params, state, network.prunes, network.axes)
    if not found.pruned:
        there = ", ".join(place.path for place in found.params[1])[:400]
        raise ValueError(f"network {_name(network)} has nothing to prune among {there}; allowed: one kernel or more")
    layers = dict.fromkeys(place.layer for place in found.params[1])
    if network.output_layer not in ("output", *layers):
        raise ValueError(f"output is {network.output_layer!r}; allowed: 'output' if there is none, {', '.join(layers)}")
    return found


@cache
def _shapes_of(network: Network, image_shape: ImageShape) -> Params:
    found = _layers_in(network, image_shape)
    shapes: Params = jax.eval_shape(found.taken, *_own_shapes(network, image_shape))
    check_params(shapes)
    return {
        layer: {name: np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape) for name, leaf in leaves.items()}
        for layer, leaves in shapes.items()
    }


def _name(network: object) -> str:
    return type(network).__name__


def outputs_of(network: Network, image_shape: ImageShape) -> int:
    """Return the number of logits for images of (height, width, channels); nothing is computed.

    Raises ValueError as `shapes_of` does, and for outputs other than logits of shape (batch, classes).
    """
    shapes_of(network, image_shape)
    return _outputs_of(network, image_shape)


@cache
def _outputs_of(network: Network, image_shape: ImageShape) -> int:
    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    outputs = jax.eval_shape(lambda params, x: logits(network, params, x), shapes_of(network, image_shape), image)
    if not isinstance(outputs, jax.ShapeDtypeStruct):
        raise ValueError(f"network puts out a {_name(outputs)} for an image; allowed: logits, (batch, classes)")
    if not jnp.issubdtype(outputs.dtype, jnp.floating):
        raise ValueError(f"network puts out {outputs.dtype}; allowed: logits of floating-point numbers")
    if len(outputs.shape) != 2:
        raise ValueError(f"network puts out shape {outputs.shape} for an image; allowed: logits, (batch, classes)")
    return int(outputs.shape[1])
