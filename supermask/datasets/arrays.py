"""Data sets of one's own, from arrays: checked in full, and divided by a rule that never changes.

Nothing is guessed: an array that may not be what its user takes it for is refused, by its name, shape and type.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int32

from supermask.datasets.base import Dataset, Pixels, Split, dataset_digest, make_split

MOST_CLASSES = 100_000
"""Upper limit, so that a mistyped number is an error."""

VALIDATION_SHARE = 10
"""One in so many training images of each class is held out for validation, where no validation data are given."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
DIGITS = 8
"""Digits of a data set's digest in its name."""


@dataclass(frozen=True)
class Part:
    """Images and labels of a split, as they were given, and what errors call them."""

    images: Any
    labels: Any
    images_name: str
    labels_name: str


def from_arrays(
    train: tuple[Any, Any] | Split,
    test: tuple[Any, Any] | Split,
    validation: tuple[Any, Any] | Split | None = None,
    classes: int | None = None,
    name: str = "own",
    class_names: Sequence[str] = (),
) -> Dataset:
    """Make a data set of images and labels of one's own.

    Each split is a pair (images, labels). Images are arrays of uint8 or float32, all of one type and shape, which is
    (n, pixels), (n, height, width) or (n, height, width, channels). Networks read bytes divided by 255, and float32 as
    it is. Labels are integers from 0 to `classes` - 1, of shape (n,) or (n, 1). Arrays are copied.

    Without `validation`, a tenth of the training images is held out, class by class: see `held_out`.

    Args:
        train: images to train on, and their labels.
        test: images to report on, and their labels.
        validation: images for choices, and their labels.
        classes: number of classes; by default the largest label + 1, and then each class needs a training image.
        name: letters, digits and "_.-", 40 characters at most. The first digits of the digest are added to it.
        class_names: what the classes are called, in order, for the explorer.

    Raises:
        ValueError: an array is empty, of another type or shape, constant, or has a value that is NaN, infinite or no
            class; splits do not fit each other. The message names the array, its shape and type, and what is allowed.
    """
    given = {"train": train, "validation": validation, "test": test}
    parts = {split: _part(split, pair) for split, pair in given.items() if pair is not None}
    return assembled(name, parts, classes, "arrays", tuple(class_names))


