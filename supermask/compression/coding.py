"""Codes a sparse layer in few bytes: relative indices, then entropy coding of indices and values.

The index of a live weight is its gap: the number of dead weights before it, in row-major order. Filler zeros bridge
gaps that do not fit into `index_bits`: a filler covers 2^index_bits − 1 dead weights and is itself one. Gaps and values
are then coded by their frequencies. Han et al. 2016, sections 2 and 4, use a Huffman code. Here it is range coding
(library `constriction`), which comes closer to the entropy, by up to half a bit per symbol.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Int32, UInt8

from supermask.extras import missing
from supermask.short import short

try:
    import constriction
except ModuleNotFoundError as error:
    raise missing(error, "compression") from None

MOST_INDEX_BITS = 8


class CodingError(ValueError):
    """The bytes were not written by this encoder."""


@short
class Symbols(NamedTuple):
    """A layer as two streams of equal length: gaps and values (0 for a filler, else a code plus 1)."""

    gaps: Int32[np.ndarray, " symbols"]
    values: Int32[np.ndarray, " symbols"]


def to_symbols(mask: Bool[np.ndarray, "*shape"], codes: UInt8[np.ndarray, "*shape"], index_bits: int) -> Symbols:
    """Return the streams of a layer. Raises ValueError for index bits outside 1 to 8."""
    if not 1 <= index_bits <= MOST_INDEX_BITS:
        raise ValueError(f"index_bits is {index_bits}; allowed: 1 to {MOST_INDEX_BITS}")
    places = np.flatnonzero(mask)
    step = 2**index_bits
    gaps = np.diff(places, prepend=-1) - 1
    fillers = gaps // step
    length = places.size + int(fillers.sum())
    ends = np.cumsum(fillers + 1) - 1  # position of each live weight in the streams
    all_gaps, values = np.full(length, step - 1, np.int32), np.zeros(length, np.int32)
    all_gaps[ends] = gaps % step
    values[ends] = codes.ravel()[places].astype(np.int32) + 1
    return Symbols(all_gaps, values)


def from_symbols(symbols: Symbols, shape: tuple[int, ...]) -> tuple[Bool[np.ndarray, "..."], UInt8[np.ndarray, "..."]]:
    """Return mask and codes of a layer. Raises CodingError for streams that do not fit the shape."""
    size = int(np.prod(shape))
    places = np.cumsum(symbols.gaps.astype(np.int64) + 1) - 1
    if places.size and places[-1] >= size:
        raise CodingError(f"indices reach weight {int(places[-1])} of a layer of {size}")
    live = symbols.values > 0
    mask, codes = np.zeros(size, bool), np.zeros(size, np.uint8)
    mask[places[live]] = True
    codes[places[live]] = symbols.values[live] - 1
    return mask.reshape(shape), codes.reshape(shape)


def frequencies(stream: Int32[np.ndarray, " symbols"], symbols: int) -> list[int]:
    """Return how often each of 0 to `symbols` - 1 occurs."""
    return [int(count) for count in np.bincount(stream, minlength=symbols)]


def encode(stream: Int32[np.ndarray, " symbols"], counts: list[int]) -> bytes:
    """Code a stream by its symbols' frequencies."""
    if stream.size == 0 or max(counts) == stream.size:
        return b""  # no information
    encoder = constriction.stream.queue.RangeEncoder()
    encoder.encode(stream, _model(counts))
    return encoder.get_compressed().astype("<u4").tobytes()


def decode(content: bytes, counts: list[int]) -> Int32[np.ndarray, " symbols"]:
    """Decode a stream. Raises CodingError for bytes that `encode` does not write for these counts."""
    length = sum(counts)
    if length == 0 or max(counts) == length:
        return np.full(length, int(np.argmax(counts)) if length else 0, np.int32)
    if len(content) % 4:
        raise CodingError(f"a coded stream has {len(content)} bytes; allowed: whole words of 4")
    decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(content, "<u4").astype(np.uint32))
    try:
        stream: np.ndarray = np.asarray(decoder.decode(_model(counts), length), np.int32)
    except AssertionError as error:  # raised by constriction for words that no encoder writes
        raise CodingError(str(error)) from None
    if frequencies(stream, len(counts)) != counts:
        raise CodingError("a coded stream does not have the symbols that it says")
    return stream


def entropy_bits(counts: Int[np.ndarray, " symbols"] | list[int]) -> float:
    """Return the entropy of these frequencies, in bits per symbol."""
    p = np.asarray(counts, float) / max(sum(counts), 1)
    return float(-(p[p > 0] * np.log2(p[p > 0])).sum())


def _model(counts: list[int]) -> Any:
    return constriction.stream.model.Categorical(np.asarray(counts, np.float64), perfect=False)
