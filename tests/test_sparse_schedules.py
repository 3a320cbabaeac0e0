"""Sparse training: when masks change and by how much, against the publications' own words."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from supermask.keys import Purpose, derive_key
from supermask.sparse_training import METHODS, Horizon
from supermask.sparse_training.base import PERIOD, Cosine, State, apportion, random_masks
from supermask.sparse_training.deep_r import DeepRConfig
from supermask.sparse_training.drop_and_grow import DropAndGrowConfig, at_random
from supermask.sparse_training.dsr import DSRConfig
from supermask.sparse_training.magnitude_pruning import MagnitudePruningConfig, scheduled_counts
from supermask.sparse_training.sparse_momentum import SparseMomentumConfig

HORIZON = Horizon(1000, epoch=100)


def doubling(every: int) -> list[int]:
    """DSR's changes: the number of steps between them doubles after 12.5, 40 and 70% of the training."""
    periods = {step: every * 2 ** sum(step >= turn for turn in (125, 400, 700)) for step in range(1, 1000)}
    return [step for step, period in periods.items() if step % period == 0]


@pytest.mark.parametrize(
    ("name", "config", "expected"),
    [
        ("static", {}, []),
        ("dnw", {}, []),
        ("deep_r", {}, []),
        ("set", {}, range(20, 750, 20)),
        ("rigl", {}, range(20, 750, 20)),
        ("rigl", {"every": 10}, range(10, 750, 10)),
        ("set", {"every": 1, "until": 1.0}, range(1, 1000)),
        ("dsr", {}, doubling(20)),
        ("dsr", {"every": 25}, doubling(25)),
        ("dsr", {"every": 1, "doublings": ()}, range(1, 1000)),
        ("sparse_momentum", {}, range(100, 1000, 100)),
        ("sparse_momentum", {"every": 1}, range(1, 1000)),
        ("magnitude_pruning", {}, range(20, 501, 20)),
        ("magnitude_pruning", {"every": 30}, range(30, 481, 30)),
        ("magnitude_pruning", {"every": 1, "until": 1.0}, range(1, 1001)),
    ],
)
def test_masks_change_when_they_should(name, config, expected):
    entry = METHODS[name]
    method = entry.make(optax.sgd(0.1), HORIZON, entry.config(**config))
    steps = np.arange(1001)
    assert np.flatnonzero(np.broadcast_to(method.due(steps), steps.shape)).tolist() == list(expected)


def test_defaults_are_the_published_ones():
    assert PERIOD == 100
    assert DropAndGrowConfig() == DropAndGrowConfig(fraction=0.3, every=0, until=0.75)
    assert DeepRConfig() == DeepRConfig(shrinkage=1e-5, noise=1e-5)
    assert DSRConfig() == DSRConfig(threshold=1e-3, fraction=0.11, every=0, doublings=(0.125, 0.4, 0.7))
    assert MagnitudePruningConfig() == MagnitudePruningConfig(every=0, until=0.5)
    momentum = {"fraction": 0.5, "last_fraction": 0.005, "decay": 0.9, "dense_below": 0.2, "most_grown": 0.99}
    assert SparseMomentumConfig() == SparseMomentumConfig(every=0, **momentum)


@pytest.mark.parametrize(
    ("config", "name", "allowed", "refused"),
    [
        (DropAndGrowConfig, "fraction", (0, 1), (-0.01, 1.01)),
        (DropAndGrowConfig, "until", (0, 1), (-0.01, 1.01)),
        (DropAndGrowConfig, "every", (0, 1), (-1,)),
        (DSRConfig, "threshold", (1e-9, 2.0), (0, -1e-3)),
        (DSRConfig, "fraction", (0, 0.99), (-0.01, 1)),
        (DSRConfig, "every", (0, 1), (-1,)),
        (DSRConfig, "doublings", ((), (0, 1), (0.5,)), ((0.5, 1.01), (-0.01,))),
        (DeepRConfig, "shrinkage", (0, 2.0), (-1e-9, float("inf"))),
        (DeepRConfig, "noise", (0, 2.0), (-1e-9, float("inf"))),
        (MagnitudePruningConfig, "until", (0.01, 1), (0, 1.01)),
        (MagnitudePruningConfig, "every", (0, 1), (-1,)),
        (SparseMomentumConfig, "fraction", (0, 0.99), (-0.01, 1)),
        (SparseMomentumConfig, "last_fraction", (0, 0.99), (-0.01, 1)),
        (SparseMomentumConfig, "decay", (0, 0.99), (-0.01, 1)),
        (SparseMomentumConfig, "dense_below", (0, 1), (-0.01, 1.01)),
        (SparseMomentumConfig, "most_grown", (0.01, 1), (0, 1.01)),
        (SparseMomentumConfig, "every", (0, 1), (-1,)),
    ],
)
def test_configurations_are_allowed_up_to_their_bounds(config, name, allowed, refused):
    for value in allowed:
        assert getattr(config(**{name: value}), name) == value
    for value in refused:
        with pytest.raises(ValueError, match=f"{name} is .*; allowed: "):
            config(**{name: value})


