"""Parameters on two devices, under jit and inside shard_map; bfloat16; rounds inside scan."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import supermask as sm
from supermask.trees import present

KEY = jax.random.key(4)
MESH = jax.make_mesh((2,), ("x",), axis_types=(AxisType.Auto,))


def drawn(seed, dtype=jnp.float32):
    first, second = jax.random.split(jax.random.key(seed))
    return {
        "hidden": {"w": jax.random.normal(first, (20, 12), dtype), "b": jnp.ones(12, dtype)},
        "output": {"w": jax.random.normal(second, (12, 6), dtype), "b": None},
    }


def axes(leaf):
    """Matrices are cut by rows; biases are on both devices."""
    return P("x") if leaf.ndim == 2 else P()


def placed(tree):
    return jax.tree.map(lambda leaf: jax.device_put(leaf, NamedSharding(MESH, axes(leaf))), tree)


def on_shards(function, *trees):
    """The function inside shard_map, each device with its own rows; and what each makes of them alone."""
    specs = tuple(jax.tree.map(axes, tree) for tree in trees)
    halves = [[jax.tree.map(lambda w, i=i: rows(w, i), tree) for tree in trees] for i in range(2)]
    shapes = jax.eval_shape(function, *halves[0])
    out = jax.tree.map(axes, shapes)
    both = jax.jit(jax.shard_map(function, mesh=MESH, in_specs=specs, out_specs=out, check_vma=False))
    return both(*map(placed, trees)), [jax.jit(function)(*half) for half in halves]


def rows(leaf, index):
    half = leaf.shape[0] // 2
    return leaf[index * half : (index + 1) * half] if leaf.ndim == 2 else leaf


def same(first, second):
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    for one, other in pairs:
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def network_loss(params):
    hidden = jax.nn.relu(jnp.ones((1, 20), params["hidden"]["w"].dtype) @ params["hidden"]["w"])
    return jnp.sum((hidden @ params["output"]["w"]) ** 2).astype(jnp.float32)


@pytest.mark.parametrize(
    ("criterion", "ranking", "dtype"),
    [
        (sm.magnitude_increase, "layer", jnp.float32),
        (sm.random, "layer", jnp.bfloat16),
        (sm.snip, "global", jnp.bfloat16),
        (sm.iterative_snip(3), "global", jnp.float32),
    ],
)
def test_parameters_on_two_devices_are_pruned_and_restarted_as_whole_ones(criterion, ranking, dtype):
    """Under jit: the same masks and values to the bit, exact counts over both devices, and the leaves' own type."""

    @jax.jit
    def round_(initial, final):
        masks = sm.prune(KEY, initial, final, criterion, fraction=0.3, ranking=ranking, loss=network_loss)
        return masks, sm.restart(KEY, initial, final, masks, kept=sm.reshuffle, pruned=sm.init)

    initial, final = drawn(0, dtype), drawn(1, dtype)
    masks, params = round_(initial, final)
    same((masks, params), round_(placed(initial), placed(final)))
    assert sum(int(mask.sum()) for mask in present(masks).values()) == 312 - (93 if ranking == "global" else 72 + 21)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(dtype)}


def test_inside_shard_map_a_device_prunes_its_own_rows():
    function = lambda initial, final: sm.prune(KEY, initial, final, sm.movement, fraction=0.3)  # noqa: E731
    both, halves = on_shards(function, drawn(0), drawn(1))
    for index, own in enumerate(halves):
        same(jax.tree.map(partial(rows, index=index), both), own)
        assert {path: int(mask.sum()) for path, mask in present(own).items()} == {"hidden/w": 84, "output/w": 26}


def own_loss(params):
    """Of any number of rows: each device has a loss of its own."""
    return sum(jnp.sum(jnp.tanh(leaf) ** 3) for leaf in jax.tree.leaves(params))


def own_outputs(params):
    return jnp.concatenate([jnp.prod(1 + leaf, axis=0).ravel() for leaf in jax.tree.leaves(params)])


@pytest.mark.parametrize(
    "score",
    [sm.snip_scores(own_loss), sm.grasp_scores(own_loss), sm.synflow_scores(own_outputs)],
    ids=["snip", "grasp", "synflow"],
)
def test_inside_shard_map_a_device_prunes_its_own_rows_before_training(score):
    function = lambda params: sm.prune_at_initialisation(KEY, params, score, density=0.25, steps=2)  # noqa: E731
    both, halves = on_shards(function, drawn(0))
    for index, own in enumerate(halves):
        same(jax.tree.map(partial(rows, index=index), both), own)
        assert sum(int(mask.sum()) for mask in present(own).values()) == 156 - 117


