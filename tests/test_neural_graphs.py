"""Neural graphs: their three settings against plain loops, their wirings, their method, and what training finds."""

from functools import cache

import jax
import jax.numpy as jnp
import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supermask.evaluation import cross_entropy
from supermask.keys import Purpose, batch_order, derive_key
from supermask.lottery import initial_of
from supermask.masks import keep_best
from supermask.networks import kernels_of, logits, with_kernels
from supermask.neural_graphs import nodes as node_functions
from supermask.neural_graphs.discovery import DISCOVER
from supermask.neural_graphs.graph import EDGES, SETTINGS, NeuralGraph, _step
from supermask.neural_graphs.nodes import EPSILON, by_node, centre, filter_matrices, filtered
from supermask.neural_graphs.runs import DISCOVERED, WIRINGS, GraphRun, candidates, graph_job
from supermask.neural_graphs.wirings import RANDOM_WIRINGS, random_wiring
from supermask.population import Placement, place
from supermask.shared_weights import share_one_weight, typical_weight
from supermask.sparse_training import Horizon, start
from supermask.sparse_training.runs import sgd_cosine
from supermask.sparse_training.trainer import SparseTrainer
from supermask.training import TrainingConfig

SHAPE = (8, 8, 1)
SMALL = {"nodes": 22, "edges": 60, "inputs": 4, "features": 6, "side": 4, "steps": 4}


def graph_of(setting: str, **changes: object) -> NeuralGraph:
    return NeuralGraph(setting, **(SMALL | changes))


def some_parts(graph: NeuralGraph, seed: int = 0):
    """Inputs, weights of edges of which many are dead, and parameters of nodes; offsets too are not 0."""
    random, acting = np.random.default_rng(seed), graph.nodes
    live = random.permutation(graph.possible_edges) < graph.edges
    draw = lambda *shape: random.normal(size=shape).astype(np.float32)  # noqa: E731
    nodes = {"filter": draw(3, 3, acting) / 2, "scale": 1 + draw(acting) / 4, "offset": draw(acting) / 4}
    return draw(3, 4, 4, graph.inputs), np.where(live, draw(graph.possible_edges), 0).astype(np.float32), nodes


def found(graph: NeuralGraph, x, weights, nodes):
    """What the graph itself makes of them."""
    act = {"static": graph._static, "discrete": graph._discrete, "continuous": graph._continuous}[graph.setting]
    table = jnp.asarray(weights).reshape(graph.nodes, graph.nodes)
    return as_images(jax.jit(act)(maps_of(x), table, with_matrices(nodes, x)), x)


def maps_of(x):
    """Images, as the graph's own parts take them."""
    return by_node(jnp.asarray(x)).reshape(x.shape[-1], -1, x.shape[0])


def with_matrices(nodes, x):
    """Parameters of nodes as the graph's own parts take them."""
    return jax.tree.map(jnp.asarray, nodes | {"filter": filter_matrices(jnp.asarray(nodes["filter"]), x.shape[1:3])})


def as_images(maps, x):
    """Back from `by_node`."""
    return np.asarray(maps).transpose(2, 1, 0).reshape(*x.shape[:3], -1)


def act(x, nodes, index):
    """One node's filter, by loops: (batch, height, width) to the same."""
    out = np.zeros_like(x)
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            for di in (-1, 0, 1):
                for dj in (-1, 0, 1):
                    if 0 <= i + di < x.shape[1] and 0 <= j + dj < x.shape[2]:
                        out[:, i, j] += nodes["filter"][1 + di, 1 + dj, index] * x[:, i + di, j + dj]
    return out


def norm(x, nodes, index):
    centred = x - x.mean((1, 2), keepdims=True)
    return (
        centred / np.sqrt(np.square(centred).mean((1, 2), keepdims=True) + EPSILON) * nodes["scale"][index]
        + nodes["offset"][index]
    )


def live_edges(graph, weights):
    """The edges with a weight, and nothing of the others: what is dead cannot contribute."""
    return [(i, j, w) for i, j, w in zip(*graph.endpoints(), weights, strict=True) if w]


def step_by_loops(graph, x, weights, nodes):
    sent = [act(np.maximum(x[..., n], 0), nodes, n) for n in range(graph.nodes)]
    arrived = np.zeros_like(x)
    for i, j, w in live_edges(graph, weights):
        arrived[..., j] += w * sent[i]
    return np.stack([norm(arrived[..., n], nodes, n) for n in range(graph.nodes)], axis=-1)


