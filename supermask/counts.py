"""Exact counts from fractions: pruning rates and the weights that they prune, and the number of steps in epochs.

A rate such as 0.29 means 29/100. Its product with a number of weights is computed in integers, both on the host and in
compiled code, so that floor(0.29 × 100) is 29; floating point gives 28.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int32, UInt32

Count = TypeVar("Count", int, Int32[Array, ""])
Number = float | Fraction | np.floating | np.integer | Float[Array, ""]


def own_number(argument: str, value: Any) -> int | float:
    """Return a real number as Python's own: one of another type becomes the number that it stands for.

    np.float32(0.7) stands for 0.7, though as a double it is 0.699999988. Raises ValueError for anything but one number.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) + 0.0 if isinstance(value, float) else value  # 0.0 for -0.0, which descriptions tell apart
    if isinstance(value, jax.core.Tracer):
        raise ValueError(f"{argument} is traced; allowed: a number that is known as a function is compiled")
    kind: Any = getattr(value, "dtype", None)
    one = kind is not None and np.ndim(value) == 0
    real = one and any(jnp.issubdtype(kind, each) for each in (np.floating, np.integer))
    if not (real or isinstance(value, Fraction)):
        raise ValueError(f"{argument} is {value!r}; allowed: a number")
    if kind is None:
        return float(value)
    if jnp.issubdtype(kind, np.integer):
        return int(value)
    return float(exact_fraction(value)) if np.isfinite(value) else float(value)


def settle_numbers(holder: Any, *fields: str) -> None:
    """Give a frozen dataclass, as it is made, Python's own numbers in these fields: see `own_number`."""
    for field in fields:
        object.__setattr__(holder, field, own_number(field, getattr(holder, field)))


def check_fraction(argument: str, fraction: Number) -> int | float:
    """Return the fraction as Python's own number. Raises ValueError unless 0 <= fraction < 1."""
    own = own_number(argument, fraction)
    if not 0 <= own < 1:
        raise ValueError(f"{argument} is {own}; allowed: 0 <= fraction < 1")
    return own


def check_fractions(fraction: Number | Mapping[str, Number], ranking: str) -> int | float | dict[str, int | float]:
    """Return the fraction of live weights to prune as Python's own number: one for all, or one by path.

    Raises ValueError unless each is 0 <= fraction < 1, and for fractions by path under a global ranking.
    """
    if not isinstance(fraction, Mapping):
        return check_fraction("fraction", fraction)
    if ranking == "global":
        raise ValueError("fraction is by path; allowed with ranking 'global': one number for all weights")
    return {path: check_fraction(f"fraction[{path!r}]", own) for path, own in fraction.items()}


RANKINGS = ("layer", "global")
"""Among which weights one competes: those of its layer, or all of the network."""

LAYER_KINDS = ("conv", "dense", "output", "depthwise", "recurrent")
RATE_BY_DEFAULT = {"depthwise": "conv", "recurrent": "dense"}
"""The kinds that have another kind's rate unless they are given one."""


@dataclass(frozen=True)
class Rates:
    """The fraction of a layer's live weights that one round prunes, by the layer's kind.

    The paper's: conv 0.10 (Conv6: 0.15), dense 0.20, and half of that for the output layer. None stands for the rate of
    convolutions (`depthwise`) or of dense layers (`recurrent`).
    """

    conv: float = 0.10
    dense: float = 0.20
    output: float = 0.10
    depthwise: float | None = None
    recurrent: float | None = None

    def __post_init__(self) -> None:
        for kind in LAYER_KINDS:
            given = getattr(self, kind)
            if given is not None or kind not in RATE_BY_DEFAULT:
                object.__setattr__(self, kind, check_fraction(f"rates.{kind}", given))

    def of(self, kind: str) -> float:
        """Return the rate of layers of a kind."""
        own = getattr(self, kind)
        return float(getattr(self, RATE_BY_DEFAULT[kind]) if own is None else own)

    def by_layer(self, kinds: Mapping[str, str]) -> dict[str, float]:
        """Return the rate of each layer, given each layer's kind."""
        return {layer: self.of(kind) for layer, kind in kinds.items()}


def share(fraction: Number, alive: Count) -> Count:
    """Return floor(fraction × alive), exactly, for a number or a traced 32-bit integer.

    The fraction is read by `exact_fraction`: 0.29 of 100 is 29. Raises ValueError unless 0 <= fraction <= 1.
    """
    ratio = exact_fraction(fraction)
    if not 0 <= ratio <= 1:
        raise ValueError(f"fraction is {fraction}; allowed: 0 to 1")
    if isinstance(alive, int | np.integer):
        return int(alive) * ratio.numerator // ratio.denominator
    return _share_in_32_bits(ratio, alive)


