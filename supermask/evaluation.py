"""Loss and accuracy of a network over a split of the data."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Bool, Float, Float32, Int32, Num, PyTree, UInt8

from supermask import networks
from supermask.datasets import Dataset, Split
from supermask.networks import AnyArray, Network, Params
from supermask.population import Placement


class Examples(NamedTuple):
    """A split as the devices hold it: bytes, which are scaled where they are used."""

    images: UInt8[AnyArray, "n height width channels"]
    labels: Int32[AnyArray, " n"]


def examples_on(placement: Placement, split: Split) -> Examples:
    """A split, on every device of the placement."""
    return placement.shared(Examples(split.images, split.labels))


@dataclass(frozen=True, eq=False)
class PlacedData:
    """The splits of a data set on every device of a placement, each sent there when it is first asked for."""

    data: Dataset
    placement: Placement

    @cached_property
    def train(self) -> Examples:
        """What is trained on."""
        return examples_on(self.placement, self.data.train)

    @cached_property
    def validation(self) -> Examples:
        """What decides when to stop."""
        return examples_on(self.placement, self.data.validation)

    @cached_property
    def test(self) -> Examples:
        """What is reported."""
        return examples_on(self.placement, self.data.test)


class Scores(NamedTuple):
    """Mean cross-entropy (nats) and accuracy (fraction) over a split."""

    loss: Float32[AnyArray, ""]
    accuracy: Float32[AnyArray, ""]


UNSEEN = Scores(*np.array([np.inf, 0], np.float32))
"""Scores before the first evaluation, which every evaluation betters."""


def scaled(images: Num[Array, "*shape"], maximum: int) -> Float32[Array, "*shape"]:
    """Images as the networks read them, in [0, 1]."""
    return images.astype(jnp.float32) / maximum


def where_better(better: Bool[AnyArray, ""], new: PyTree, old: PyTree) -> PyTree:
    """The new tree if it is better, else the old one: how the best so far is kept aside."""
    return jax.tree.map(lambda n, o: jnp.where(better, n, o), new, old)


def evaluation_chunk(network: Network) -> int:
    """How many images are evaluated at once: fewer where convolutions make a hundred times its size of an image."""
    return 250 if network.convolutional else 1000


def cross_entropy(
    network: Network,
    params: Params,
    images: Float[Array, "batch height width channels"],
    labels: Int32[Array, " batch"],
) -> Float[Array, ""]:
    """Mean softmax cross-entropy, in nats."""
    outputs = networks.logits(network, params, images)
    return optax.softmax_cross_entropy_with_integer_labels(outputs, labels).mean()


def read_by(
    inputs: Int32[AnyArray, " inputs"] | None, images: Float[Array, "batch height width channels"]
) -> Float[Array, "batch h w c"]:
    """What a network sees of images: all of it, or the values at `inputs` of each one flattened, as a column."""
    if inputs is None:
        return images
    return images.reshape(images.shape[0], -1).take(inputs, axis=1, mode="clip")[:, :, None, None]


def evaluate(
    network: Network,
    params: Params,
    examples: Examples,
    maximum: int,
    inputs: Int32[AnyArray, " inputs"] | None = None,
) -> Scores:
    """Loss and accuracy over a split, in chunks that bound the memory. `inputs`: see `read_by`."""
    size = examples.labels.shape[0]
    chunk = min(evaluation_chunk(network), size)

    def totals(images: Num[Array, "chunk height width channels"], labels: Int32[Array, " chunk"]) -> Array:
        outputs = networks.logits(network, params, read_by(inputs, scaled(images, maximum)))
        loss = optax.softmax_cross_entropy_with_integer_labels(outputs, labels).sum()
        right = jnp.sum(jnp.argmax(outputs, axis=-1) == labels, dtype=jnp.float32)
        return jnp.stack([loss, right])

    def add_chunk(index: Array, total: Array) -> Array:
        part = jax.tree.map(lambda leaf: lax.dynamic_slice_in_dim(leaf, index * chunk, chunk), examples)
        return total + totals(*part)

    total = lax.fori_loop(0, size // chunk, add_chunk, jnp.zeros(2))
    if rest := size % chunk:
        total = total + totals(*jax.tree.map(lambda leaf: leaf[-rest:], examples))
    return Scores(total[0] / size, total[1] / size)