def all_nodes(graph, x):
    return np.concatenate([x, np.zeros((*x.shape[:3], graph.nodes - graph.inputs), np.float32)], axis=-1)


def test_a_static_graph_is_what_its_blocks_do_one_after_another():
    """Each node acts after all that leads to it; edges of the last block lead to the features, which are in it."""
    graph = graph_of("static")
    x, weights, nodes = some_parts(graph)
    arrived = all_nodes(graph, x).astype(np.float64)
    ends = np.cumsum(graph.blocks)
    for begin, end in zip(ends - graph.blocks, ends, strict=True):
        first = end if end < graph.nodes else graph.nodes - graph.features
        sent = {n: act(np.maximum(norm(arrived[..., n], nodes, n), 0), nodes, n) for n in range(begin, end)}
        for i, j, w in live_edges(graph, weights):
            if i in sent and j >= first:
                arrived[..., j] += w * sent[i]
    np.testing.assert_allclose(found(graph, x, weights, nodes), arrived[..., -graph.features :], atol=2e-4)


def test_edges_that_carry_nothing_are_those_whose_weight_does_not_matter():
    """In the static setting alone: a gradient tells which; and without the features' own block they are acyclic."""
    for setting in SETTINGS[:2]:
        graph = graph_of(setting)
        x, _, nodes = some_parts(graph)
        weights = np.random.default_rng(3).normal(size=graph.possible_edges).astype(np.float32)
        act = {"static": graph._static, "discrete": graph._discrete}[setting]
        carries = jax.jit(jax.grad(lambda t, act=act, x=x, n=nodes: act(maps_of(x), t, with_matrices(n, x))[0].var()))
        told = np.asarray(carries(jnp.asarray(weights).reshape(graph.nodes, graph.nodes))).ravel() != 0
        assert not (told & ~graph.carrying()).any()
        assert graph.carrying().all() == (setting == "discrete")
    graph = graph_of("static")
    source, target = graph.endpoints()
    block = np.repeat(np.arange(len(graph.blocks)), graph.blocks)
    carrying = graph.carrying()
    last = block[source] == len(graph.blocks) - 1
    np.testing.assert_array_equal(
        carrying, np.where(last, target >= graph.nodes - graph.features, block[source] < block[target])
    )
    pairs = np.stack([source, target], axis=1)[carrying & ~last].tolist()
    assert networkx.is_directed_acyclic_graph(networkx.DiGraph(pairs))


def test_a_discrete_graph_takes_its_steps_through_the_same_edges():
    graph = graph_of("discrete")
    x, weights, nodes = some_parts(graph)
    state = all_nodes(graph, x)
    for _ in range(graph.steps):
        state = step_by_loops(graph, state, weights, nodes)
    np.testing.assert_allclose(found(graph, x, weights, nodes), state[..., -graph.features :], atol=5e-4)


def test_a_continuous_graph_is_integrated_to_second_order(monkeypatch):
    """Against 200 classical Runge-Kutta steps: some four times closer with twice the steps.

    With a larger ε than the graphs': theirs makes the rate of change jump where a node's first input arrives.
    """
    monkeypatch.setattr(node_functions, "EPSILON", 0.1)
    graph = graph_of("continuous")
    x, weights, nodes = some_parts(graph)
    change = jax.jit(lambda y: _one_step(graph, y, weights, with_matrices(nodes, x)))
    y, h = maps_of(all_nodes(graph, x)), 1 / 200
    for _ in range(200):
        k1 = change(y)
        k2 = change(y + h / 2 * k1)
        k3 = change(y + h / 2 * k2)
        k4 = change(y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    exact = as_images(y, x)[..., -graph.features :]
    errors = {}
    for steps in (8, 16, 32):
        ends = found(graph_of("continuous", ode_steps=steps), x, weights, nodes)
        errors[steps] = float(np.abs(ends - exact).max() / exact.std())
    assert errors[8] < 0.05, errors
    assert errors[32] < errors[8] / 6, errors


def _one_step(graph, y, weights, nodes):
    """A discrete step for all nodes."""
    return _step(y, jnp.asarray(weights).reshape(graph.nodes, graph.nodes), nodes)


def test_a_step_is_what_every_node_does():
    graph = graph_of("discrete")
    _, weights, nodes = some_parts(graph)
    y = np.random.default_rng(1).normal(size=(2, 4, 4, graph.nodes)).astype(np.float32)
    found = as_images(_one_step(graph, maps_of(y), weights, with_matrices(nodes, y)), y)
    np.testing.assert_allclose(found, step_by_loops(graph, y, weights, nodes), atol=1e-4)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(0, 9))
