"""Normalisation of images per channel, by the statistics of the training images; it runs on the devices."""

import math
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Num

from supermask.networks import Network

Pixels = tuple[float, ...]
"""A number for each channel."""

DIGITS = 4
"""Digits of a deviation, and as many places of the mean: sums of float32 differ between machines after them."""


class Normalised(Network):
    """A network whose images are normalised first: it has the same layers and parameters.

    What computes a network of dense layers in other ways does not know of this, and is left by asking for
    `dense_layers` and `pixel_layer`, which it has none of.
    """

    network: Network
    mean: Pixels
    deviation: Pixels

    def setup(self) -> None:
        """Give the network's layers their own names."""
        nn.share_scope(self, self.network)

    @property
    def convolutional(self) -> bool:
        """Whether the network has any convolutions."""
        return self.network.convolutional

    @property
    def statistics(self) -> Mapping[str, tuple[str, ...]]:
        """The network's running statistics."""
        return self.network.statistics

    def products(self, image_shape: tuple[int, int, int]) -> float:
        """Return the network's multiplications."""
        return self.network.products(image_shape)

    def __call__(
        self, x: Float[Array, "batch height width channels"], training: bool = False
    ) -> Float[Array, "batch classes"]:
        """Return logits of images scaled to [0, 1]. `training`: see `networks.in_training`."""
        mean, deviation = (jnp.asarray(own, x.dtype).reshape(1, 1, 1, -1) for own in (self.mean, self.deviation))
        images, network = (x - mean) / deviation, self.network
        logits: Array = network(images, training=True) if training else network(images)  # type: ignore[call-arg]
        return logits


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
