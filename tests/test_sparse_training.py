"""Sparse training: what every method promises, and what each one does with its weights."""

import math
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supermask import networks
from supermask.evaluation import cross_entropy
from supermask.keys import Purpose, batch_order, derive_key
from supermask.masks import keep_best
from supermask.population import Placement, place
from supermask.sparse_training import METHODS, Horizon, densities, layer_counts, start
from supermask.sparse_training.base import apportion, inform
from supermask.sparse_training.dnw import TOP, largest
from supermask.sparse_training.dsr import DSRConfig
from supermask.sparse_training.magnitude_pruning import MagnitudePruningConfig
from supermask.sparse_training.runs import SparseRun
from supermask.sparse_training.sparse_momentum import Momentum, SparseMomentumConfig, growth_counts, sparse_momentum
from supermask.sparse_training.trainer import SparseJob, SparseTrainer
from supermask.training import TrainingConfig

SHAPES = {"hidden1": (64, 40), "hidden2": (40, 20), "output": (20, 10)}
STEPS = 14
HORIZON = Horizon(STEPS, epoch=6)
OPTIMISERS = {"adam": optax.adam(3e-3), "momentum": optax.sgd(0.1, momentum=0.9)}


def same_bits(first, second) -> bool:
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


@cache
def method_of(name: str, optimiser: str = "adam"):
    """The method with a change of the mask every other step, where it has a say in that."""
    entry = METHODS[name]
    config = entry.config(every=2) if "every" in entry.config.__dataclass_fields__ else entry.config()
    method = entry.make(OPTIMISERS[optimiser], HORIZON, config)
    return method, jax.jit(method.init), jax.jit(method.update)


@cache
def gradient(small_network):
    return jax.jit(jax.grad(lambda p, x, y: cross_entropy(small_network, p, x, y)))


def begin(name, small_network, seed=0, density=0.3):
    _, init, _ = method_of(name)
    params = networks.initialise(small_network, derive_key(seed, Purpose.INITIAL_WEIGHTS), (8, 8, 1))
    counts = layer_counts(SHAPES, density, "erk")
    state = init(derive_key(seed, Purpose.SPARSE_STRUCTURE), params, counts)
    return start(state, params), state


def walk(name, network, digits, params, state, first=0, last=STEPS, seed=0, update=None):
    """Each step's parameters, the state before and after it, and what it tells."""
    update = method_of(name)[2] if update is None else update
    for step in range(first, last):
        batch = batch_order(seed, len(digits.train), 60, step, step + 1)[0]
        images = jnp.asarray(digits.train.images[batch], jnp.float32) / digits.maximum
        grads = gradient(network)(params, images, jnp.asarray(digits.train.labels[batch]))
        before = state
        params, state, info = update(state, grads, params)
        yield params, before, state, info


@pytest.mark.parametrize("name", METHODS)
def test_every_method_keeps_its_promises_at_every_step(name, small_network, digits):
    """Exact counts, dead weights at zero, honest information, and no optimiser state where nothing is alive."""
    counts = layer_counts(SHAPES, 0.3, "erk")
    changed, begun = 0, begin(name, small_network)
    for params, before, state, info in walk(name, small_network, digits, *begun):
        live = {layer: int(mask.sum()) for layer, mask in state.masks.items()}
        if METHODS[name].exact == "layer":
            assert live == counts
        elif METHODS[name].exact == "total":
            assert sum(live.values()) == sum(counts.values())
        else:
            assert all(counts[layer] <= live[layer] <= int(before.masks[layer].sum()) for layer in live)
        assert min(live.values()) >= 1
        assert {layer: int(n) for layer, n in info.live.items()} == live
        for layer, mask in state.masks.items():
            kernel, mask, was = (np.asarray(leaf) for leaf in (params[layer]["kernel"], mask, before.masks[layer]))
            assert not kernel[~mask].any(), "dead weights are exactly zero in the forward pass"
            assert int(info.grown[layer]) == (mask & ~was).sum()
            changed += (mask != was).sum()
            if name != "dnw":
                moments = state.optimiser[0].mu[layer]["kernel"], state.optimiser[0].nu[layer]["kernel"]
                for moment in moments:
                    assert not np.asarray(moment)[~mask | ~was].any(), "a weight that comes alive starts afresh"
    assert (changed > 0) == (name != "static")
    assert live == counts or METHODS[name].exact == "total"