@pytest.mark.parametrize("control", [sm.shuffled, sm.inverted])
def test_inside_shard_map_a_control_goes_by_the_devices_own_rows(control):
    function = lambda initial, final: sm.prune(KEY, initial, final, control(sm.movement), fraction=0.3)  # noqa: E731
    both, halves = on_shards(function, drawn(0), drawn(1))
    for index, own in enumerate(halves):
        same(jax.tree.map(partial(rows, index=index), both), own)


PARTS = {"hidden": "first", "output": "rest"}
OPTIMISERS = {
    "adafactor": optax.adafactor(1e-1, min_dim_size_to_factor=4),
    "muon": optax.contrib.muon(1e-1),
    "a part each": optax.multi_transform(
        {"first": optax.adamw(0.1, weight_decay=0.1), "rest": optax.sgd(0.1, momentum=0.9)},
        lambda params: {n: jax.tree.map(lambda _, n=n: PARTS[n], params[n]) for n in params},
    ),
}


def steps(optimiser, params, gradients, number=3):
    def step(carried, _):
        params, state = carried
        updates, state = optimiser.update(gradients, state, params)
        return (optax.apply_updates(params, updates), state), None

    return lax.scan(step, (params, optimiser.init(params)), None, length=number)[0]


@pytest.mark.parametrize(
    ("name", "dtype"), [("adafactor", jnp.float32), ("muon", jnp.bfloat16), ("a part each", jnp.bfloat16)]
)
def test_pruned_weights_stay_to_the_bit_on_both_devices_under_any_optimiser(name, dtype):
    """With the masks sharded beside the parameters: under jit, and inside shard_map."""
    params, gradients = drawn(2, dtype), drawn(3, dtype)
    masks = sm.prune(KEY, params, params, fraction=0.5)

    def train(params, gradients, masks):
        return steps(sm.freeze(OPTIMISERS[name], masks), params, gradients)[0]

    jitted = jax.jit(train)(*map(placed, (params, gradients, masks)))
    mapped, _ = on_shards(train, params, gradients, masks)
    for trained in (jitted, mapped):
        for path, mask in present(masks).items():
            before, after = (np.asarray(present(tree)[path].astype(jnp.float32)) for tree in (params, trained))
            np.testing.assert_array_equal(before[~mask], after[~mask])
            assert (before[mask] != after[mask]).mean() > 0.8


METHODS = ("set_training", "rigl", "deep_r", "dsr", "sparse_momentum", "dnw", "magnitude_pruning")


@pytest.mark.parametrize("name", METHODS)
def test_inside_shard_map_a_device_trains_its_own_rows_sparsely(name):
    change = {} if name in ("dnw", "deep_r") else {"every": 2}
    optimiser = getattr(sm, name)(optax.sgd(0.05, momentum=0.9), density=0.3, steps=40, key=KEY, **change)

    def train(params, gradients):
        masks = sm.masks_of(optimiser.init(params), params)
        params, state = steps(optimiser, sm.apply_masks(params, masks), gradients, 40)
        return params, sm.masks_of(state, params)

    (params, masks), halves = on_shards(train, drawn(2), drawn(3))
    for index, (own, own_masks) in enumerate(halves):
        same(jax.tree.map(partial(rows, index=index), masks), own_masks)
        for one, other in zip(jax.tree.leaves(params), jax.tree.leaves(own), strict=True):
            np.testing.assert_allclose(rows(one, index), other, rtol=1e-5, atol=1e-6)
    for path, mask in present(masks).items():
        assert not np.asarray(present(params)[path])[~np.asarray(mask)].any()


@pytest.mark.parametrize("method", ["bernoulli", "threshold", "edge_popup", "signed"])
def test_inside_shard_map_a_device_learns_a_mask_of_its_own_rows(method):
    learner = sm.learn_mask(method, **({"kept": 0.5} if method == "edge_popup" else {}))

    def learn(weights):
        scores = learner.init(KEY, weights)
        slope = jax.grad(lambda s: network_loss_of_rows(learner.apply(s, weights, KEY)))(scores)
        scores = jax.tree.map(lambda s, g: s - 0.1 * g, scores, slope)
        return scores, learner.masks(scores, weights)

    (scores, masks), halves = on_shards(learn, drawn(5))
    for index, (own, own_masks) in enumerate(halves):
        same(jax.tree.map(partial(rows, index=index), masks), own_masks)
        for one, other in zip(jax.tree.leaves(scores), jax.tree.leaves(own), strict=True):
            np.testing.assert_allclose(rows(one, index), other, rtol=1e-5, atol=1e-6)


