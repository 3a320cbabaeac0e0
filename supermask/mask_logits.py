"""From logits to masks: starting values, drawn and rounded masks, and the network's effective kernels.

The mask is 1 with probability sigmoid(logit); the gradient goes straight through the draw to sigmoid(logit). Zhou et
al. 2019, section 5.2. Edge-popup's mask is the top of each layer's |scores|: Ramanujan et al. 2020 (arXiv 1911.13299).
A signed supermask keeps, hides or inverts each weight: Koster et al. 2022 (arXiv 2201.13361). Binary weights have one
magnitude a layer, which depends on the mask: Diffenderfer & Kailkhura 2021 (arXiv 2103.09377).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.random import threefry_2x32
from jaxtyping import Array, Bool, Float, Float32, Int8, Int32, Key, Shaped, UInt16, UInt32

from supermask.checks import check_flag
from supermask.counts import check_fraction, exact_fraction, settle_numbers, share
from supermask.draws import WEIGHTS, fan_in, fan_out
from supermask.keys import Purpose, derive_key, layer_order
from supermask.masks import keep_best
from supermask.params import AnyArray, Kernels, Params
from supermask.short import short
from supermask.untrained_networks import rescaling, untrained_kernels

MASK_METHODS = ("bernoulli", "threshold", "edge_popup", "signed")

BINARY = "binary"
ONTO = (*WEIGHTS, BINARY)
"""What the weights under a learned mask can be. A file of a mask and a seed holds those of `WEIGHTS` alone."""


@dataclass(frozen=True)
class LearnedMask:
    """How a mask is learned, and what it goes onto. The default is the paper's, on initial weights.

    weights: what the kept weights are, a name in `ONTO`. 'binary' ones are the signs of 'kaiming' weights times a gain:
        the mean magnitude of the layer's weights that the mask keeps. Their gradient is that of the 'kaiming' weights.
    rescaled: dynamic weight rescaling: each layer times (weights in it / ones in its mask), at every step.
    method: 'bernoulli' draws the mask at every step; 'threshold' keeps logits above 0; 'edge_popup' keeps the top of
        each layer's |scores|; 'signed' keeps a weight whose score is above a threshold, inverts the sign of one whose
        score is below minus the threshold, and hides all others.
    start: the logits' start value, which moves the sparsity: sigmoid(start) of the weights are kept at first.
        'threshold' scatters the starts around it, uniformly by up to 0.01, since equal logits would fall together.
    kept: the fraction of each layer's weights that 'edge_popup' keeps; of no meaning for the others.
    through_factor: whether the gradient passes through the factor of rescaling, as in the released code, or takes it
        for constant. Passed through, every weight that is kept lowers all others, so masks end sparser. Of no meaning
        for what is not rescaled, nor for 'edge_popup', whose masks always have the same number of ones.
    threshold: of 'signed', as a fraction of the largest score at the start, √(6 / (fan-in + fan-out)). It is also the
        fraction of the weights that are hidden at first. Of no meaning for the others, like decay.
    decay: weight decay of the scores of 'signed': decay · score is added to the gradient. The larger, the sparser.
    """

    weights: str = "initial"
    rescaled: bool = False
    method: str = "bernoulli"
    start: float = 0.0
    kept: float = 0.5
    through_factor: bool = True
    threshold: float = 0.4
    decay: float = 1e-3

    def __post_init__(self) -> None:
        for name, choices in {"weights": ONTO, "method": MASK_METHODS}.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed: {', '.join(choices)}")
        settle_numbers(self, "start", "kept", "threshold", "decay")
        for name in ("rescaled", "through_factor"):
            check_flag(name, getattr(self, name))
        if not abs(self.start) <= 20:
            raise ValueError(f"start is {self.start}; allowed: -20 to 20")
        if self.kept == 0:
            raise ValueError("kept is 0; allowed: 0 < kept < 1")
        for name in ("kept", "threshold", "decay"):
            check_fraction(name, getattr(self, name))


Limits = Mapping[str, Int32[AnyArray, ""] | Float32[AnyArray, ""]]
"""What turns a layer's scores into a mask: how many weights are kept or, for 'signed', the threshold."""