@pytest.mark.parametrize("name", METHODS)
def test_the_same_again_resumed_and_compiled_or_not(name, small_network, digits):
    params, state = begin(name, small_network)
    *_, straight = walk(name, small_network, digits, params, state)
    *_, again = walk(name, small_network, digits, params, state)
    assert same_bits((straight[0], straight[2]), (again[0], again[2]))
    *_, half = walk(name, small_network, digits, params, state, last=7)
    stored = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf).copy()), (half[0], half[2]))
    *_, resumed = walk(name, small_network, digits, *stored, first=7)
    assert same_bits((straight[0], straight[2]), (resumed[0], resumed[2]))
    compiled = method_of(name)[2]
    args = next(walk_arguments(name, small_network, digits, half))
    with jax.disable_jit():
        eager = method_of(name)[0].update(*args)
    for one, other in zip(jax.tree.leaves(eager), jax.tree.leaves(compiled(*args)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def walk_arguments(name, network, digits, moment):
    """The arguments of the update after the 8th step: one at which masks change."""
    params, _, state, _ = moment
    batch = batch_order(0, len(digits.train), 60, 7, 8)[0]
    images = jnp.asarray(digits.train.images[batch], jnp.float32) / digits.maximum
    yield state, gradient(network)(params, images, jnp.asarray(digits.train.labels[batch])), params


@pytest.mark.parametrize("name", METHODS)
def test_many_at_once_are_one_after_another(name, small_network, digits):
    method, _, compiled = method_of(name)
    arguments = []
    for seed, density in ((0, 0.3), (1, 0.1), (2, 0.1)):
        params, state = begin(name, small_network, seed, density)
        *_, last = walk(name, small_network, digits, params, state, last=7)
        arguments.append(next(walk_arguments(name, small_network, digits, last)))
    together = jax.jit(jax.vmap(method.update))(*jax.tree.map(lambda *leaves: jnp.stack(leaves), *arguments))
    for index, each in enumerate(arguments):
        alone, mine = compiled(*each), jax.tree.map(lambda leaf, index=index: leaf[index], together)
        for one, other in zip(jax.tree.leaves(alone), jax.tree.leaves(mine), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["rigl", "dnw"])
def test_any_optimiser_will_do(name, small_network, digits):
    _, init, update = method_of(name, "momentum")
    params = networks.initialise(small_network, derive_key(0, Purpose.INITIAL_WEIGHTS), (8, 8, 1))
    state = init(derive_key(0, Purpose.SPARSE_STRUCTURE), params, layer_counts(SHAPES, 0.3, "uniform"))
    *_, (params, _, state, _) = walk(name, small_network, digits, start(state, params), state, update=update)
    for layer, mask in state.masks.items():
        assert not np.asarray(params[layer]["kernel"])[~np.asarray(mask)].any()


def rewired(name, small_network, digits):
    """A state before a change of the mask, the gradient there, and the state after it."""
    params, state = begin(name, small_network)
    *_, last = walk(name, small_network, digits, params, state, last=7)
    state, grads, params = next(walk_arguments(name, small_network, digits, last))
    method = method_of(name)[0]
    params, state = method.advance(state, grads, params)
    assert method.due(state.step)
    after_params, after = method.rewire(state, grads, params)
    return params, grads, state, after_params, after


def test_rigl_drops_the_smallest_and_grows_where_the_gradient_is_largest(small_network, digits):
    params, grads, before, _, after = rewired("rigl", small_network, digits)
    for layer, mask in before.masks.items():
        was, now = np.asarray(mask), np.asarray(after.masks[layer])
        size, slope = np.abs(params[layer]["kernel"]), np.abs(grads[layer]["kernel"])
        dropped, grown = was & ~now, now & ~was
        # A weight that is dropped and grown at once is neither.
        drop = int(np.floor(0.15 * (1 + np.cos(np.pi * 8 / 10)) * was.sum()))
        survivors = was & (size >= np.sort(size[was])[drop])
        assert not (dropped & survivors).any()
        chosen = now & ~survivors
        assert chosen.sum() == drop
        assert slope[chosen].min() >= slope[~now].max()
        assert grown.sum() == dropped.sum() > 0


def test_dsr_moves_weights_to_the_layers_of_many_survivors(small_network, digits):
    params, state = begin("dsr", small_network)
    params = networks.with_kernels(params, {"hidden1": params["hidden1"]["kernel"] * 1e-3})
    method = method_of("dsr")[0]
    counts = {layer: int(mask.sum()) for layer, mask in state.masks.items()}
    moved, after = method.rewire(state._replace(step=jnp.int32(1)), params, params)
    now = {layer: int(mask.sum()) for layer, mask in after.masks.items()}
    assert sum(now.values()) == sum(counts.values())
    assert now["hidden1"] < counts["hidden1"]
    assert now["hidden2"] > counts["hidden2"]
    assert int((after.masks["hidden1"] & (jnp.abs(moved["hidden1"]["kernel"]) > 0)).sum()) >= 1, "one at least stays"
    assert float(after.own.value) == pytest.approx(DSRConfig().threshold / 2), "far too many went: the threshold halves"


def test_dsr_prefers_places_that_were_not_just_pruned(small_network):
    """Half of hidden1 falls below the threshold; there is room for what grows beside it."""
    params, state = begin("dsr", small_network)
    kernel = params["hidden1"]["kernel"]
    params = networks.with_kernels(
        params, {"hidden1": jnp.where(jnp.arange(kernel.size).reshape(kernel.shape) % 2, kernel, 0)}
    )
    _, after = method_of("dsr")[0].rewire(state._replace(step=jnp.int32(1)), params, params)
    pruned = state.masks["hidden1"] & (jnp.abs(params["hidden1"]["kernel"]) < DSRConfig().threshold)
    assert int(pruned.sum()) > 100
    assert int((after.masks["hidden1"] & ~state.masks["hidden1"]).sum()) > 10
    assert not (after.masks["hidden1"] & pruned).any()


OPTAX = {
    "adamw": optax.adamw(1e-3),
    "muon": optax.contrib.muon(1e-2),
    "clipped": optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3), optax.ema(0.9)),
    "a part each": optax.multi_transform(
        {"first": optax.adam(1e-3), "rest": optax.sgd(0.1, momentum=0.9)},
        {n: {"kernel": "first" if n == "hidden1" else "rest", "bias": "rest"} for n in SHAPES},
    ),
    "one number a layer": optax.novograd(1e-3),
    "factored": optax.adafactor(1e-3, min_dim_size_to_factor=8, momentum=0.9),
    "masked": optax.masked(optax.adam(1e-3), {n: {"kernel": True, "bias": False} for n in SHAPES}),
}


