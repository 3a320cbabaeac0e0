"""Checkpoints of long trainings: their content and their keys.

A checkpoint's key is a digest of everything that determines its training: the text of the compiled programs, which
contains the code and every constant of network and optimiser; the content of the data, regardless of its name; the
start; the configuration and the order of batches. A training therefore resumes to the same bits, or starts again.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import PyTree

from supermask.datasets import Dataset, dataset_digest
from supermask.short import short


@runtime_checkable
class Checkpoints(Protocol):
    """Storage of unfinished trainings, by a key that identifies everything that determines them."""

    def due(self) -> bool:
        """Return whether it is time for the next checkpoint."""
        ...

    def load(self, key: str) -> Mapping[str, np.ndarray] | None:
        """Return what was last saved under the key, or None."""
        ...

    def save(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Save arrays under the key, replacing what was there."""
        ...


@short
class Resumable(NamedTuple):
    """A population's key, and where its checkpoints are stored."""

    checkpoints: Checkpoints
    key: str

    @classmethod
    def of(
        cls, checkpoints: Checkpoints, data: Dataset, start: PyTree, programs: str, *settings: object
    ) -> "Resumable":
        """Identify a training. `programs`: text of its compiled programs. `settings` count by their representation."""
        digest = hashlib.sha256("\n".join([programs, _content(data), *map(repr, settings)]).encode())
        for leaf in jax.tree.leaves(start):
            array = np.asarray(leaf)
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return cls(checkpoints, digest.hexdigest())

    def load(self) -> Mapping[str, np.ndarray] | None:
        """Return what was saved last, or None."""
        return self.checkpoints.load(self.key)

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Save arrays, replacing what was saved before."""
        self.checkpoints.save(self.key, arrays)


@lru_cache(maxsize=4)
def _content(data: Dataset) -> str:
    return dataset_digest(data.train, data.validation, data.test, maximum=data.maximum)


def stacked(history: Sequence[PyTree]) -> PyTree:
    """Return evaluations as one tree, with their axis after that of the networks."""
    return jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *history)


def saved(state: PyTree, history: Sequence[PyTree]) -> dict[str, np.ndarray]:
    """Return a checkpoint's arrays: the leaves of a population's state and of its history so far."""
    return {
        f"{name}.{index}": np.asarray(leaf)
        for name, part in {"state": state, "history": stacked(history)}.items()
        for index, leaf in enumerate(jax.tree.leaves(part))
    }


def restored(
    arrays: Mapping[str, np.ndarray], state: PyTree, observe: Callable[[Any], PyTree]
) -> tuple[PyTree, list[PyTree]]:
    """Return a checkpoint's state, placed like the given one or left on the host as it is, and its history."""
    leaves, seen = jax.tree.leaves(state), observe(state)
    found = [arrays[f"state.{index}"] for index in range(len(leaves))]
    placed = [
        jax.device_put(array, leaf.sharding) if isinstance(leaf, jax.Array) else array.reshape(np.shape(leaf))
        for array, leaf in zip(found, leaves, strict=True)
    ]
    curves = [arrays[f"history.{index}"] for index in range(len(jax.tree.leaves(seen)))]
    history = [
        jax.tree.unflatten(jax.tree.structure(seen), [curve[:, at] for curve in curves])
        for at in range(curves[0].shape[1])
    ]
    return jax.tree.unflatten(jax.tree.structure(state), placed), history
