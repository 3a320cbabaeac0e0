"""Verified data sets as arrays, the library's only input.

    from supermask.datasets import load

    data = load("mnist5k")
    data.train.images  # uint8, images x height x width x channels

Two small sets come with installed packages and always work; the others are read from the user's files, or
downloaded once to the user's cache. Digests identify every set by its content: damaged or mislabelled files are
refused with a `DataError`, never used in part.
"""

import difflib
from pathlib import Path

from supermask.datasets.base import DataError, Dataset, Split, dataset_digest
from supermask.datasets.embedded import EmbeddedSource
from supermask.datasets.files import cache_folder, obtain
from supermask.datasets.published import DATASETS, DatasetInfo

__all__ = [
    "DATASETS",
    "DataError",
    "Dataset",
    "DatasetInfo",
    "Split",
    "cache_folder",
    "dataset_digest",
    "load",
]


def load(name: str, *, data_dir: Path | None = None, download: bool = True, progress: bool = False) -> Dataset:
    """Load a data set, verified by content.

    Searches `data_dir`/`name`, `data_dir`, the same two places in the folder that the environment variable
    SUPERMASK_DATA names, and the user's cache; missing files are downloaded to the cache. Embedded sets need
    none of this.

    Args:
        name: a key of `DATASETS`.
        data_dir: folder with the user's own files. Nothing is written to it.
        download: whether missing files may be downloaded.
        progress: whether to report a download on standard error.

    Returns:
        The data set. For the full sets, validation is the last 5,000 of the published training images.

    Raises:
        DataError: unknown name; files missing, damaged or mislabelled; no mirror reached.
    """
    info = DATASETS.get(name)
    if info is None:
        nearest = difflib.get_close_matches(name.lower(), DATASETS, n=1, cutoff=0.4)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        raise DataError(f"unknown data set {name!r}, expected one of {', '.join(DATASETS)}{hint}")
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
