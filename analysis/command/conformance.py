"""Checks that every criterion and action must pass: the toolkit's own in its tests, a user's by `check-plugin`.

Each check takes one member and raises AssertionError if it fails.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from supermask.actions import Action, ActionFacts
from supermask.criteria import Criterion, LayerFacts
from supermask.keys import Purpose, derive_key
from supermask.masks import keep_best

Member = Criterion | Action
Facts = LayerFacts | ActionFacts

SHAPES = ((7, 5), (3, 3, 4, 2))


def facts_for(member: Member, seed: int, shape: tuple[int, ...] = SHAPES[0]) -> Facts:
    """Return random inputs of a layer, of the kind that the member takes."""
    random = np.random.default_rng(seed)
    first, second, third = (jnp.asarray(random.normal(size=shape), jnp.float32) for _ in range(3))
    some = jnp.asarray(random.random(shape) < 0.7)
    if isinstance(member, Criterion):
        return LayerFacts(first, second, some, third)
    alive = some | jnp.asarray(random.random(shape) < 0.5)
    zeroed = alive & jnp.asarray(random.random(shape) < 0.2)
    return ActionFacts(derive_key(seed, Purpose.KEPT_VALUES), first, second, third, some, alive, zeroed)


def has_the_layers_shape_and_no_nan(member: Member) -> None:
    """Scores or values are float32, of the kernel's shape, and none is NaN; values are finite."""
    for shape in SHAPES:
        result = member(facts_for(member, 5, shape))  # type: ignore[arg-type]
        assert result.shape == shape, f"shape {result.shape} for a layer of shape {shape}"
        assert result.dtype == jnp.float32, f"{result.dtype} instead of float32"
        assert not np.isnan(result).any(), "NaN for ordinary weights"
        assert isinstance(member, Criterion) or np.isfinite(result).all(), "a value that is not finite"


def jit_equals_eager(member: Member) -> None:
    """Compiled and uncompiled give the same, but for rounding."""
    facts = facts_for(member, 6)
    compiled = jax.jit(lambda given: member(given))(facts)
    np.testing.assert_allclose(compiled, member(facts), rtol=1e-5, atol=1e-7)  # type: ignore[arg-type]


def same_key_same_bits(member: Member) -> None:
    """Called twice with the same facts, it gives the same."""
    facts = facts_for(member, 1)
    np.testing.assert_array_equal(member(facts), member(facts))  # type: ignore[arg-type]


def order_of_weights_does_not_matter(member: Member) -> None:
    """A criterion judges weights, not their places."""
    if isinstance(member, Criterion):
        facts = facts_for(member, 7)
        order = np.random.default_rng(0).permutation(35)
        shuffled = jax.tree.map(lambda leaf: leaf.ravel()[order].reshape(leaf.shape), facts)
        expected = member(facts).ravel()[order].reshape(7, 5)  # type: ignore[arg-type]
        np.testing.assert_allclose(member(shuffled), expected, rtol=1e-5)


def pruned_weights_have_no_say(member: Member) -> None:
    """What a pruned weight is frozen at does not change the scores of live ones."""
    if isinstance(member, Criterion):
        facts = facts_for(member, 9)
        assert isinstance(facts, LayerFacts)
        other = facts._replace(w_final=jnp.where(facts.alive, facts.w_final, 0.0))
        alive = np.asarray(facts.alive)
        np.testing.assert_allclose(np.asarray(member(other))[alive], np.asarray(member(facts))[alive], rtol=1e-5)


def masks_have_exact_counts(member: Member) -> None:
    """Masks made from its scores keep exactly as many weights as asked for."""
    if isinstance(member, Criterion):
        facts = facts_for(member, 10)
        assert isinstance(facts, LayerFacts)
        alive = int(facts.alive.sum())
        for count in (0, 1, alive // 2, alive):
            mask = keep_best(derive_key(0, Purpose.TIES), member(facts), facts.alive, count)
            assert int(mask.sum()) == count
            assert not (mask & ~facts.alive).any()


def is_documented(member: Member) -> None:
    """Its function says what it does; a criterion has a formula."""
    assert member.function.__doc__, "its function has no docstring"
    assert not isinstance(member, Criterion) or member.formula, "it has no formula"


CHECKS: tuple[Callable[[Member], None], ...] = (
    has_the_layers_shape_and_no_nan,
    jit_equals_eager,
    same_key_same_bits,
    order_of_weights_does_not_matter,
    pruned_weights_have_no_say,
    masks_have_exact_counts,
    is_documented,
)
