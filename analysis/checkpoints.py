"""Checkpoints of trainings under way, in the results folder: what an interrupt may cost is minutes, not hours."""

import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from analysis.provenance import provenance
from analysis.studies import REVISIONS

SECONDS_BETWEEN = 300.0


class FolderCheckpoints:
    """An `intervals.Checkpoints` in files, one a population, saved every five minutes by default.

    A file's name covers the versions that made it, and its content is digested: a training is resumed to the same bits
    or not at all.
    """

    def __init__(self, folder: Path, seconds_between: float = SECONDS_BETWEEN) -> None:
        self._folder = folder
        self._seconds_between = seconds_between
        self._saved_at = time.monotonic()

    def due(self) -> bool:
        """Whether it is time to save again."""
        return time.monotonic() - self._saved_at >= self._seconds_between

    def load(self, key: str) -> Mapping[str, np.ndarray] | None:
        """What was saved under that key; None where nothing was, or where the file is damaged."""
        self._saved_at = time.monotonic()
        path = self._path(key)
        try:
            content = path.read_bytes()
            if hashlib.sha256(content[:-32]).digest() != content[-32:]:
                return None
            arrays: dict[str, np.ndarray] = load(content[:-32])
        except (OSError, SafetensorError):
            return None
        return arrays

    def save(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Writes the file beside the old one and puts it in its place. A full disk costs the checkpoint, no more."""
        content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        path = self._path(key)
        part = path.with_suffix(".part")
        try:
            self._folder.mkdir(exist_ok=True)
            part.write_bytes(content + hashlib.sha256(content).digest())
            part.replace(path)
        except OSError:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        self._saved_at = time.monotonic()

    def clear(self) -> None:
        """Removes all of them: for when everything is stored."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, key: str) -> Path:
        made_with = json.dumps([REVISIONS, provenance()["jax"], provenance()["backend"], provenance()["device"]])
        name = hashlib.sha256(f"{made_with} {key}".encode()).hexdigest()[:32]
        return self._folder / f"{name}.safetensors"
