"""Evaluation of a learned mask: masks drawn from its logits, and the rounded mask that they stand for.

Zhou et al. 2019, section 5.2.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Float32

from supermask.evaluation import Evaluated, evaluate
from supermask.keys import as_key
from supermask.mask_logits import Given, Learned, draw_masks, kept_of, masked_layer, rounded_masks
from supermask.networks import Network
from supermask.params import AnyArray, Params
from supermask.short import short

EVALUATION_SAMPLES = 10
"""Masks drawn to judge logits by, as in the released code. The same draws are used at every evaluation of a seed."""


@short
class MaskScores(NamedTuple):
    """Scores of a learned mask on a split: means over drawn masks, and the rounded mask's own.

    Losses in nats; accuracies and weights remaining are fractions. The rounded mask keeps what is kept with a
    probability above one half. For the methods that draw nothing both are the same.
    """

    loss: Float32[AnyArray, ""]
    accuracy: Float32[AnyArray, ""]
    remaining: Float32[AnyArray, ""]
    rounded_loss: Float32[AnyArray, ""]
    rounded_accuracy: Float32[AnyArray, ""]
    rounded_remaining: Float32[AnyArray, ""]


UNSEEN = MaskScores(*np.array([np.inf, 0, 0, np.inf, 0, 0], np.float32))
"""Scores before the first evaluation; every evaluation is better."""


def judge(network: Network, method: str, learned: Learned, given: Given, split: Evaluated, maximum: int) -> MaskScores:
    """Return scores on a split: means over `EVALUATION_SAMPLES` drawn masks, and the rounded mask's."""
    logits = learned.logits
    size = sum(leaf.size for leaf in jax.tree.leaves(logits))

    def scores(masks: Mapping[str, Array]) -> Float[Array, "3"]:
        kernels = {layer: masked_layer(given, layer, mask) for layer, mask in masks.items()}
        loss, accuracy = evaluate(network, completed(kernels, given.others, learned.state), split, maximum)
        ones = sum((jnp.sum(kept_of(mask), dtype=jnp.int32) for mask in masks.values()), start=jnp.int32(0))
        return jnp.stack([loss, accuracy, ones.astype(jnp.float32) / size])

    rounded = scores(rounded_masks(method, logits, given.limits))
    if method != "bernoulli":
        return MaskScores(*rounded, *rounded)
    key = as_key(given.evaluation_key)

    def add_sample(index: Array | int, total: Array) -> Array:
        return total + scores(draw_masks(jax.random.fold_in(key, index), logits))

    drawn = lax.fori_loop(0, EVALUATION_SAMPLES, add_sample, jnp.zeros(3, jnp.float32)) / EVALUATION_SAMPLES
    return MaskScores(*drawn, *rounded)


def without_biases(kernels: Mapping[str, Float[AnyArray, "..."]]) -> Params:
    """Return parameters of those kernels and zero biases."""
    return {layer: {"kernel": k, "bias": jnp.zeros(k.shape[-1], jnp.float32)} for layer, k in kernels.items()}


def others_of(params: Params) -> Params:
    """Return all leaves beside kernels, biases of layers with a kernel at 0, except biases that `without_biases` makes.

    These never change while a mask is learned, except for a network's state.
    """
    others: Params = {}
    for layer, leaves in params.items():
        for name, leaf in leaves.items():
            of_kernel = "kernel" in leaves and name == "bias"
            if name != "kernel" and not (of_kernel and leaf.ndim == 1):
                others.setdefault(layer, {})[name] = np.zeros_like(leaf) if of_kernel else np.asarray(leaf)
    return others


def completed(kernels: Mapping[str, Float[AnyArray, "..."]], *others: Params) -> Params:
    """Return parameters of those kernels, zero biases, and all other leaves, of which the last count."""
    params = without_biases(kernels)
    for some in others:
        params |= {layer: {**params.get(layer, {}), **leaves} for layer, leaves in some.items()}
    return params
