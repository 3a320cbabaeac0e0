"""Reads untrusted .npz files: archives of NumPy arrays, of which no pickle is read and no size believed."""

import io
import math
import struct
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from supermask.datasets.arrays import Part
from supermask.datasets.base import reason, refusal
from supermask.datasets.unpacking import MOST_BYTES, read_at_most
from supermask.reading import open_regular

KEYS = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels")),
    "validation": (("x_validation", "y_validation"), ("val_images", "val_labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}
"""Names of the arrays of each split's images and labels: plain ones, and those of MedMNIST."""

EXPECTED = (
    "a .npz file with arrays x_train, y_train, x_test, y_test and perhaps x_validation, y_validation, classes, "
    "class_names"
)

_DAMAGE = (
    *(OSError, EOFError, ValueError, RuntimeError, MemoryError, OverflowError, UserWarning),
    *(zlib.error, zipfile.BadZipFile, struct.error),
)
_HEADER = 10_000  # bytes of an array's header at most, as NumPy has it
_MOST_TEXT = 1 << 20  # bytes of all classes' names
_RATIO, _ROOM = 1_100, 1_024  # a byte of deflate stands for 1,032 bytes at most


def read_npz(path: Path) -> tuple[dict[str, Part], int | None, tuple[str, ...]]:
    """Return the parts of a data set, the number of classes if the file has it, and their names.

    Raises DataError if the file cannot be read, is damaged or foreign, or has other arrays; the message names the
    array.
    """
    found = _arrays(path)
    classes = found.pop("classes", None)
    if classes is not None and (classes.shape != () or classes.dtype.kind not in "iu"):
        raise refusal(path, EXPECTED, f"classes of {classes.dtype} and shape {classes.shape}, not a whole number")
    names_of_classes = _texts(path, found.pop("class_names", None))
    parts = {}
    for split, choices in KEYS.items():
        present = [names for names in choices if any(name in found for name in names)]
        if not present and split == "validation":
            continue
        names = present[0] if present else choices[0]
        if len(present) > 1 or (missing := [name for name in names if name not in found]):
            what = f"both {present[0][0]} and {present[1][0]}" if len(present) > 1 else f"no array {missing[0]}"
            raise refusal(path, EXPECTED, what)
        parts[split] = Part(found[names[0]], found[names[1]], *names)
    return parts, None if classes is None else int(classes), names_of_classes


def _texts(path: Path, found: np.ndarray | None) -> tuple[str, ...]:
    """Return the names of classes."""
    if found is None:
        return ()
    if found.ndim != 1 or found.dtype.kind != "U":
        raise refusal(path, EXPECTED, f"class_names of {found.dtype} and shape {found.shape}, not a list of texts")
    # NumPy itself fails with a SystemError at words of 32 bits that are no characters.
    code = "utf-32-be" if found.dtype.str.startswith(">") else "utf-32-le"
    try:
        return tuple(each.tobytes().decode(code).rstrip("\0") for each in found.view(f"V{found.itemsize}"))
    except ValueError as error:
        raise refusal(path, EXPECTED, f"class_names that are no text ({reason(error)})") from None


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Return all arrays of a file by name."""
    allowed = {"classes", "class_names", *(name for choices in KEYS.values() for names in choices for name in names)}
    try:
        with open_regular(path) as file, zipfile.ZipFile(_Within(file)) as archive, warnings.catch_warnings():
            warnings.simplefilter("error")  # NumPy warns of headers that need more than one attempt
            names = [member.filename.removesuffix(".npy") for member in archive.infolist()]
            for name in names:
                if name not in allowed:
                    raise refusal(path, EXPECTED, f"an array {name[:40]!r}")
                if names.count(name) > 1:
                    raise refusal(path, EXPECTED, f"two arrays {name}")
            return {
                name: _read(path, archive, member, name) for name, member in zip(names, archive.infolist(), strict=True)
            }
    except _DAMAGE as error:
        raise refusal(path, EXPECTED, f"a damaged or foreign file ({reason(error)[:200]})") from error


def _read(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> np.ndarray:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise refusal(path, f"array {name} as numpy.savez writes it", "another way of compression")
    if member.file_size > _RATIO * member.compress_size + _ROOM:
        raise refusal(
            path, f"array {name}", f"{member.file_size} bytes claimed of {member.compress_size} compressed ones"
        )
    with archive.open(member) as stream:
        start = stream.read(_HEADER)
        shape, by_columns, dtype, header = _header(start)
        if (
            dtype.hasobject
            or dtype.fields is not None
            or dtype.kind not in ("biufU" if name == "class_names" else "biuf")
        ):
            raise refusal(path, f"array {name} of numbers", f"{str(dtype)[:40]}, which is never read")
        size = math.prod(shape) * dtype.itemsize
        most = _MOST_TEXT if dtype.kind == "U" else MOST_BYTES
        if size > most:
            raise refusal(path, f"array {name} of up to {most} bytes", f"{dtype} of shape {str(shape)[:80]}")
        if header + size != member.file_size:
            found = f"{member.file_size - header} bytes"
            raise refusal(path, f"array {name}, {dtype} of shape {shape}, {size} bytes", found)
        content = read_at_most(stream, size + header - len(start), start[header:])
        if len(content) != size or stream.read(1):  # which checks the sum of all bytes as well
            raise EOFError(f"array {name} ends early")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if by_columns else "C")
    return np.ascontiguousarray(array) if array.ndim else array


def _header(start: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return shape, order, type and the header's length of an array from the first bytes of its file.

    From those alone: a header of version 2 may claim four gigabytes.
    """
    stream = io.BytesIO(start)
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"an array in version {version} of the format")
    readers = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
    try:
        shape, by_columns, dtype = readers[version[0] - 1](stream)
    except Exception as error:  # it is parsed as Python's own literals are, with whatever errors that has
        raise ValueError(f"an array's header that cannot be read: {' '.join(str(error).split())}") from None
    if not all(isinstance(size, int) and size >= 0 for size in shape):
        raise ValueError(f"an array of shape {shape}")
    return shape, by_columns, dtype, stream.tell()


class _Within(io.RawIOBase):
    """A file that reads no more than it has, whatever an archive's directory says of its own length."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, io.SEEK_END)

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def read(self, count: int = -1, /) -> bytes:
        left = max(self._size - self._file.tell(), 0)
        return self._file.read(left if count < 0 else min(count, left))
