"""Checks that every criterion and action must pass: the toolkit's own in its tests, a user's by `check-plugin`.

Each check takes one member and raises AssertionError if it fails.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from supermask.actions import Action, ActionFacts
from supermask.criteria import Criterion, LayerFacts
from supermask.keys import Purpose, derive_key
from supermask.masks import Masks, keep_best_of_network
from supermask.network_facts import Loss, NetworkFacts
from supermask.trees import pruned_leaves

Member = Criterion | Action
Facts = LayerFacts | ActionFacts | NetworkFacts

SHAPES = ((7, 5), (3, 3, 4, 2))


def facts_for(member: Member, seed: int, shape: tuple[int, ...] = SHAPES[0]) -> Facts:
    """Return random inputs of a layer, or of a network whose first layer has that shape, as the member takes them."""
    random = np.random.default_rng(seed)
    first, second, third = (jnp.asarray(random.normal(size=shape), jnp.float32) for _ in range(3))
    some = jnp.asarray(random.random(shape) < 0.7)
    if isinstance(member, Criterion):
        if member.is_of_network:
            return _network(first, second, some, seed)
        return LayerFacts(first, second, some, third, derive_key(seed, Purpose.CRITERION))
    alive = some | jnp.asarray(random.random(shape) < 0.5)
    zeroed = alive & jnp.asarray(random.random(shape) < 0.2)
    return ActionFacts(derive_key(seed, Purpose.KEPT_VALUES), first, second, third, some, alive, zeroed)


def _network(initial: Array, final: Array, alive: Array, seed: int) -> NetworkFacts:
    """Return facts of a network of two dense layers; the first is `initial` as a matrix, in the requested shape."""
    wide = (int(np.prod(initial.shape[:-1])), initial.shape[-1])
    random = np.random.default_rng(seed + 1)
    inputs, wanted, above = (
        jnp.asarray(random.normal(size=shape), jnp.float32) for shape in ((20, wide[0]), (20, 3), (wide[1], 3))
    )

    def logits(params: Any, x: Array) -> Array:
        hidden = jax.nn.relu(x @ params["hidden"]["kernel"].reshape(wide) + params["hidden"]["bias"])
        return hidden @ params["output"]["kernel"] + params["output"]["bias"]

    def params(kernel: Array, factor: float) -> dict[str, dict[str, Array]]:
        hidden = {"kernel": kernel, "bias": jnp.zeros((1, wide[1]))}
        return {"hidden": hidden, "output": {"kernel": factor * above, "bias": jnp.zeros((1, 3))}}

    def loss(temperature: float) -> Loss:
        return lambda given: jnp.mean((logits(given, inputs) / temperature - wanted) ** 2)

    every = jnp.ones(above.shape, bool)
    return NetworkFacts(
        params(initial, 1.0),
        params(final, 1.1),
        {"hidden": {"kernel": alive, "bias": None}, "output": {"kernel": every, "bias": None}},
        derive_key(seed, Purpose.CRITERION),
        loss(1.0),
        lambda given: logits(given, jnp.ones((1, wide[0]))),
        loss,
    )


def results_of(member: Member, facts: Facts) -> dict[str, Array]:
    """Return what the member makes of the facts: its values of the layer, or its scores of every layer by path."""
    if isinstance(facts, NetworkFacts):
        assert isinstance(member, Criterion)
        leaves, _ = pruned_leaves(facts.initial, facts.masks)
        return member.of_network(facts, leaves)
    return {"": member(facts)}  # type: ignore[arg-type]


def has_the_layers_shape_and_no_nan(member: Member) -> None:
    """Check that scores or values are float32, of the kernel's shape, and not NaN; values are finite."""
    for shape in SHAPES:
        results = results_of(member, facts_for(member, 5, shape))
        first = next(iter(results.values()))
        assert first.shape == shape, f"shape {first.shape} for a layer of shape {shape}"
        for result in results.values():
            assert result.dtype == jnp.float32, f"{result.dtype} instead of float32"
            assert not np.isnan(result).any(), "NaN for ordinary weights"
            assert isinstance(member, Criterion) or np.isfinite(result).all(), "a value that is not finite"


def jit_equals_eager(member: Member) -> None:
    """Check that it gives the same compiled and uncompiled, but for rounding."""
    facts = facts_for(member, 6)
    if isinstance(facts, NetworkFacts):
        asked = facts.given_loss, facts.given_outputs, facts.given_softened

        def compiled_of(initial: Any, final: Any, masks: Any, key: Any) -> dict[str, Array]:
            return results_of(member, NetworkFacts(initial, final, masks, key, *asked))

        compiled = jax.jit(compiled_of)(facts.initial, facts.final, facts.masks, facts.key)
    else:
        compiled = jax.jit(lambda given: results_of(member, given))(facts)
    for path, expected in results_of(member, facts).items():
        np.testing.assert_allclose(compiled[path], expected, rtol=1e-5, atol=1e-7)


def same_key_same_bits(member: Member) -> None:
    """Check that it gives the same for the same facts."""
    facts = facts_for(member, 1)
    again = results_of(member, facts)
    for path, result in results_of(member, facts).items():
        np.testing.assert_array_equal(again[path], result)


def order_of_weights_does_not_matter(member: Member) -> None:
    """Check that a criterion ignores a weight's place, unless it draws or judges by the network."""
    facts = facts_for(member, 7)
    if isinstance(facts, LayerFacts) and isinstance(member, Criterion) and "key" not in member.needs:
        order = np.random.default_rng(0).permutation(35)
        arrays = facts._replace(key=None)
        shuffled = jax.tree.map(lambda leaf: leaf.ravel()[order].reshape(leaf.shape), arrays)
        expected = member(facts).ravel()[order].reshape(7, 5)
        np.testing.assert_allclose(member(shuffled), expected, rtol=1e-5)


def pruned_weights_have_no_say(member: Member) -> None:
    """Check that a pruned weight's value does not change the scores of live ones, unless by the network's loss."""
    facts = facts_for(member, 9)
    if isinstance(facts, LayerFacts) and isinstance(member, Criterion):
        other = facts._replace(w_final=jnp.where(facts.alive, facts.w_final, 0.0))
        alive = np.asarray(facts.alive)
        np.testing.assert_allclose(np.asarray(member(other))[alive], np.asarray(member(facts))[alive], rtol=1e-5)


def masks_have_exact_counts(member: Member) -> None:
    """Check that masks made from its scores have exact counts."""
    if isinstance(member, Criterion):
        facts = facts_for(member, 10)
        scores = results_of(member, facts)
        if isinstance(facts, NetworkFacts):
            _, own = pruned_leaves(facts.initial, facts.masks)
            alive: Masks = {path: jnp.asarray(mask) for path, mask in own.items()}
        else:
            assert isinstance(facts, LayerFacts)
            alive = {"": facts.alive}
        live = sum(int(mask.sum()) for mask in alive.values())
        for count in (0, 1, live // 2, live):
            masks = keep_best_of_network(derive_key(0, Purpose.TIES), scores, alive, count)
            assert sum(int(mask.sum()) for mask in masks.values()) == count
            assert not any((mask & ~alive[path]).any() for path, mask in masks.items())


def is_documented(member: Member) -> None:
    """Check that its function has a docstring, and that a criterion has a formula."""
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