def test_the_period_is_a_fiftieth_of_a_short_training():
    steps = (1, 49, 50, 99, 100, 149, 4_999, 5_000, 50_000)
    assert [Horizon(n, 10).period for n in steps] == [1, 1, 1, 1, 2, 2, 99, 100, 100]


def test_gradual_pruning_follows_the_published_cube():
    """Zhu & Gupta 2017: s_t = s_f (1 - (1 - t/T)³) from a dense network; counts are rounded down."""
    masks = {"hidden1": jnp.ones((10, 10), bool)}
    kept = {"hidden1": jnp.int32(10)}
    for step, expected in ((0, 100), (100, 47), (200, 21), (300, 11), (399, 10), (400, 10), (500, 10)):
        state = State(jnp.int32(step), jnp.zeros(2, jnp.uint32), masks, kept, (), ())
        assert int(scheduled_counts(state, 400)["hidden1"]) == expected


def test_a_cosine_goes_from_first_to_last_by_way_of_their_mean():
    fraction = Cosine(0.5, 0.1, 80)
    values = [float(fraction(jnp.int32(step))) for step in (0, 20, 40, 80, 100)]
    np.testing.assert_allclose(values, [0.5, 0.3 + 0.2 * np.sqrt(0.5), 0.3, 0.1, 0.1], rtol=1e-6)
    for first, last, name in ((1.1, 0.0, "first"), (0.5, -0.1, "last")):
        with pytest.raises(ValueError, match=f"{name} is"):
            Cosine(first, last, 10)


@pytest.mark.parametrize(
    ("total", "shares", "room", "expected"),
    [
        (100, [3.0, 1.0], [1000, 1000], [75, 25]),
        (100, [0.03, 0.01], [1000, 1000], [75, 25]),
        (100, [3.0, 1.0], [10, 1000], [10, 90]),
        (100, [2.0, 1.0, 1.0], [20, 1000, 1000], [20, 40, 40]),
        (10, [0.0, 0.0], [100, 100], [5, 5]),
        (10, [1.0, 0.0], [4, 100], [4, 6]),
        (10, [np.nan, 1.0], [100, 100], [0, 10]),
        (0, [1.0, 1.0], [5, 5], [0, 0]),
        (3, [1.0, 1.0], [5, 5], [2, 1]),
        (10, [1.0, 1.0], [5, 5], [5, 5]),
    ],
)
def test_weights_are_dealt_out_by_shares(total, shares, room, expected):
    dealt = apportion(jnp.int32(total), jnp.array(shares, jnp.float32), jnp.array(room, jnp.int32))
    assert dealt.tolist() == expected


def test_what_is_random_is_a_layers_own_whatever_the_order_of_layers():
    key = derive_key(0, Purpose.SPARSE_STRUCTURE)
    params = {layer: {"kernel": jnp.zeros((4, 5)), "bias": jnp.zeros(5)} for layer in ("output", "hidden1")}
    ordered = {layer: params[layer] for layer in sorted(params)}
    for layer, scores in at_random(key, params).items():
        np.testing.assert_array_equal(scores, at_random(key, ordered)[layer])
    kernels = {layer: leaves["kernel"] for layer, leaves in params.items()}
    masks = random_masks(key, kernels, {"output": 3, "hidden1": 7})
    for layer, index in (("hidden1", 0), ("output", 1)):
        own = jax.random.fold_in(jax.random.fold_in(key, 0), index)
        first = np.argsort(np.asarray(jax.random.bits(own, (20,))))[: {"output": 3, "hidden1": 7}[layer]]
        assert np.flatnonzero(masks[layer]).tolist() == sorted(first.tolist())
