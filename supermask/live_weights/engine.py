"""The sparse engine: trains and evaluates one network of dense layers by its live weights alone, on one CPU core.

A network's bits depend on nothing but itself: it is computed on one thread, whatever runs beside it. Call `advance` and
`evaluate` from as many threads as there are cores; they leave Python's lock to the others.
"""

import math
from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, UInt8, UInt32

from supermask.checks import check_labels
from supermask.datasets import Dataset, Split
from supermask.evaluation import Scores
from supermask.live_weights.rows import GROUP, LiveMasks, Rows, flat_params, moving, rows_of, whole_params
from supermask.networks import Network, outputs_of
from supermask.params import Params
from supermask.short import short

LANES = 64
"""Images of a block at most: their sums fill half of most processors' registers, and a batch of 60 is one block."""

Rate = float | Callable[[Int32[np.ndarray, " steps"]], Any]
"""A learning rate, or one by the number of steps taken before (0 in the first step), as optax's schedules have it."""


@short
@dataclass(frozen=True)
class Adam:
    """Adam by optax's formula and defaults (Kingma & Ba 2015, arXiv 1412.6980, algorithm 1)."""

    learning_rate: Rate
    decay: float = 0.9
    decay2: float = 0.999
    epsilon: float = 1e-8


@short
@dataclass(frozen=True)
class Momentum:
    """SGD with momentum and weight decay, of weights and biases: optax.add_decayed_weights, then optax.sgd."""

    learning_rate: Rate
    momentum: float = 0.9
    weight_decay: float = 0.0


Optimiser = Adam | Momentum


@short
class State(NamedTuple):
    """What moves: live weights by unit, then biases; and the optimiser's memory of each: two moments, or one trace."""

    params: Float32[np.ndarray, " moving"]
    moments: Float32[np.ndarray, "2 moving"]


@short
class Packed(NamedTuple):
    """A split as evaluations read it: blocks of pixels, two images a word (see `vectors`)."""

    pixels: UInt32[np.ndarray, "blocks width words"]
    labels: Int32[np.ndarray, " n"]


class _Data(NamedTuple):
    images: UInt8[np.ndarray, "n width"]
    labels: Int32[np.ndarray, " n"]
    split: Packed
    scale: Any  # a float of single precision: 1 / the largest pixel value


class _Rule(NamedTuple):
    adam: bool
    settings: Float32[np.ndarray, " settings"]
    corrections: Float32[np.ndarray, "steps 2"]


class _Work(NamedTuple):
    """Memory that steps write before they read it."""

    pixels: UInt32[np.ndarray, "width words"]
    units: Float32[np.ndarray, "units lanes"]
    deltas: Float32[np.ndarray, "units lanes"]
    tops: Float32[np.ndarray, " lanes"]
    totals: Float32[np.ndarray, " lanes"]
    by_reader: Float32[np.ndarray, " later_weights"]
    gradients: Float32[np.ndarray, " moving"]


@short
class Live(NamedTuple):
    """One network under way. `state` changes in place; `start` and `masks` are those it began with."""

    rows: Rows
    state: State
    start: Params
    masks: LiveMasks
    work: Any


