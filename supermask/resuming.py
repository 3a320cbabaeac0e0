"""Checkpoints: where long trainings are kept while they last, and what each of them is found by.

A training is found again by a digest of all that determines it: the text of its compiled programs, in which the
network's and the optimiser's code stands with every constant; the content of its data, whatever that is called; what it
starts from; its configuration and its order of batches. So it resumes to the same bits, or starts anew.
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
    """Where long trainings are kept while they last, by a key that names everything that determines them."""

    def due(self) -> bool:
        """Whether it is time to save again."""
        ...

    def load(self, key: str) -> Mapping[str, np.ndarray] | None:
        """What was saved last under that key, if anything."""
        ...

    def save(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keeps arrays under a key, in place of what was there."""
        ...


@short
class Resumable(NamedTuple):
    """A population's place among checkpoints."""

    checkpoints: Checkpoints
    key: str

    @classmethod
    def of(
        cls, checkpoints: Checkpoints, data: Dataset, start: PyTree, programs: str, *settings: object
    ) -> "Resumable":
        """The place of a training. `programs`: the text of its compiled programs; of settings, their texts count."""
        digest = hashlib.sha256("\n".join([programs, _content(data), *map(repr, settings)]).encode())
        for leaf in jax.tree.leaves(start):
            array = np.asarray(leaf)
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return cls(checkpoints, digest.hexdigest())

    def load(self) -> Mapping[str, np.ndarray] | None:
        """What was saved last, if anything."""
        return self.checkpoints.load(self.key)

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Keeps arrays in place of what was saved before."""
        self.checkpoints.save(self.key, arrays)


@lru_cache(maxsize=4)
def _content(data: Dataset) -> str:
    return dataset_digest(data.train, data.validation, data.test, maximum=data.maximum)


def stacked(history: Sequence[PyTree]) -> PyTree:
    """Evaluations as one tree, with an axis for them behind that of the networks."""
    return jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *history)


def saved(state: PyTree, history: Sequence[PyTree]) -> dict[str, np.ndarray]:
    """A checkpoint's arrays: the leaves of a population's state, and of its history so far."""
    return {
        f"{name}.{index}": np.asarray(leaf)
        for name, part in {"state": state, "history": stacked(history)}.items()
        for index, leaf in enumerate(jax.tree.leaves(part))
    }


def restored(
    arrays: Mapping[str, np.ndarray], state: PyTree, observe: Callable[[Any], PyTree]
) -> tuple[PyTree, list[PyTree]]:
    """State, placed like the one given or left on the host as that is, and history of a checkpoint."""
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
