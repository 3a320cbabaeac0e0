"""Actions: the values at which kept weights restart (mask-1) and pruned weights are frozen (mask-0).

Like a criterion, an action requests its inputs by the names of its parameters, which are fields of `ActionFacts`. It
returns a value for every weight of the layer; `start_weights` uses the mask-1 action's values where the mask is 1 and
the mask-0 action's where it is 0. All random values of a layer come from its own key.

Zhou et al. 2019, sections 3 (mask-1) and 4 (mask-0). Rules about movement follow the released code, which overwrites
the initial values with a rule's result: a weight that was set to 0 has 0 as its initial value from then on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from supermask.members import Function, Member
from supermask.short import short

Weights = Float[Array, "*shape"]
Mask = Bool[Array, "*shape"]
LayerKey = Key[Array, ""]


@short
class ActionFacts(NamedTuple):
    """Inputs of an action for one layer: arrays of the kernel's shape.

    `w_initial` are the values that 'rewind' restores: those before training, or those of a later step k. `w_fresh` is a
    new draw from the initial distribution, with its own key. `mask` is True for kept weights, `alive` for weights that
    were not pruned in an earlier round. `zeroed` is True where the last round started the weight at 0 instead of its
    initial value.
    """

    key: Key[Array, ""]
    w_initial: Float[Array, "*shape"]
    w_final: Float[Array, "*shape"]
    w_fresh: Float[Array, "*shape"]
    mask: Bool[Array, "*shape"]
    alive: Bool[Array, "*shape"]
    zeroed: Bool[Array, "*shape"]


def rewind(w_initial: Weights) -> Weights:
    """The original initial value: the lottery ticket algorithm."""
    return w_initial


def reinit(w_fresh: Weights) -> Weights:
    """A new draw from the initial distribution."""
    return w_fresh


def reinit_same_sign(w_fresh: Weights, w_initial: Weights) -> Weights:
    """A new draw that keeps the weight's original sign."""
    return _with_sign_of(w_initial, w_fresh)


def reshuffle(key: LayerKey, w_initial: Weights, mask: Mask) -> Weights:
    """The kept initial values of the layer, permuted among the kept weights."""
    size = mask.size
    kept = mask.ravel()
    # Positions of kept weights, once in order and once in random order; those of pruned weights follow, unused.
    in_order = jnp.argsort(~kept, stable=True)
    in_random_order = jnp.lexsort((jax.random.bits(key, (size,), jnp.uint32), ~kept))
    values = w_initial.ravel()
    return values.at[in_order].set(values[in_random_order]).reshape(w_initial.shape)


def reshuffle_same_sign(key: LayerKey, w_initial: Weights, mask: Mask) -> Weights:
    """The layer's kept magnitudes, permuted; each weight keeps its original sign."""
    return _with_sign_of(w_initial, reshuffle(key, w_initial, mask))


def constant(key: LayerKey, w_initial: Weights) -> Weights:
    """±c with a random sign, where c is the standard deviation of the layer's initial weights."""
    signs = jnp.where(jax.random.bernoulli(key, jnp.float32(0.5), w_initial.shape), 1.0, -1.0)
    return signs.astype(w_initial.dtype) * jnp.std(w_initial)


def constant_same_sign(w_initial: Weights) -> Weights:
    """The signed constant sign(wi)·c, where c is the standard deviation of the layer's initial weights."""
    return jnp.sign(w_initial) * jnp.std(w_initial)


def reinit_released(key: LayerKey, w_initial: Weights) -> Weights:
    """'reinit' as in the released code: all of the layer's initial values, permuted, including pruned ones."""
    return jax.random.permutation(key, w_initial.ravel()).reshape(w_initial.shape)


def reinit_released_same_sign(key: LayerKey, w_initial: Weights) -> Weights:
    """The released code's permutation of the layer; each weight keeps its original sign."""
    return _with_sign_of(w_initial, reinit_released(key, w_initial))


def rewind_or_zero(w_initial: Weights, w_final: Weights, zeroed: Mask) -> Weights:
    """0 for a kept weight that moved toward zero, in this round or an earlier one; else its initial value."""
    return zero_if_shrunk(w_initial, w_final, zeroed)


def trained(w_final: Weights) -> Weights:
    """The trained value: only the learning rate's schedule goes back. Biases and other parameters stay, too.

    Renda et al. 2020 (arXiv 2003.02389) call it learning-rate rewinding.
    """
    return w_final


def zero(w_initial: Weights) -> Weights:
    """Frozen at 0: the lottery ticket algorithm."""
    return jnp.zeros_like(w_initial)


def init(w_initial: Weights) -> Weights:
    """Frozen at the initial value."""
    return w_initial


