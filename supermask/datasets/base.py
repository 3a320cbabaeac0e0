"""Data sets: three splits of images with labels, and the digest that identifies their content."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, Integer, UInt8

from supermask.checks import check_labels
from supermask.reading import is_regular
from supermask.short import short

Pixels = UInt8[np.ndarray, "n height width channels"] | Float32[np.ndarray, "n height width channels"]
"""Images as bytes, or as numbers that networks read as they are."""


CLASS_NAME_LENGTH = 40


class DataError(Exception):
    """A data set that cannot be loaded; the message names the file, what was expected and what was found."""


@short
@dataclass(frozen=True, eq=False)
class Split:
    """Images and their classes, image by image. The arrays of loaded splits are read-only.

    Raises:
        ValueError: for arrays of other shapes or types; the message names the array and what is allowed.

    Attributes:
        images: channels last; bytes from 0 to the data set's `maximum`, or float32.
        labels: class of each image, 0 to the data set's `classes` - 1.
    """

    images: Pixels
    labels: Int32[np.ndarray, " n"]

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype not in (np.uint8, np.float32):
            found = f"{self.images.dtype} of shape {self.images.shape}"
            raise ValueError(f"images is {found}; allowed: uint8 or float32, (images, height, width, channels)")
        if not all(self.images.shape[1:]):
            raise ValueError(f"images is of shape {self.images.shape}; allowed: one pixel and one channel or more")
        if self.labels.shape != self.images.shape[:1] or self.labels.dtype != np.int32:
            found = f"{self.labels.dtype} of shape {self.labels.shape}"
            raise ValueError(f"labels is {found}; allowed: int32, one for each of {len(self.images)} images")

    def __len__(self) -> int:
        return len(self.labels)


@short
@dataclass(frozen=True, eq=False)
class Dataset:
    """A verified data set in memory.

    Attributes:
        name: its key in `DATASETS`, such as "mnist", or a name of your own; `from_arrays` adds a part of the digest to
            that, as in "beetles-0c1f92ab".
        train: images to train on.
        validation: images for choices; part of the published training images, never of the test images.
        test: images to report on.
        maximum: largest possible byte; bytes divided by it lie in 0..1. 1 for float32, which is read as it is.
        classes: number of classes.
        digest: SHA-256 (hex) of all three splits and `maximum`, the same on every platform. Results are stored under
            it. Give "" to have it computed.
        source: where the content came from, in words.
        title: display name of a published data set that was loaded as such; empty for any other.
        class_names: what the classes are called, in order, for the explorer; empty where they have numbers alone. They
            are no part of the digest.

    Raises:
        ValueError: for a name that is empty or not printable, an empty split, images of different shapes or types,
            bytes above `maximum`, numbers that are not finite, a `maximum` other than 1 of float32, labels outside the
            classes, names of classes that are not one for each or no short printable text, or a digest of another
            content, such as `dataclasses.replace` leaves where it replaces a split.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    maximum: int
    classes: int
    digest: str
    source: str
    title: str = ""
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.name.strip() and self.name.isprintable()):
            raise ValueError(f"name is {self.name!r}; allowed: printable text, not empty")
        for name in ("maximum", "classes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 1 or more")
        check_class_names(self.class_names, self.classes)
        if self.dtype != np.uint8 and self.maximum != 1:
            raise ValueError(f"maximum is {self.maximum} for images of {self.dtype}, which are not scaled; allowed: 1")
        for name in ("train", "validation", "test"):
            split: Split = getattr(self, name)
            check_labels(f"{self.name}, {name}", split.labels, self.classes)
            if (own := split.images.dtype) != self.dtype:
                raise ValueError(f"{self.name}, {name} has images of {own}; allowed: {self.dtype}, as in train")
            if split.images.shape[1:] != self.train.images.shape[1:]:
                found, wanted = split.images.shape[1:], self.train.images.shape[1:]
                raise ValueError(f"{self.name}, {name} has images of shape {found}; allowed: {wanted}, as in train")
            if self.dtype != np.uint8:
                if not np.isfinite(split.images).all():
                    raise ValueError(f"{self.name}, {name} has a pixel of NaN or infinity; allowed: finite numbers")
            elif (brightest := split.images.max()) > self.maximum:
                raise ValueError(f"{self.name}, {name} has a pixel of {brightest}; allowed: 0 to {self.maximum}")
        content = dataset_digest(self.train, self.validation, self.test, maximum=self.maximum)
        if self.digest not in ("", content):
            raise ValueError(
                f"digest of data set {self.name!r} is {self.digest!r}; allowed: that of its content, {content!r}, or "
                "an empty text, to have it computed"
            )
        object.__setattr__(self, "digest", content)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels: uint8, divided by `maximum` before a network reads them, or float32, read as they are."""
        return self.train.images.dtype

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels


def check_class_names(names: tuple[str, ...], classes: int) -> None:
    """Raise ValueError unless names are none, or one for each class of printable text of up to 40 characters."""
    if names and len(names) != classes:
        raise ValueError(f"class_names are {len(names)}; allowed: none, or one for each of {classes} classes")
    for name in names:
        if not (isinstance(name, str) and name.strip() and name.isprintable() and len(name) <= CLASS_NAME_LENGTH):
            found = name[:60] if isinstance(name, str) else name
            raise ValueError(
                f"class_names has {found!r}; allowed: printable text of 1 to {CLASS_NAME_LENGTH} characters"
            )


def make_split(images: Pixels, labels: Integer[np.ndarray, " n"]) -> Split:
    """Make a split of contiguous arrays, which are read-only because train and validation are views of one array."""
    images = np.ascontiguousarray(images)
    wide = labels.astype(np.int32)
    images.flags.writeable = wide.flags.writeable = False
    return Split(images, wide)


def dataset_digest(train: Split, validation: Split, test: Split, *, maximum: int) -> str:
    """Return the SHA-256 (hex) of names, shapes and bytes of the splits' arrays, and of the pixels' maximum.

    Two data sets with the same digest train a network identically: the order of images counts, the machine's byte
    order does not. Images of float32 have no maximum.
    """
    of_bytes = train.images.dtype == np.uint8
    digest = hashlib.sha256(f"pixels 0..{maximum}\n".encode() if of_bytes else b"pixels float32\n")
    for name, split in (("train", train), ("validation", validation), ("test", test)):
        images = split.images if of_bytes else split.images.astype("<f4", copy=False)
        for part, array in (("images", images), ("labels", split.labels.astype("<i4"))):
            shape = " ".join(str(size) for size in array.shape)
            digest.update(f"{name} {part} {shape}\n".encode())
            digest.update(array.tobytes() if array.size == 0 else np.ascontiguousarray(array).data)
    return digest.hexdigest()


def refusal(path: Path, expected: str, found: str) -> DataError:
    """Return the error that refuses a file."""
    return DataError(f"{path}: expected {expected}; found {found}")


def reason(error: Exception) -> str:
    """Return an error's message, without the number and path of errors of the operating system."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def first_regular(paths: Iterable[Path], expected: str) -> Path | None:
    """Return the first of several paths that is a regular file, following links; None if none exists.

    Raises DataError if no path is a regular file, but one is something else: a folder, a pipe, a device.
    """
    others = []
    for path in paths:
        try:
            if is_regular(path):
                return path
        except OSError as error:
            others.append(refusal(path, expected, f"none that can be read ({reason(error)})"))
    if others:
        raise others[0]
    return None


def is_folder(path: Path, expected: str) -> bool:
    """Return whether a folder exists; False if nothing does.

    Raises DataError if something else has that name, or its status cannot be read.
    """
    try:
        if path.is_dir():
            return True
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise refusal(path, expected, f"none that can be read ({reason(error)})") from error
    raise refusal(path, expected, "something that is not a folder")
