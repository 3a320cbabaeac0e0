"""Normalisation of images per channel, by the statistics of the training images; it runs on the devices."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Num, PyTree

from supermask.model import Images, Model, Network
from supermask.params import Params

Pixels = tuple[float, ...]
"""A number for each channel."""

DIGITS = 4
"""Digits of a deviation, and as many places of the mean: sums of float32 differ between machines after them."""


@dataclass(frozen=True)
class NormalisedModel:
    """A model whose images are normalised first."""

    model: Model
    mean: Pixels
    deviation: Pixels

    @property
    def draws(self) -> bool:
        """Whether the model draws in training."""
        return self.model.draws

    def init(self, key: Key[Array, ""], images: Images) -> tuple[PyTree, PyTree]:
        """Draw the model's parameters and state."""
        return self.model.init(key, images)

    def apply(
        self, params: PyTree, state: PyTree, images: Images, key: Key[Array, ""] | None, *, training: bool
    ) -> tuple[Any, PyTree]:
        """Return the model's logits of normalised images, and its state."""
        return self.model.apply(params, state, self.normalised(images), key, training=training)

    def normalised(self, images: Images) -> Images:
        """Return the images less the mean, over the deviation."""
        mean, deviation = (jnp.asarray(own, images.dtype).reshape(1, 1, 1, -1) for own in (self.mean, self.deviation))
        return (images - mean) / deviation

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Raise ValueError as the model does."""
        self.model.check(image_shape)


class Normalised(Network):
    """A network whose images are normalised first: it has the same layers and parameters.

    What computes a network of dense layers in other ways does not know of this, and is left by asking for
    `dense_layers` and `pixel_layer`, which it has none of.
    """

    network: Network
    mean: Pixels
    deviation: Pixels

    @property
    def convolutional(self) -> bool | None:
        """Whether the network has any convolutions."""
        return self.network.convolutional

    @property
    def output_layer(self) -> str:
        """The network's layer that puts out logits."""
        return self.network.output_layer

    @property
    def glorot(self) -> bool:
        """Whether the network's kernels are Glorot's."""
        return self.network.glorot

    @property
    def statistics(self) -> Mapping[str, tuple[str, ...]]:
        """The network's running statistics among its parameters."""
        return self.network.statistics

    def layer_kinds(self, image_shape: tuple[int, int, int]) -> Mapping[str, str]:
        """Return the network's kinds of layers."""
        return self.network.layer_kinds(image_shape)

    def layer_products(self, image_shape: tuple[int, int, int]) -> Mapping[str, float]:
        """Return the network's multiplications by layer."""
        return self.network.layer_products(image_shape)

    def products(self, image_shape: tuple[int, int, int]) -> float:
        """Return the network's multiplications."""
        return self.network.products(image_shape)

    def prunes(self, path: str, leaf: Any) -> bool:
        """Return whether the network's leaf is prunable."""
        return self.network.prunes(path, leaf)

    def axes(self, path: str, leaf: Any) -> tuple[int, ...] | None:
        """Return the order of axes of the network's leaf."""
        return self.network.axes(path, leaf)

    def model(self) -> NormalisedModel:
        """Return the network's functions, on normalised images. Raises ValueError for a network that reads codes."""
        if self.network.reads_codes:
            raise ValueError(f"network {type(self.network).__name__} reads codes; allowed: recipes without normalise")
        return NormalisedModel(self.network.model(), self.mean, self.deviation)

    def trained_outputs(
        self, params: Params, images: Images, key: Key[Array, ""] | None
    ) -> tuple[Float[Array, "batch classes"], Params]:
        """Return the network's logits of normalised images in training, and its state."""
        return self.network.trained_outputs(params, self.model().normalised(images), key)


def without_normalisation(network: Network) -> Network:
    """Return the network that reads what is normalised, or this one where nothing is."""
    return network.network if isinstance(network, Normalised) else network


def normalisation_of(images: Num[np.ndarray, "n height width channels"], maximum: int) -> tuple[Pixels, Pixels]:
    """Return the mean and the standard deviation of each channel's pixels, scaled to [0, 1], to `DIGITS` digits.

    A channel that is the same everywhere has the deviation 1.
    """
    found = []
    for mean, deviation in channel_moments(images, maximum):
        deviation = deviation if deviation > 1e-7 * abs(mean) else 1.0  # a constant float32 leaves roundings
        places = DIGITS - 1 - math.floor(math.log10(deviation))
        found.append((round(mean, places), round(deviation, places)))
    return tuple(mean for mean, _ in found), tuple(deviation for _, deviation in found)


def channel_moments(images: Num[np.ndarray, "n height width channels"], maximum: int) -> list[tuple[float, float]]:
    """Return the mean and the standard deviation of each channel's pixels, divided by `maximum`."""
    return [_moments(images[..., channel], maximum) for channel in range(images.shape[-1])]


def _moments(pixels: Num[np.ndarray, "n height width"], maximum: int) -> tuple[float, float]:
    if pixels.dtype != np.uint8:
        return float(pixels.mean(dtype=np.float64)) / maximum, float(pixels.std(dtype=np.float64)) / maximum
    values, counts = np.arange(256) / maximum, np.bincount(pixels.ravel(), minlength=256)
    mean = float(np.average(values, weights=counts))
    return mean, float(np.average((values - mean) ** 2, weights=counts)) ** 0.5
