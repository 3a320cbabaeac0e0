"""Machine code of the sparse engine: steps and evaluations over live weights alone, on one thread, without the GIL.

Units are numbered through all layers, so that no loop over layers is needed. `rows.Rows` describes the arrays.
"""

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from types import CellType, FunctionType
from typing import Any, TypeVar

import numba
import numpy as np

from supermask.live_weights.vectors import (
    adam,
    delta_of_unit,
    exponentials,
    gradient_of_pixels,
    gradient_of_units,
    logit_of_pixels,
    logit_of_units,
    momentum,
    over_lanes,
    pack,
    scale_lanes,
    unit_of_pixels,
    unit_of_units,
)

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
_FILES = ("engine.py", "kernels.py", "optimisers.py", "rows.py", "shared.py", "vectors.py")
SOURCES = hashlib.sha256(b"".join(Path(__file__).with_name(file).read_bytes() for file in _FILES)).hexdigest()
"""Digest of all source files of the machine code: its functions and the types of their arguments."""

ONE, ZERO = np.float32(1), np.float32(0)


def compiled(function: Function) -> Function:
    """Compile a function that `kept` functions call."""
    return numba.njit(**_OPTIONS)(inspect.unwrap(function))


def kept(function: Function) -> Function:
    """Compile a function and cache its machine code on disk, if a folder is writable.

    numba's cache key consists of the function's name, code, file age and closure. `SOURCES` is added to the closure, so
    that cached code is never out of date. It is also added to the name, because numba reads everything cached under a
    name and fails on types of an older version that no longer exist.
    """
    plain = inspect.unwrap(function)
    code = plain.__code__.replace(co_freevars=("sources",))
    named: Any = FunctionType(code, plain.__globals__, plain.__name__, None, (CellType(SOURCES),))
    named.__qualname__ = f"{plain.__qualname__}_{SOURCES[:16]}"
    try:
        return numba.njit(cache=True, **_OPTIONS)(named)
    except RuntimeError:  # numba can write neither next to this file nor to the user's cache
        return compiled(function)


@compiled
def _gather(images: Any, order: Any, at: Any, groups: Any, pixels: Any, block: Any) -> None:
    """Gather a block's pixels: of the images `order` from `at` on, in the groups of 16 that start at `groups`."""
    for lane in range(0, 8 * len(block), 8):
        for pixel in groups:
            pack(images, images.shape[1], order, at, lane, pixel, pixels, block)


@compiled
def _forward(rows: Any, params: Any, pixels: Any, units: Any, scale: Any, block: Any) -> None:
    starts, which, first, hidden, all_units = rows.starts, rows.which, rows.first, rows.hidden, rows.starts.size - 1
    biases = params[which.size :]
    if hidden == 0:
        for unit in range(all_units):
            row = starts[unit], starts[unit + 1]
            logit_of_pixels(pixels, which, params, row[0], row[1], scale, biases[unit], units, unit, block)
        return
    for unit in range(first):
        row = starts[unit], starts[unit + 1]
        unit_of_pixels(pixels, which, params, row[0], row[1], scale, biases[unit], units, unit, block)
    for unit in range(first, hidden):
        row = starts[unit], starts[unit + 1]
        unit_of_units(units, which, params, row[0], row[1], ONE, biases[unit], units, unit, block)
    for unit in range(hidden, all_units):
        row = starts[unit], starts[unit + 1]
        logit_of_units(units, which, params, row[0], row[1], ONE, biases[unit], units, unit, block)


@compiled
def _output_deltas(rows: Any, work: Any, labels: Any, order: Any, at: Any, share: Any, block: Any) -> None:
    """Compute gradients of the logits: (softmax - label) / batch; 0 in lanes without an image."""
    hidden, all_units, images = rows.hidden, rows.starts.size - 1, min(order.size - at, 16 * len(block))
    deltas, totals = work.deltas, work.totals
    exponentials(work.units, hidden, all_units, deltas, work.tops, totals, block)
    for lane in range(images):
        totals[lane] = share / totals[lane]
    for lane in range(images, 16 * len(block)):
        totals[lane] = ZERO
    for unit in range(hidden, all_units):
        scale_lanes(deltas, unit, totals, block)
    for lane in range(images):
        deltas[hidden + labels[order[at + lane]], lane] -= share


