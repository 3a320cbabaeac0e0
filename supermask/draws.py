"""The weights of a seed in NumPy alone: what JAX 0.10 and Flax 0.12 draw on CPU, bit for bit, whatever is installed.

A file that holds a network as a mask and a seed must be read when JAX draws otherwise, as it did before version 0.5.
This is a reference implementation of the generator (threefry-2x32: Salmon et al. 2011, "Parallel random numbers: as
easy as 1, 2, 3"), of the keys that Flax Linen folds for a layer, and of its Glorot-normal kernels. Arithmetic is in
float32, operation by operation, with a single rounding where XLA contracts a product and a sum.

The normal distribution's inverse is that of Giles 2012, "Approximating the erfinv function"; log(1 + x) is Cephes'.
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, UInt32

from supermask.checks import check_seed

WEIGHTS = ("initial", "signed_constant", "kaiming", "signed_kaiming")
"""What an untrained network's kept weights can be."""

FOLDS = (0, 0)
"""What is folded into a seed's key for initial weights: `keys.Purpose.INITIAL_WEIGHTS`, and round 0."""

BLOCK = 1 << 14
"""Weights that are computed at once, so that intermediate results stay in the processor's cache."""

Words = UInt32[np.ndarray, "words"]
Values = Float32[np.ndarray, "values"]
Pair = tuple[np.uint32, np.uint32]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)

# Coefficients as the bits of float32 numbers, highest power first.
_LOG_HIGH = (0x3D9021BB, 0xBDEBD1B8, 0x3DEF251A)
_LOG_MIDDLE = (0xBDFE5D4F, 0x3E11E9BF, 0xBE2AAE50)
_LOG_LOW = (0x3E4CCEAC, 0xBE7FFFFC, 0x3EAAAAAA)
_LOG1P_OVER = (0x383DE04B, 0x3EFF40C5, 0x40D284FA, 0x41EF4B9C, 0x4273CC76, 0x426473AD, 0x41A05101)
_LOG1P_UNDER = (0x3F800000, 0x417101AD, 0x42A6185B, 0x435DC32D, 0x439A8CA3, 0x43586D8A, 0x42707982)
_ERFINV_NEAR = (
    *(0x32F16588, 0x34B84B36, 0xB66C7357, 0xB6935AC1, 0x396532DB),
    *(0xBAA45408, 0xBB88E4EF, 0x3E7C8F63, 0x3FC02E2F),
)
_ERFINV_FAR = (
    *(0xB951F09B, 0x38D3B56B, 0x3AB0DC72, 0xBB70BDE7, 0x3BBC127B),
    *(0xBBF9C5D7, 0x3C1AA57E, 0x3F8036DB, 0x40354F7E),
)


