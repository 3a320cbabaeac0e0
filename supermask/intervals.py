"""The way of every training here: so many steps, an evaluation, and so on; it can be left and taken up again.

Shared by trainings of networks, of masks on them, of sparse networks and of shared values.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Int32, PyTree, UInt8

from supermask.counts import exact_fraction
from supermask.datasets import Dataset, dataset_digest
from supermask.keys import batch_order
from supermask.population import Placement
from supermask.short import short

OnProgress = Callable[[int], None]
"""Called with the number of network-steps done since its last call."""


def ignore_progress(steps: int) -> None:
    """An `OnProgress` that does nothing."""


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained. Lengths are in steps (batches).

    Raises ValueError where a value is not allowed.
    """

    steps: int
    learning_rate: float
    batch_size: int = 60
    evaluate_every: int = 100

    def __post_init__(self) -> None:
        for name in ("batch_size", "evaluate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 1 or more")
        if self.steps < 0:
            raise ValueError(f"steps is {self.steps}; allowed: 0 or more")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate is {self.learning_rate}; allowed: more than 0")


def steps_of(epochs: float, examples: int, batch_size: int) -> int:
    """Return floor(epochs × examples / batch size), exactly: 55 epochs of 55,000 images in batches of 60: 50,416.

    `epochs` is read as the decimal number that it is written as: 2.28 epochs of 3,500 images are 133 batches of 60.
    """
    return math.floor(exact_fraction(epochs) * examples / batch_size)


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
    """Checkpoints, and what names a population among them: `start` is all that its training begins with."""

    checkpoints: Checkpoints
    start: PyTree

    def key(self, *settings: object) -> str:
        """SHA-256 (hex) of the start's arrays and the settings' texts."""
        digest = hashlib.sha256("\n".join(map(repr, settings)).encode())
        for leaf in jax.tree.leaves(self.start):
            array = np.asarray(leaf)
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


class DataOrder(NamedTuple):
    """Which batches a network sees: those of a seed from a step on, over so many training examples."""

    seed: int
    first_step: int
    examples: int


def train_in_intervals(
    place: Placement,
    config: TrainingConfig,
    orders: Sequence[DataOrder],
    steps: int,
    state: PyTree,
    interval: Callable[[PyTree, PyTree, int], PyTree],
    observe: Callable[[Any], PyTree],
    on_progress: OnProgress,
    resumable: Resumable | None = None,
) -> tuple[PyTree, PyTree]:
    """Takes a population through `steps` steps, with an evaluation before the first and every so many steps after.

    `interval(state, order, length)` takes so many steps with the batches of `order` and evaluates. What `observe` sees
    of each state comes back as the history, with one more axis, for evaluations, behind that of the networks.

    One call an interval: the host hears of progress, and an interrupt, every so many steps of the population. What is
    `resumable` goes on from its last checkpoint, to the same bits.
    """
    every = config.evaluate_every
    lengths = [0] + [min(every, steps - at) for at in range(0, steps, every)]
    history: list[PyTree] = []
    key = None if resumable is None else resumable.key(config, orders, steps)
    saved = None if resumable is None or key is None else resumable.checkpoints.load(key)
    if saved is not None:
        state, history = _restored(saved, state, observe)
        on_progress(sum(lengths[: len(history)]) * len(orders))
    for index in range(len(history), len(lengths)):
        done, length = sum(lengths[:index]), lengths[index]
        order = place.stack([batches_of(each, config, done, length) for each in orders])
        state = interval(state, order, length)
        history.append(jax.tree.map(np.asarray, observe(state)))
        on_progress(length * len(orders))
        if resumable is not None and key is not None and resumable.checkpoints.due():
            resumable.checkpoints.save(key, _saved(state, history))
    return state, _stacked(history)


def resumable_by(
    checkpoints: Checkpoints | None, data: Dataset, start: PyTree, program: Callable[[], str]
) -> Resumable | None:
    """What makes a population resumable: None without checkpoints.

    Its key covers all that determines the training: the text of the compiled `program`, in which the network's and the
    optimiser's code stands with every constant; the content of the data, whatever it's called; and what it begins with.
    """
    if checkpoints is None:
        return None
    return Resumable(checkpoints, (_bytes(program()), _bytes(_content(data)), start))


@lru_cache(maxsize=4)
def _content(data: Dataset) -> str:
    return dataset_digest(data.train, data.validation, data.test, maximum=data.maximum)


def _bytes(text: str) -> UInt8[np.ndarray, " bytes"]:
    return np.frombuffer(text.encode(), np.uint8)


def _stacked(history: Sequence[PyTree]) -> PyTree:
    return jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *history)


def _saved(state: PyTree, history: Sequence[PyTree]) -> dict[str, np.ndarray]:
    """A checkpoint's arrays: the leaves of the state and of the history so far."""
    parts = {"state": state, "history": _stacked(history)}
    return {
        f"{name}.{index}": np.asarray(leaf)
        for name, part in parts.items()
        for index, leaf in enumerate(jax.tree.leaves(part))
    }


def _restored(
    saved: Mapping[str, np.ndarray], state: PyTree, observe: Callable[[Any], PyTree]
) -> tuple[PyTree, list[PyTree]]:
    """State, placed like the one given, and history of a checkpoint."""
    leaves, seen = jax.tree.leaves(state), observe(state)
    placed = [jax.device_put(saved[f"state.{index}"], leaf.sharding) for index, leaf in enumerate(leaves)]
    curves = [saved[f"history.{index}"] for index in range(len(jax.tree.leaves(seen)))]
    history = [
        jax.tree.unflatten(jax.tree.structure(seen), [curve[:, at] for curve in curves])
        for at in range(curves[0].shape[1])
    ]
    return jax.tree.unflatten(jax.tree.structure(state), placed), history


def batches_of(order: DataOrder, config: TrainingConfig, done: int, length: int) -> Int32[np.ndarray, "every batch"]:
    """An interval's batches; a shorter one is filled up, for the sake of one shape, and never read there."""
    batches = np.zeros((config.evaluate_every, config.batch_size), np.int32)
    first = order.first_step + done
    batches[:length] = batch_order(order.seed, order.examples, config.batch_size, first, first + length)
    return batches