def zero_if_shrunk(w_initial: Weights, w_final: Weights, zeroed: Mask) -> Weights:
    """0 where the weight moved toward zero (|wf| < |wi|), or was set to 0 earlier; else its initial value."""
    return jnp.where(zeroed | _shrunk(w_initial, w_final), 0.0, w_initial)


def zero_if_grown(w_initial: Weights, w_final: Weights, zeroed: Mask) -> Weights:
    """The reverse: 0 where the weight moved away from zero (|wf| > |wi|), or was set to 0 earlier; else wi.

    A weight that never moved, as under a pixel that is always black, keeps its initial value under either rule.
    """
    return jnp.where(zeroed | (jnp.abs(w_final) > jnp.abs(w_initial)), 0.0, w_initial)


def zero_at_random(
    key: LayerKey, w_initial: Weights, w_final: Weights, mask: Mask, alive: Mask, zeroed: Mask
) -> Weights:
    """As many zeros among the weights pruned now as zero_if_shrunk sets, at random places: its control."""
    pruned = (alive & ~mask).ravel()
    zeros = jnp.sum(pruned & (zeroed | _shrunk(w_initial, w_final)).ravel(), dtype=jnp.int32)
    order = jnp.lexsort((jax.random.bits(key, (mask.size,), jnp.uint32), ~pruned))
    place = jnp.zeros(mask.size, jnp.int32).at[order].set(jnp.arange(mask.size, dtype=jnp.int32))
    return jnp.where((place < zeros).reshape(mask.shape), 0.0, w_initial)


def _shrunk(w_initial: Weights, w_final: Weights) -> Mask:
    return jnp.abs(w_final) < jnp.abs(w_initial)


def _with_sign_of(signs: Weights, magnitudes: Weights) -> Weights:
    return jnp.sign(signs) * jnp.abs(magnitudes)


@dataclass(frozen=True, repr=False)
class Action(Member):
    """A named action. `needs` are the `ActionFacts` fields that its function requests by its parameters.

    `source` is the identity of a user-defined action, by default the digest of its code; empty for this module's.
    `revision` numbers the rules that the name has stood for: results under an older rule are different results.

    Raises MemberError if the function is unsuitable: see `supermask.members.Member`.
    """

    name: str
    function: Function
    source: str = ""
    revision: int = 1

    kind = "action"
    facts = ActionFacts._fields

    @property
    def continues(self) -> bool:
        """Whether parameters that are never pruned stay as they were trained, too, rather than go back."""
        return self.function is trained

    def __call__(self, facts: ActionFacts) -> Float[Array, "*shape"]:
        """Return a value for every weight of the layer."""
        return self.values({name: getattr(facts, name) for name in self.needs})


@dataclass(frozen=True, repr=False)
class KeptAction(Action):
    """A mask-1 action."""


@dataclass(frozen=True, repr=False)
class PrunedAction(Action):
    """A mask-0 action."""


Kind = TypeVar("Kind", KeptAction, PrunedAction)


def _by_name(kind: type[Kind], *functions: Function) -> dict[str, Kind]:
    names = [function.__name__ for function in functions]
    return {
        name: kind(name, function, revision=_REVISIONS.get(name, 1))
        for name, function in zip(names, functions, strict=True)
    }


_REVISIONS = {"rewind_or_zero": 2, "zero_if_grown": 2, "zero_at_random": 2}
"""Revisions of rules that changed: zeros stay zero, weights that never moved keep their initial value, and the control
sets as many zeros as the rule in every round and not only in the first."""

KEPT_ACTIONS: Mapping[str, KeptAction] = _by_name(
    KeptAction,
    rewind,
    reinit,
    reinit_same_sign,
    reshuffle,
    reshuffle_same_sign,
    constant,
    constant_same_sign,
    reinit_released,
    reinit_released_same_sign,
    rewind_or_zero,
    trained,
)
"""Mask-1 actions by name."""

PRUNED_ACTIONS: Mapping[str, PrunedAction] = _by_name(
    PrunedAction, zero, init, zero_if_shrunk, zero_if_grown, zero_at_random
)
"""Mask-0 actions by name."""


def start_weights(
    kept_action: Action, pruned_action: Action, kept: ActionFacts, pruned: ActionFacts
) -> Float[Array, "*shape"]:
    """Return the layer's weights at the start of a round.

    Kept weights get the mask-1 action's values, and weights pruned in this round the mask-0 action's. A weight pruned
    earlier keeps its frozen value, `w_final`: it did not move, so a rule about movement cannot apply to it again.
    `kept` and `pruned` differ only in their keys.
    """
    frozen = jnp.where(pruned.alive, pruned_action(pruned), pruned.w_final)
    return jnp.where(kept.mask, kept_action(kept), frozen)