@pytest.mark.parametrize("optimiser", OPTAX.values(), ids=OPTAX)
def test_weights_that_come_alive_have_no_past_whatever_the_optimiser(optimiser, small_network):
    """Every leaf of the state that is of a kernel's weights is 0 where they come alive, and goes on where they stay."""
    params = networks.initialise(small_network, derive_key(0, Purpose.INITIAL_WEIGHTS), (8, 8, 1))
    method = METHODS["rigl"].make(optimiser, HORIZON, METHODS["rigl"].config(every=2))
    before = method.init(derive_key(0, Purpose.SPARSE_STRUCTURE), params, layer_counts(SHAPES, 0.3, "erk"))
    grads = jax.tree.map(
        lambda leaf: jnp.asarray(np.random.default_rng(1).normal(size=leaf.shape), jnp.float32), params
    )
    params, before = jax.jit(method.advance)(before, grads, start(before, params))
    before = before._replace(optimiser=jax.tree.map(lambda leaf: leaf + 1, before.optimiser), step=jnp.int32(2))
    params, after = jax.jit(method.rewire)(before, grads, params)
    seen = 0
    for (path, old), new in zip(
        jax.tree_util.tree_leaves_with_path(before.optimiser), jax.tree.leaves(after.optimiser), strict=True
    ):
        layers = [layer for layer, shape in SHAPES.items() if f"'{layer}'" in str(path) and new.shape == shape]
        grown = after.masks[layers[0]] & ~before.masks[layers[0]] if layers else np.zeros(new.shape, bool)
        seen += int(grown.sum())
        np.testing.assert_array_equal(new, np.where(grown | (~after.masks[layers[0]] if layers else False), 0, old))
    assert seen > 0