def test_filters_as_matrices_are_a_grouped_convolution(height, width, stride, seed):
    """Each map by its own filter, zeros outside, of every so manieth position; odd shapes included."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(2, height, width, 5)).astype(np.float32)
    filters = random.normal(size=(3, 3, 5)).astype(np.float32)
    expected = jax.lax.conv_general_dilated(
        *(x, filters[:, :, None], (stride, stride), [(1, 1), (1, 1)]),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=5,
    )
    found = filtered(maps_of(x), filter_matrices(jnp.asarray(filters), (height, width), stride))
    np.testing.assert_allclose(found, maps_of(expected), atol=1e-5)


@pytest.mark.parametrize(("shape", "top", "left"), [((8, 8), 2, 2), ((7, 5), 1, 0), ((4, 2), 0, 0)])
def test_features_are_read_near_the_middle(shape, top, left):
    x = np.random.default_rng(0).normal(size=(3, *shape, 6)).astype(np.float32)
    expected = x[:, top : top + 2, left : left + 2].mean((1, 2))
    np.testing.assert_allclose(centre(maps_of(x), shape), expected, atol=1e-6)


@pytest.mark.parametrize("wiring", RANDOM_WIRINGS)
@pytest.mark.parametrize("setting", ["static", "discrete"])
def test_random_wirings_have_exactly_so_many_edges_and_are_the_seeds_own(wiring, setting):
    graph = NeuralGraph(setting, nodes=120, edges=500, inputs=10, features=20)
    live = random_wiring(graph, wiring, 0)
    assert live.sum() == graph.edges
    np.testing.assert_array_equal(live, random_wiring(graph, wiring, 0))
    assert (live != random_wiring(graph, wiring, 1)).any()
    others = [random_wiring(graph, name, 0) for name in RANDOM_WIRINGS if name != wiring]
    assert all((live != other).any() for other in others)


def test_a_family_without_enough_edges_says_how_many_it_has():
    """The densest Barabási-Albert graph has a quarter of nodes² edges: half of all pairs, whichever way they lead."""
    graph = NeuralGraph("discrete", nodes=60, edges=901, inputs=10, features=20)
    with pytest.raises(ValueError, match=r"edges is 901; graphs of the family 'barabasi_albert' have at most \d+ here"):
        random_wiring(graph, "barabasi_albert", 0)


def test_each_family_has_its_marks():
    """Barabási-Albert graphs have hubs among the oldest nodes; Watts-Strogatz ones join neighbours often."""
    graph = NeuralGraph("discrete", nodes=400, edges=1600, inputs=10, features=20)
    source, target = graph.endpoints()
    degree, near = {}, {}
    for wiring in RANDOM_WIRINGS:
        live = random_wiring(graph, wiring, 0)
        degree[wiring] = np.bincount(np.concatenate([source[live], target[live]]), minlength=graph.nodes)
        apart = np.abs(source[live] - target[live])
        near[wiring] = np.mean(np.minimum(apart, graph.nodes - apart) <= 4)
    assert degree["barabasi_albert"].max() > 2 * degree["uniform"].max()
    assert degree["barabasi_albert"].argmax() < 40
    assert near["watts_strogatz"] > 5 * near["uniform"]
    assert near["erdos_renyi"] < 2 * near["uniform"]


@given(st.sampled_from(SETTINGS), st.integers(0, 3), st.sampled_from([w for w in WIRINGS if w != DISCOVERED]))
def test_every_wiring_fits_any_number_of_edges_or_says_so(setting, seed, wiring):
    graph = graph_of(setting, edges=graph_of(setting).possible_edges // 5)
    assert candidates(graph, wiring, seed).sum() == graph.edges
    everything = graph_of(setting, edges=graph_of(setting).possible_edges)
    if wiring == "uniform" and setting != "static":
        assert candidates(everything, wiring, seed).all()
    else:  # each edge of a family has one direction; the released graphs leave out some pairs
        with pytest.raises(ValueError, match=r"edges is 484; graphs of the family '\w+' have at most"):
            candidates(everything, wiring, seed)
    if wiring != "uniform":
        assert graph.carrying()[candidates(graph, wiring, seed)].all()


@cache
def walker(setting: str):
    """A graph, its method compiled, and the gradient of its loss."""
    graph = graph_of(setting)
    method = DISCOVER.make(sgd_cosine(0.05, 12).transformation, Horizon(12, 6))
    gradient = jax.jit(jax.grad(lambda p, x, y: cross_entropy(graph, p, x, y)))
    return graph, method, jax.jit(method.init), jax.jit(method.update), gradient


def begin(setting: str, wiring: str, seed: int = 0):
    graph, _, init, _, _ = walker(setting)
    job = graph_job(graph, wiring, seed, initial_of(graph, seed, SHAPE))
    state = init(derive_key(seed, Purpose.SPARSE_STRUCTURE), job.params, job.counts, job.masks)
    return start(state, job.params), state, job.masks[EDGES]


def batch_of(digits, step):
    batch = batch_order(0, len(digits.train), 20, step, step + 1)[0]
    return jnp.asarray(digits.train.images[batch], jnp.float32) / digits.maximum, jnp.asarray(
        digits.train.labels[batch]
    )


@pytest.mark.parametrize("wiring", [DISCOVERED, "uniform"])
@pytest.mark.parametrize("setting", ["static"])
def test_edges_are_exact_at_every_step_and_are_the_largest_candidates(setting, wiring, digits):
    graph, _, _, update, gradient = walker(setting)
    params, state, allowed = begin(setting, wiring)
    grown = 0
    for step in range(12):
        params, state, info = update(state, gradient(params, *batch_of(digits, step)), params)
        live, weights = np.asarray(state.masks[EDGES]), np.asarray(state.own.edges.weights[EDGES])
        assert live.sum() == graph.edges
        assert not (live & ~allowed).any()
        assert not weights[~allowed].any(), "what is no candidate stays at 0"
        kernel = np.asarray(params[EDGES]["kernel"])
        assert not kernel[~live].any()
        np.testing.assert_array_equal(kernel[live], weights[live])
        assert np.abs(weights[live]).min() >= np.abs(weights[~live & allowed]).max(initial=0)
        grown += int(info.grown[EDGES])
    assert (grown > 0) == (wiring == DISCOVERED)
    assert live.tolist() == allowed.tolist() or wiring == DISCOVERED


def test_dead_edges_hear_of_the_gradient_as_though_they_were_live(digits):
    """Straight-through: a dead edge's gradient is the slope of the loss if it were added."""
    graph, _, _, _, gradient = walker("discrete")
    params, state, _ = begin("discrete", DISCOVERED)
    images, labels = batch_of(digits, 0)
    grads = np.asarray(gradient(params, images, labels)[EDGES]["kernel"])
    dead = np.flatnonzero(~np.asarray(state.masks[EDGES]))
    index = int(dead[np.abs(grads[dead]).argmax()])
    loss = jax.jit(lambda p: cross_entropy(graph, p, images, labels))
    ends = []
    for nudge in (1e-3, -1e-3):
        kernel = np.array(params[EDGES]["kernel"])
        kernel[index] += nudge
        ends.append(float(loss(with_kernels(params, {EDGES: kernel}))))
    assert grads[index] != 0
    assert (ends[0] - ends[1]) / 2e-3 == pytest.approx(grads[index], rel=0.05)


