"""Mask criteria: which weights to keep, judged by their initial and final values.

A criterion scores every weight of a layer; the highest scores are kept. It requests its inputs by the names of its
parameters, which are fields of `LayerFacts`:

    w_initial   the layer's weights before any training
    w_final     its weights at the end of the round's training
    alive       True where a weight has not been pruned yet
    gradient    of the training loss with respect to w_initial, in the unmasked network
    key         for draws of its own; ties are broken by another one

A criterion of the whole network asks for `network` alone, `network_facts.NetworkFacts`: all parameters, and the loss
and its gradient at any of them. It returns scores in the structure of the parameters.

Zhou et al. 2019 (arXiv 1905.01067), section 2 and figure 2 (post: 6). Where the paper's text leaves a rule open, the
default follows the paper's released code; other readings have their own names (`..._std_scaled`, `..._strict`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from supermask.counts import Number, own_number
from supermask.members import Function, Member, MemberError
from supermask.network_facts import NetworkFacts, scores_by_path
from supermask.short import short
from supermask.trees import Leaves

Weights = Float[Array, "*shape"]
Alive = Bool[Array, "*shape"]


@short
class LayerFacts(NamedTuple):
    """Inputs of a criterion for one layer: arrays of the kernel's shape, and a key.

    `gradient` and `key` may be missing.
    """

    w_initial: Float[Array, "*shape"]
    w_final: Float[Array, "*shape"]
    alive: Bool[Array, "*shape"]
    gradient: Float[Array, "*shape"] | None = None
    key: Key[Array, ""] | None = None


def large_final(w_final: Weights) -> Weights:
    """|wf|: weights that ended large. The lottery ticket paper's criterion."""
    return jnp.abs(w_final)


def small_final(w_final: Weights) -> Weights:
    """-|wf|: weights that ended small."""
    return -jnp.abs(w_final)


def large_init(w_initial: Weights) -> Weights:
    """|wi|: weights that started large."""
    return jnp.abs(w_initial)


def small_init(w_initial: Weights) -> Weights:
    """-|wi|: weights that started small."""
    return -jnp.abs(w_initial)


def large_init_large_final(w_initial: Weights, w_final: Weights, alive: Alive) -> Weights:
    """min(α|wf|, |wi|), where α aligns percentiles: the smaller of the percentile ranks by |wi| and by |wf|.

    The released code searches for a percentile p of each layer such that the weights above the p-th percentile in both
    magnitudes have the wanted number. That is equivalent to keeping the highest of these scores.
    """
    return jnp.minimum(magnitude_rank(w_initial, alive), magnitude_rank(w_final, alive))


def small_init_small_final(w_initial: Weights, w_final: Weights, alive: Alive) -> Weights:
    """-max(α|wf|, |wi|), where α aligns percentiles: minus the larger of the percentile ranks by |wi| and |wf|."""
    return -jnp.maximum(magnitude_rank(w_initial, alive), magnitude_rank(w_final, alive))


def magnitude_increase(w_initial: Weights, w_final: Weights) -> Weights:
    """|wf| - |wi|: weights that grew."""
    return jnp.abs(w_final) - jnp.abs(w_initial)


def movement(w_initial: Weights, w_final: Weights) -> Weights:
    """|wf - wi|: weights that moved far, in either direction."""
    return jnp.abs(w_final - w_initial)


def random(w_initial: Weights) -> Weights:
    """A constant score: every weight ties, and ties are broken by the key. The control."""
    return jnp.zeros_like(w_initial)


def large_final_same_sign(w_initial: Weights, w_final: Weights) -> Weights:
    """|wf| where wi and wf have the same sign, else 0: large weights that kept their sign."""
    return jnp.where(same_sign(w_initial, w_final), jnp.abs(w_final), 0.0)


def large_final_diff_sign(w_initial: Weights, w_final: Weights) -> Weights:
    """|wf| where the sign flipped, else 0: the control of large_final_same_sign."""
    return jnp.where(same_sign(w_initial, w_final), 0.0, jnp.abs(w_final))


def magnitude_increase_same_sign(w_initial: Weights, w_final: Weights) -> Weights:
    """|wf| - |wi| where wi and wf have the same sign, else 0: flipped weights rank above those that shrank.

    As in the released code, the score of the other sign is 0 in all four sign-aware criteria.
    `magnitude_increase_same_sign_strict` instead ranks every flipped weight last.
    """
    return jnp.where(same_sign(w_initial, w_final), magnitude_increase(w_initial, w_final), 0.0)


def magnitude_increase_diff_sign(w_initial: Weights, w_final: Weights) -> Weights:
    """|wf| - |wi| where the sign flipped, else 0: the control of magnitude_increase_same_sign."""
    return jnp.where(same_sign(w_initial, w_final), 0.0, magnitude_increase(w_initial, w_final))


def snip(w_initial: Weights, gradient: Weights) -> Weights:
    """|g·wi|, with g the loss's gradient at initialisation: connection sensitivity (Lee et al. 2019, equation 6)."""
    return jnp.abs(gradient * w_initial)


