"""Where every random number comes from: one seed, a purpose, and a round.

A key is derived by folding, never by splitting a key that is handed around, so what a run draws depends on its own
description alone: not on its neighbours in a population, nor on the order of work, nor on a restart.
"""

from enum import IntEnum
from functools import lru_cache

import jax
import numpy as np
from jaxtyping import Array, Int, Int32, Key

from supermask.checks import check_seed
from supermask.settings import check_draws

Number = Int[Array, ""] | int


class Purpose(IntEnum):
    """What a key is for. The numbers are part of every stored result's meaning: append, never renumber."""

    INITIAL_WEIGHTS = 0
    TIES = 1
    KEPT_VALUES = 2
    PRUNED_VALUES = 3
    FRESH_WEIGHTS = 4
    DATA_ORDER = 5
    MASK_SAMPLES = 6  # masks drawn while logits are trained, a fold for every step
    MASK_EVALUATION = 7  # masks that learned logits are judged by
    MASK_SCORES = 8  # where edge-popup's scores start
    SPARSE_STRUCTURE = 20  # initial masks of sparse training, and what it grows at random
    WIRING = 30  # random wirings of neural graphs


def derive_key(seed: Number, purpose: Purpose, round_: Number = 0) -> Key[Array, ""]:
    """The key of one seed for one purpose in one round of pruning.

    The generator is named (threefry), so that a changed default of JAX cannot change results. Raises ValueError for a
    seed outside 0 to 2³¹ - 1, and under settings of JAX or Flax that change what is drawn.
    """
    check_seed(seed)
    check_draws()
    key = jax.random.key(seed, impl="threefry2x32")
    return jax.random.fold_in(jax.random.fold_in(key, int(purpose)), round_)


def batch_order(
    seed: int, examples: int, batch_size: int, first_step: int, last_step: int
) -> Int32[np.ndarray, "steps batch"]:
    """Indices of the training examples of steps first_step to last_step - 1.

    The order is one fresh permutation of the examples an epoch, laid end to end and cut into batches, so every example
    is seen equally often and a batch may span two epochs. It depends on the seed alone: all networks of a seed see the
    same batches at the same step, in every round, which is what pairs them for a comparison.

    Drawn by NumPy (Philox, keyed by seed and epoch) on the host: a permutation of 55,000 takes XLA's CPU backend 25 ms.
    """
    check_seed(seed)
    first, last = first_step * batch_size, last_step * batch_size
    epochs = range(first // examples, -(-last // examples))
    if not epochs:
        return np.zeros((0, batch_size), np.int32)
    order = np.concatenate([_permutation(seed, epoch, examples) for epoch in epochs])
    offset = epochs.start * examples
    return order[first - offset : last - offset].reshape(-1, batch_size)


@lru_cache(maxsize=64)
def _permutation(seed: int, epoch: int, examples: int) -> Int32[np.ndarray, "examples"]:
    """Kept for the networks of the same seed and the next batches of the same epoch: a few megabytes."""
    entropy = np.random.SeedSequence([int(Purpose.DATA_ORDER), seed, epoch])
    order = np.random.Generator(np.random.Philox(entropy)).permutation(examples).astype(np.int32)
    order.flags.writeable = False
    return order
