"""Masks as bits: eight weights a byte, the first in the highest bit, in C order."""

import math

import numpy as np
from jaxtyping import Bool, UInt8
from numpy.typing import ArrayLike


def pack(mask: ArrayLike) -> UInt8[np.ndarray, "bytes"]:
    """Pack a mask into bits, eight weights per byte in row-major order; the last byte is padded with zeros."""
    return np.packbits(np.asarray(mask).ravel())


def unpack(bits: UInt8[np.ndarray, "bytes"], shape: tuple[int, ...]) -> Bool[np.ndarray, "..."]:
    """Unpack a mask of that shape. Raises ValueError if it is no shape, or the number of bytes does not match it."""
    if not all(type(axis) is int and 0 <= axis < 1 << 63 for axis in shape):  # as a file may say
        raise ValueError(f"shape is {str(shape)[:60]}; allowed: whole numbers from 0 on")
    size = math.prod(shape)
    if bits.size != -(-size // 8):
        raise ValueError(f"bits holds {bits.size} bytes; a mask of shape {shape} takes {-(-size // 8)}")
    return np.unpackbits(bits, count=size).astype(bool).reshape(shape)