def threefry(key: Pair, first: Words, second: Words) -> tuple[Words, Words]:
    """Encrypt pairs of words: Threefry-2x32 of 20 rounds."""
    keys = (key[0], key[1], key[0] ^ key[1] ^ _PARITY)
    x, y = first + keys[0], second + keys[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x = x + y
            y = x ^ ((y << np.uint32(rotation)) | (y >> np.uint32(32 - rotation)))
        x = x + keys[(group + 1) % 3]
        y = y + keys[(group + 2) % 3] + np.uint32(group + 1)
    return x, y


def key_of(seed: int, folds: Sequence[int] = ()) -> Pair:
    """Return the key of a seed, with numbers folded in, in their order: `jax.random.key` and `fold_in`."""
    check_seed(seed)
    key = (np.uint32(0), np.uint32(seed))
    for number in folds:
        x, y = threefry(key, np.zeros(1, np.uint32), np.array([number], np.uint32))
        key = (x[0], y[0])
    return key


def layer_key(seed: int, layer: str, folds: Sequence[int] = FOLDS) -> Pair:
    """Return the key of a layer's kernel in Flax Linen: the first parameter that the layer called `layer` asks for."""
    path = hashlib.sha1(layer.encode() + b"\x01", usedforsecurity=False).digest()
    return key_of(seed, (*folds, int.from_bytes(path[:4], "big")))


def random_bits(key: Pair, start: int, stop: int, size: int, partitionable: bool = True) -> Words:
    """Return words `start` to `stop` - 1 of the `size` that a key stands for: `jax.random.bits`.

    partitionable: `jax_threefry_partitionable`, JAX's default since version 0.5.0. A word is then a function of its own
    index alone; before, one of its index and of the size.
    """
    if not partitionable:
        half = -(-size // 2)
        words = np.empty((2, half), np.uint32)
        for at in range(0, half, BLOCK):
            first = np.arange(at, min(at + BLOCK, half), dtype=np.uint32)
            second = first + np.uint32(half)
            second[second >= size] = 0  # an odd size is filled up with a zero
            words[:, at : at + BLOCK] = threefry(key, first, second)
        return words.ravel()[start:stop]
    index64 = np.arange(start, stop, dtype=np.uint64)
    high, low = (index64 >> np.uint64(32)).astype(np.uint32), index64.astype(np.uint32)
    first, second = threefry(key, high, low)
    return first ^ second


def truncated_normal(bits: Words) -> Values:
    """Return normal numbers between -2 and 2 from random words, of which the upper 23 bits count."""
    mantissas = (bits >> np.uint32(9)) | np.uint32(0x3F800000)
    lowest = _float(0xBF745A18)  # erf(-2/√2)
    uniform = np.maximum(_fma(mantissas.view(np.float32) - np.float32(1), _float(0x3FF45A18), lowest), lowest)
    return np.clip(_erf_inverse(uniform) * _float(0x3FB504F3), _float(0xBFFFFFFF), _float(0x3FFFFFFF))


def glorot_deviation(shape: tuple[int, ...]) -> np.float32:
    """Return the factor of a Glorot-normal kernel: √(2 / (fan-in + fan-out)) over the truncated normal's deviation."""
    variance = np.float32(1 / ((fan_in(shape) + fan_out(shape)) / 2))
    return np.float32(np.sqrt(variance) / np.float32(0.87962566103423978))


def glorot_kernel(
    key: Pair, shape: tuple[int, ...], deviation: np.float32, partitionable: bool = True
) -> Float32[np.ndarray, "..."]:
    """Return a Glorot-normal kernel, of the standard deviation that `glorot_deviation` gives its shape."""
    size = math.prod(shape)
    kernel = np.empty(size, np.float32)
    bits = None if partitionable else random_bits(key, 0, size, size, partitionable=False)
    for start in range(0, size, BLOCK):
        stop = min(start + BLOCK, size)
        own = random_bits(key, start, stop, size) if bits is None else bits[start:stop]
        kernel[start:stop] = truncated_normal(own) * deviation
    return kernel.reshape(shape)


def fan_in(shape: tuple[int, ...]) -> int:
    """Return the number of inputs that each output of a kernel of that shape sums."""
    return math.prod(shape[:-1])


def fan_out(shape: tuple[int, ...]) -> int:
    """Return the number of outputs that each input of a kernel reaches, over all places of a convolution's filter."""
    return math.prod(shape[:-2]) * shape[-1]


def glorot_to_kaiming(shape: tuple[int, ...]) -> float:
    """√(variance 2 / fan-in over variance 2 / (fan-in + fan-out)): one draw serves both distributions."""
    return math.sqrt((fan_in(shape) + fan_out(shape)) / fan_in(shape))


def _float(bits: int) -> np.float32:
    return np.uint32(bits).view(np.float32)


def _fma(a: Values | np.float32, b: Values | np.float32, c: Values | np.float32) -> Values:
    """a·b + c rounded once: the product is exact in float64. The sum is rounded twice: none of 2²³ draws changes."""
    return (np.multiply(a, b, dtype=np.float64) + c).astype(np.float32)


def _polynomial(x: Values, coefficients: Sequence[int]) -> Values:
    value = np.full_like(x, _float(coefficients[0]))
    for coefficient in coefficients[1:]:
        value = _fma(value, x, _float(coefficient))
    return value


def _log(x: Values) -> Values:
    """Return the natural logarithm of positive numbers: a polynomial of the mantissa, and the exponent's part."""
    bits = x.view(np.uint32)
    exponent = ((bits >> np.uint32(23)).astype(np.int32) - 126).astype(np.float32)
    mantissa = ((bits & np.uint32(0x807FFFFF)) | np.uint32(0x3F000000)).view(np.float32)
    low = mantissa < _float(0x3F3504F3)  # √½
    exponent -= low.astype(np.float32)
    r = (mantissa - np.float32(1)) + np.where(low, mantissa, np.float32(0))
    square = r * r
    cube = square * r
    sum_ = _polynomial(r, _LOG_HIGH)
    for part in (_LOG_MIDDLE, _LOG_LOW):
        sum_ = _fma(sum_, cube, _polynomial(r, part))
    sum_ = _fma(sum_, cube, exponent * _float(0xB95E8083))
    sum_ = _fma(-square, np.float32(0.5), r) + sum_
    return _fma(exponent, _float(0x3F318000), sum_)


def _log1p(x: Values) -> Values:
    ratio = _polynomial(x, _LOG1P_OVER) / _polynomial(x, _LOG1P_UNDER)
    square = x * x
    near = x + _fma(square, np.float32(-0.5), (x * square) * ratio)
    return np.where(np.abs(x) < _float(0x3ED413CD), near, _log(x + np.float32(1)))


def _erf_inverse(x: Values) -> Values:
    w = _log1p(x * -x)
    near = w > np.float32(-5)
    t = np.where(near, np.float32(-2.5) - w, np.sqrt(-w) - np.float32(3))
    return x * np.where(near, _polynomial(t, _ERFINV_NEAR), _polynomial(t, _ERFINV_FAR))
