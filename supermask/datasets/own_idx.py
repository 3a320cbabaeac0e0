"""Reads IDX files of a user's own, with MNIST's names: KMNIST's, Fashion-MNIST's, EMNIST's."""

import math
import re
from pathlib import Path

import numpy as np

from supermask.datasets.arrays import Part
from supermask.datasets.base import DataError, reason, refusal
from supermask.datasets.unpacking import DAMAGE, MOST_BYTES, SLACK, Reader, read_at_most, unpacked

_NAME = re.compile(r"(?:(.+)-)?(train|t10k|test)-(images|labels)[-.]idx\d-ubyte(?:\.gz)?")
_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""Types of elements by the header's third byte, http://yann.lecun.com/exdb/mnist/."""

_NAMES = "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte"


def idx_files(names: list[str]) -> list[str]:
    """Return those names that are names of IDX files."""
    return [name for name in names if _NAME.fullmatch(name)]


def read_idx_folder(folder: Path, names: list[str]) -> tuple[dict[str, Part], str]:
    """Return the parts of a data set in IDX files, and how labels were read where that is not as they are.

    Labels of the training images that begin with 1, as EMNIST's letters do, are read as classes from 0 on: 1 becomes 0.

    Args:
        folder: folder of the files.
        names: names of the IDX files in it.

    Raises:
        DataError: a file is missing, there are two of a kind, or one is unreadable, damaged or foreign.
    """
    found: dict[tuple[str, str], str] = {}
    for name in sorted(names):
        match = _NAME.fullmatch(name)
        if match is None:
            continue
        key = "train" if match[2] == "train" else "test", match[3]
        if key in found:
            raise refusal(folder, f"four IDX files, {_NAMES}", f"two of a kind, {found[key]} and {name}")
        found[key] = name
    for split, what in (("train", "images"), ("train", "labels"), ("test", "images"), ("test", "labels")):
        if (split, what) not in found:
            raise refusal(folder, f"four IDX files, {_NAMES}", f"none of {split} {what}")
    if len({_NAME.fullmatch(name)[1] for name in found.values()}) > 1:  # type: ignore[index]
        raise refusal(folder, "four IDX files of one data set", f"those of several, {', '.join(found.values())}")
    arrays = {key: _read(folder / name, key[1]) for key, name in found.items()}
    least = int(arrays["train", "labels"].min()) if arrays["train", "labels"].size else 0
    if least == 1:
        for split in ("train", "test"):
            if (labels := arrays[split, "labels"]).size and labels.min() < 1:
                raise refusal(folder / found[split, "labels"], "labels from 1 on, as of training images", "a label 0")
            arrays[split, "labels"] = labels - 1
    parts = {
        split: Part(arrays[split, "images"], arrays[split, "labels"], found[split, "images"], found[split, "labels"])
        for split in ("train", "test")
    }
    return parts, "labels from 1 on are read as classes from 0 on" if least == 1 else ""


def _read(path: Path, what: str) -> np.ndarray:
    """Return the array of an IDX file, plain or gzip. Nothing is read beyond the size that its header states."""
    dimensions, expected = (2, 3, 4) if what == "images" else (1,), f"{what} in an IDX file"
    try:
        with unpacked(path, MOST_BYTES + SLACK) as stream:
            dtype, shape = _header(stream, path, dimensions, expected)
            size = math.prod(shape) * dtype.itemsize
            if size > MOST_BYTES:
                raise refusal(path, f"{expected} of up to {MOST_BYTES} bytes", f"{dtype} of shape {shape}")
            content = read_at_most(stream, size + 1)
    except DAMAGE as error:
        raise refusal(path, expected, f"a damaged or unreadable file ({reason(error)})") from error
    if len(content) != size:
        found = f"{len(content)} bytes" if len(content) < size else "more bytes"
        raise refusal(path, f"{what}, {dtype} of shape {shape}, {size} bytes after the header", found)
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _header(
    stream: Reader, path: Path, dimensions: tuple[int, ...], expected: str
) -> tuple[np.dtype[np.generic], tuple[int, ...]]:
    """Return type and shape of the array that follows."""
    start = stream.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _TYPES:
        raise refusal(path, expected, f"no IDX file: it begins with bytes {start.hex(' ') or 'none'}")
    if start[3] not in dimensions:
        allowed = " or ".join(map(str, dimensions))
        raise refusal(path, f"{expected}, of {allowed} dimensions", f"{start[3]} dimensions")
    sizes = stream.read(4 * start[3])
    if len(sizes) < 4 * start[3]:
        raise DataError(f"{path}: expected {expected}; found one that ends in its header")
    return np.dtype(_TYPES[start[2]]), tuple(int(number) for number in np.frombuffer(sizes, ">u4"))