@pytest.mark.parametrize("setting", SETTINGS)
def test_compiled_or_not_many_or_one_the_logits_are_the_same(setting, digits):
    graph = graph_of(setting)
    images, _ = batch_of(digits, 0)
    several = [initial_of(graph, seed, SHAPE) for seed in (0, 1)]
    compiled = jax.jit(lambda p: logits(graph, p, images))
    with jax.disable_jit(setting != "continuous"):  # diffrax compiles its own steps
        eager = logits(graph, several[0], images)
    np.testing.assert_allclose(eager, compiled(several[0]), rtol=1e-4, atol=1e-5)
    together = jax.jit(jax.vmap(lambda p: logits(graph, p, images)))(jax.tree.map(lambda *x: jnp.stack(x), *several))
    for index, params in enumerate(several):
        np.testing.assert_allclose(together[index], compiled(params), rtol=1e-4, atol=1e-5)
    alone = jax.jit(lambda p: logits(graph, p, images[3:4]))(several[0])
    np.testing.assert_allclose(alone[0], eager[3], rtol=1e-4, atol=1e-5)  # an image's logits depend on it alone


def trainer_of(graph, digits, steps=400, networks=4):
    config = TrainingConfig(steps, 0.1, evaluate_every=200)
    placement = place(20_000, networks=networks) if networks > 1 else Placement(tuple(jax.devices()[:1]), 1)
    return SparseTrainer(graph, digits, config, placement, DISCOVER, sgd_cosine(0.1, steps))


