"""Loss and accuracy of a network on a split of the data.

Most pixels of a handwritten digit are 0 and contribute nothing to a dense layer. On CPU, where time is proportional to
size, networks of dense layers are therefore evaluated on chunks of similar images, without the pixels that are 0 in the
whole chunk.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Bool, Float, Float32, Int32, Key, Num, PyTree

from supermask import networks
from supermask.checks import check_labels
from supermask.datasets import Dataset, Split
from supermask.networks import Network, outputs_of
from supermask.params import AnyArray, Params
from supermask.population import Placement, Run, batched, over_population
from supermask.short import short


@short
class Examples(NamedTuple):
    """A split on the devices: bytes, which are scaled where they are used, or float32."""

    images: Num[AnyArray, "n height width channels"]
    labels: Int32[AnyArray, " n"]


@short
class Trimmed(NamedTuple):
    """Chunks of flattened images of a split, without pixels that are 0 in a whole chunk; `pixels` remain."""

    pixels: Int32[AnyArray, "chunks width"]
    images: Num[AnyArray, "chunks size width"]
    labels: Int32[AnyArray, "chunks size"]


Evaluated = Examples | tuple[Trimmed, ...]
"""A split for evaluation, whole or trimmed; within a `Trimmed`, all chunks have the same size and width."""

TRIMMED_CHUNK = 250
"""Images per chunk: fewer images share more blank pixels, more images spread the cost of selecting a layer's rows."""

WIDTHS = 2
"""Maximum number of widths: each needs its own compilation, and chunks are padded to the widest of their group."""

CHUNKS_A_WIDTH = 4
"""Minimum number of chunks that justifies another width."""

WORTH_TRIMMING = 0.9
"""Trimming pays if at most this fraction of the pixels remains: selecting rows takes about a twentieth of the time."""


