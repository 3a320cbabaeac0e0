"""From logits to masks: how they are drawn or rounded, what the network computes with them, and what they are worth.

The mask is 1 with probability sigmoid(logit); the gradient goes straight through the draw to sigmoid(logit). Zhou et
al. 2019, section 5.2. Edge-popup's mask is the top of each layer's |scores|: Ramanujan et al. 2020 (arXiv 1911.13299).
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.random import threefry_2x32
from jaxtyping import Array, Bool, Float, Float32, Int32, Key, UInt16, UInt32

from supermask.evaluation import Evaluated, evaluate
from supermask.keys import Purpose, derive_key, layer_order
from supermask.masks import keep_best
from supermask.networks import Network
from supermask.params import AnyArray, Kernels, Params
from supermask.short import short
from supermask.untrained_networks import rescaling

MASK_METHODS = ("bernoulli", "threshold", "edge_popup")
EVALUATION_SAMPLES = 10
"""Masks drawn to judge logits by, as in the released code. The same draws are used at every evaluation of a seed."""


@short
class MaskScores(NamedTuple):
    """What a learned mask is worth on a split: means over the drawn masks, and the rounded mask's own.

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
"""Scores before the first evaluation, which every evaluation betters."""


@short
class Given(NamedTuple):
    """What belongs to one network and does not change: its weights and what its draws come from."""

    kernels: Kernels  # what the mask goes onto
    rescaled: Bool[AnyArray, ""]
    through_factor: Bool[AnyArray, ""]
    counts: dict[str, Int32[AnyArray, ""]]  # how many weights edge-popup keeps in each layer
    training_key: UInt32[AnyArray, "2"]
    evaluation_key: UInt32[AnyArray, "2"]


@jax.custom_jvp
def straight_through(hard: Float[Array, "*shape"], soft: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """`hard`, to the bit, whose gradient is that of `soft` (Bengio et al. 2013)."""
    return hard


@straight_through.defjvp
def _straight_through_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    return primals[0], tangents[1]


def random_bits(key: Key[Array, ""], shape: tuple[int, ...]) -> UInt16[Array, "..."]:
    """Sixteen random bits a weight: threefry's own words, of which each block gives four weights theirs.

    `jax.random.bits` folds a block's two words into one, so that every element can be drawn by itself; drawing was a
    third of a step that way.
    """
    size = int(np.prod(shape))
    words = threefry_2x32(jax.random.key_data(key), jnp.arange(2 * -(-size // 4), dtype=jnp.uint32))
    return lax.bitcast_convert_type(words, jnp.uint16).ravel()[:size].reshape(shape)


def draw_masks(key: Key[Array, ""], logits: Kernels) -> dict[str, Bool[Array, "..."]]:
    """A mask of every layer: 1 with probability sigmoid(logit), to within 2⁻¹⁶.

    The layers' bits are drawn at one go, in `keys.layer_order`: drawing by layer costs a twentieth of a step.
    """
    layers = layer_order(logits)
    ends = np.cumsum([np.prod(logits[layer].shape, dtype=int) for layer in layers])
    bits = jnp.split(random_bits(key, (int(ends[-1]),)), ends[:-1])
    return {
        layer: own.reshape(logits[layer].shape).astype(jnp.float32) * jnp.float32(2.0**-16)
        < jax.nn.sigmoid(logits[layer])
        for layer, own in zip(layers, bits, strict=True)
    }


def rounded_masks(method: str, logits: Kernels, counts: Mapping[str, Int32[AnyArray, ""]]) -> dict[str, Array]:
    """The one mask that logits or scores stand for: what is kept with a probability above one half, or the top."""
    if method == "edge_popup":
        # Scores are continuous draws, so ties are as good as impossible; the key only settles them the same way always.
        key = derive_key(0, Purpose.TIES)
        return {
            layer: keep_best(key, jnp.abs(scores), jnp.ones(scores.shape, bool), counts[layer])
            for layer, scores in logits.items()
        }
    return {layer: jnp.asarray(values) > 0 for layer, values in logits.items()}


def effective_kernels(method: str, logits: Kernels, key: Key[Array, ""], given: Given) -> Kernels:
    """The kernels of one step: w · mask, rescaled if asked, with the gradient straight through to the logits.

    The ones in the factor size / ones are a sum over the mask, so the gradient passes through the factor, too (as in
    the released code), unless `given` holds it constant.
    """
    hard = draw_masks(key, logits) if method == "bernoulli" else rounded_masks(method, logits, given.counts)
    soft = jax.tree.map(jnp.abs if method == "edge_popup" else jax.nn.sigmoid, logits)
    effective: Kernels = {}
    for layer, drawn in hard.items():
        mask = straight_through(drawn.astype(jnp.float32), soft[layer])
        factor = rescaling(mask)
        factor = jnp.where(given.through_factor, factor, lax.stop_gradient(factor))
        effective[layer] = given.kernels[layer] * jnp.where(given.rescaled, factor, 1.0) * mask
    return effective


def judge(network: Network, method: str, logits: Kernels, given: Given, split: Evaluated, maximum: int) -> MaskScores:
    """Scores on a split: the mean over `EVALUATION_SAMPLES` drawn masks, and the rounded mask's."""
    size = sum(leaf.size for leaf in jax.tree.leaves(logits))

    def scores(masks: Mapping[str, Array]) -> Float[Array, "3"]:
        kernels = {
            layer: jnp.where(mask, given.kernels[layer] * jnp.where(given.rescaled, rescaling(mask), 1.0), 0.0)
            for layer, mask in masks.items()
        }
        loss, accuracy = evaluate(network, without_biases(kernels), split, maximum)
        ones = sum((jnp.sum(mask, dtype=jnp.int32) for mask in masks.values()), start=jnp.int32(0))
        return jnp.stack([loss, accuracy, ones.astype(jnp.float32) / size])

    rounded = scores(rounded_masks(method, logits, given.counts))
    if method != "bernoulli":
        return MaskScores(*rounded, *rounded)
    key = as_key(given.evaluation_key)

    def add_sample(index: Array | int, total: Array) -> Array:
        return total + scores(draw_masks(jax.random.fold_in(key, index), logits))

    drawn = lax.fori_loop(0, EVALUATION_SAMPLES, add_sample, jnp.zeros(3, jnp.float32)) / EVALUATION_SAMPLES
    return MaskScores(*drawn, *rounded)


def without_biases(kernels: Mapping[str, Float[AnyArray, "..."]]) -> Params:
    """Parameters of those kernels and zero biases."""
    return {layer: {"kernel": k, "bias": jnp.zeros(k.shape[-1], jnp.float32)} for layer, k in kernels.items()}


def as_key(data: UInt32[AnyArray, "2"]) -> Key[Array, ""]:
    """The key of two words."""
    return jax.random.wrap_key_data(jnp.asarray(data), impl="threefry2x32")
