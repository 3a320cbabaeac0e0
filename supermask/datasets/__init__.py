"""Verified data sets as arrays, the library's only input.

    from supermask.datasets import load

    data = load("mnist5k")
    data.train.images  # uint8, images x height x width x channels

    from supermask.datasets import from_arrays

    data = from_arrays((x_train, y_train), (x_test, y_test), name="beetles")
    data = load("beetles.npz")  # or a text, a folder of images by class, or of IDX files: see docs/data.md

Two small sets come with installed packages and always work; the others are read from the user's files, or
downloaded once to the user's cache. Digests identify every set by its content: damaged or mislabelled files are
refused with a `DataError`, never used in part.
"""

import difflib
from pathlib import Path

from supermask.datasets.arrays import from_arrays
from supermask.datasets.base import DataError, Dataset, Split, dataset_digest
from supermask.datasets.embedded import EmbeddedSource
from supermask.datasets.files import cache_folder, obtain
from supermask.datasets.own import is_path, read_own
from supermask.datasets.published import DATASETS, DatasetInfo
from supermask.datasets.texts import from_text

__all__ = [
    "DATASETS",
    "DataError",
    "Dataset",
    "DatasetInfo",
    "Split",
    "cache_folder",
    "dataset_digest",
    "from_arrays",
    "from_text",
    "is_path",
    "load",
]


def load(name: str, *, data_dir: Path | None = None, download: bool = True, progress: bool = False) -> Dataset:
    """Load a data set: a published one, verified by content, or one of the user's own.

    For a published one, searches `data_dir`/`name`, `data_dir`, the same two places in the folder that the environment
    variable SUPERMASK_DATA names, and the user's cache; missing files are downloaded to the cache. Embedded sets need
    none of this.

    Args:
        name: a key of `DATASETS`, or else a path of a .npz or .txt file or of a folder: see `supermask.datasets.own`.
        data_dir: folder with the user's own files. Nothing is written to it.
        download: whether missing files may be downloaded.
        progress: whether to report a download on standard error.

    Returns:
        The data set. For the full sets, validation is the last 5,000 of the published training images.

    Raises:
        DataError: unknown name; files missing, damaged or mislabelled; no mirror reached; files of the user's own that
            are no data set.
    """
    info = DATASETS.get(name)
    if info is None and is_path(name):
        return read_own(name)
    if info is None:
        nearest = difflib.get_close_matches(name.lower(), DATASETS, n=1, cutoff=0.4)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        raise DataError(f"unknown data set {name!r}, expected a path or one of {', '.join(DATASETS)}{hint}")
    if isinstance(info.source, EmbeddedSource):
        train, validation, test, origin = info.source.read()
        origin = f"{origin}, embedded"
    else:
        full, test, origin = obtain(name, info.source, data_dir=data_dir, download=download, progress=progress)
        size = info.sizes[0]
        train = Split(full.images[:size], full.labels[:size])
        validation = Split(full.images[size:], full.labels[size:])
    return Dataset(
        name=name,
        train=train,
        validation=validation,
        test=test,
        maximum=info.maximum,
        classes=info.classes,
        digest="",
        source=origin,
        title=info.title,
    )
