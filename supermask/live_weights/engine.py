"""The sparse engine: trains and evaluates a network of dense layers on its live weights alone, on one CPU core.

A network runs on one thread, so its bits do not depend on what runs beside it. Call `advance`, `validate` and `test`
from as many threads as there are cores: they release the GIL.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float32, Int32, UInt8, UInt32

from supermask.checks import check_labels
from supermask.datasets import Dataset, Split
from supermask.evaluation import Scores
from supermask.live_weights.optimisers import Optimiser, Rule, rule_of, text_of
from supermask.live_weights.rows import (
    GROUP,
    LiveMasks,
    Places,
    Rows,
    flat_params,
    moving,
    places_of,
    rows_of,
    whole_params,
)
from supermask.live_weights.shared import Codebooks, Codes, flat_codes, flat_values
from supermask.networks import Network, outputs_of
from supermask.params import Params
from supermask.short import short

LANES = 64
"""Most images per block: their sums fill half of most processors' registers, and a batch of 60 is one block."""


@short
class State(NamedTuple):
    """Trained values and the optimiser's two moments or one trace of each.

    Live weights by unit and then biases; or, where weights share values, those by layer and then biases.
    """

    params: Float32[np.ndarray, " moving"]
    moments: Float32[np.ndarray, "2 moving"]


@short
class Packed(NamedTuple):
    """A split in the form that evaluations read: blocks of pixels, two images per word (see `vectors`)."""

    pixels: UInt32[np.ndarray, "blocks width words"]
    labels: Int32[np.ndarray, " n"]


_NOTHING = Packed(np.zeros((0, 0, 0), np.uint32), np.zeros(0, np.int32))


class _Data(NamedTuple):
    images: UInt8[np.ndarray, "n width"]
    labels: Int32[np.ndarray, " n"]
    split: Packed
    scale: Any  # a float of single precision: 1 / the largest pixel value


class _Work(NamedTuple):
    """Scratch memory, which steps write before they read it."""

    pixels: UInt32[np.ndarray, "width words"]
    units: Float32[np.ndarray, "units lanes"]
    deltas: Float32[np.ndarray, "units lanes"]
    tops: Float32[np.ndarray, " lanes"]
    totals: Float32[np.ndarray, " lanes"]
    by_reader: Float32[np.ndarray, " later_weights"]
    gradients: Float32[np.ndarray, " weights"]
    weights: Float32[np.ndarray, " weights"]  # for shared values only: the weights, and the sums of their gradients
    sums: Float32[np.ndarray, " moving"]


@short
class Live(NamedTuple):
    """One network in training. `state` changes in place; `start` holds its initial parameters.

    codes: where weights share values, the element of the state that each weight and bias is; empty elsewhere.
    """

    rows: Rows
    places: Places
    state: State
    start: Params
    codes: UInt32[np.ndarray, " places"]
    work: Any