@short
@dataclass(frozen=True, eq=False)
class Engine:
    """What networks of one architecture are trained and evaluated with: data, batch size and optimiser.

    Raises ValueError for a network with convolutions or of a subclass's own code, for a batch size below 1, and for
    labels that the network has no logits for.
    """

    network: Network
    data: Dataset
    batch_size: int
    optimiser: Optimiser

    def __post_init__(self) -> None:
        if not self.network.dense_layers:
            raise ValueError("network has convolutions, or code of its own; allowed: a FeedForward of dense layers")
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}; allowed: 1 or more")
        for name in ("train", "validation", "test"):
            check_labels(name, getattr(self.data, name).labels, outputs_of(self.network, self.data.image_shape))

    @property
    def block(self) -> tuple[int, ...]:
        """A zero for every 16 images of a block: as few blocks as hold a batch, and those as short as they can be."""
        blocks = math.ceil(self.batch_size / LANES)
        return (0,) * math.ceil(self.batch_size / blocks / 16)

    def begin(self, params: Params, masks: LiveMasks) -> Live:
        """A network before its first step. Its pruned weights are 0, as `rows.live_masks` makes sure."""
        layers = self.network.dense_layers
        rows = rows_of([masks[layer] for layer in layers])
        flat = flat_params(layers, params, masks)
        state = aligned(State(flat, np.zeros((2, flat.size))))
        return Live(rows, state, params, masks, self._work(rows))

    def params(self, live: Live, flat: Float32[np.ndarray, " moving"] | None = None) -> Params:
        """The network's parameters as they are now, or as they are where `flat` is what moves."""
        flat = live.state.params if flat is None else flat
        return whole_params(self.network.dense_layers, flat, live.start, live.masks)

    def advance(self, live: Live, order: Int32[np.ndarray, "steps batch"], taken: int) -> Scores:
        """Takes a step for each batch of training images, after `taken` others, then evaluates on validation data."""
        return self._interval(live, order, taken, self._validation)

    def test(self, live: Live, params: Params | None = None) -> Scores:
        """Loss and accuracy on test data, as the network is now or with `params` of its shape and live weights."""
        if params is not None:
            flat = flat_params(self.network.dense_layers, params, live.masks)
            live = live._replace(state=aligned(State(flat, live.state.moments)))
        return self._interval(live, np.zeros((0, self.batch_size), np.int32), 0, self._test)

    @property
    def text(self) -> str:
        """Names all that steps are made of but for data and networks: for checkpoints."""
        from supermask.live_weights.kernels import SOURCES

        optimiser = type(self.optimiser).__name__, astuple(self.optimiser)  # every digit: its own text rounds
        return f"live weights, sources {SOURCES}, {optimiser}, {self.network}, batches of {self.batch_size}"

    def _interval(self, live: Live, order: Int32[np.ndarray, "steps batch"], taken: int, split: Packed) -> Scores:
        from supermask.live_weights.kernels import interval

        lanes = 16 * len(self.block)
        blocks = math.ceil(self.batch_size / lanes)
        padded = np.empty((len(order), blocks * lanes), np.uint32)
        padded[:, : self.batch_size] = order
        padded[:, self.batch_size :] = order[:, -1:]  # computed, never counted
        steps = np.arange(taken, taken + len(order), dtype=np.int32)
        rates = np.ascontiguousarray(np.broadcast_to(self._rates(steps), steps.shape), np.float32)
        data, rule = self._train._replace(split=split), _rule(self.optimiser, steps)
        sums = interval(live.rows, data, padded, self.batch_size, live.state, rates, rule, live.work, self.block)
        return Scores(*np.array([total / len(split.labels) for total in sums], np.float32))

    def _rates(self, steps: Int32[np.ndarray, " steps"]) -> Any:
        rate = self.optimiser.learning_rate
        return rate(steps) if callable(rate) else rate

    def _work(self, rows: Rows) -> _Work:
        lanes, units = 16 * len(self.block), len(rows.starts) - 1
        width = self._train.images.shape[1]
        return aligned(
            _Work(
                np.zeros((width, lanes // 2), np.uint32),
                *(np.zeros(shape, np.float32) for shape in ((units, lanes), (units, lanes), lanes, lanes)),
                *(np.zeros(size, np.float32) for size in (len(rows.places), moving(rows.which.size + units))),
            )
        )

    @cached_property
    def _train(self) -> _Data:
        scale = np.float32(1 / self.data.maximum)
        return _Data(_flat(self.data.train), self.data.train.labels, self._validation, scale)

    @cached_property
    def _validation(self) -> Packed:
        return self._packed(self.data.validation)

    @cached_property
    def _test(self) -> Packed:
        return self._packed(self.data.test)

    def _packed(self, split: Split) -> Packed:
        from supermask.live_weights.kernels import pack_split

        images, lanes = _flat(split), 16 * len(self.block)
        every = np.arange(0, images.shape[1], GROUP)
        groups = np.minimum(every, images.shape[1] - GROUP).astype(np.int64)
        pixels = np.zeros((math.ceil(len(split) / lanes), images.shape[1], lanes // 2), np.uint32)
        packed: Packed = aligned(Packed(pixels, split.labels))
        order = np.minimum(np.arange(len(pixels) * lanes), len(split) - 1).astype(np.uint32)  # filled up with the last
        pack_split(images, order, groups, packed.pixels, self.block)
        return packed


def aligned(arrays: Any) -> Any:
    """A named tuple's arrays, their starts where lines of a processor's cache start; floats of single precision.

    Vectors that lie across two lines cost twice the time.
    """
    return type(arrays)(*map(_aligned, arrays))


def _aligned(array: np.ndarray) -> np.ndarray:
    dtype = np.dtype(np.float32) if array.dtype.kind == "f" else array.dtype
    size = array.size * dtype.itemsize
    room = np.empty(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    there = room[start : start + size].view(dtype).reshape(array.shape)
    there[...] = array
    return there


def _flat(split: Split) -> UInt8[np.ndarray, "n width"]:
    """Images as rows, no shorter than a group: zeros are added to smaller ones."""
    images = np.ascontiguousarray(split.images.reshape(len(split), -1))
    return np.pad(images, ((0, 0), (0, max(GROUP - images.shape[1], 0))))


def _rule(optimiser: Optimiser, steps: Int32[np.ndarray, " steps"]) -> _Rule:
    if isinstance(optimiser, Momentum):
        settings = np.array([optimiser.momentum, optimiser.weight_decay], np.float32)
        return _Rule(False, settings, np.zeros((0, 2), np.float32))
    decays = np.array([optimiser.decay, optimiser.decay2], np.float32)
    shares = 1 - np.array([optimiser.decay, optimiser.decay2])
    settings = np.array([decays[0], shares[0], decays[1], shares[1], optimiser.epsilon], np.float32)
    powers = decays ** (steps[:, None] + 1).astype(np.float32)  # single precision, as optax has it
    return _Rule(True, settings, 1 / (np.float32(1) - powers))
