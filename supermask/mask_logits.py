"""From logits to masks: starting values, drawn and rounded masks, and the network's effective kernels.

The mask is 1 with probability sigmoid(logit); the gradient goes straight through the draw to sigmoid(logit). Zhou et
al. 2019, section 5.2. Edge-popup's mask is the top of each layer's |scores|: Ramanujan et al. 2020 (arXiv 1911.13299).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.random import threefry_2x32
from jaxtyping import Array, Bool, Float, Int32, Key, UInt16, UInt32

from supermask.checks import check_flag
from supermask.counts import check_fraction, exact_fraction, settle_numbers, share
from supermask.draws import WEIGHTS, fan_in
from supermask.keys import Purpose, derive_key, layer_order
from supermask.masks import keep_best
from supermask.params import AnyArray, Kernels, Params
from supermask.short import short
from supermask.untrained_networks import rescaling

MASK_METHODS = ("bernoulli", "threshold", "edge_popup")


@dataclass(frozen=True)
class LearnedMask:
    """How a mask is learned, and what it goes onto. The default is the paper's, on initial weights.

    weights: what the kept weights are, a name in `WEIGHTS`.
    rescaled: dynamic weight rescaling: each layer times (weights in it / ones in its mask), at every step.
    method: 'bernoulli' draws the mask at every step; 'threshold' keeps logits above 0; 'edge_popup' keeps the top of
        each layer's |scores|.
    start: the logits' start value, which moves the sparsity: sigmoid(start) of the weights are kept at first.
        'threshold' scatters the starts around it, uniformly by up to 0.01, since equal logits would fall together.
    kept: the fraction of each layer's weights that 'edge_popup' keeps; of no meaning for the others.
    through_factor: whether the gradient passes through the factor of rescaling, as in the released code, or takes it
        for constant. Passed through, every weight that is kept lowers all others, so masks end sparser. Of no meaning
        for what is not rescaled, nor for 'edge_popup', whose masks always have the same number of ones.
    """

    weights: str = "initial"
    rescaled: bool = False
    method: str = "bernoulli"
    start: float = 0.0
    kept: float = 0.5
    through_factor: bool = True

    def __post_init__(self) -> None:
        for name, choices in {"weights": WEIGHTS, "method": MASK_METHODS}.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed: {', '.join(choices)}")
        settle_numbers(self, "start", "kept")
        for name in ("rescaled", "through_factor"):
            check_flag(name, getattr(self, name))
        if not abs(self.start) <= 20:
            raise ValueError(f"start is {self.start}; allowed: -20 to 20")
        if self.kept == 0:
            raise ValueError("kept is 0; allowed: 0 < kept < 1")
        check_fraction("kept", self.kept)


@short
class Given(NamedTuple):
    """Constants of one network: its weights and the keys of its draws."""

    kernels: Kernels  # what the mask goes onto
    rescaled: Bool[AnyArray, ""]
    through_factor: Bool[AnyArray, ""]
    counts: dict[str, Int32[AnyArray, ""]]  # how many weights edge-popup keeps in each layer
    training_key: UInt32[AnyArray, "2"]
    evaluation_key: UInt32[AnyArray, "2"]
    others: Params  # leaves beside kernels and their biases, such as the scale of batch norm


@short
class Learned(NamedTuple):
    """What changes while a mask is learned: logits, or edge-popup's scores, and the state of the network, if any."""

    logits: Kernels
    state: Params


@jax.custom_jvp
def straight_through(hard: Float[Array, "*shape"], soft: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return `hard`, to the bit, with the gradient of `soft` (Bengio et al. 2013)."""
    return hard


@straight_through.defjvp
def _straight_through_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    return primals[0], tangents[1]


def random_bits(key: Key[Array, ""], shape: tuple[int, ...]) -> UInt16[Array, "..."]:
    """Return sixteen random bits per weight: threefry's own words, a block of which serves four weights.

    `jax.random.bits` folds a block's two words into one, which made drawing a third of a step.
    """
    size = int(np.prod(shape))
    words = threefry_2x32(jax.random.key_data(key), jnp.arange(2 * -(-size // 4), dtype=jnp.uint32))
    return lax.bitcast_convert_type(words, jnp.uint16).ravel()[:size].reshape(shape)


def draw_masks(key: Key[Array, ""], logits: Kernels) -> dict[str, Bool[Array, "..."]]:
    """Draw a mask of every layer: 1 with probability sigmoid(logit), to within 2⁻¹⁶.

    All layers' bits are drawn at once, in `keys.layer_order`: drawing by layer costs a twentieth of a step.
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
    """Return the mask that logits or scores stand for: weights kept with a probability above one half, or the top."""
    if method == "edge_popup":
        # Scores are continuous draws, so ties are as good as impossible; the key only settles them the same way always.
        key = derive_key(0, Purpose.TIES)
        return {
            layer: keep_best(key, jnp.abs(scores), jnp.ones(scores.shape, bool), counts[layer])
            for layer, scores in logits.items()
        }
    return {layer: jnp.asarray(values) > 0 for layer, values in logits.items()}


def effective_kernels(method: str, logits: Kernels, key: Key[Array, ""], given: Given) -> Kernels:
    """Return the kernels of one step: w · mask, rescaled if asked, with the gradient straight through to the logits.

    The gradient also passes through the factor size / ones, as in the released code, unless `given` holds it constant.
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


def kept_by_layer(learned: LearnedMask, kernels: Kernels) -> dict[str, Int32[AnyArray, ""]]:
    """Return how many weights of each layer edge-popup keeps: size - floor((1 - kept) · size)."""
    return {
        layer: np.asarray(kernel.size - share(1 - exact_fraction(learned.kept), int(kernel.size)), np.int32)
        for layer, kernel in kernels.items()
    }


def start_scores(key: Key[Array, ""], kernels: Kernels, learned: LearnedMask) -> Kernels:
    """Return scores before the first step: logits, or edge-popup's, uniform in ±1/√fan-in as in its released code."""
    start: Kernels = {}
    for index, layer in enumerate(layer_order(kernels)):
        shape = kernels[layer].shape
        if learned.method == "bernoulli":
            start[layer] = np.full(shape, learned.start, np.float32)
            continue
        reach = 1 / np.sqrt(fan_in(shape)) if learned.method == "edge_popup" else 0.01
        centre = 0.0 if learned.method == "edge_popup" else learned.start
        start[layer] = centre + jax.random.uniform(
            jax.random.fold_in(key, index), shape, jnp.float32, -float(reach), float(reach)
        )
    return start