@short
@dataclass(frozen=True, eq=False)
class Engine:
    """Trains and evaluates networks of one architecture with one data set, batch size and optimiser.

    Raises ValueError for a network with convolutions or with a subclass's own code, for a batch size below 1, for
    images other than uint8, the only type that is exact in half a word, and for labels beyond the network's logits.
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
        if self.data.dtype != np.uint8:
            raise ValueError(f"data has images of {self.data.dtype}; allowed: uint8")
        for name in ("train", "validation", "test"):
            check_labels(name, getattr(self.data, name).labels, outputs_of(self.network, self.data.image_shape))

    @property
    def block(self) -> tuple[int, ...]:
        """One zero per 16 images of a block. A batch takes the fewest blocks, and those are as short as possible."""
        blocks = math.ceil(self.batch_size / LANES)
        return (0,) * math.ceil(self.batch_size / blocks / 16)

    def begin(self, params: Params, masks: LiveMasks) -> Live:
        """Return a network before its first step. Its pruned weights are 0, as `rows.live_masks` ensures."""
        rows, places = self._rows(masks)
        flat = flat_params(self.network.dense_layers, params, places)
        state = aligned(State(flat, np.zeros((2, flat.size))))
        return Live(rows, places, state, params, np.zeros(0, np.uint32), self._work(rows, 0))

    def begin_shared(self, params: Params, masks: LiveMasks, codes: Codes, codebooks: Codebooks) -> Live:
        """Return a network whose live weights share values, before its first step. It cannot be given to `resume`.

        `codes` of live weights index `codebooks`; `params` are the resulting parameters, and the biases.
        """
        layers = self.network.dense_layers
        rows, places = self._rows(masks)
        flat = flat_values(layers, codebooks, params)
        which = flat_codes(layers, codes, codebooks, params, places)
        state = aligned(State(flat, np.zeros((2, flat.size))))
        return Live(rows, places, state, params, which, self._work(rows, flat.size))

    def resume(self, live: Live, params: Params, memories: Sequence[Params]) -> Live:
        """Return a network with the same live weights, other parameters, and the optimiser's memories of these."""
        layers, places = self.network.dense_layers, live.places
        flat = flat_params(layers, params, places)
        moments = np.zeros((2, flat.size), np.float32)
        for index, memory in enumerate(memories):
            moments[index] = flat_params(layers, memory, places)
        return live._replace(state=aligned(State(flat, moments)), start=params)

    def params(self, live: Live, flat: Float32[np.ndarray, " moving"] | None = None) -> Params:
        """Return the network's current parameters, or those with the trained values `flat`."""
        flat = live.state.params if flat is None else flat
        flat = flat[live.codes] if live.codes.size else flat
        return whole_params(self.network.dense_layers, flat, live.start, live.places)

    def memories(self, live: Live) -> tuple[Params, ...]:
        """Return what the optimiser keeps of each parameter (`Optimiser.memory`); 0 for pruned weights."""
        zeros: Params = jax.tree.map(np.zeros_like, live.start)
        layers, kept = self.network.dense_layers, live.state.moments[: len(self.optimiser.memory)]
        return tuple(whole_params(layers, moment, zeros, live.places) for moment in kept)

    def step(self, live: Live, order: Int32[np.ndarray, "steps batch"], taken: int) -> None:
        """Take one step per batch of training images, after `taken` earlier steps."""
        self._interval(live, order, taken, _NOTHING)

    def advance(self, live: Live, order: Int32[np.ndarray, "steps batch"], taken: int) -> Scores:
        """Take steps, then evaluate on validation data."""
        return self._interval(live, order, taken, self._validation)

    def validate(self, live: Live) -> Scores:
        """Return loss and accuracy on validation data."""
        return self._interval(live, self._no_steps, 0, self._validation)

    def test(self, live: Live, params: Params | None = None) -> Scores:
        """Return loss and accuracy on test data, now or with other `params` of the same shapes and live weights."""
        if params is not None:
            flat = flat_params(self.network.dense_layers, params, live.places)
            live = live._replace(state=aligned(State(flat, live.state.moments)))
        return self._interval(live, self._no_steps, 0, self._test)

    def text(self, steps: int) -> str:
        """Return everything that determines a number of steps, apart from data and networks: for checkpoints."""
        from supermask.live_weights.kernels import SOURCES

        optimiser = text_of(self.optimiser, steps)
        return f"live weights, sources {SOURCES}, {optimiser}, {self.network}, batches of {self.batch_size}"

    def _interval(self, live: Live, order: Int32[np.ndarray, "steps batch"], taken: int, split: Packed) -> Scores:
        from supermask.live_weights.kernels import interval

        lanes = 16 * len(self.block)
        blocks = math.ceil(self.batch_size / lanes)
        padded = np.empty((len(order), blocks * lanes), np.uint32)
        padded[:, : self.batch_size] = order
        padded[:, self.batch_size :] = order[:, -1:]  # computed, never counted
        data, rule = self._train._replace(split=split), self._rule(taken, len(order))
        sums = interval(live.rows, data, padded, self.batch_size, live.state, live.codes, rule, live.work, self.block)
        return Scores(*np.array([total / max(len(split.labels), 1) for total in sums], np.float32))

    @cached_property
    def _rule(self) -> Callable[[int, int], Rule]:
        """Networks that are trained side by side take the same steps: a schedule is computed once for all of them."""
        return lru_cache(maxsize=4)(partial(rule_of, self.optimiser))

    @property
    def _no_steps(self) -> Int32[np.ndarray, "0 batch"]:
        return np.zeros((0, self.batch_size), np.int32)

    def _rows(self, masks: LiveMasks) -> tuple[Rows, Places]:
        layers = self.network.dense_layers
        places = places_of([masks[layer] for layer in layers])
        return rows_of([masks[layer].shape for layer in layers], places), places

    def _work(self, rows: Rows, values: int) -> _Work:
        """Return memory for one network; `values` is the size of its state where weights share values, else 0."""
        lanes, units = 16 * len(self.block), len(rows.starts) - 1
        weights = moving(rows.which.size + units)
        width = self._train.images.shape[1]
        return aligned(
            _Work(
                np.zeros((width, lanes // 2), np.uint32),
                *(np.zeros(shape, np.float32) for shape in ((units, lanes), (units, lanes), lanes, lanes)),
                *(np.zeros(size, np.float32) for size in (len(rows.places), weights, weights if values else 0, values)),
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
        # padded with the last image
        order = np.minimum(np.arange(len(pixels) * lanes), len(split) - 1).astype(np.uint32)
        pack_split(images, order, groups, packed.pixels, self.block)
        return packed


def aligned(arrays: Any) -> Any:
    """Return a named tuple's arrays in float32, aligned to cache lines.

    Vectors that cross two cache lines take twice as long.
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
    """Return images as rows, padded with zeros to at least the length of a group."""
    images = np.ascontiguousarray(split.images.reshape(len(split), -1))
    return np.pad(images, ((0, 0), (0, max(GROUP - images.shape[1], 0))))
