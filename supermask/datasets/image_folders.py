"""Reads folders of images by class: one folder a class, in train/ and test/ or by themselves."""

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from supermask.datasets.arrays import Part, held_out
from supermask.datasets.base import DataError, reason, refusal
from supermask.datasets.unpacking import MOST_BYTES
from supermask.extras import need
from supermask.reading import open_regular

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".pgm", ".ppm")
_FORMATS = ("PNG", "JPEG", "BMP", "PPM")
_VALIDATION = ("validation", "val")

TEST_SHARE = 5
"""One in so many images of each class is held out for testing, where there are no folders train and test."""

MOST_ENTRIES = 1_000_000
"""Maximum number of entries of a folder."""

MOST_FILE, MOST_PIXELS = 1 << 26, 1 << 24
"""Maximum bytes of an image's file, and pixels of an image."""

EXPECTED = "folders train and test, with a folder of images for each class, or folders of classes alone"


def read_image_folder(folder: Path) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Return the parts of a data set in a folder, and the names of its classes.

    Classes are the folders of training images, numbered from 0 in the order of their names; images are those of each
    class in the order of their names, one of each class in turn. Without train/ and test/, a fifth of each class is
    held out for testing (`arrays.held_out`). Names that begin with a dot do not count, nor do files beside folders of
    classes that are no images.

    Raises DataError if there are no such folders, or a file is no image or of another size or kind than the others.
    """
    need("data")
    inside = _folders(folder)
    validation = [name for name in inside if name in _VALIDATION]
    if not {"train", "test"} & set(inside):
        classes = _classes(folder, inside)
        images, labels = _read(folder, classes)
        held = held_out(images, labels, "test", TEST_SHARE)
        arrays = {"train": (images[~held], labels[~held]), "test": (images[held], labels[held])}
        return {split: Part(*pair, "images", "labels") for split, pair in arrays.items()}, tuple(classes)
    others = sorted(set(inside) - {"train", "test", *validation})
    if others or len(inside) < 2 or len(validation) > 1:
        found = f"a folder {others[0]!r} as well" if others else f"folders {', '.join(inside)}"
        raise refusal(folder, EXPECTED, found)
    if missing := [name for name in ("train", "test") if name not in inside]:
        raise refusal(folder, EXPECTED, f"no folder {missing[0]}")
    classes = _classes(folder / "train", _folders(folder / "train"))
    parts = {}
    for name in inside:
        own = _folders(folder / name)
        if foreign := [each for each in own if each not in classes]:
            raise refusal(folder / name, "the classes of train alone", f"a class {foreign[0]!r}")
        split = "validation" if name in validation else name
        parts[split] = Part(*_read(folder / name, classes), f"{name}/ images", f"{name}/ labels")
    return parts, tuple(classes)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return a folder's entries by name, without hidden ones."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for count, entry in enumerate(entries):
                if count >= MOST_ENTRIES:
                    raise refusal(folder, f"a folder of up to {MOST_ENTRIES} entries", "more")
                if not entry.name.startswith("."):
                    found.append(entry)
    except OSError as error:
        raise refusal(folder, "a folder of images", f"none that can be read ({reason(error)})") from error
    return sorted(found, key=lambda entry: entry.name)


def _folders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder. Raises DataError for an image beside them."""
    folders = []
    for entry in _entries(folder):
        if entry.is_dir():
            folders.append(entry.name)
        elif entry.name.lower().endswith(SUFFIXES):
            raise refusal(folder / entry.name, "images in the folder of their class", "an image beside these folders")
    return folders


def _classes(folder: Path, names: Sequence[str]) -> list[str]:
    if len(names) < 2:
        found = f"{len(names)} folder{'' if len(names) == 1 else 's'}"
        raise refusal(folder, "a folder of images for each of two classes or more", found)
    return sorted(names)


def _read(folder: Path, classes: Sequence[str]) -> tuple[UInt8[np.ndarray, "n height width channels"], np.ndarray]:
    """Return all images of a split with their labels, one of each class in turn."""
    there = {name: list(_files(folder / name)) for name in classes if (folder / name).exists()}
    if empty := [name for name, paths in there.items() if not paths]:
        raise refusal(folder / empty[0], "one image or more of a class", "none")
    turns = zip_longest(*([(path, label) for path in there.get(name, ())] for label, name in enumerate(classes)))
    chosen = [each for turn in turns for each in turn if each is not None]
    if not chosen:
        raise refusal(folder, "images", "none")
    first = _image(chosen[0][0])
    if len(chosen) * first.size > MOST_BYTES:
        shape = "×".join(map(str, first.shape))
        raise refusal(folder, f"images of up to {MOST_BYTES} bytes in all", f"{len(chosen)} of {shape} pixels")
    images = np.empty((len(chosen), *first.shape), np.uint8)
    for index, (path, _) in enumerate(chosen):
        image = _image(path)
        if image.shape != first.shape:
            wanted, own = ("×".join(map(str, each.shape)) for each in (first, image))
            raise refusal(path, f"{wanted} pixels, as {chosen[0][0]} has", own)
        images[index] = image
    return images, np.array([label for _, label in chosen], np.int32)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the paths of the images of a class."""
    for entry in _entries(folder):
        path = folder / entry.name
        if not entry.name.lower().endswith(SUFFIXES):
            raise refusal(path, f"an image ({', '.join(SUFFIXES)})", "something else")
        yield path


def _image(path: Path) -> UInt8[np.ndarray, "height width channels"]:
    """Return an image of 8 bits a channel: grey with one channel, in colours with three. Its size is checked first."""
    from PIL import Image

    expected = "an image, grey or RGB, of 8 bits a channel"
    try:
        with open_regular(path) as file:
            content = file.read(MOST_FILE + 1)
        if len(content) > MOST_FILE:
            raise refusal(path, f"a file of up to {MOST_FILE} bytes", "more")
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow warns of some damage and decodes the rest
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                image.verify()  # finds a PNG's end cut off, which decoding does not miss
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                width, height = image.size
                if width * height > MOST_PIXELS:
                    raise refusal(path, f"up to {MOST_PIXELS} pixels", f"{height}×{width}")
                if getattr(image, "n_frames", 1) > 1:
                    raise refusal(path, expected, "several images in one file")
                if image.mode == "P" and "transparency" not in image.info:
                    plain = image.convert("RGB")
                elif image.mode == "1":
                    plain = image.convert("L")
                elif image.mode in ("L", "RGB") and "transparency" not in image.info:
                    plain = image
                else:
                    clear = " with transparency" if "transparency" in image.info else ""
                    raise refusal(path, expected, f"one of Pillow's mode {image.mode}{clear}")
                pixels = np.array(plain, np.uint8)
    except DataError:
        raise
    except Exception as error:  # decoders raise whatever damage leads them to
        words = " ".join(reason(error).split())[:200]
        raise refusal(path, expected, f"a damaged or foreign file ({words})") from error
    return pixels.reshape(height, width, -1)
