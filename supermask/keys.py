"""Random keys: derived from a seed, a purpose, and a round.

Keys are derived by folding, never by splitting a key that is passed around. A run's draws therefore depend only on its
own description, not on its neighbours in a population, the order of work, or a restart.
"""

import re
from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Int32, Key, UInt32

from supermask.checks import check_seed
from supermask.settings import check_draws

Number = Int[Array, ""] | int

AnyKey = Key[Array, ""] | UInt32[Array, "2"] | UInt32[np.ndarray, "2"]
"""A key, or its two words."""

_DIGITS = re.compile(r"([0-9]+)")


class Purpose(IntEnum):
    """Purposes of keys. The numbers are part of the meaning of stored results: append, never renumber."""

    INITIAL_WEIGHTS = 0
    TIES = 1
    KEPT_VALUES = 2
    PRUNED_VALUES = 3
    FRESH_WEIGHTS = 4
    DATA_ORDER = 5
    MASK_SAMPLES = 6  # masks sampled while logits are trained, one fold per step
    MASK_EVALUATION = 7  # masks sampled to evaluate learned logits
    MASK_SCORES = 8  # initial scores of edge-popup
    CRITERION = 9  # draws of criteria that ask for a key
    DROPOUT = 10  # draws of networks in training, one fold per step
    SPARSE_STRUCTURE = 20  # initial masks of sparse training, and weights grown at random
    WIRING = 30  # random wirings of neural graphs
    AUGMENTATION = 31  # shifts and flips of training images, one fold per step
    TASKS = 32  # permutations of pixels and classes, and the seeds of their trainings, one fold per task


def derive_key(seed: Number, purpose: Purpose, round_: Number = 0) -> Key[Array, ""]:
    """Return the key of a seed for a purpose in a round of pruning.

    The generator is fixed (threefry), so that a changed default of JAX cannot change results. Raises ValueError for a
    seed outside 0 to 2³¹ - 1, and under settings of JAX or Flax that change random draws.
    """
    check_seed(seed)
    check_draws()
    key = jax.random.key(seed, impl="threefry2x32")
    return jax.random.fold_in(jax.random.fold_in(key, int(purpose)), round_)


def raw_key(key: AnyKey) -> UInt32[Array, "2"]:
    """Return the key's two words."""
    return jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else jnp.asarray(key)


def as_key(data: UInt32[Array | np.ndarray, "2"]) -> Key[Array, ""]:
    """Return the key of two words."""
    return jax.random.wrap_key_data(jnp.asarray(data), impl="threefry2x32")


def step_key(key: AnyKey, step: Int32[Array | np.ndarray, ""] | int) -> Key[Array, ""]:
    """Return the key of a step's random draws; step 0 is the start."""
    return jax.random.fold_in(as_key(raw_key(key)), step)


def layer_order(layers: Iterable[str]) -> list[str]:
    """Return the layers in the order by which their keys are numbered: by name, with numbers in names as numbers.

    This is the order in which the papers' networks declare their layers, and any network that numbers them: conv10
    comes after conv2. The names must tell it, because compiled JAX functions return dicts sorted as text, which forgets
    the order of declaration; and the number of a layer's key must not depend on what a dict went through.
    """

    def parts(layer: str) -> tuple[list[str | int], str]:
        text_and_numbers = _DIGITS.split(layer)  # in turn: text, number, text, and so on
        return [int(part) if at % 2 else part for at, part in enumerate(text_and_numbers)], layer

    return sorted(layers, key=parts)


def layer_keys(key: Key[Array, ""], layers: Iterable[str]) -> dict[str, Key[Array, ""]]:
    """Return a key for each layer's draws, numbered in `layer_order`."""
    return {layer: jax.random.fold_in(key, index) for index, layer in enumerate(layer_order(layers))}


def batch_order(
    seed: int, examples: int, batch_size: int, first_step: int, last_step: int
) -> Int32[np.ndarray, "steps batch"]:
    """Return the indices of the training examples of steps first_step to last_step - 1.

    A fresh permutation of the examples is drawn per epoch. The permutations are concatenated and cut into batches, so
    every example is used equally often and a batch may span two epochs. The order depends only on the seed: all
    networks of a seed see the same batches at the same step, so that they can be compared pair by pair. NumPy draws on
    the host (Philox), because a permutation of 55,000 takes XLA's CPU backend 25 ms.
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
def _permutation(seed: int, epoch: int, examples: int) -> Int32[np.ndarray, " examples"]:
    """Cached for networks of the same seed and for the next batches of the epoch: a few megabytes."""
    entropy = np.random.SeedSequence([int(Purpose.DATA_ORDER), seed, epoch])
    order = np.random.Generator(np.random.Philox(entropy)).permutation(examples).astype(np.int32)
    order.flags.writeable = False
    return order
