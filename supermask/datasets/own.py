"""Data sets in files of a user's own: a .npz file, a text, a folder of images by class, or a folder of IDX files."""

import os
import re
from pathlib import Path

from supermask.datasets.arrays import assembled
from supermask.datasets.base import CLASS_NAME_LENGTH, DataError, Dataset, is_folder, reason, refusal
from supermask.datasets.image_folders import read_image_folder
from supermask.datasets.npz import read_npz
from supermask.datasets.own_idx import idx_files, read_idx_folder
from supermask.datasets.texts import read_text, windows_of

EXPECTED = "a .npz or .txt file, or a folder of images by class or of IDX files"


def is_path(name: str) -> bool:
    """Return whether a name that is none of a published data set's means a file or folder; an empty one means none."""
    if not name:
        return False
    if name.endswith((".npz", ".txt")) or "/" in name or os.sep in name or name in (".", "..", "~"):
        return True
    try:
        return Path(name).exists()
    except (OSError, ValueError):
        return False


def read_own(name: str) -> Dataset:
    """Read a data set from the files at a path, and name it after them and the digest of its content.

    Raises DataError if nothing is there, or something that is no data set; the message names file, array, shape and
    type.
    """
    try:
        path = Path(name).expanduser()
        there = path.exists()
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{name!r}: expected {EXPECTED}; found no path ({reason(error)})") from None
    if not there:
        raise refusal(path, EXPECTED, "nothing")
    classes: int | None = None
    class_names: tuple[str, ...] = ()
    if path.suffix == ".npz" and not path.is_dir():
        parts, classes, class_names = read_npz(path)
        source = str(path)
    elif path.suffix == ".txt" and not path.is_dir():
        return _of_text(path)
    else:
        is_folder(path, EXPECTED)  # anything else is refused
        try:
            names = idx_files([each.name for each in path.iterdir()])
        except OSError as error:
            raise refusal(path, EXPECTED, f"one that cannot be read ({reason(error)})") from None
        if names:
            parts, words = read_idx_folder(path, names)
            source = f"IDX files in {path}" + (f", {words}" if words else "")
        else:
            parts, folders = read_image_folder(path)
            # A folder may have any name that the system allows; as a class's, one that can be shown counts.
            class_names = tuple(each[:CLASS_NAME_LENGTH] for each in folders) if all(map(_shown, folders)) else ()
            classes = len(folders)
            source = f"images in {path}"
    try:
        return assembled(_name_of(path), parts, classes, source, class_names)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None


def _of_text(path: Path) -> Dataset:
    text = read_text(path)
    try:
        parts, symbols = windows_of(text)
        source = f"a text of {len(text)} characters, {path}"
        return assembled(_name_of(path), parts, len(symbols), source, symbols)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None


def _shown(name: str) -> bool:
    """Return whether the beginning of a folder's name can stand for a class."""
    return name.isprintable() and bool(name[:CLASS_NAME_LENGTH].strip())


def _name_of(path: Path) -> str:
    """Return a name that is safe in file names, from a path's last part."""
    last = path.resolve().name.removesuffix(".npz").removesuffix(".txt")
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", last).strip("-._")[:40] or "own"