@pytest.mark.parametrize(
    ("optimiser", "message"),
    [
        (optax.flatten(optax.adam(1e-3)), r"state of shape \(3630,\) at .*mu; allowed where weights come alive"),
        (optax.lbfgs(), "no step of gradients, state and parameters alone"),
    ],
)
def test_optimisers_whose_state_of_a_weight_cannot_be_told_are_refused(optimiser, message, small_network):
    params = networks.initialise(small_network, derive_key(0, Purpose.INITIAL_WEIGHTS), (8, 8, 1))
    method = METHODS["rigl"].make(optimiser, HORIZON)
    counts, key = layer_counts(SHAPES, 0.3, "erk"), derive_key(0, Purpose.SPARSE_STRUCTURE)

    def first_step(params):
        return method.update(method.init(key, params, counts), params, params)

    with pytest.raises(ValueError, match=message):
        jax.eval_shape(first_step, params)


@pytest.mark.parametrize(
    ("name", "horizon", "every"),
    [
        ("magnitude_pruning", Horizon(60, 10), 100),
        ("magnitude_pruning", Horizon(0, 10), 0),
        ("rigl", Horizon(100, 10), 75),
        ("set", Horizon(1, 10), 0),
        ("dsr", Horizon(80, 10), 80),
        ("sparse_momentum", Horizon(10, 10), 0),
    ],
)
def test_a_training_that_ends_before_its_first_change_is_refused(name, horizon, every):
    """It would report a dense, or a static, network under the method's name."""
    entry = METHODS[name]
    with pytest.raises(ValueError, match=f"steps are {horizon.steps}; the method never changes its mask in so few"):
        entry.make(optax.sgd(0.1), horizon, entry.config(every=every))
    entry.make(optax.sgd(0.1), Horizon(1000, 10), entry.config(every=every))


def test_sparse_momentum_grows_where_the_mean_gradient_is_largest(small_network, digits):
    _, _, before, _, after = rewired("sparse_momentum", small_network, digits)
    for layer, mask in before.masks.items():
        new = np.asarray(after.masks[layer] & ~mask)
        momentum = np.abs(before.own.kernels[layer])
        still_dead = ~np.asarray(mask) & ~np.asarray(after.masks[layer])
        if new.any():
            assert momentum[new].min() >= momentum[still_dead].max()


def released_sparse_momentum(live, sizes, means, part, dense=0.2, most=0.99):
    """What the released code prunes of each layer and grows there, in our own words and in double precision.

    There what overflows goes round in equal parts until nothing does, in floats; here that is run to its end.
    """
    live, sizes, shares = np.array(live, float), np.array(sizes, float), np.array(means, float) / np.sum(means)
    rates = [
        min(part, 1 - k / n) if 1 - k / n < dense and share > 1 / len(live) else part
        for k, n, share in zip(live, sizes, shares, strict=True)
    ]
    pruned = np.ceil(np.array(rates) * live)
    limit = most * (sizes - live + pruned)
    grown, over = shares * pruned.sum(), np.inf
    while over > 1e-6:
        over = np.maximum(grown - limit, 0).sum()
        grown = np.minimum(grown, limit) + over / len(live)
    return pruned, grown


FC, CONV2 = ((784, 300), (300, 100), (100, 10)), ((3, 3, 3, 64), (3, 3, 64, 64), (1024, 256), (256, 10))