@compiled
def _backward(rows: Any, params: Any, work: Any, gradients: Any, scale: Any, more: Any, block: Any) -> None:
    starts, which, first, all_units = rows.starts, rows.which, rows.first, rows.starts.size - 1
    units, deltas, by_reader = work.units, work.deltas, work.by_reader
    for place in range(by_reader.size):
        by_reader[place] = params[rows.places[place]]
    for unit in range(rows.hidden - 1, -1, -1):
        row = rows.reader_starts[unit], rows.reader_starts[unit + 1]
        delta_of_unit(deltas, rows.readers, by_reader, row[0], row[1], units, unit, block)
    for unit in range(first):
        row = starts[unit], starts[unit + 1]
        gradient_of_pixels(work.pixels, which, row[0], row[1], scale, deltas, unit, gradients, more, block)
    for unit in range(first, all_units):
        row = starts[unit], starts[unit + 1]
        gradient_of_units(units, which, row[0], row[1], ONE, deltas, unit, gradients, more, block)
    for unit in range(all_units):
        before = gradients[which.size + unit] if more else ZERO
        gradients[which.size + unit] = before + over_lanes(deltas, unit, block)


@kept
def pack_split(images: Any, order: Any, groups: Any, packed: Any, block: Any) -> None:
    """Pack the images of an order into blocks of words."""
    for index in range(packed.shape[0]):
        _gather(images, order, index * 16 * len(block), groups, packed[index], block)


@compiled
def _scores(rows: Any, params: Any, split: Any, scale: Any, work: Any, block: Any) -> Any:
    """Return sums over a split's images: of losses, and of correct predictions."""
    hidden, all_units, lanes = rows.hidden, rows.starts.size - 1, 16 * len(block)
    units, tops, totals = work.units, work.tops, work.totals
    loss, right = 0.0, 0
    for index in range(split.pixels.shape[0]):
        _forward(rows, params, split.pixels[index], units, scale, block)
        exponentials(units, hidden, all_units, work.deltas, tops, totals, block)
        at = index * lanes
        for lane in range(min(split.labels.size - at, lanes)):
            label, top = hidden + split.labels[at + lane], tops[lane]
            loss += np.log(totals[lane]) + (top - units[label, lane])
            best = -1
            if totals[lane] != totals[lane]:  # like jax.numpy.argmax: the first NaN, or else the first largest
                for unit in range(all_units - 1, hidden - 1, -1):
                    best = unit if units[unit, lane] == top else best
                for unit in range(all_units - 1, hidden - 1, -1):
                    best = unit if units[unit, lane] != units[unit, lane] else best
            elif units[label, lane] == top:  # an earlier one that is equally large is predicted
                best = label
                for unit in range(hidden, label):
                    best = unit if units[unit, lane] == top else best
            right += best == label
    return loss, right


@compiled
def _look_up(values: Any, codes: Any, weights: Any) -> None:
    for place in range(codes.size):
        weights[place] = values[codes[place]]


@compiled
def _sum_by_value(gradients: Any, codes: Any, sums: Any) -> None:
    sums[:] = ZERO
    for place in range(codes.size):
        sums[codes[place]] += gradients[place]


@kept
def interval(
    rows: Any, data: Any, order: Any, batch: Any, state: Any, codes: Any, rule: Any, work: Any, block: Any
) -> Any:
    """Take a step per row of `order`, whose first `batch` images count; then sum losses and correct predictions.

    codes: the element of the state that each weight and bias is; empty where each is its own.
    """
    moved, moments, pixels, units, shared = state.params, state.moments, work.pixels, work.units, codes.size > 0
    params, gradients, sums = (work.weights if shared else moved), work.gradients, work.gradients
    lanes, share, steps = 16 * len(block), ONE / np.float32(batch), order.shape[0]
    if shared:
        sums = work.sums
        _look_up(moved, codes, params)
    for step in range(steps):
        images = order[step]
        for at in range(0, images.size, lanes):
            _gather(data.images, images, at, rows.groups, pixels, block)
            _forward(rows, params, pixels, units, data.scale, block)
            _output_deltas(rows, work, data.labels, images[:batch], at, share, block)
            _backward(rows, params, work, gradients, data.scale, at > 0, block)
        if shared:
            _sum_by_value(gradients, codes, sums)
        if rule.adam:
            adam(moved, sums, moments, moved.size, rule.rates[step], rule.corrections[step], rule.settings, block)
        else:
            momentum(moved, sums, moments, moved.size, rule.rates[step], rule.settings, block)
        if shared:
            _look_up(moved, codes, params)
    return _scores(rows, params, data.split, data.scale, work, block)
