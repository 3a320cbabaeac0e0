"""Tails of distributions of whole numbers: is the ratio of successive shares constant, as in a geometric one?

If each further flip of a weight is as likely as the one before, however many there were, the number of flips has a
geometric tail. If flips come at one rate in all weights, independently, it is Poisson's.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from supermask.checks import check_whole
from supermask.short import short


@short
class Tail(NamedTuple):
    """The tail of a distribution of whole numbers, and two fits of it by maximum likelihood: see `geometric_tail`.

    size: number of things in the tail.
    ratio: of the geometric fit, that of a share to the share before: P(n + 1) / P(n).
    rate: of the Poisson fit.
    geometric, poisson: largest difference between the tail's cumulative shares and a fit's (Kolmogorov and Smirnov).
    advantage: log-likelihood of the geometric fit less that of the Poisson fit, in nats for each thing.
    """

    size: int
    ratio: float
    rate: float
    geometric: float
    poisson: float
    advantage: float


def geometric_tail(numbers: Int[np.ndarray, " most"], least: int = 1) -> Tail:
    """Fit a geometric and a Poisson distribution to the tail of a distribution, from `least` on.

    numbers: how many things have the value 0, 1, 2, ..., as `sign_flips.flip_numbers` returns them.

    Both fits are of the tail alone, have one parameter, and have the tail's mean: the most likely geometric and the
    most likely truncated Poisson distribution.
    All but `size` is NaN if the tail is empty. Raises ValueError for other arrays than numbers of things.
    """
    check_whole("least", least, 0)
    counts = np.asarray(numbers)
    if counts.ndim != 1 or not np.issubdtype(counts.dtype, np.integer) or (counts < 0).any():
        raise ValueError(f"numbers is {counts.dtype} of shape {counts.shape}; allowed: whole numbers, 0 or more")
    size = int(counts[least:].sum())
    if not size:
        return Tail(0, math.nan, math.nan, math.nan, math.nan, math.nan)
    shares = counts[least:] / size
    beyond = float(shares @ np.arange(len(shares)))
    ratio, rate = beyond / (1 + beyond), poisson_rate(least + beyond, least)
    logs = geometric_logs(ratio, len(shares)), poisson_logs(rate, least, len(shares))
    gaps = [float(np.abs(np.cumsum(shares) - np.cumsum(np.exp(each))).max()) for each in logs]
    there = shares > 0
    advantage = float(shares[there] @ (logs[0] - np.where(there, logs[1], 0))[there])
    return Tail(size, ratio, rate, gaps[0], gaps[1], advantage)


def geometric_logs(ratio: float, length: int) -> Float[np.ndarray, " length"]:
    """Return logarithms of a geometric distribution's first shares."""
    steps = np.arange(length)
    return np.log1p(-ratio) + (steps * np.log(ratio) if ratio else np.where(steps, -np.inf, 0.0))


def poisson_logs(rate: float, least: int, length: int) -> Float[np.ndarray, " length"]:
    """Return logarithms of shares from `least` on, of a Poisson distribution without what is below."""
    if not rate:
        return np.where(np.arange(length), -np.inf, 0.0)
    most = max(length, int(rate + 12 * np.sqrt(rate)) + 60)  # beyond that, shares are below the last digit
    whole = np.arange(least + most)
    factorials = np.cumsum(np.log(np.maximum(whole, 1)))
    logs: np.ndarray = (whole * np.log(rate) - factorials)[least:]
    return (logs - np.logaddexp.reduce(logs))[:length]


def poisson_rate(mean: float, least: int) -> float:
    """Return the rate at which a Poisson distribution without what is below `least` has that mean, by bisection."""
    if mean <= least:
        return 0.0
    low, high = 0.0, mean
    for _ in range(60):
        rate = (low + high) / 2
        shares = np.exp(poisson_logs(rate, least, int(rate + 12 * np.sqrt(rate)) + 60))
        low, high = (rate, high) if least + float(shares @ np.arange(len(shares))) < mean else (low, rate)
    return high