@pytest.mark.parametrize(
    ("shapes", "densities", "means", "part"),
    [
        (FC, (0.02, 0.02, 0.02), (1.0, 2.0, 5.0), 0.5),
        (FC, (0.05, 0.3, 0.9), (1.0, 3.0, 20.0), 0.5),
        (FC, (0.05, 0.85, 0.95), (1.0, 9.0, 30.0), 0.2),
        (FC, (0.05, 0.3, 0.9), (20.0, 3.0, 1.0), 0.5),
        (CONV2, (0.9, 0.3, 0.02, 0.85), (8.0, 2.0, 1.0, 4.0), 0.5),
        (CONV2, (0.1, 0.1, 0.1, 0.1), (8.0, 2.0, 1.0, 4.0), 0.3),
    ],
)
def test_sparse_momentum_prunes_and_grows_as_many_as_the_released_code(shapes, densities, means, part):
    """In a change of the masks of whole layers: by the mean of |M| over live weights, with both limits on fullness."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    live = [int(density * size) for density, size in zip(densities, sizes, strict=True)]
    names = [f"layer{index}" for index in range(len(shapes))]
    random = np.random.default_rng(0)
    masks, momentum, params = {}, {}, {}
    for name, shape, size, count, mean in zip(names, shapes, sizes, live, means, strict=True):
        masks[name] = random.permutation(np.arange(size) < count).reshape(shape)
        magnitude = random.uniform(0.5, 1.5, shape)
        magnitude *= np.where(masks[name], mean / magnitude[masks[name]].mean(), 100.0)  # dead weights don't count
        momentum[name] = jnp.asarray(magnitude * random.choice([-1, 1], shape), jnp.float32)
        params[name] = {"kernel": random.normal(size=shape).astype(np.float32), "bias": np.zeros(shape[-1], np.float32)}
    config = SparseMomentumConfig(fraction=part, last_fraction=part)
    method = sparse_momentum(optax.sgd(0.1), Horizon(100, 10), config)
    state = method.init(derive_key(0, Purpose.SPARSE_STRUCTURE), params, dict(zip(names, live, strict=True)), masks)
    state = state._replace(step=jnp.int32(10), own=Momentum(momentum))
    _, after = jax.jit(method.rewire)(state, params, start(state, params))
    pruned, grown = released_sparse_momentum(live, sizes, means, part)
    now = np.array([int(after.masks[name].sum()) for name in names])
    assert now.sum() == sum(live)
    np.testing.assert_allclose(now, np.array(live) - pruned + grown, atol=len(shapes))
    assert (np.abs(now - live) > 2 * len(shapes)).any(), "something moved"


def test_methods_that_move_weights_between_layers_start_at_one_density():
    """As published: DSR and sparse momentum. The others keep each layer's number, and start by Erdős–Rényi."""
    uniform = {name for name, entry in METHODS.items() if entry.distribution == "uniform"}
    assert uniform == {name for name, entry in METHODS.items() if entry.exact == "total"} == {"dsr", "sparse_momentum"}
    for name, entry in METHODS.items():
        assert SparseRun(name, 0.1).distribution == entry.distribution
    found = SparseRun(density=0.1, structure="dsr")
    assert found.source == SparseRun("dsr", 0.1, "uniform")
    assert SparseRun("dsr", 0.1, "erk").distribution == "erk"
    conv2 = {"conv1": (3, 3, 3, 64), "conv2": (3, 3, 64, 64), "hidden1": (16384, 256), "hidden2": (256, 256)}
    for density in (0.1, 0.02):
        counts = layer_counts(conv2 | {"output": (256, 10)}, density, METHODS["dsr"].distribution)
        for layer, shape in conv2.items():
            assert abs(counts[layer] - density * math.prod(shape)) < 1, "the same part of every tensor"


def test_layers_that_are_nearly_full_still_take_what_was_pruned():
    dead, pruned = jnp.array([100, 50], jnp.int32), jnp.int32(149)
    grown = growth_counts(pruned, jnp.array([0.9, 0.1]), dead, 0.99)
    assert grown.tolist() in ([100, 49], [99, 50])


@pytest.mark.parametrize(("magnitude", "factor"), [(1e-2, 2.0), (1e-4, 0.5)])
def test_dsrs_threshold_doubles_when_too_few_went_and_halves_when_too_many_did(magnitude, factor):
    kernel = jnp.full((20, 10), magnitude)
    params = {"output": {"kernel": kernel, "bias": jnp.zeros(10)}}
    method = METHODS["dsr"].make(optax.sgd(0.1), HORIZON)
    state = method.init(derive_key(0, Purpose.SPARSE_STRUCTURE), params, {"output": 50})
    _, after = method.rewire(state._replace(step=jnp.int32(1)), params, start(state, params))
    assert float(after.own.value) == pytest.approx(factor * DSRConfig().threshold)


@pytest.mark.parametrize(("small", "factor"), [(98, 2.0), (99, 1.0), (100, 1.0), (121, 1.0), (123, 0.5)])
def test_dsrs_threshold_stays_within_a_tenth_of_the_number_aimed_at(small, factor):
    """1,000 live weights of which N is 110: H stays for 99 to 121 that went."""
    values = jnp.concatenate([jnp.full(small, 1e-4), jnp.full(1000 - small, 1.0), jnp.zeros(1000)]).reshape(200, 10)
    params = {"output": {"kernel": values, "bias": jnp.zeros(10)}}
    method = METHODS["dsr"].make(optax.sgd(0.1), HORIZON)
    masks = {"output": np.arange(2000).reshape(200, 10) < 1000}
    state = method.init(derive_key(0, Purpose.SPARSE_STRUCTURE), params, {"output": 1000}, masks)
    _, after = method.rewire(state._replace(step=jnp.int32(1)), params, params)
    assert float(after.own.value) == pytest.approx(factor * DSRConfig().threshold)