@short
class Given(NamedTuple):
    """Constants of one network: its weights and the keys of its draws."""

    kernels: Kernels  # what the mask goes onto
    rescaled: Bool[AnyArray, ""]
    through_factor: Bool[AnyArray, ""]
    limits: Limits
    training_key: UInt32[AnyArray, "2"]
    evaluation_key: UInt32[AnyArray, "2"]
    others: Params  # leaves beside kernels and their biases, such as the scale of batch norm
    decay: Float32[AnyArray, ""] | None  # of the scores of 'signed'; None for all others
    magnitudes: Kernels  # of binary weights, whose gain is the mean over those that are kept; {} for all others


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


def rounded_masks(method: str, logits: Kernels, limits: Limits) -> dict[str, Array]:
    """Return the mask that logits or scores stand for, by layer: bool, and int8 for 'signed'.

    Weights kept with a probability above one half, the top, or those beyond the threshold with their sign.
    """
    if method == "edge_popup":
        # Scores are continuous draws, so ties are as good as impossible; the key only settles them the same way always.
        key = derive_key(0, Purpose.TIES)
        return {
            layer: keep_best(key, jnp.abs(scores), jnp.ones(scores.shape, bool), limits[layer])
            for layer, scores in logits.items()
        }
    if method == "signed":
        return {layer: ternary_mask(scores, limits[layer]) for layer, scores in logits.items()}
    return {layer: jnp.asarray(values) > 0 for layer, values in logits.items()}


def ternary_mask(scores: Float[AnyArray, "*shape"], threshold: Float[AnyArray, ""] | float) -> Int8[Array, "*shape"]:
    """Return 1 where a score is above the threshold, -1 where it is below minus the threshold, and 0 between."""
    values = jnp.asarray(scores)
    return (values > threshold).astype(jnp.int8) - (values < -threshold).astype(jnp.int8)


def gain(magnitudes: Float[AnyArray, "*shape"], kept: Bool[Array, "*shape"]) -> Float[Array, ""]:
    """Return the magnitude of a layer's binary weights: the mean magnitude of those that are kept, 0 if none is.

    Diffenderfer & Kailkhura 2021: the L1 norm of the masked weights over the number of ones in the mask.
    """
    ones = jnp.sum(kept, dtype=jnp.float32)
    return jnp.sum(jnp.where(kept, magnitudes, 0.0)) / jnp.maximum(ones, 1.0)


def kept_of(mask: Shaped[Array, "*shape"]) -> Bool[Array, "*shape"]:
    """Return where a mask of bool, or of -1, 0 and 1, keeps a weight."""
    return mask if mask.dtype == bool else mask != 0


