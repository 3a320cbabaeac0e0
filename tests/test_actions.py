"""Every mask-1 and mask-0 action: what it does, and what all of them promise."""

import jax.numpy as jnp
import numpy as np
import pytest

from supermask.actions import KEPT_ACTIONS, PRUNED_ACTIONS, Action, ActionFacts, start_weights
from supermask.keys import Purpose, derive_key

ALL = [*KEPT_ACTIONS.values(), *PRUNED_ACTIONS.values()]


def facts(seed: int = 0, shape: tuple[int, ...] = (40, 30), kept: float = 0.3) -> ActionFacts:
    random = np.random.default_rng(seed)
    w_initial, w_final, w_fresh = (jnp.asarray(random.normal(size=shape), jnp.float32) for _ in range(3))
    mask = jnp.asarray(random.random(shape) < kept)
    alive = mask | jnp.asarray(random.random(shape) < 0.5)
    zeroed = alive & jnp.asarray(random.random(shape) < 0.1)
    return ActionFacts(derive_key(seed, Purpose.KEPT_VALUES), w_initial, w_final, w_fresh, mask, alive, zeroed)


@pytest.mark.parametrize("action", ALL, ids=lambda action: action.name)
def test_actions_leave_what_they_were_given_untouched(action):
    given = facts(2)
    before = np.asarray(given.w_initial).copy()
    action(given)
    np.testing.assert_array_equal(given.w_initial, before)


@pytest.mark.parametrize("name", [name for name in KEPT_ACTIONS if name.endswith("_same_sign")])
def test_same_sign_actions_keep_every_sign_and_the_others_do_not(name):
    given = facts()
    signs = np.sign(given.w_initial)
    assert (np.sign(KEPT_ACTIONS[name](given)) == signs).all()
    agreeing = (np.sign(KEPT_ACTIONS[name.removesuffix("_same_sign")](given)) == signs).mean()
    assert 0.4 < agreeing < 0.6


@pytest.mark.parametrize("name", ["reinit", "reshuffle", "reinit_released"])
def test_keeping_the_sign_changes_signs_only(name):
    """The magnitudes are the same draw, so that a comparison of the two is one of signs alone."""
    given = facts()
    plain, signed = KEPT_ACTIONS[name](given), KEPT_ACTIONS[f"{name}_same_sign"](given)
    np.testing.assert_array_equal(np.abs(plain), np.abs(signed))


def test_rewind_and_reinit():
    given = facts()
    np.testing.assert_array_equal(KEPT_ACTIONS["rewind"](given), given.w_initial)
    np.testing.assert_array_equal(KEPT_ACTIONS["reinit"](given), given.w_fresh)


def test_reshuffle_permutes_the_kept_values_among_the_kept_weights():
    given = facts()
    kept = np.asarray(given.mask)
    before, after = np.asarray(given.w_initial), np.asarray(KEPT_ACTIONS["reshuffle"](given))
    np.testing.assert_array_equal(np.sort(after[kept]), np.sort(before[kept]))
    assert (after[kept] != before[kept]).mean() > 0.9


def test_released_reinit_permutes_the_whole_layer():
    given = facts()
    before, after = np.asarray(given.w_initial), np.asarray(KEPT_ACTIONS["reinit_released"](given))
    np.testing.assert_array_equal(np.sort(after, axis=None), np.sort(before, axis=None))
    kept = np.asarray(given.mask)
    assert len(np.setdiff1d(after[kept], before[kept])) > 0, "pruned values come in too"


def test_constants_are_the_standard_deviation():
    given = facts()
    for name in ("constant", "constant_same_sign"):
        np.testing.assert_allclose(np.abs(KEPT_ACTIONS[name](given)), np.std(given.w_initial), rtol=1e-6)


def test_the_simplest_actions():
    given = facts()
    np.testing.assert_array_equal(KEPT_ACTIONS["rewind"](given), given.w_initial)
    np.testing.assert_array_equal(KEPT_ACTIONS["reinit"](given), given.w_fresh)
    np.testing.assert_array_equal(PRUNED_ACTIONS["init"](given), given.w_initial)
    np.testing.assert_array_equal(PRUNED_ACTIONS["zero"](given), np.zeros(given.mask.shape))


def test_rules_of_movement():
    given = facts()
    wi, wf = np.asarray(given.w_initial), np.asarray(given.w_final)
    shrunk, zeroed = np.abs(wf) < np.abs(wi), np.asarray(given.zeroed)
    np.testing.assert_array_equal(PRUNED_ACTIONS["zero_if_shrunk"](given), np.where(zeroed | shrunk, 0, wi))
    np.testing.assert_array_equal(PRUNED_ACTIONS["zero_if_grown"](given), np.where(zeroed | ~shrunk, 0, wi))
    np.testing.assert_array_equal(KEPT_ACTIONS["rewind_or_zero"](given), np.where(zeroed | shrunk, 0, wi))


def test_weights_that_did_not_move_toward_zero_keep_their_initial_value():
    """Of a weight that nothing moved, as under a pixel that is always black, or whose sign alone flipped."""
    given = facts()
    nowhere = jnp.zeros(given.mask.shape, bool)
    flipped = jnp.where(given.w_fresh > 0, given.w_initial, -given.w_initial)
    unmoved = given._replace(w_final=flipped, zeroed=nowhere)
    for name in ("zero_if_shrunk", "zero_if_grown", "zero_at_random"):
        np.testing.assert_array_equal(PRUNED_ACTIONS[name](unmoved), given.w_initial)
    np.testing.assert_array_equal(KEPT_ACTIONS["rewind_or_zero"](unmoved), given.w_initial)


def test_the_random_control_sets_as_many_zeros_among_the_weights_pruned_now():
    """And not a share of those that were pruned in earlier rounds, which stay as they are."""
    given = facts()
    pruned = np.asarray(given.alive & ~given.mask)
    rule, control = (np.asarray(PRUNED_ACTIONS[name](given)) for name in ("zero_if_shrunk", "zero_at_random"))
    assert (control[pruned] == 0).sum() == (rule[pruned] == 0).sum()
    assert ((control == 0) != (rule == 0))[pruned].mean() > 0.3, "at other places"
    np.testing.assert_array_equal(control[~pruned], np.asarray(given.w_initial)[~pruned])


def test_start_weights_leave_what_was_frozen_earlier_where_it_is():
    given = facts()
    start = np.asarray(start_weights(KEPT_ACTIONS["rewind"], PRUNED_ACTIONS["zero_if_grown"], given, given))
    frozen_now = np.asarray(given.alive & ~given.mask)
    frozen_before = ~np.asarray(given.alive)
    np.testing.assert_array_equal(start[np.asarray(given.mask)], np.asarray(given.w_initial)[np.asarray(given.mask)])
    np.testing.assert_array_equal(start[frozen_before], np.asarray(given.w_final)[frozen_before])
    np.testing.assert_array_equal(start[frozen_now], np.asarray(PRUNED_ACTIONS["zero_if_grown"](given))[frozen_now])


def test_an_action_may_only_ask_for_what_is_known():
    with pytest.raises(ValueError, match="labels"):
        Action("mine", lambda labels: labels)