def exact_fraction(number: Number) -> Fraction:
    """Return the fraction that a number stands for: 0.1 stands for 1/10, not for the nearest binary number.

    This is the ratio of small integers with this floating-point value, if there is one; else the decimal number as it
    is written; and for a computed number with more digits than its type can hold, such as 1 - 0.99998, the simplest
    fraction within a few roundings of it. Half-precision types hold so few digits that the shortest decimal number with
    this value is the one that was meant. Raises ValueError for a number that is not finite.
    """
    if isinstance(number, Fraction):
        return number
    if isinstance(number, int | np.integer):
        return Fraction(int(number))
    value: Any = np.asarray(number)[()]
    if value.dtype.itemsize > 8:  # a long double
        value = np.float64(value)
    if not np.isfinite(value):
        raise ValueError(f"fraction is {number}; allowed: finite numbers")
    limits: Any = jnp.finfo(value.dtype)  # type: ignore[no-untyped-call]
    exact = Fraction(float(value))
    small = exact.limit_denominator(max(1, min(46_340, int(0.1 / float(limits.eps) ** 0.5))))
    if value.dtype.type(small.numerator / small.denominator) == value:
        return small
    if abs(exact.numerator) == 1:  # a power of two
        return exact
    written = _shortest(value)
    if limits.precision < 6 or len(written.normalize().as_tuple().digits) <= limits.precision:
        return Fraction(written)
    # What is left of a double near 1 may be small, with the roundings of 1; in single precision those would be coarse.
    size = max(1, int(abs(value))) if limits.precision > 6 else abs(exact)
    simple = _simplest(exact, 8 * Fraction(float(limits.eps)) * size)
    return Fraction(written) if abs(exact) < 1 and simple.denominator == 1 else simple  # a part is neither all nor none


def _shortest(value: Any) -> Decimal:
    """Return the decimal number of fewest digits that is this value in its type."""
    texts = (f"{float(value):.{digits}g}" for digits in range(1, 18))
    return Decimal(next(text for text in texts if value.dtype.type(float(text)) == value))


def _simplest(near: Fraction, within: Fraction) -> Fraction:
    """Return the fraction of smallest denominator at most `within` away; bisection works as larger ones get nearer."""
    low, high = 0, 1
    while abs(near.limit_denominator(high) - near) > within:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if abs(near.limit_denominator(middle) - near) <= within else (middle, high)
    return near.limit_denominator(high)


def _share_in_32_bits(ratio: Fraction, alive: Int32[Array, ""]) -> Int32[Array, ""]:
    """Return floor(ratio × alive) by long division, with two bits of carry above a denominator of 31 bits.

    The largest fraction below the ratio whose denominator has 31 bits gives the same floor for every 31-bit integer.
    """
    below = _at_most(ratio, 2**31 - 1)
    return _divided(np.uint32(below.numerator), np.uint32(below.denominator), alive)


@jax.jit
def _divided(
    over: UInt32[Array, ""] | np.uint32, under: UInt32[Array, ""] | np.uint32, alive: Int32[Array, ""]
) -> Int32[Array, ""]:
    """Return floor(alive × over / under), bit by bit; compiled once for all fractions."""
    over, under, number = (jnp.asarray(each).astype(jnp.uint32) for each in (over, under, alive))

    def take_bit(step: Array | int, carried: tuple[Array, Array]) -> tuple[Array, Array]:
        quotient, rest = carried
        quotient, rest = _carry(2 * quotient, 2 * rest, under)
        bit = (number >> (jnp.uint32(30) - jnp.asarray(step, jnp.uint32))) & jnp.uint32(1)
        return _carry(quotient, rest + bit * over, under)

    quotient, _ = lax.fori_loop(0, 31, take_bit, (jnp.uint32(0), jnp.uint32(0)))
    return quotient.astype(jnp.int32)


def _carry(
    quotient: UInt32[Array, ""], rest: UInt32[Array, ""], under: UInt32[Array, ""]
) -> tuple[UInt32[Array, ""], UInt32[Array, ""]]:
    """Do one step of a long division: reduce a remainder below twice the denominator to below the denominator."""
    over = rest >= under
    return quotient + over.astype(jnp.uint32), jnp.where(over, rest - under, rest)


def _at_most(ratio: Fraction, largest: int) -> Fraction:
    """Return the largest fraction that is at most `ratio` and whose denominator is at most `largest`."""
    nearest = ratio.limit_denominator(largest)
    if nearest <= ratio:
        return nearest
    # Its lower neighbour among fractions with such denominators: a/b - c/d = 1/(b·d), with the largest possible d.
    first = pow(nearest.numerator, -1, nearest.denominator)
    denominator = first + (largest - first) // nearest.denominator * nearest.denominator
    return Fraction(nearest.numerator * denominator - 1, nearest.denominator * denominator)


def kept_counts(sizes: Mapping[str, int], rates: Mapping[str, float], rounds: int) -> list[dict[str, int]]:
    """Return the number of weights that each layer keeps after 0, 1, ..., `rounds` rounds of `prune`."""
    counts = [dict(sizes)]
    for _ in range(rounds):
        counts.append({layer: n - share(rates.get(layer, 0.0), n) for layer, n in counts[-1].items()})
    return counts
