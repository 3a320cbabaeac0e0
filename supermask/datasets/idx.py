"""MNIST and its look-alikes: IDX files, plain or gzip, identified by the digest of their uncompressed bytes."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from supermask.datasets.base import Split, first_regular, make_split, reason, refusal
from supermask.datasets.download import Archive
from supermask.datasets.unpacking import DAMAGE, SLACK, unpacked

_UNSIGNED_BYTES = 0x08  # the type byte of the IDX header, http://yann.lecun.com/exdb/mnist/


@dataclass(frozen=True)
class IdxFile:
    """One IDX file of a data set.

    Attributes:
        content: description of the content.
        shape: sizes of its array: images, or images x height x width.
        sha256: of the uncompressed bytes, which is the same for recompressed copies.
        archive: the gzip file as published.
    """

    content: str
    shape: tuple[int, ...]
    sha256: str
    archive: Archive

    @property
    def header(self) -> int:
        """Length of the header in bytes: magic number and sizes."""
        return 4 + 4 * len(self.shape)

    def find(self, folder: Path) -> Path | None:
        """Find the file in this folder under any of its usual names, unpacked ones first; None if there is none.

        Raises DataError if something other than a file has such a name.
        """
        published = self.archive.name.removesuffix(".gz")
        names = (published, published.replace("-idx", ".idx"))
        return first_regular([folder / f"{name}{end}" for name in names for end in ("", ".gz")], self.content)

    def read(self, path: Path, lookalikes: Sequence["IdxFile"] = ()) -> UInt8[np.ndarray, "..."]:
        """Read the array from a file, which must be this very file.

        Args:
            path: the file, gzip if its name ends in .gz.
            lookalikes: files of other data sets, so that an error can name the one that was used by mistake.

        Returns:
            Read-only array of `shape`.

        Raises:
            DataError: the file is unreadable, damaged, of another format or another file.
        """
        expected = f"{self.content}, IDX bytes of shape {_words(self.shape)}"
        size = self.header + math.prod(self.shape)
        try:
            with unpacked(path, size + SLACK) as stream:
                # One extra byte detects a longer file, however far it would inflate.
                data = stream.read(size + 1)
        except DAMAGE as error:
            raise refusal(path, expected, f"a damaged or unreadable file ({reason(error)})") from error
        if data[:2] != b"\0\0" or len(data) < 4 or len(data) < 4 + 4 * data[3]:
            raise refusal(path, expected, f"no IDX file: it begins with bytes {data[:4].hex(' ') or 'none'}")
        if data[2] != _UNSIGNED_BYTES:
            raise refusal(path, expected, f"IDX elements of type 0x{data[2]:02x} instead of unsigned bytes")
        shape = tuple(int(number) for number in np.frombuffer(data, ">u4", data[3], 4))
        if shape != self.shape:
            raise refusal(path, expected, f"shape {_words(shape)}")
        if len(data) != size:
            found = f"{len(data)} bytes" if len(data) < size else "more bytes"
            raise refusal(path, f"{expected}, {size} bytes", found)
        digest = hashlib.sha256(data).hexdigest()
        if digest != self.sha256:
            named = [file.content for file in lookalikes if file.sha256 == digest]
            found = named[0] if named else f"other content, of SHA-256 {digest}"
            raise refusal(path, f"{expected}, SHA-256 {self.sha256}", found)
        return np.frombuffer(data, np.uint8, offset=self.header).reshape(self.shape)


@dataclass(frozen=True)
class IdxSource:
    """A data set of four IDX files.

    Attributes:
        title: display name of the data set.
        train_images, train_labels, test_images, test_labels: its files.
        mirrors: addresses of folders with the published archives.
        lookalikes: files of other sets with the same names and shapes.
        remark: advice on where to find the files.
    """

    title: str
    train_images: IdxFile
    train_labels: IdxFile
    test_images: IdxFile
    test_labels: IdxFile
    mirrors: tuple[str, ...]
    lookalikes: tuple[IdxFile, ...] = ()
    remark: str = "unpacked files will do as well."

    @property
    def files(self) -> tuple[IdxFile, ...]:
        """The four files."""
        return self.train_images, self.train_labels, self.test_images, self.test_labels

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        _, height, width = self.train_images.shape
        return height, width, 1

    @property
    def archives(self) -> tuple[Archive, ...]:
        """Archives to download, one per file."""
        return tuple(file.archive for file in self.files)

    def find(self, folder: Path) -> tuple[Path | None, ...]:
        """Find the files in this folder; None for each missing one."""
        return tuple(file.find(folder) for file in self.files)

    def read(self, paths: Sequence[Path], cache: Path) -> tuple[Split, Split]:
        """Read all training images, and the test images, from the files at `paths` (in the order of `files`).

        Nothing is written to `cache`: these files unpack fast.

        Raises DataError if a file is not the expected one.
        """
        arrays = [file.read(path, self.lookalikes) for file, path in zip(self.files, paths, strict=True)]
        train_images, train_labels, test_images, test_labels = arrays
        return (
            make_split(train_images[..., np.newaxis], train_labels),
            make_split(test_images[..., np.newaxis], test_labels),
        )


def _words(shape: Sequence[int]) -> str:
    return " x ".join(str(size) for size in shape) or "()"