def grad(gradient: Weights) -> Weights:
    """|g|, where g is the loss's gradient at initialisation."""
    return jnp.abs(gradient)


def large_init_large_final_std_scaled(w_initial: Weights, w_final: Weights, alive: Alive) -> Weights:
    """min(α|wf|, |wi|) with α a ratio of standard deviations (`scale_ratio`): our own variant, not the paper's."""
    return jnp.minimum(scale_ratio(w_initial, w_final, alive) * jnp.abs(w_final), jnp.abs(w_initial))


def small_init_small_final_std_scaled(w_initial: Weights, w_final: Weights, alive: Alive) -> Weights:
    """-max(α|wf|, |wi|) with α the ratio of standard deviations (`scale_ratio`): our own variant."""
    return -jnp.maximum(scale_ratio(w_initial, w_final, alive) * jnp.abs(w_final), jnp.abs(w_initial))


def magnitude_increase_same_sign_strict(w_initial: Weights, w_final: Weights) -> Weights:
    """|wf| - |wi| where wi and wf have the same sign; every flipped weight ranks below those (-∞)."""
    return jnp.where(same_sign(w_initial, w_final), magnitude_increase(w_initial, w_final), -jnp.inf)


def magnitude_increase_diff_sign_strict(w_initial: Weights, w_final: Weights) -> Weights:
    """|wf| - |wi| where the sign flipped; every other weight ranks below those (-∞)."""
    return jnp.where(same_sign(w_initial, w_final), -jnp.inf, magnitude_increase(w_initial, w_final))


def same_sign(w_initial: Weights, w_final: Weights) -> Alive:
    """Return True where both have the same sign; a zero has no sign, so it never equals a weight's."""
    return jnp.sign(w_initial) * jnp.sign(w_final) > 0


def scale_ratio(w_initial: Weights, w_final: Weights, alive: Alive) -> Float[Array, ""]:
    """Return α = std(wi) / std(wf) over the layer's live weights, which scales final magnitudes to the initial ones.

    α is 1 if a standard deviation is 0 (a layer of one weight, or a collapsed one), so that scores stay finite.
    """
    spread_initial, spread_final = (jnp.std(w, where=alive) for w in (w_initial, w_final))
    usable = (spread_initial > 0) & (spread_final > 0)
    return jnp.where(usable, spread_initial / jnp.where(usable, spread_final, 1.0), 1.0)


def magnitude_rank(w: Weights, alive: Alive) -> Weights:
    """Return the rank of |w| among live weights, from 0 (smallest) to 1 (largest); equal magnitudes have equal ranks.

    NaN ranks as NaN, so that a diverged training's NaN weights are pruned first, as under every other criterion.
    """
    magnitude = jnp.abs(w).ravel()
    below = jnp.searchsorted(jnp.sort(jnp.where(alive.ravel(), magnitude, jnp.inf)), magnitude)
    live = jnp.maximum(jnp.sum(alive, dtype=jnp.int32) - 1, 1)
    rank = below.astype(w.dtype) / live.astype(w.dtype)
    return jnp.where(jnp.isnan(magnitude), jnp.nan, rank).reshape(w.shape)


_NETWORK = "network"


@dataclass(frozen=True, repr=False)
class Criterion(Member):
    """A named criterion. `needs` are the facts that its function requests by its parameters: see above.

    `source` is the identity of a user-defined criterion, by default the digest of its code; empty for this module's.
    `revision` numbers the rules that the name has stood for: results under an older rule are different results.

    Raises MemberError if the function is unsuitable: see `supermask.members.Member`.
    """

    name: str
    function: Function
    formula: str
    source: str = ""
    revision: int = 1

    kind = "criterion"
    facts = (*LayerFacts._fields, _NETWORK)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.is_of_network and (others := [name for name in self.needs if name != _NETWORK]):
            raise MemberError(
                f"criterion {self.name} asks for {_NETWORK} and for {', '.join(others)}; "
                f"allowed: {_NETWORK} alone, which has the weights, masks and key of every layer"
            )

    @property
    def is_of_network(self) -> bool:
        """Whether it judges by the whole network, and is called by `of_network`."""
        return _NETWORK in self.needs

    def of_network(self, network: NetworkFacts, leaves: Leaves) -> dict[str, Float[Array, "..."]]:
        """Return the scores of a criterion of the whole network, by path of the prunable `leaves`.

        Raises ValueError if the facts lack a function that it asks for; MemberError for scores of another structure or
        shape than the parameters', and if its code has changed.
        """
        self.check_unchanged()
        scores = self.function(network=network)
        try:
            return scores_by_path(leaves, scores)
        except ValueError as error:
            raise MemberError(f"criterion {self.name}: {error}") from None

    def __call__(self, facts: LayerFacts) -> Float[Array, "*shape"]:
        """Return scores of a layer's weights, in their shape. Raises ValueError if the facts lack an input."""
        if self.is_of_network:
            raise ValueError(f"criterion {self.name} judges by the whole network; allowed: of_network(...)")
        chosen = {name: getattr(facts, name) for name in self.needs}
        missing = [name for name, value in chosen.items() if value is None]
        if missing:
            raise ValueError(f"criterion {self.name} needs {', '.join(missing)}, which the layer's facts lack")
        return self.values(chosen)