def test_dnw_lets_a_dead_edge_overtake_a_live_one(small_network):
    """Two edges of one layer, one live; the gradient pulls the dead one up until it is the larger."""
    method = METHODS["dnw"].make(optax.sgd(0.1), HORIZON)
    params = {"output": {"kernel": jnp.array([[1.0], [0.5]]), "bias": jnp.zeros(1)}}
    state = method.init(derive_key(0, Purpose.SPARSE_STRUCTURE), params, {"output": 1})
    live = start(state, params)
    assert live["output"]["kernel"].ravel().tolist() == [1.0, 0.0]
    pull = {"output": {"kernel": jnp.array([[0.0], [-1.0]]), "bias": jnp.zeros(1)}}
    for _ in range(6):
        live, state, _ = method.update(state, pull, live)
    np.testing.assert_allclose(live["output"]["kernel"].ravel(), [0.0, 1.1], rtol=1e-6)
    np.testing.assert_allclose(state.own.weights["output"].ravel(), [1.0, 1.1], rtol=1e-6)


WEIGHTS = st.lists(st.sampled_from([0.0, -0.0, 1e-30, 0.5, -0.5, 0.7, -3.0, np.inf, np.nan]), min_size=15, max_size=15)


@given(
    st.one_of(WEIGHTS, st.lists(st.floats(-1e3, 1e3, width=32), min_size=15, max_size=15)),
    st.integers(1, 15),
    st.integers(0, TOP),
    st.floats(0, 1e6, width=32),
)
def test_the_largest_are_found_from_any_guess(values, count, guess, slope):
    weights, key = jnp.array(values, jnp.float32).reshape(3, 5), derive_key(0, Purpose.TIES)
    scores = jnp.where(jnp.isnan(weights), -jnp.inf, jnp.abs(weights))
    found, threshold, _ = _largest(key, weights, jnp.int32(count), jnp.uint32(guess), jnp.float32(slope))
    np.testing.assert_array_equal(found, keep_best(key, scores, jnp.ones((3, 5), bool), count))
    again, _, _ = _largest(key, weights, jnp.int32(count), threshold, jnp.float32(slope))
    np.testing.assert_array_equal(found, again)


_largest = jax.jit(largest)


@given(st.data(), st.integers(1, 6))
def test_apportioning_is_exact_and_leaves_nobody_more_than_there_is_room_for(data, layers):
    shares = data.draw(st.lists(st.floats(0, 1e4, width=32), min_size=layers, max_size=layers))
    room = data.draw(st.lists(st.integers(0, 100_000), min_size=layers, max_size=layers))
    total = data.draw(st.integers(0, sum(room)))
    dealt = np.asarray(apportion(jnp.int32(total), jnp.array(shares), jnp.array(room, jnp.int32)))
    assert dealt.sum() == total
    assert (dealt >= 0).all()
    assert (dealt <= np.array(room)).all()
    if sum(shares) and all(total * share / sum(shares) <= space for share, space in zip(shares, room, strict=True)):
        np.testing.assert_allclose(dealt, total * np.array(shares) / sum(shares), atol=layers, rtol=1e-5)


CONV6 = {
    **{f"conv{n}": (3, 3, *sizes) for n, sizes in enumerate(pairwise([3, 64, 64, 128, 128, 256, 256]), 1)},
    **{"hidden1": (4096, 256), "hidden2": (256, 256), "output": (256, 10)},
}


@pytest.mark.parametrize(
    ("wanted", "sizes", "density", "counts"),
    [
        ((1.2, 1.7), (5, 5), 0.3, (1, 2)),  # the largest remainder gets what is left
        ((2.9, 1.0), (2, 8), 0.4, (2, 2)),  # but a full layer no more than it holds
        ((3.0, 2.5), (3, 3), 0.5, (2, 1)),  # those too many are taken from the smallest remainders, in turn
        ((0.5, 0.5), (5, 5), 0.1, (1, 0)),  # equal ones by name
    ],
)
def test_shares_are_rounded_by_largest_remainders(wanted, sizes, density, counts):
    layers = ("a", "b")
    shapes = {layer: (size,) for layer, size in zip(layers, sizes, strict=True)}
    found = densities._rounded(dict(zip(layers, wanted, strict=True)), shapes, density)
    assert tuple(found[layer] for layer in layers) == counts