def trimmed(split: Split) -> tuple[Trimmed, ...] | None:
    """Split images into chunks, of one class where possible, without blank pixels; None if hardly any is blank."""
    order = np.argsort(split.labels, kind="stable")
    images = split.images.reshape(len(split), -1)[order]
    labels, every = split.labels[order], images.shape[1]
    chunks = [slice(at, at + TRIMMED_CHUNK) for at in range(0, len(split), TRIMMED_CHUNK)]
    blank = [~images[chunk].any(axis=0) for chunk in chunks]
    whole = len(split) // TRIMMED_CHUNK
    by_width = sorted(range(whole), key=lambda index: -int(blank[index].sum()))
    widths = max(min(WIDTHS, whole // CHUNKS_A_WIDTH), 1)
    groups = [group.tolist() for group in np.array_split(np.array(by_width, int), widths) if group.size]
    groups += [[index] for index in range(whole, len(chunks))]

    def group_of(indices: Sequence[int]) -> Trimmed:
        inked = max(every - int(blank[index].sum()) for index in indices)
        width = min(-(-max(inked, 1) // 16) * 16, every)  # at least one pixel, for completely blank images
        inked_first = [np.argsort(blank[index], kind="stable")[:width].astype(np.int32) for index in indices]
        pixels = [np.sort(each) for each in inked_first]
        return Trimmed(
            np.stack(pixels),
            np.stack([images[chunks[index]][:, each] for index, each in zip(indices, pixels, strict=True)]),
            np.stack([labels[chunks[index]] for index in indices]),
        )

    parts = tuple(group_of(indices) for indices in groups)
    left = sum(part.images.size for part in parts)
    return parts if left <= WORTH_TRIMMING * images.size else None


def examples_on(placement: Placement, split: Split) -> Examples:
    """Return a split on every device of the placement."""
    return placement.shared(Examples(split.images, split.labels))


def evaluated_on(network: Network, placement: Placement, split: Split) -> Evaluated:
    """Return a split on every device of the placement, trimmed if the network is evaluated faster so.

    Raises ValueError for a split without images, or with labels that the network has no outputs for.
    """
    height, width, channels = split.images.shape[1:]
    check_labels("split", split.labels, outputs_of(network, (height, width, channels)))
    if placement.one_at_a_time and network.pixel_layer is not None and (parts := trimmed(split)) is not None:
        return placement.shared(parts)
    return examples_on(placement, split)


def check_codes(data: Dataset, symbols: int) -> None:
    """Raise ValueError unless a data set's images are of bytes below `symbols`, as those of a text are."""
    largest = max(split.images.max() for split in (data.train, data.validation, data.test))
    if data.dtype != np.uint8 or data.maximum != 255 or largest >= symbols:
        raise ValueError(
            f"{data.name} has images of {data.dtype} up to {largest}; allowed for a network that reads codes: bytes "
            f"below {symbols}, its number of outputs, and a maximum of 255"
        )


@short
@dataclass(frozen=True, eq=False)
class PlacedData:
    """The splits of a data set on every device of a placement, each sent when it is first used.

    Raises ValueError where the network has fewer outputs than the data has classes, or reads codes and the data has
    none that it knows.
    """

    data: Dataset
    placement: Placement
    network: Network

    def __post_init__(self) -> None:
        outputs = outputs_of(self.network, self.data.image_shape)
        if outputs < self.data.classes:
            raise ValueError(f"network has {outputs} outputs; {self.data.name} has {self.data.classes} classes")
        if self.network.reads_codes:
            check_codes(self.data, outputs)

    @cached_property
    def train(self) -> Examples:
        """The training split."""
        return examples_on(self.placement, self.data.train)

    @cached_property
    def validation(self) -> Evaluated:
        """The split for early stopping."""
        return evaluated_on(self.network, self.placement, self.data.validation)

    @cached_property
    def test(self) -> Evaluated:
        """The split for reported results."""
        return evaluated_on(self.network, self.placement, self.data.test)

    @cached_property
    def evaluated(self) -> Run:
        """Compiled: (scores to be overwritten, networks' parameters, split, counts) -> scores of a population."""
        network, maximum = self.network, self.data.maximum
        return over_population(lambda _, params, split: evaluate(network, params, split, maximum), self.placement)

    def evaluate(self, params: Sequence[Params], split: Evaluated) -> list["Scores"]:
        """Return the networks' loss and accuracy on a split, in their order."""
        place = self.placement
        scores: list[Scores] = []
        for some in batched(params, place.slots):
            unseen = place.stack([UNSEEN] * len(some))
            tested = self.evaluated(unseen, place.stack(some), split, place.counts(len(some)))
            scores += place.unstack(tested, len(some))
        return scores


@short
class Scores(NamedTuple):
    """Mean cross-entropy (nats) and accuracy (fraction) on a split."""

    loss: Float32[AnyArray, ""]
    accuracy: Float32[AnyArray, ""]


UNSEEN = Scores(*np.array([np.inf, 0], np.float32))
"""Scores before the first evaluation; every evaluation is better."""


def scaled(images: Num[Array, "*shape"], maximum: int) -> Float32[Array, "*shape"]:
    """Scale bytes to [0, 1], as networks read them; float32 has a maximum of 1, and stays as it is."""
    return images.astype(jnp.float32) / maximum


def where_better(better: Bool[AnyArray, ""], new: PyTree, old: PyTree) -> PyTree:
    """Return the new tree if it is better, else the old one, to keep the best so far."""
    return jax.tree.map(lambda n, o: jnp.where(better, n, o), new, old)


def evaluation_chunk(network: Network, image_shape: tuple[int, int, int]) -> int:
    """Return the number of images per chunk: fewer for convolutions, which make an image a hundred times larger."""
    return 250 if networks.is_convolutional(network, image_shape) else 1000


def cross_entropy(
    network: Network,
    params: Params,
    images: Float[Array, "batch height width channels"],
    labels: Int32[Array, " batch"],
    temperature: float = 1.0,
    smoothing: float = 0.0,
) -> Float[Array, ""]:
    """Return mean softmax cross-entropy, in nats, of the logits divided by a temperature.

    smoothing: the part of every label that is spread evenly over all classes.
    """
    outputs = networks.logits(network, params, images)
    return _mean_loss(outputs, labels, temperature, smoothing)


def training_loss(
    network: Network,
    params: Params,
    images: Float[Array, "batch height width channels"],
    labels: Int32[Array, " batch"],
    key: Key[Array, ""] | None = None,
    *,
    temperature: float = 1.0,
    smoothing: float = 0.0,
) -> tuple[Float[Array, ""], Params]:
    """Return `cross_entropy` of a batch in training, and the state of `in_training`."""
    outputs, statistics = networks.in_training(network, params, images, key)
    return _mean_loss(outputs, labels, temperature, smoothing), statistics


def _mean_loss(
    outputs: Float[Array, "batch classes"], labels: Int32[Array, " batch"], temperature: float, smoothing: float
) -> Float[Array, ""]:
    outputs = outputs if temperature == 1 else outputs / temperature
    loss = optax.softmax_cross_entropy_with_integer_labels(outputs, labels).mean()
    if not smoothing:
        return loss
    return (1 - smoothing) * loss - smoothing * jax.nn.log_softmax(outputs).mean()


def read_by(
    inputs: Int32[AnyArray, " inputs"] | None, images: Float[Array, "batch height width channels"]
) -> Float[Array, "batch h w c"]:
    """Return a network's inputs: whole images, or of each flattened image the values at `inputs`, as a column."""
    if inputs is None:
        return images
    return images.reshape(images.shape[0], -1).take(inputs, axis=1, mode="clip")[:, :, None, None]


def evaluate(
    network: Network,
    params: Params,
    split: Evaluated,
    maximum: int,
    inputs: Int32[AnyArray, " inputs"] | None = None,
) -> Scores:
    """Return loss and accuracy on a split, evaluated in chunks that bound the memory. `inputs`: see `read_by`.

    Raises ValueError where the split is trimmed and the network has no dense layer that reads its pixels.
    """
    if isinstance(split, Examples):
        return _evaluate_whole(network, params, split, maximum, inputs)
    return _evaluate_trimmed(network, params, split, maximum, inputs)


def _totals(network: Network, params: Params, images: Array, labels: Array) -> Float[Array, "2"]:
    """Return sums over images: of the loss, and of correct predictions."""
    outputs = networks.logits(network, params, images)
    loss = optax.softmax_cross_entropy_with_integer_labels(outputs, labels).sum()
    return jnp.stack([loss, jnp.sum(jnp.argmax(outputs, axis=-1) == labels, dtype=jnp.float32)])


def _evaluate_whole(
    network: Network, params: Params, examples: Examples, maximum: int, inputs: Int32[AnyArray, " inputs"] | None
) -> Scores:
    size = examples.labels.shape[0]
    height, width, channels = examples.images.shape[1:]
    chunk = min(evaluation_chunk(network, (height, width, channels)), size)

    def totals(images: Array, labels: Array) -> Array:
        return _totals(network, params, read_by(inputs, scaled(images, maximum)), labels)

    def add_chunk(index: Array, total: Array) -> Array:
        part = jax.tree.map(lambda leaf: lax.dynamic_slice_in_dim(leaf, index * chunk, chunk), examples)
        return total + totals(*part)

    total = lax.fori_loop(0, size // chunk, add_chunk, jnp.zeros(2, jnp.float32))
    if rest := size % chunk:
        total = total + totals(*jax.tree.map(lambda leaf: leaf[-rest:], examples))
    return Scores(total[0] / size, total[1] / size)


def _evaluate_trimmed(
    network: Network, params: Params, parts: Sequence[Trimmed], maximum: int, inputs: Int32[AnyArray, " inputs"] | None
) -> Scores:
    layer = network.pixel_layer
    if layer is None:
        raise ValueError("split is trimmed; allowed: whole, for a network whose pixels no dense layer reads")
    kernel = jnp.asarray(params[layer]["kernel"])

    def totals(pixels: Array, images: Array, labels: Array) -> Array:
        reader = networks.with_kernels(params, {layer: _rows(kernel, pixels, inputs)})
        return _totals(network, reader, scaled(images, maximum)[:, :, None, None], labels)

    def add_part(total: Array, part: Trimmed) -> Array:
        def add_chunk(index: Array, total: Array) -> Array:
            chunk = jax.tree.map(lambda leaf: lax.dynamic_index_in_dim(leaf, index, keepdims=False), part)
            return total + totals(*chunk)

        return lax.fori_loop(0, part.labels.shape[0], add_chunk, total)

    total, size = reduce(add_part, parts, jnp.zeros(2, jnp.float32)), sum(part.labels.size for part in parts)
    return Scores(total[0] / size, total[1] / size)


def _rows(
    kernel: Float[Array, "inputs outputs"], pixels: Int32[Array, " width"], inputs: Int32[AnyArray, " inputs"] | None
) -> Float[Array, "width outputs"]:
    """Return a kernel's rows for these pixels; 0 for pixels that are not among the ascending `inputs`."""
    if inputs is None:
        return kernel.take(pixels, axis=0, mode="clip")
    place = jnp.searchsorted(jnp.asarray(inputs), pixels)
    read = jnp.asarray(inputs).take(place, mode="clip") == pixels
    return kernel.take(jnp.where(read, place, kernel.shape[0]), axis=0, mode="fill", fill_value=0)
