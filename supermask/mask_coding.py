"""Codings of a mask: a bit a weight, or range coded by rows, whichever is smaller.

A row holds the weights that leave one input unit. 'rows' codes how many weights each row keeps, uniform from 0 to the
row's length, then each row's weights as Bernoulli variables of that frequency.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from supermask.bits import pack, unpack
from supermask.extras import missing

try:
    import constriction
except ModuleNotFoundError as error:
    raise missing(error, "compression") from None

CODINGS = ("bits", "rows")

LONGEST_ROW = (1 << 24) - 1
"""Weights of a row: constriction's uniform distribution has a precision of 24 bits."""

TOGETHER = 1 << 20
"""Weights that are decoded at a time, as far as whole rows allow: each takes thirteen bytes meanwhile."""


class CodingError(ValueError):
    """A block that is not a mask's."""


def encode(mask: Bool[np.ndarray, "*shape"]) -> tuple[str, bytes]:
    """Return the smaller of the two codings, and the block."""
    bits = pack(mask).tobytes()
    rows = _rows(mask)
    if rows.shape[1] > LONGEST_ROW:
        return "bits", bits
    counts = rows.sum(axis=1).astype(np.int32)
    encoder = constriction.stream.queue.RangeEncoder()
    encoder.encode(counts, constriction.stream.model.Uniform(rows.shape[1] + 1))
    encoder.encode(rows.ravel().astype(np.int32), _model(), _frequencies(counts, rows.shape))
    coded = encoder.get_compressed().astype("<u4").tobytes()
    return ("rows", coded) if len(coded) < len(bits) else ("bits", bits)


def decode(coding: str, block: bytes, shape: tuple[int, ...]) -> Bool[np.ndarray, "..."]:
    """Return the mask of a block. Raises CodingError for bytes that do not hold a mask of that shape."""
    if coding == "bits":
        try:
            return unpack(np.frombuffer(block, np.uint8), shape)
        except ValueError as error:
            raise CodingError(str(error)) from None
    if len(block) % 4:
        raise CodingError("a range coded block is not made of whole words")
    rows, columns = math.prod(shape[:-1]), shape[-1]
    if columns > LONGEST_ROW:
        raise CodingError(f"a range coded row has {columns:,} weights; allowed: {LONGEST_ROW:,}")
    decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(block, "<u4").astype(np.uint32))
    mask, step = np.empty((rows, columns), bool), max(TOGETHER // columns, 1)
    try:
        counts = decoder.decode(constriction.stream.model.Uniform(columns + 1), rows)
        for at in range(0, rows, step):
            own = counts[at : at + step]
            weights = decoder.decode(_model(), _frequencies(own, (len(own), columns)))
            mask[at : at + step] = weights.reshape(-1, columns)
    except AssertionError as error:  # constriction's error for words that no encoder writes
        raise CodingError(str(error)) from None
    if (mask.sum(axis=1) != counts).any():
        raise CodingError("its rows do not keep as many weights as they say")
    return mask.reshape(shape)


def information(mask: Bool[np.ndarray, "*shape"]) -> float:
    """Return bytes: the entropy of every row's weights at the row's own frequency, and of the rows' counts."""
    rows = _rows(mask)
    p = rows.mean(axis=1)
    inside = p[(p > 0) & (p < 1)]
    entropy = -(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside)).sum() * rows.shape[1]
    return float(entropy + len(rows) * math.log2(rows.shape[1] + 1)) / 8


def _rows(mask: Bool[np.ndarray, "*shape"]) -> Bool[np.ndarray, "rows columns"]:
    """Reshape to one row per input unit (of a convolution: an input channel at one position of the filter)."""
    return mask.reshape(-1, mask.shape[-1])


def _model() -> Any:
    return constriction.stream.model.Bernoulli(perfect=False)


def _frequencies(counts: np.ndarray, shape: tuple[int, ...]) -> Float[np.ndarray, " weights"]:
    """Return each weight's probability of being kept, from its row's count."""
    return np.repeat(counts.astype(np.float64) / shape[1], shape[1])