@given(st.integers(0, 6).flatmap(lambda digits: st.integers(1, 10**digits).map(lambda n: Fraction(n, 10**digits))))
@example(Fraction(2, 100_000))
@example(Fraction(99_999, 100_000))
@example(Fraction(1))
def test_densities_are_exact_in_total_and_near_their_share_in_every_layer(density):
    """floor(density × weights) in all, and in each layer its share, up to the one that starved layers get."""
    for shapes in ({"hidden1": (784, 300), "hidden2": (300, 100), "output": (100, 10)}, CONV6):
        sizes = {layer: math.prod(shape) for layer, shape in shapes.items()}
        total = math.floor(density * sum(sizes.values()))
        if total < len(shapes):
            with pytest.raises(ValueError, match="without a weight"):
                layer_counts(shapes, float(density), "erk")
            continue
        for distribution in ("uniform", "erk"):
            counts = layer_counts(shapes, float(density), distribution)
            assert sum(counts.values()) == total
            assert all(1 <= counts[layer] <= size for layer, size in sizes.items())
        counts = layer_counts(shapes, float(density), "uniform")
        starved = sum(density * size < 1 for size in sizes.values())
        for layer, size in sizes.items():
            assert abs(counts[layer] - max(density * size, 1)) < 1 + starved


def test_erdos_renyi_densities_go_by_the_sums_of_dimensions():
    shapes = {"hidden1": (784, 300), "hidden2": (300, 100), "output": (100, 10)}
    assert layer_counts(shapes, 0.02, "uniform") == {"hidden1": 4704, "hidden2": 600, "output": 20}
    counts = layer_counts(shapes, 0.02, "erk")
    assert sum(counts.values()) == 5324
    assert counts["hidden1"] / counts["hidden2"] == pytest.approx(1084 / 400, rel=2e-3)
    dense_output = layer_counts(shapes, 0.1, "erk")
    assert dense_output["output"] == 1000, "a layer that would be more than dense is dense"
    assert sum(dense_output.values()) == 26_620
    assert layer_counts(shapes, 1.0, "erk") == {"hidden1": 235_200, "hidden2": 30_000, "output": 1000}


def test_the_first_layer_may_be_dense_where_it_is_small():
    shapes = {"conv1": (3, 3, 3, 8), "hidden1": (100, 30), "output": (30, 10)}
    counts = layer_counts(shapes, 0.2, "first_dense")
    assert counts["conv1"] == 216
    assert sum(counts.values()) == math.floor(0.2 * 3516)
    assert counts["hidden1"] == pytest.approx(10 * counts["output"], abs=10)
    assert layer_counts(shapes, 1.0, "first_dense") == {"conv1": 216, "hidden1": 3000, "output": 300}
    with pytest.raises(ValueError, match=r"density is 0.05; allowed with conv1 dense: 0.06143 or more"):
        layer_counts(shapes, 0.05, "first_dense")


@pytest.mark.parametrize(("density", "message"), [(0.0, "without a weight"), (1.5, "density is 1.5"), (-1, "density")])
def test_impossible_densities_are_refused(density, message):
    with pytest.raises(ValueError, match=message):
        layer_counts(SHAPES, density, "uniform")
    with pytest.raises(ValueError, match="distribution is 'even'"):
        layer_counts(SHAPES, 0.5, "even")


@pytest.mark.parametrize("name", [n for n, entry in METHODS.items() if "every" in entry.config.__dataclass_fields__])
def test_impossible_configurations_are_refused_by_name(name):
    with pytest.raises(ValueError, match="every is -1"):
        METHODS[name].config(every=-1)
    other = "until" if "until" in METHODS[name].config.__dataclass_fields__ else "fraction"
    with pytest.raises(ValueError, match=f"{other} is 1.5"):
        METHODS[name].config(**{other: 1.5})


CONFIG = TrainingConfig(120, 3e-3, evaluate_every=50)