@pytest.mark.slow
def test_discovered_wirings_beat_random_ones(digits):
    """Discrete setting, with fewer edges than nodes; and the same again, whatever is trained beside it."""
    graph = NeuralGraph("discrete", nodes=60, edges=40, inputs=8, features=16, side=4)
    trainer = trainer_of(graph, digits)
    jobs = [
        graph_job(graph, wiring, seed, initial_of(graph, seed, SHAPE))
        for wiring in (DISCOVERED, "uniform")
        for seed in (0, 1)
    ]
    outcomes = trainer.train(jobs)
    accuracy = [float(outcome.trained.test_at_early_stop.accuracy) for outcome in outcomes]
    assert np.mean(accuracy[:2]) > np.mean(accuracy[2:]) + 0.1, accuracy
    for job, outcome in zip(jobs, outcomes, strict=True):
        structure = outcome.structure
        assert structure.live.tolist() == [[40]] * 3
        assert {int(m[EDGES].sum()) for m in (structure.first, structure.halfway, structure.last)} == {40}
        if int(job.masks[EDGES].sum()) == 40:
            np.testing.assert_array_equal(structure.last[EDGES], job.masks[EDGES])
    again = trainer.train([jobs[1]])[0]
    for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(outcomes[1]), strict=True):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def test_one_shared_value_takes_the_place_of_live_weights_alone():
    graph = graph_of("static")
    params = initial_of(graph, 0, SHAPE)
    mask = {EDGES: np.asarray(keep_best(derive_key(0, Purpose.TIES), *_all(params), 60))}
    kernel = np.asarray(params[EDGES]["kernel"])
    assert typical_weight(params, mask) == pytest.approx(np.sqrt(np.mean(kernel[mask[EDGES]] ** 2)))
    for signs in (False, True):
        shared = share_one_weight(params, mask, 0.5, signs=signs)
        expected = np.where(mask[EDGES], 0.5 * np.sign(kernel) if signs else 0.5, 0)
        np.testing.assert_array_equal(shared[EDGES]["kernel"], expected.astype(np.float32))
        assert all(shared[n][leaf] is params[n][leaf] for n in params if n != EDGES for leaf in params[n])


def _all(params):
    weights = jnp.abs(kernels_of(params)[EDGES])
    return weights, jnp.ones(weights.shape, bool)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"setting": "still"}, "setting is 'still'; allowed: 'static', 'discrete', 'continuous'"),
        ({"nodes": 21}, "nodes is 21; allowed: 22 or more, for 4 inputs and 3 blocks that each have room for 6"),
        ({"setting": "discrete", "nodes": 9}, "nodes is 9; allowed: 10 or more, for 4 inputs and 6 features"),
        ({"pixel_mean": (0.5,)}, r"pixel_deviation is \(\); allowed: a number above 0 for each of 1 channels"),
        ({"pixel_mean": (0.5,), "pixel_deviation": (0.0,)}, r"pixel_deviation is \(0.0,\); allowed: a number above 0"),
        ({"edges": 0}, "edges is 0; allowed: 1 to"),
        ({"edges": 10**6}, "edges is 1000000; allowed: 1 to"),
        ({"side": 1}, "side is 1; allowed: 2 or more"),
        ({"steps": 1}, "steps is 1; allowed: 2 or more"),
        ({"ode_steps": 0}, "ode_steps is 0; allowed: 1 or more"),
    ],
)
def test_impossible_graphs_are_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        NeuralGraph(**({"setting": "static"} | SMALL | changes))


def test_impossible_runs_wirings_and_images_are_refused():
    with pytest.raises(ValueError, match="setting is 'still'"):
        GraphRun("still")
    with pytest.raises(ValueError, match="wiring is 'knitted'; allowed: 'discovered', 'uniform'"):
        GraphRun("static", "knitted")
    with pytest.raises(ValueError, match="wiring is 'discovered'; allowed: 'uniform'"):
        random_wiring(graph_of("static"), DISCOVERED, 0)
    with pytest.raises(ValueError, match="images leave nodes 1×1 positions; allowed: 2×2 or more"):
        initial_of(graph_of("static", side=2), 0, (2, 2, 1))
    with pytest.raises(ValueError, match="pixel_mean has 1 channels; images have 3"):
        initial_of(graph_of("static", pixel_mean=(0.5,), pixel_deviation=(0.2,)), 0, (8, 8, 3))
