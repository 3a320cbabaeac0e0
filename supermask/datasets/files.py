"""Finds the files of a data set in folders that the user named, in the user's cache, or on a mirror."""

import os
from collections.abc import Sequence
from pathlib import Path

from supermask.datasets.base import DataError, Split, is_folder
from supermask.datasets.download import fetch
from supermask.datasets.idx import IdxSource
from supermask.datasets.records import RecordSource
from supermask.extras import need

ENVIRONMENT = "SUPERMASK_DATA"


def cache_folder() -> Path:
    """Return the user's cache folder for data sets, such as ~/.cache/supermask/data. It may not exist yet.

    Raises DataError if the user has no home folder.
    """
    need("data")
    import pooch

    try:
        folder = Path(pooch.os_cache("supermask"))
    except RuntimeError:
        folder = Path("~")
    if folder.parts[0] == "~":  # some versions of platformdirs return this for a user without a home
        raise DataError("there is no home folder to keep data in; set HOME, or XDG_CACHE_HOME to a folder")
    return folder / "data"


def obtain(
    name: str, source: IdxSource | RecordSource, *, data_dir: Path | None, download: bool, progress: bool
) -> tuple[Split, Split, str]:
    """Return training and test images of a data set, and a description of their source.

    Searches `data_dir`/`name`, `data_dir`, the same two places in the folder of SUPERMASK_DATA, then the user's
    cache. The first place with a file of the set must have them all, undamaged, since falling back to another one
    would hide the damage. Only the cache is completed by downloads.

    Raises DataError if there is no such folder, files are damaged, mislabelled or missing, or no mirror answers.
    """
    cache = cache_folder()
    places = [place for folder in _named_folders(data_dir) for place in (folder / name, folder)]
    for place in places:
        found = source.find(place)
        paths = [path for path in found if path is not None]
        if paths and None in found:
            raise DataError(f"{place}: has a part of {source.title} only; {_missing(source, found)} not found")
        if paths:
            return *source.read(paths, cache), f"files in {place}"

    home = cache / name
    found = source.find(home)
    try:
        paths = _completed(source, found, home, download=download, progress=progress)
    except DataError as error:
        raise _unavailable(source, [*places, home], f"{_missing(source, found)} {error}") from error
    try:
        return *source.read(paths, cache), f"files in {home}"
    except DataError as error:
        raise DataError(f"{error}\nDelete that file to have it downloaded anew.") from error


def _named_folders(data_dir: Path | None) -> list[Path]:
    folders = {}
    if data_dir is not None:
        folders["data_dir"] = data_dir
    if os.environ.get(ENVIRONMENT):
        folders[ENVIRONMENT] = Path(os.environ[ENVIRONMENT])
    for whose, folder in folders.items():
        # A mistyped folder must not cause a download.
        if not is_folder(folder, expected := f"a folder with data sets, as {whose} says"):
            raise DataError(f"{folder}: expected {expected}; found none")
    return list(folders.values())


def _completed(
    source: IdxSource | RecordSource, found: Sequence[Path | None], home: Path, *, download: bool, progress: bool
) -> list[Path]:
    """Return the paths found, and download the missing ones to `home`; an error appends to their names."""
    if None in found and not download:
        raise DataError("not found, and no download was allowed")
    return [
        path or fetch(archive, source.mirrors, home, progress=progress)
        for path, archive in zip(found, source.archives, strict=True)
    ]


def _missing(source: IdxSource | RecordSource, found: Sequence[Path | None]) -> str:
    names = (archive.name for archive, path in zip(source.archives, found, strict=True) if path is None)
    return ", ".join(names)


def _unavailable(source: IdxSource | RecordSource, places: Sequence[Path], why: str) -> DataError:
    names = ", ".join(archive.name for archive in source.archives)
    return DataError(
        f"{source.title}: {why}\n"
        f"Looked in {', '.join(str(place) for place in places)}.\n"
        f"To use your own copy, put {names} into {places[-1]},\n"
        f"or into a folder that data_dir or {ENVIRONMENT} names. {source.remark}\n"
        "The data sets mnist5k and digits need no files and work now."
    )