def sparse_trainer(small_network, digits, name, **changes):
    placement = Placement(tuple(jax.devices()), 2)
    trainer = SparseTrainer(small_network, digits, CONFIG, placement, METHODS[name], OPTIMISERS["adam"])
    return replace(trainer, **changes)


def job(small_network, seed, density, masks=None):
    params = networks.initialise(small_network, derive_key(seed, Purpose.INITIAL_WEIGHTS), (8, 8, 1))
    return SparseJob(params, layer_counts(SHAPES, density, "erk"), seed, masks)


@pytest.mark.parametrize("name", ["rigl"])
def test_the_trainer_takes_the_same_steps_as_the_update(name, small_network, digits):
    """Its loop takes the method apart; the parts do what the whole does, and the history tells of it."""
    trainer = sparse_trainer(small_network, digits, name)
    trained, structure = trainer.train([job(small_network, 0, 0.2)])[0]
    begun = trainer.begin(job(small_network, 0, 0.2))
    update, grown = jax.jit(trainer.method.update), dict.fromkeys(begun.moving.grown, 0)
    walked = walk(name, small_network, digits, begun.moving.params, begun.moving.method, last=120, update=update)
    for params, before, state, _ in walked:  # noqa: B007 (the last ones are compared below)
        new = inform(before.masks, state.masks).grown
        grown = {layer: grown[layer] + int(new[layer]) for layer in grown}
    for layer, leaves in params.items():
        np.testing.assert_allclose(trained.params[layer]["kernel"], leaves["kernel"], atol=1e-4)
    assert np.mean([np.mean(structure.last[n] == np.asarray(state.masks[n])) for n in grown]) > 0.999
    assert trained.evaluated_at.tolist() == [0, 50, 100, 120]
    assert structure.live.shape == structure.grown.shape == (4, 3)
    np.testing.assert_allclose(structure.grown[-1], [grown[layer] for layer in sorted(grown)], rtol=0.02)


@pytest.mark.thorough
def test_seeds_and_densities_train_together_as_alone_and_a_structure_can_be_given(small_network, digits):
    trainer = sparse_trainer(small_network, digits, "dsr")
    jobs = [job(small_network, seed, density) for density in (0.5, 0.1) for seed in (0, 1, 2)]
    together = trainer.train(jobs)
    assert same_bits(together[4], trainer.train([jobs[4]])[0])
    static = sparse_trainer(small_network, digits, "static")
    given = static.train([job(small_network, 1, 0.1, together[4].structure.last)])[0]
    assert same_bits(given.structure.first, together[4].structure.last)
    assert same_bits(given.structure.last, together[4].structure.last)


def test_pruning_reports_the_network_that_is_as_sparse_as_asked(small_network, digits):
    trained, structure = sparse_trainer(small_network, digits, "magnitude_pruning").train([job(small_network, 0, 0.1)])[
        0
    ]
    assert trained.early_stop >= 60, "before half of the training it is still denser"
    assert structure.live[-1].sum() == sum(layer_counts(SHAPES, 0.1, "erk").values())
    assert trained.test_at_early_stop.accuracy > 0.5


def test_a_change_after_the_last_step_is_made(small_network, digits):
    """Pruning until the end: the last weights go after the last step, and what is reported is without them."""
    late, config = MagnitudePruningConfig(every=1, until=1.0), replace(CONFIG, steps=20)
    trainer = sparse_trainer(small_network, digits, "magnitude_pruning", method_config=late, config=config)
    _, structure = trainer.train([job(small_network, 0, 0.1)])[0]
    assert structure.live[-1].sum() == sum(layer_counts(SHAPES, 0.1, "erk").values())


@pytest.mark.slow
def test_moving_weights_beats_leaving_them(small_network, digits):
    """At 3% of the weights, three seeds: every way of moving weights learns more than the fixed random mask."""
    config = TrainingConfig(600, 3e-3)
    jobs = [job(small_network, seed, 0.03) for seed in range(3)]
    accuracy = {}
    for name in ("static", "set", "rigl", "dnw"):
        trainer = sparse_trainer(small_network, digits, name, config=config, placement=place(4000, networks=3))
        accuracy[name] = np.mean([float(t.trained.test_at_early_stop.accuracy) for t in trainer.train(jobs)])
    assert min(accuracy["set"], accuracy["rigl"], accuracy["dnw"]) > accuracy["static"] + 0.02, accuracy
