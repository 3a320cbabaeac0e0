"""Masks: exact counts, nesting, ties by key, and the same mask however it is found."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from supermask import masks
from supermask.bits import pack, unpack
from supermask.keys import Purpose, derive_key
from supermask.masks import Rates
from supermask.overlaps import overlap_by_units, overlap_of

SHAPES = st.sampled_from([(1, 1), (3, 5), (9, 8)])  # few, because every shape is compiled
# Few distinct values, so that ties are the rule; and the odd ones that a diverged training leaves.
SCORES = hnp.arrays(
    np.float32, SHAPES, elements=st.sampled_from([-np.inf, -1.5, -0.0, 0.0, 1e-30, 2.0, np.inf, np.nan])
)
SMOOTH = hnp.arrays(np.float32, SHAPES, elements=st.floats(-1e3, 1e3, width=32))
KEYS = st.integers(0, 2**31 - 1).map(lambda seed: derive_key(seed, Purpose.TIES))
DECIMALS = st.integers(0, 9999).map(lambda n: n / 10_000)


def some_alive(scores: np.ndarray, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).random(scores.shape) < 0.8)


@given(KEYS, st.one_of(SCORES, SMOOTH), st.integers(0, 80))
def test_keep_best_keeps_the_best_and_exactly_that_many(key, scores, count):
    alive = some_alive(scores)
    mask = np.asarray(masks.keep_best(key, jnp.asarray(scores), alive, count))
    assert mask.sum() == min(count, int(alive.sum()))
    assert not (mask & ~np.asarray(alive)).any()
    comparable = np.nan_to_num(scores, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    pruned = np.asarray(alive) & ~mask
    if mask.any() and pruned.any():
        assert comparable[mask].min() >= comparable[pruned].max()


@given(KEYS, st.one_of(SCORES, SMOOTH))
def test_ranks_and_bisection_find_the_same_mask(key, scores):
    alive = some_alive(scores)
    ranks = np.asarray(masks.ranks(key, jnp.asarray(scores), alive))
    assert sorted(ranks.ravel()) == list(range(scores.size))
    for count in range(0, int(alive.sum()) + 1, 5):
        np.testing.assert_array_equal(ranks < count, masks.keep_best(key, jnp.asarray(scores), alive, count))


@given(hnp.arrays(np.uint64, st.integers(0, 200), elements=st.integers(0, 5)))
def test_equal_values_are_sorted_by_position(values):
    """Random bits rarely tie, so that scores never get here: what settles them is tested by itself."""
    np.testing.assert_array_equal(masks._stable_argsort(values), np.argsort(values, kind="stable"))


@given(KEYS, SCORES, st.integers(0, 81))
def test_jit_equals_eager_and_the_same_key_gives_the_same_mask(key, scores, count):
    arguments = (key, jnp.asarray(scores), some_alive(scores), count)
    compiled = masks.keep_best(*arguments)
    np.testing.assert_array_equal(masks.keep_best(*arguments), compiled)
    with jax.disable_jit():
        np.testing.assert_array_equal(masks.keep_best(*arguments), compiled)


def test_ties_are_broken_by_the_key_without_favour():
    scores, alive = jnp.zeros((20, 20)), jnp.ones((20, 20), bool)
    kept = [masks.keep_best(derive_key(seed, Purpose.TIES), scores, alive, 200) for seed in range(100)]
    assert len({np.asarray(mask).tobytes() for mask in kept}) == 100
    # Each weight is kept half of the time: 100 draws have a standard deviation of 5.
    times = np.sum(kept, axis=0)
    assert abs(times.mean() - 50) < 1e-9
    assert times.min() > 20
    assert times.max() < 80


@given(KEYS, DECIMALS, DECIMALS)
def test_prune_removes_exactly_the_floor_of_each_layer_and_nests(key, first, second):
    random = np.random.default_rng(0)
    sizes = {"hidden1": (13, 11), "output": (11, 3)}
    scores = {layer: jnp.asarray(random.normal(size=shape), jnp.float32) for layer, shape in sizes.items()}
    mask = masks.full_masks(scores)
    for _ in range(3):
        rates = {"hidden1": first, "output": second}
        after = masks.prune(key, scores, mask, rates)
        for layer in sizes:
            alive = int(mask[layer].sum())
            expected = alive - math.floor(Fraction(str(rates[layer])) * alive)
            assert int(after[layer].sum()) == expected
            assert not (after[layer] & ~mask[layer]).any()
        mask = after


@given(KEYS, SCORES, DECIMALS, DECIMALS)
def test_one_ranking_serves_every_level_and_levels_nest(key, scores, first, second):
    layers = {"hidden1": jnp.asarray(scores), "output": jnp.asarray(scores[::-1])}
    full = masks.full_masks(layers)
    ranks = masks.rank_layers(key, layers, full)
    counts = [{n: masks.share(fraction, scores.size) for n in layers} for fraction in sorted((first, second))]
    fewer, more = (masks.one_shot(ranks, count) for count in counts)
    direct = masks.keep_best_of_layers(key, layers, full, counts[0])
    for layer in layers:
        assert int(fewer[layer].sum()) == counts[0][layer]
        assert not (fewer[layer] & ~more[layer]).any()
        np.testing.assert_array_equal(fewer[layer], direct[layer])


def test_masks_of_another_shape_than_the_scores_are_refused():
    scores, key, masked = {"hidden1": jnp.ones((4, 4))}, derive_key(0, Purpose.TIES), jnp.ones((4, 3), bool)
    with pytest.raises(ValueError, match=r"masks\['hidden1'\]"):
        masks.prune(key, scores, {"hidden1": masked}, {"hidden1": 0.5})
    with pytest.raises(ValueError, match=r"masks\['hidden1'\]"):
        masks.prune_globally(key, scores, {"hidden1": masked}, 0.5)


def test_prune_leaves_a_layer_without_a_rate_as_it_is():
    scores = {"hidden1": jnp.ones((4, 4)), "output": jnp.ones((4, 2))}
    pruned = masks.prune(derive_key(0, Purpose.TIES), scores, masks.full_masks(scores), {"hidden1": 0.5})
    assert int(pruned["hidden1"].sum()) == 8
    assert pruned["output"].all()
    assert masks.kept_counts({"hidden1": 16, "output": 8}, {"hidden1": 0.5}, 1)[1] == {"hidden1": 8, "output": 8}


@given(KEYS, DECIMALS)
def test_global_ranking_removes_the_floor_of_the_network(key, rate):
    random = np.random.default_rng(1)
    scores = {"hidden1": jnp.asarray(random.normal(size=(9, 7)), jnp.float32), "output": jnp.full((7, 3), -9.0)}
    full = masks.full_masks(scores)
    pruned = masks.prune_globally(key, scores, full, rate)
    removed = math.floor(Fraction(str(rate)) * 84)
    assert sum(int(m.sum()) for m in pruned.values()) == 84 - removed
    assert int(pruned["output"].sum()) == max(21 - removed, 0), "the layer of lowest scores goes first"


def test_kept_counts_of_the_papers_network():
    sizes = {"hidden1": 235_200, "hidden2": 30_000, "output": 1_000}
    counts = masks.kept_counts(
        sizes, Rates().by_layer({"hidden1": "dense", "hidden2": "dense", "output": "output"}), 24
    )
    assert len(counts) == 25
    assert counts[1] == {"hidden1": 188_160, "hidden2": 24_000, "output": 900}
    # After 24 rounds about 0.5% of the hidden weights are left (the replication's last round).
    assert counts[24]["hidden1"] / 235_200 == pytest.approx(0.8**24, rel=5e-3)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 1.5, float("nan")])
def test_impossible_rates_are_refused_by_name(fraction):
    with pytest.raises(ValueError, match=r"rates\.dense is .*; allowed: 0 <= fraction < 1"):
        Rates(dense=fraction)
    scores = {"output": jnp.ones((4, 2))}
    with pytest.raises(ValueError, match=r"rate is .*; allowed: 0 <= fraction < 1"):
        masks.prune_globally(derive_key(0, Purpose.TIES), scores, masks.full_masks(scores), fraction)


@given(hnp.arrays(bool, SHAPES))
def test_packing_is_lossless(mask):
    bits = pack(mask)
    assert bits.size == -(-mask.size // 8)
    np.testing.assert_array_equal(unpack(bits, mask.shape), mask)


def test_unpacking_to_another_shape_is_refused():
    with pytest.raises(ValueError, match="holds 2 bytes"):
        unpack(pack(np.ones((3, 4), bool)), (5, 5))


def test_agreement_with_chance():
    random = np.random.default_rng(0)
    first, second = (jnp.asarray(random.random((300, 100)) < p) for p in (0.2, 0.4))
    compared = masks.agreement(first, second)
    assert compared.overlap == pytest.approx(compared.overlap_by_chance, abs=0.02)
    nested = masks.agreement(first, first | second)
    assert nested.overlap == 1.0
    assert masks.agreement(first, first).jaccard == 1.0
    assert masks.agreement(first, ~first).kept_both == 0
    empty = jnp.zeros((2, 2), bool)
    assert masks.agreement(empty, empty).jaccard == 1.0


def test_agreement_counts_by_hand():
    """Of 12 weights one mask keeps 6, the other 4, both 3; by chance 6 · 4 / 12."""
    first, second = np.zeros((3, 4), bool), np.zeros((3, 4), bool)
    first.flat[:6] = True
    second.flat[3:7] = True
    for one, other in ((first, second), (second, first)):
        found = masks.agreement(one, other)
        assert (found.size, found.kept_first, found.kept_second) == (12, one.sum(), other.sum())
        assert (found.kept_both, found.kept_both_by_chance, found.overlap) == (3, 2, 3 / 4)
        assert (found.overlap_by_chance, found.jaccard) == (6 / 12, 3 / 7)
    assert masks.agreement(first, np.zeros((3, 4), bool)).overlap == 0, "where one mask is empty, not an error"


def test_overlap_of_networks_sums_layers_before_it_divides():
    """Second layer: of 10 weights 2 and 5 are kept, 1 by both, by chance 1. In all 4 of at most 8, and 3 by chance."""
    first = {"a": np.arange(12) < 6, "b": np.arange(10) < 2}
    second = {"a": (np.arange(12) >= 3) & (np.arange(12) < 7), "b": (np.arange(10) >= 1) & (np.arange(10) < 6)}
    assert overlap_of(first, second) == (4 / 8, 3 / 8) == overlap_of(second, first)
    nothing = {layer: np.zeros_like(mask) for layer, mask in first.items()}
    assert overlap_of(first, nothing) == (0, 0)


def test_chance_by_input_units_knows_of_inputs_that_no_mask_keeps():
    """Two masks of the same two of four inputs agree as independent ones would that know these inputs."""
    first = {"a": np.array([[1, 0], [0, 1], [0, 0], [0, 0]], bool), "b": np.ones((1, 4), bool)}
    second = {"a": np.array([[0, 1], [0, 1], [0, 0], [0, 0]], bool), "b": np.array([[1, 1, 0, 0]], bool)}
    assert overlap_of(first, second) == (3 / 4, (2 * 2 / 8 + 4 * 2 / 4) / 4)
    assert overlap_by_units(first, second) == (1 / 2 + 1 / 2 + 2) / 4 == overlap_by_units(second, first)