def assembled(
    name: str, parts: Mapping[str, Part], classes: int | None, source: str, class_names: tuple[str, ...] = ()
) -> Dataset:
    """Make a data set of parts "train", "test" and perhaps "validation". Raises ValueError as `from_arrays` does."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"name is {name!r}; allowed: a letter or digit, then up to 39 of them or of _.-")
    images = {split: _images(part.images_name, part.images) for split, part in parts.items()}
    labels = {split: _labels(part, len(images[split])) for split, part in parts.items()}
    for split, part in parts.items():
        own, wanted = images[split], images["train"]
        if (own.dtype, own.shape[1:]) != (wanted.dtype, wanted.shape[1:]):
            raise ValueError(
                f"{_found(part.images_name, part.images)}; allowed: images like those of {parts['train'].images_name}, "
                f"{wanted.dtype} of shape {np.shape(parts['train'].images)}"
            )
    number = _classes(parts, labels, classes)
    if "validation" not in parts:
        held = held_out(images["train"], labels["train"], "validation", VALIDATION_SHARE)
        if not held.any():
            raise ValueError(
                f"{_found(parts['train'].labels_name, parts['train'].labels)}, and no class has two images, one of "
                "which could be held out; allowed: validation data, or more training images"
            )
        for each in (images, labels):
            each["train"], each["validation"] = each["train"][~held], each["train"][held]
    maximum = 255 if images["train"].dtype == np.uint8 else 1
    source = f"{source}; {_words(images['train'])}"
    first, second, third = (make_split(images[split], labels[split]) for split in ("train", "validation", "test"))
    digest = dataset_digest(first, second, third, maximum=maximum)
    named = f"{name}-{digest[:DIGITS]}"
    return Dataset(named, first, second, third, maximum, number, digest, source, class_names=class_names)


def held_out(images: Pixels, labels: Int32[np.ndarray, " n"], purpose: str, share: int) -> Bool[np.ndarray, " n"]:
    """Choose the images of each class that are held out for a purpose: always the same ones, whatever their order.

    Of n images of a class, floor(n / `share`) are held out, but one at least where n is 2 or more: those with the
    lowest SHA-256 of "supermask ", the purpose, a line feed and the image's bytes (float32 little-endian). Of equal
    images, the earlier comes first.
    """
    start = f"supermask {purpose}\n".encode()
    stored = images if images.dtype == np.uint8 else images.astype("<f4", copy=False)
    keys = [hashlib.sha256(start + image.tobytes()).digest() for image in stored]
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label).tolist()
        number = max(len(own) // share, 1) if len(own) > 1 else 0
        held[sorted(own, key=keys.__getitem__)[:number]] = True
    return held


def _part(split: str, pair: Any) -> Part:
    names = f"{split} images", f"{split} labels"
    if isinstance(pair, Split):
        return Part(pair.images, pair.labels, *names)
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise ValueError(f"{split} is a {type(pair).__name__}; allowed: a pair (images, labels) of arrays")
    images, labels = pair
    return Part(images, labels, *names)


def _images(name: str, given: Any) -> Pixels:
    """Return the images as an own copy of four axes."""
    array, found = _array(name, given), _found(name, given)
    if array.dtype not in (np.uint8, np.float32) or array.ndim not in (2, 3, 4):
        raise ValueError(
            f"{found}; allowed: uint8 or float32, of shape (images, pixels), (images, height, width) or "
            "(images, height, width, channels)"
        )
    if not array.size:
        raise ValueError(f"{found}; allowed: one image or more, of one pixel or more")
    if array.dtype == np.float32 and not (finite := np.isfinite(array)).all():
        first = tuple(map(int, np.argwhere(~finite)[0]))
        raise ValueError(f"{found}, and {array[first]} at {first}; allowed: finite numbers")
    if array.min() == array.max():
        raise ValueError(f"{found}, and each of its values is {array.flat[0]}; allowed: images that are not constant")
    shape = {2: (1, *array.shape[1:], 1), 3: (*array.shape[1:], 1), 4: array.shape[1:]}[array.ndim]
    return np.array(array, order="C").reshape(len(array), *shape)


def _labels(part: Part, images: int) -> Int32[np.ndarray, " n"]:
    """Return labels as int32, none of which is negative."""
    name, given = part.labels_name, part.labels
    array, found = _array(name, given), _found(name, given)
    if array.dtype.kind not in "iu" or array.shape not in ((images,), (images, 1)):
        raise ValueError(f"{found}; allowed: integers, one for each of the {images} images of {part.images_name}")
    if array.min() < 0 or array.max() >= MOST_CLASSES:
        raise ValueError(f"{found}, and values from {array.min()} to {array.max()}; allowed: 0 to {MOST_CLASSES - 1}")
    return array.astype(np.int32).reshape(images)


def _classes(parts: Mapping[str, Part], labels: Mapping[str, Int32[np.ndarray, " _"]], given: int | None) -> int:
    """Return the number of classes that was given, or that follows from the labels."""
    train, known = parts["train"], np.unique(labels["train"])
    found = _found(train.labels_name, train.labels)
    if given is not None and (
        isinstance(given, bool) or not isinstance(given, int | np.integer) or not 2 <= given <= MOST_CLASSES
    ):
        raise ValueError(f"classes is {given!r}; allowed: 2 to {MOST_CLASSES}, a whole number")
    if len(known) == 1:
        raise ValueError(f"{found}, and each of its values is {known[0]}; allowed: labels of two classes or more")
    highest = max(int(own.max()) for own in labels.values())
    if given is not None and highest >= given:
        split = next(split for split, own in labels.items() if int(own.max()) == highest)
        own = _found(parts[split].labels_name, parts[split].labels)
        raise ValueError(f"{own}, and a value of {highest}; allowed: 0 to {given - 1}, for classes is {given}")
    if given is None and len(known) <= highest:
        without = int(np.flatnonzero(np.isin(np.arange(highest + 1), known, invert=True))[0])
        raise ValueError(
            f"{found}, and labels go up to {highest}, but none of its values is {without}; allowed: labels from 0 on "
            "without a gap, or a number of classes"
        )
    return highest + 1 if given is None else int(given)


def _array(name: str, given: Any) -> np.ndarray:
    """Return what was given as an array. Raises ValueError where that would leave something out."""
    if isinstance(given, np.ma.MaskedArray):
        raise ValueError(f"{name} is a masked array; allowed: an array without missing values")
    try:
        array = np.asarray(given)
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} is a {type(given).__name__} and no array: {error}") from None


def _found(name: str, given: Any) -> str:
    array = np.asarray(given)
    return f"{name} is {array.dtype} of shape {array.shape}"


def _words(images: Pixels) -> str:
    """Say how networks read the images, as a user checks it at a glance."""
    shape = "×".join(map(str, images.shape[1:]))
    values = "bytes" if images.dtype == np.uint8 else f"float32 from {images.min():.4g} to {images.max():.4g}"
    return f"images of {shape}, {values}"
