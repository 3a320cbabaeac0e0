"""Tasks that are a data set with its pixels, or its classes, in another order.

A network of dense layers does not know the order of its inputs and outputs. On images with permuted pixels it does what
a network with permuted rows of the first kernel does on the images as they are; permuted classes are permuted columns
of the last kernel. So many tasks can be learned from one data set, by one compiled program: move the initial weights,
learn, and move what was learned back. `permute_data` makes the same task of the data.

Zhou et al. 2019, in the authors' blog post, remark that masks alone fit one random network to any such task; permuted
pixels are the tasks of Wortsman et al. 2020 (arXiv 2006.14769), section 4.2.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Int, Key

from supermask.checks import check_key, check_whole
from supermask.datasets import Dataset, Split, dataset_digest
from supermask.datasets.base import make_split
from supermask.params import AnyArray
from supermask.short import short

Leaves = dict[str, np.ndarray]

_DIGITS = 8
"""Digits of the digest in the name of a permuted data set, as in that of a user's own."""


@short
class PermutedTask(NamedTuple):
    """A task as a permutation of a data set.

    pixels: value i of a flattened image of the task is value `pixels[i]` of the data's.
    classes: an image of class c has class `classes[c]` in the task.
    """

    pixels: Int[np.ndarray, " inputs"]
    classes: Int[np.ndarray, " classes"]


def permuted_task(
    key: Key[Array, ""], inputs: int, classes: int, *, permute_pixels: bool = True, permute_classes: bool = False
) -> PermutedTask:
    """Draw a task: a random order of the pixels, of the classes, or of both; what is not permuted stays in order.

    inputs: values of an image, height × width × channels. classes: number of classes. Raises ValueError for a key that
    is none, and for numbers below 1.
    """
    check_key(key)
    sizes = (check_whole("inputs", inputs, 1), check_whole("classes", classes, 1))
    drawn = [np.asarray(jax.random.permutation(jax.random.fold_in(key, at), size)) for at, size in enumerate(sizes)]
    asked = (permute_pixels, permute_classes)
    return PermutedTask(*(order if own else np.sort(order) for order, own in zip(drawn, asked, strict=True)))


def permute_data(data: Dataset, task: PermutedTask) -> Dataset:
    """Return the data set of a task, under a name of its own with a part of its digest.

    Raises ValueError for a task of other images or classes.
    """
    _check_task(task, int(np.prod(data.image_shape)), data.classes)
    train, validation, test = (_moved(split, task) for split in (data.train, data.validation, data.test))
    digest = dataset_digest(train, validation, test, maximum=data.maximum)
    parts = [name for name, order in task._asdict().items() if not np.array_equal(order, np.arange(order.size))]
    words = f"permuted {' and '.join(parts)}" if parts else "nothing permuted"
    names = tuple(data.class_names[c] for c in np.argsort(task.classes)) if data.class_names else ()
    return Dataset(
        f"{data.name}-permuted-{digest[:_DIGITS]}",
        train,
        validation,
        test,
        data.maximum,
        data.classes,
        digest,
        f"{data.source}; {words}",
        class_names=names,
    )


def _moved(split: Split, task: PermutedTask) -> Split:
    return make_split(permute_images(split.images, task), task.classes[split.labels])


def permute_images(images: np.ndarray, task: PermutedTask) -> np.ndarray:
    """Return images of a task, of the same shape and type."""
    return np.ascontiguousarray(images.reshape(len(images), -1)[:, task.pixels]).reshape(images.shape)


def onto_data(kernels: Mapping[str, AnyArray], task: PermutedTask, layers: Sequence[str]) -> Leaves:
    """Return kernels, or masks or logits of them, that do on the data as it is what the given ones do on the task.

    kernels: of dense layers, (inputs, outputs). layers: in their order, the output layer last. Outputs are in the
    data's order of classes; those beyond the classes stay. Raises ValueError for layers that are not there, or that
    read or tell something else.
    """
    return _permuted(kernels, task, layers, np.argsort(task.pixels), task.classes)


def onto_task(kernels: Mapping[str, AnyArray], task: PermutedTask, layers: Sequence[str]) -> Leaves:
    """Return what does on the task what the given kernels do on the data: the inverse of `onto_data`."""
    return _permuted(kernels, task, layers, task.pixels, np.argsort(task.classes))


def _permuted(
    kernels: Mapping[str, AnyArray], task: PermutedTask, layers: Sequence[str], rows: np.ndarray, columns: np.ndarray
) -> Leaves:
    moved = {layer: np.asarray(kernel) for layer, kernel in kernels.items()}
    if not layers or not set(layers) <= set(moved):
        raise ValueError(f"layers is {list(layers)}; allowed: some of {', '.join(moved)}, the output layer last")
    first, last = layers[0], layers[-1]
    for layer in (first, last):
        if moved[layer].ndim != 2:
            raise ValueError(f"kernel of {layer} is of shape {moved[layer].shape}; allowed: dense, (inputs, outputs)")
    outputs, classes = moved[last].shape[1], len(task.classes)
    if outputs < classes:
        raise ValueError(f"{last} has {outputs} outputs; allowed: {classes} or more, one for each class")
    _check_task(task, moved[first].shape[0], classes)
    moved[first] = moved[first][rows]
    moved[last] = moved[last][:, [*columns, *range(classes, outputs)]]
    return moved


def _check_task(task: PermutedTask, inputs: int, classes: int) -> None:
    for name, order, size in (("pixels", task.pixels, inputs), ("classes", task.classes, classes)):
        if not np.array_equal(np.sort(order), np.arange(size)):
            raise ValueError(f"{name} of the task is no order of {size:,}; allowed: each of 0 to {size - 1:,} once")
