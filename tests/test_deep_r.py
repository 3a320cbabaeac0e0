"""DeepR: which weights are given up and what takes their place, on layers whose next step is known by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from supermask.keys import Purpose, derive_key, raw_key
from supermask.sparse_training import METHODS, DeepRConfig, Horizon, start

RATE = 0.1
PLAIN = DeepRConfig(shrinkage=0.0, noise=0.0)


def begun(kernel, mask, config=PLAIN, seed=0, optimiser=None):
    """A layer of one column, its method and its state."""
    params = {"output": {"kernel": jnp.array(kernel, jnp.float32)[:, None], "bias": jnp.zeros(1)}}
    method = METHODS["deep_r"].make(optimiser or optax.sgd(RATE), Horizon(10, 1), config)
    masks = {"output": np.array(mask, bool)[:, None]}
    state = method.init(derive_key(seed, Purpose.SPARSE_STRUCTURE), params, {"output": int(sum(mask))}, masks)
    return method, state, start(state, params)


def slope(*values):
    return {"output": {"kernel": jnp.array(values, jnp.float32)[:, None], "bias": jnp.zeros(1)}}


def columns(params):
    return np.asarray(params["output"]["kernel"])[..., 0]


def test_a_weight_that_would_cross_zero_is_given_up_for_one_at_zero():
    """0.05 - 0.1 is below 0; -0.5 becomes -0.4 and stays; the places in question are drawn about equally often."""
    method, state, params = begun([0.05, -0.5, 0, 0], [1, 1, 0, 0])
    keys = jnp.stack([raw_key(derive_key(seed, Purpose.SPARSE_STRUCTURE)) for seed in range(300)])
    moved, after, added = jax.vmap(lambda key: method.step(state._replace(key=key), slope(1, -1, 9, 9), params))(keys)
    masks, signs = (np.asarray(each["output"])[..., 0] for each in (after.masks, after.own.kernels))
    np.testing.assert_allclose(columns(moved), np.tile([0, -0.4, 0, 0], (300, 1)), rtol=1e-6)
    np.testing.assert_array_equal(columns(params) + columns(added), columns(moved))
    assert (masks.sum(1) == 2).all()
    assert masks[:, 1].all()
    assert (signs[:, 1] == -1).all(), "a live weight keeps its sign"
    assert (masks.sum(0)[[0, 2, 3]] > 75).all()
    drawn = np.argmax(masks & (np.arange(4) != 1), axis=1)
    own = signs[np.arange(300), drawn]
    assert 100 < (own > 0).sum() < 200
    # From zero it may only grow in its own direction.
    for direction in (-1, 1):
        pull = slope(direction, 0, direction, direction)
        later, last, _ = jax.vmap(lambda state, params, pull=pull: method.step(state, pull, params))(after, moved)
        grown = columns(later)[np.arange(300), drawn]
        np.testing.assert_allclose(grown, np.where(own == -direction, RATE * own, 0), rtol=1e-6)
        assert (np.asarray(last.masks["output"]).sum((1, 2)) == 2).all()


def test_a_place_that_is_given_up_and_drawn_again_starts_afresh():
    """Of two places both are live: what is given up comes back at once, without its past."""
    method, state, params = begun([0.05, -0.5], [1, 1], optimiser=optax.sgd(RATE, momentum=0.9))
    moved, after, info = method.update(state, slope(1, -1), params)
    np.testing.assert_allclose(columns(moved), [0, -0.4], rtol=1e-6)
    trace = np.asarray(after.optimiser[0].trace["output"]["kernel"])[:, 0]
    np.testing.assert_allclose(trace, [0, -1])
    assert np.asarray(after.masks["output"]).all()
    assert int(info.live["output"]) == 2


def test_shrinkage_goes_towards_zero_by_rate_times_alpha():
    method, state, params = begun([0.5, -0.5, 0], [1, 1, 0], DeepRConfig(shrinkage=0.01, noise=0.0))
    moved, after, _ = method.step(state, slope(0, 0, 5), params)
    np.testing.assert_allclose(columns(moved), [0.499, -0.499, 0], rtol=1e-6)
    assert (np.asarray(after.masks["output"])[:, 0] == [True, True, False]).all()


def test_noise_is_gaussian_on_live_weights_and_nowhere_else():
    """Of a rate times its deviation; another one at every step, and the same again for the same seed."""
    live = np.arange(4000) < 3000
    method, state, params = begun(np.where(live, 1.0, 0), live, DeepRConfig(shrinkage=0.0, noise=0.3))
    step = jax.jit(method.step)
    moved, after, _ = step(state, slope(*np.zeros(4000)), params)
    change = (columns(moved) - columns(params))[live]
    assert change.std() == pytest.approx(RATE * 0.3, rel=0.05)
    assert abs(change.mean()) < 0.003
    assert np.abs(change).max() > 2.5 * RATE * 0.3, "a Gaussian has tails"
    assert not columns(moved)[~live].any()
    again, _, _ = step(state, slope(*np.zeros(4000)), params)
    np.testing.assert_array_equal(columns(again), columns(moved))
    later, _, _ = step(after, slope(*np.zeros(4000)), moved)
    assert abs(np.corrcoef((columns(later) - columns(moved))[live], change)[0, 1]) < 0.1


def test_a_diverged_weight_stays_and_is_seen():
    method, state, params = begun([0.5, -0.5, 0], [1, 1, 0])
    moved, after, _ = method.step(state, slope(np.nan, 0, 0), params)
    assert np.isnan(columns(moved)[0])
    assert bool(after.masks["output"][0, 0])
