"""Checkpoints of unfinished trainings, in the results folder, so that an interrupt costs minutes, not hours."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from supermask.analysis.store.identity import REVISIONS
from supermask.analysis.store.provenance import provenance
from supermask.analysis.store.store import Result, Storage
from supermask.reading import read_regular
from supermask.writing import write_whole

SECONDS_BETWEEN = 300.0
FOLDER = "unfinished"
"""Folder of checkpoints in a results folder."""


class FolderCheckpoints:
    """An `resuming.Checkpoints` in files, one per population, saved every five minutes by default.

    A file's name covers the versions that made it, and its content has a digest: a training resumes to the same bits or
    starts again. A file is removed only when its training's results are stored, because other commands may have
    unfinished trainings in the same folder.
    """

    def __init__(self, folder: Path, seconds_between: float = SECONDS_BETWEEN) -> None:
        self._folder = folder
        self._seconds_between = seconds_between
        self._saved_at = time.monotonic()
        self._own: set[Path] = set()

    def due(self) -> bool:
        """Return whether it is time to save again."""
        return time.monotonic() - self._saved_at >= self._seconds_between

    def load(self, key: str) -> Mapping[str, np.ndarray] | None:
        """Return the arrays saved under that key; None if there are none or the file is damaged."""
        self._saved_at = time.monotonic()
        path = self._path(key)
        self._own.add(path)
        try:
            content = read_regular(path)
            if hashlib.sha256(content[:-32]).digest() != content[-32:]:
                return None
            arrays: dict[str, np.ndarray] = load(content[:-32])
        except (OSError, SafetensorError):
            return None
        return arrays

    def save(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Replace the checkpoint atomically. A full disk costs only the checkpoint."""
        content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        path = self._path(key)
        with suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            write_whole(path, content + hashlib.sha256(content).digest())
        self._saved_at = time.monotonic()

    def settle(self) -> None:
        """Remove the checkpoints used since the last call, because their trainings' results are stored."""
        for path in self._own:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        self._own.clear()
        with suppress(OSError):  # other commands' checkpoints are there
            self._folder.rmdir()

    def _path(self, key: str) -> Path:
        names = ("jax", "backend", "device", "xla_flags")
        made_with = json.dumps([REVISIONS, *(provenance()[name] for name in names if name in provenance())])
        name = hashlib.sha256(f"{made_with} {key}".encode()).hexdigest()[:32]
        return self._folder / f"{name}.safetensors"


class Settling:
    """A `store.Storage` that removes a training's checkpoint once its results are stored."""

    def __init__(self, store: Storage, checkpoints: FolderCheckpoints) -> None:
        self._store, self._checkpoints = store, checkpoints
        self.folder, self.known, self.arrays = store.folder, store.known, store.arrays

    def add(self, results: Sequence[Result], made_with: Mapping[str, Any]) -> None:
        """Store results of all trainings since the last call: trainings and stores alternate."""
        self._store.add(results, made_with)
        self._checkpoints.settle()