def masked_layer(given: Given, layer: str, mask: Shaped[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return a layer's kernel under a mask, of bool or of -1, 0 and 1: rescaled if asked, binary if it is."""
    kernel, kept = given.kernels[layer], kept_of(mask)
    if layer in given.magnitudes:
        kernel = jnp.sign(kernel) * gain(given.magnitudes[layer], kept)
    if mask.dtype != bool:
        kernel = kernel * mask.astype(jnp.float32)
    return jnp.where(kept, kernel * jnp.where(given.rescaled, rescaling(kept), 1.0), 0.0)


_SOFT: Mapping[str, Callable[[Array], Array]] = {"edge_popup": jnp.abs, "signed": lambda scores: scores}
"""What takes the gradient in the place of the mask: of all other methods, the probability."""


def effective_kernels(method: str, logits: Kernels, key: Key[Array, ""], given: Given) -> Kernels:
    """Return the kernels of one step: w · mask, rescaled if asked, with the gradient straight through to the logits.

    The gradient also passes through the factor size / ones, as in the released code, unless `given` holds it constant.
    Binary weights have the gradient of the weights that they are the signs of: it takes their gain for constant.
    """
    hard = draw_masks(key, logits) if method == "bernoulli" else rounded_masks(method, logits, given.limits)
    soft = jax.tree.map(_SOFT.get(method, jax.nn.sigmoid), logits)
    effective: Kernels = {}
    for layer, drawn in hard.items():
        mask = straight_through(drawn.astype(jnp.float32), soft[layer])
        factor = rescaling(jnp.abs(mask) if method == "signed" else mask)
        factor = jnp.where(given.through_factor, factor, lax.stop_gradient(factor))
        effective[layer] = given.kernels[layer] * jnp.where(given.rescaled, factor, 1.0) * mask
        if layer in given.magnitudes:
            effective[layer] = straight_through(masked_layer(given, layer, drawn), effective[layer])
    return effective


def weights_under(learned: LearnedMask, kernels: Kernels, *, glorot: bool = True) -> tuple[Kernels, Kernels]:
    """Return the weights under a learned mask, made from the initial ones, and the magnitudes of binary ones.

    glorot: see `untrained_kernels`.
    """
    if learned.weights != BINARY:
        return untrained_kernels(kernels, learned.weights, glorot=glorot), {}
    drawn = untrained_kernels(kernels, "kaiming", glorot=glorot)
    return drawn, {layer: jnp.abs(jnp.asarray(kernel)) for layer, kernel in drawn.items()}


def decay_of(learned: LearnedMask) -> Float32[AnyArray, ""] | None:
    """Return the weight decay of the scores; None for a method that has none, whose program is to have none either."""
    return np.asarray(learned.decay, np.float32) if learned.method == "signed" else None


def limits_of(learned: LearnedMask, kernels: Kernels) -> Limits:
    """Return what turns each layer's scores into a mask: the threshold of 'signed', else `kept_by_layer`."""
    if learned.method != "signed":
        return kept_by_layer(learned, kernels)
    reaches = {layer: _reach(kernel.shape) for layer, kernel in kernels.items()}
    return {layer: np.asarray(learned.threshold * reach, np.float32) for layer, reach in reaches.items()}


def _reach(shape: tuple[int, ...]) -> float:
    """Return the largest score of 'signed' at the start: that of Glorot's uniform distribution."""
    return float(np.sqrt(6 / (fan_in(shape) + fan_out(shape))))


def kept_by_layer(learned: LearnedMask, kernels: Kernels) -> dict[str, Int32[AnyArray, ""]]:
    """Return how many weights of each layer edge-popup keeps: size - floor((1 - kept) · size)."""
    return {
        layer: np.asarray(kernel.size - share(1 - exact_fraction(learned.kept), int(kernel.size)), np.int32)
        for layer, kernel in kernels.items()
    }


def start_scores(key: Key[Array, ""], kernels: Kernels, learned: LearnedMask) -> Kernels:
    """Return scores before the first step: logits, or uniform draws, as in the released code of their methods.

    Edge-popup's are within ±1/√fan-in, those of 'signed' within ±√(6 / (fan-in + fan-out)).
    """
    start: Kernels = {}
    for index, layer in enumerate(layer_order(kernels)):
        shape = kernels[layer].shape
        if learned.method == "bernoulli":
            start[layer] = np.full(shape, learned.start, np.float32)
            continue
        centre, reach = learned.start, 0.01
        if learned.method == "edge_popup":
            centre, reach = 0.0, 1 / np.sqrt(fan_in(shape))
        elif learned.method == "signed":
            centre, reach = 0.0, _reach(shape)
        start[layer] = centre + jax.random.uniform(
            jax.random.fold_in(key, index), shape, jnp.float32, -float(reach), float(reach)
        )
    return start
