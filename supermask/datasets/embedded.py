"""Small data sets inside other Python packages, which work without a download."""

import hashlib
import importlib.metadata
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from supermask.datasets.base import DataError, Split, make_split, refusal
from supermask.reading import check_regular


@dataclass(frozen=True)
class EmbeddedSource:
    """A data set in a file of an installed package: comma-separated rows of pixels and a label, gzip.

    The file is read without importing the package, whose own reader takes seconds to import or to parse.

    Attributes:
        title: display name of the data set.
        package: name of the package for pip.
        file: the file's path from where packages are installed.
        image_shape: height, width, channels.
        sha256: of the table of unsigned bytes, row by row.
        validation, test: images of each class in these splits; the others are for training.
    """

    title: str
    package: str
    file: str
    image_shape: tuple[int, int, int]
    sha256: str
    validation: int
    test: int

    def read(self) -> tuple[Split, Split, Split, str]:
        """Read the train, validation and test splits; return them, and the package with its version.

        Raises DataError if the package isn't installed, or its file has other content.
        """
        try:
            distribution = importlib.metadata.distribution(self.package)
        except importlib.metadata.PackageNotFoundError as error:
            raise DataError(
                f"{self.title} comes inside the package {self.package}, which is not installed: "
                "pip install 'supermask[data]'"
            ) from error
        path = Path(str(distribution.locate_file(self.file)))
        origin = f"{self.package} {distribution.version}"
        expected = f"{self.title} as in the releases of {self.package} known so far"
        try:
            check_regular(path)
            table = np.loadtxt(path, np.uint8, delimiter=",", ndmin=2)
        except (OSError, EOFError, ValueError) as error:
            raise refusal(path, expected, f"no readable table in {origin} ({error})") from error
        digest = hashlib.sha256(table.tobytes()).hexdigest()
        if table.shape[1] != math.prod(self.image_shape) + 1 or digest != self.sha256:
            raise refusal(
                path,
                f"{expected}, SHA-256 {self.sha256}",
                f"other content in {origin}, SHA-256 {digest}",
            )
        images = table[:, :-1].reshape(-1, *self.image_shape)
        train, validation, test = stratify(images, table[:, -1], validation=self.validation, test=self.test)
        return train, validation, test, origin


def stratify(
    images: UInt8[np.ndarray, "n height width channels"],
    labels: UInt8[np.ndarray, " n"],
    *,
    validation: int,
    test: int,
) -> tuple[Split, Split, Split]:
    """Divide images into fixed, shuffled train, validation and test splits, stratified by class.

    Images are ordered by the SHA-256 of their bytes and position, which no new release of a random generator can
    change. The first `test` of each class are for testing, the next `validation` for validation, the others
    for training.
    """
    keys = [
        hashlib.sha256(image.tobytes() + index.to_bytes(4, "little")).digest() for index, image in enumerate(images)
    ]
    parts: tuple[list[int], ...] = ([], [], [])  # train, validation, test
    seen: Counter[int] = Counter()
    for index in sorted(range(len(images)), key=keys.__getitem__):
        label = int(labels[index])
        parts[2 if seen[label] < test else 1 if seen[label] < test + validation else 0].append(index)
        seen[label] += 1
    for part in parts:
        # So far, classes would start and end at different places. Sorting by the digest's other end shuffles them.
        part.sort(key=lambda index: keys[index][::-1])
    train_split, validation_split, test_split = (make_split(images[part], labels[part]) for part in parts)
    return train_split, validation_split, test_split