def network_loss_of_rows(params):
    return sum(jnp.sum((leaf - 1) ** 2) for leaf in jax.tree.leaves(params))


def test_rounds_inside_scan_prune_exact_counts_and_masks_nest():
    final = drawn(1)

    def round_(masks, key):
        new = sm.prune(key, drawn(0), final, sm.movement, fraction=0.2, masks=masks)
        return new, new

    dense = sm.prune(KEY, final, final, fraction=0.0)
    _, rounds = jax.jit(lambda: lax.scan(round_, dense, jax.random.split(KEY, 4)))()
    kept, counts = 240, []
    for _ in range(4):
        kept -= kept // 5
        counts.append(kept)
    mask = np.asarray(rounds["hidden"]["w"])
    assert mask.sum((1, 2)).tolist() == counts
    assert not (mask[1:] & ~mask[:-1]).any()


def network_outputs(params):
    return jax.nn.relu(jnp.ones((1, 20), params["hidden"]["w"].dtype) @ params["hidden"]["w"]) @ params["output"]["w"]


def restarted(key, initial, final):
    masks = sm.prune(key, initial, final, sm.movement, fraction=0.5)
    return sm.restart(key, initial, final, masks, kept=sm.reshuffle_same_sign, pruned=sm.zero_if_shrunk)


def applied(key, initial, final):
    return sm.apply_masks(final, sm.prune(key, initial, final, fraction=0.5))


def frozen(key, initial, final):
    masks = sm.prune(key, initial, final, fraction=0.5)
    optimiser = sm.freeze(optax.adamw(0.1), masks)
    updates, _ = optimiser.update(initial, optimiser.init(final), final)
    return optax.apply_updates(final, updates)


def before_training(score):
    def prune(key, initial, final):
        return sm.prune_at_initialisation(key, final, score, density=0.25, steps=3)

    return prune


ALIKE = {
    **{"restart": restarted, "apply_masks": applied, "freeze": frozen},
    "snip": before_training(sm.snip_scores(network_loss)),
    "grasp": before_training(sm.grasp_scores(network_loss)),
    "synflow": before_training(sm.synflow_scores(network_outputs)),
    "shuffled": lambda key, initial, final: sm.prune(key, initial, final, sm.shuffled(sm.movement), fraction=0.5),
    "inverted": lambda key, initial, final: sm.prune(key, initial, final, sm.inverted(sm.movement), fraction=0.5),
}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("function", ALIKE.values(), ids=ALIKE)
def test_jit_vmap_and_scan_make_the_same_of_arrays(function, dtype):
    """Of two networks at once, and of one after the other, to the bit where masks are decided."""
    keys = jax.random.split(KEY, 2)
    networks = [(drawn(2 * n, dtype), drawn(2 * n + 1, dtype)) for n in range(2)]
    alone = [jax.jit(function)(key, *pair) for key, pair in zip(keys, networks, strict=True)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *networks)
    at_once = jax.jit(jax.vmap(function))(keys, *stacked)
    _, in_turn = jax.jit(lambda: lax.scan(lambda _, each: (None, function(each[0], *each[1])), None, (keys, stacked)))()
    for together in (at_once, in_turn):
        for n, single in enumerate(alone):
            own = jax.tree.map(lambda leaf, n=n: leaf[n], together)
            for one, other in zip(jax.tree.leaves(own), jax.tree.leaves(single), strict=True):
                assert one.dtype == other.dtype == (bool if function in list(ALIKE.values())[3:] else dtype)
                np.testing.assert_allclose(np.asarray(one, float), np.asarray(other, float), rtol=1e-2, atol=1e-6)
                np.testing.assert_array_equal(np.asarray(one) == 0, np.asarray(other) == 0)
    eager = function(keys[0], *networks[0])
    for one, other in zip(jax.tree.leaves(eager), jax.tree.leaves(alone[0]), strict=True):
        np.testing.assert_array_equal(np.asarray(one) == 0, np.asarray(other) == 0)