def _criterion(function: Function, formula: str, revision: int = 1) -> Criterion:
    return Criterion(function.__name__, function, formula, revision=revision)


def power(a: Number, b: Number) -> Criterion:
    """Return the criterion |wf|^a · |wi|^b, named by its exponents: power(1, -1) is 'power_1_-1', relative growth.

    A weight for which this is undefined, as 0 · ∞, scores 0.

    Raises ValueError for exponents that are not finite.
    """
    for name, exponent in (("a", a), ("b", b)):
        if not math.isfinite(own_number(name, exponent)):
            raise ValueError(f"{name} is {exponent}; allowed: finite numbers")
    one, other = (float(own_number("", exponent)) + 0.0 for exponent in (a, b))  # 0 for -0, which is the same exponent
    first, second = (repr(each).removesuffix(".0").replace("e+", "e") for each in (one, other))
    formula, revision = f"|wf|^{first} · |wi|^{second}", 2 if max(abs(one), abs(other)) > LARGEST else 1
    return Criterion(f"power_{first}_{second}", _Powers(one, other), formula, revision=revision)


LARGEST = 2.0
"""Exponents up to this one cannot bring the powers of weights beyond float32's range."""


@dataclass(frozen=True)
class _Powers:
    """|wf|^a · |wi|^b as a function that equals another one of the same exponents.

    Of larger exponents, a root of it, which ranks weights alike and neither over- nor underflows.
    """

    a: float
    b: float

    def __call__(self, w_initial: Weights, w_final: Weights) -> Weights:
        root = max(abs(self.a) / LARGEST, abs(self.b) / LARGEST, 1.0)
        product = jnp.abs(w_final) ** (self.a / root) * jnp.abs(w_initial) ** (self.b / root)
        diverged = jnp.isnan(w_initial) | jnp.isnan(w_final)
        return jnp.where(jnp.isnan(product) & ~diverged, 0.0, product)


EIGHT: tuple[Criterion, ...] = (
    _criterion(large_final, "|wf|"),
    _criterion(small_final, "−|wf|"),
    _criterion(large_init, "|wi|"),
    _criterion(small_init, "−|wi|"),
    _criterion(large_init_large_final, "min(rank|wf|, rank|wi|)", revision=2),
    _criterion(small_init_small_final, "−max(rank|wf|, rank|wi|)", revision=2),
    _criterion(magnitude_increase, "|wf| − |wi|"),
    _criterion(movement, "|wf − wi|"),
)
"""The criteria of the paper's figure 2 (post: figure 6), in its order."""

SIGN_AWARE: tuple[Criterion, ...] = (
    _criterion(large_final_same_sign, "|wf| if signs agree, else 0"),
    _criterion(large_final_diff_sign, "|wf| if signs differ, else 0"),
    _criterion(magnitude_increase_same_sign, "|wf| − |wi| if signs agree, else 0", revision=2),
    _criterion(magnitude_increase_diff_sign, "|wf| − |wi| if signs differ, else 0", revision=2),
)

OTHER_READINGS: tuple[Criterion, ...] = (
    _criterion(large_init_large_final_std_scaled, "min(α|wf|, |wi|), α by std"),
    _criterion(small_init_small_final_std_scaled, "−max(α|wf|, |wi|), α by std"),
    _criterion(magnitude_increase_same_sign_strict, "|wf| − |wi| if signs agree, else −∞"),
    _criterion(magnitude_increase_diff_sign_strict, "|wf| − |wi| if signs differ, else −∞"),
)
"""Our own variants of released criteria."""

CRITERIA: Mapping[str, Criterion] = {
    criterion.name: criterion
    for criterion in (
        *EIGHT,
        _criterion(random, "constant"),
        *SIGN_AWARE,
        _criterion(snip, "|g·wi|"),
        _criterion(grad, "|g|"),
        *OTHER_READINGS,
    )
}
"""All criteria by name. A new one needs one function and one line here."""

FIRST_RULES: Mapping[str, str] = {
    "large_init_large_final": "large_init_large_final_std_scaled",
    "small_init_small_final": "small_init_small_final_std_scaled",
    "magnitude_increase_same_sign": "magnitude_increase_same_sign_strict",
    "magnitude_increase_diff_sign": "magnitude_increase_diff_sign_strict",
}
"""Current names of the rules that these names stood for in their first revision."""

RENAMED: Mapping[str, str] = {
    "large_init_large_final_percentile": "large_init_large_final",
    "small_init_small_final_percentile": "small_init_small_final",
}
"""Former names, and the current names of their rules."""


def score_layers(criterion: Criterion, facts: Mapping[str, LayerFacts]) -> dict[str, Float[Array, "*shape"]]:
    """Return the criterion's scores for every layer."""
    return {layer: criterion(layer_facts) for layer, layer_facts in facts.items()}
