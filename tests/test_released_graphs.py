"""Neural graphs as released: one step against a port written for images, not nodes; and all that surrounds a step.

The port shares nothing with the toolkit's graphs but their parameters: it convolves with XLA's convolutions, derives
all gradients, chooses edges by a sort and steps as PyTorch's SGD does.
"""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import lax

from supermask.augmentation import Augmentation, augmented
from supermask.compression.tuning import CentroidTrainer
from supermask.evaluation import training_loss
from supermask.keys import Purpose, derive_key
from supermask.lottery import initial_of
from supermask.masks import full_masks
from supermask.networks import in_training, kernels_of, logits, with_statistics
from supermask.neural_graphs.discovery import DISCOVER
from supermask.neural_graphs.graph import EDGES, NeuralGraph
from supermask.neural_graphs.nodes import batch_normalise
from supermask.neural_graphs.runs import augmentation_of, edges_between, graph_job, pixel_statistics
from supermask.neural_graphs.wirings import released_pairs
from supermask.population import Placement
from supermask.sparse_training import Horizon, start
from supermask.sparse_training.runs import sgd_cosine, sgd_in_steps
from supermask.sparse_training.trainer import SparseTrainer
from supermask.training import Job, Trainer, TrainingConfig

SIZE = {"nodes": 32, "edges": 120, "inputs": 4, "features": 6, "steps": 5, "side": 8}
PIXELS = {"pixel_mean": (0.49, 0.48, 0.45), "pixel_deviation": (0.25, 0.24, 0.26)}
RATE, MOMENTUM, DECAY = 0.1, 0.9, 1e-4


def convolved(x, weights, stride=1, groups=1):
    """As PyTorch's Conv2d: weights are (outputs, inputs per group, height, width), padded by half their size."""
    pad = weights.shape[-1] // 2
    return lax.conv_general_dilated(
        *(x, weights, (stride, stride), [(pad, pad), (pad, pad)]),
        dimension_numbers=("NCHW", "OIHW", "NCHW"),
        feature_group_count=groups,
        precision="highest",
    )


def standard(x, axes):
    return (x - x.mean(axes, keepdims=True)) / jnp.sqrt(x.var(axes, keepdims=True) + 1e-5)


def affine(x, own, part=slice(None)):
    return x * own["scale"][None, part, None, None] + own["offset"][None, part, None, None]


def depthwise(own, part=slice(None)):
    return jnp.transpose(own["filter"][:, :, part], (2, 0, 1))[:, None]


def port(setting, params, images):
    """Logits in training of a graph of `SIZE`, from images scaled to [0, 1]."""
    mean, deviation = (np.float32(PIXELS[name])[None, :, None, None] for name in PIXELS)
    x = (jnp.transpose(images, (0, 3, 1, 2)) - mean) / deviation
    one, two, nodes, half = params["stem1"], params["stem2"], params["nodes"], SIZE["inputs"] // 2
    x = convolved(x, jnp.transpose(one["filter"].reshape(3, 3, 3, half), (3, 2, 0, 1)), stride=2)
    x = jax.nn.relu(affine(standard(x, (0, 2, 3)), one))
    x = convolved(x, depthwise(two), stride=2, groups=half)
    x = affine(standard(convolved(x, two["mix"].T[:, :, None, None]), (0, 2, 3)), two)
    count, last = SIZE["nodes"], SIZE["features"]
    edges = params[EDGES]["kernel"].reshape(count, count).T[:, :, None, None]  # from inputs (columns) to outputs (rows)
    x = jnp.concatenate([x, jnp.zeros((len(x), count - SIZE["inputs"], *x.shape[2:]))], axis=1)
    if setting == "discrete":
        for _ in range(SIZE["steps"]):
            x = convolved(convolved(jax.nn.relu(x), depthwise(nodes), groups=count), edges)
            x = affine(standard(x, (2, 3)), nodes)
        x = x[:, -last:]
    else:
        bounds = [0, *range(SIZE["inputs"], count + 1, (count - SIZE["inputs"]) // 4)]
        for begin, end in pairwise(bounds):
            own = jax.nn.relu(affine(standard(x[:, begin:end], (2, 3)), nodes, slice(begin, end)))
            own = convolved(own, depthwise(nodes, slice(begin, end)), groups=end - begin)
            first = min(end, count - last)
            x = x.at[:, first:].add(convolved(own, edges[first:, begin:end]))
        x = x[:, -last:]
    return x[:, :, 2:4, 2:4].mean((2, 3)) @ params["output"]["weight"] + params["output"]["bias"][None]


def top(weights, count):
    live = np.zeros(weights.shape, bool)
    live[np.argsort(-np.abs(weights), kind="stable")[:count]] = True
    return live


@pytest.mark.thorough
@pytest.mark.parametrize("setting", ["static", "discrete"])
def test_two_steps_are_those_of_a_port_of_the_released_code(setting):
    """Loss, gradients of live and dead edges, momentum and decay, and which edges are live afterwards."""
    graph = NeuralGraph(setting, **SIZE, **PIXELS)
    random = np.random.default_rng(1)
    images, labels = jnp.asarray(random.uniform(size=(6, 32, 32, 3)), jnp.float32), jnp.asarray([0, 1, 2, 3, 9, 9])
    params = initial_of(graph, 5, (32, 32, 3))
    method = DISCOVER.make(sgd_in_steps(RATE, 100), Horizon(100, 50))
    state = method.init(derive_key(5, Purpose.SPARSE_STRUCTURE), params, {EDGES: graph.edges})
    ours, ported = start(state, params), jax.tree.map(np.asarray, params)
    speed = jax.tree.map(np.zeros_like, ported)
    loss = jax.jit(jax.value_and_grad(lambda p: training_loss(graph, p, images, labels), has_aux=True))

    def loss_of_port(p):
        chosen = jax.nn.log_softmax(port(setting, p, images))
        return -jnp.mean(chosen[jnp.arange(len(labels)), labels])

    ported_loss = jax.jit(jax.value_and_grad(loss_of_port))
    swapped = 0
    for _ in range(2):
        live = top(ported[EDGES]["kernel"], graph.edges)
        np.testing.assert_array_equal(np.asarray(state.masks[EDGES]), live)
        seen = ported | {EDGES: {"kernel": np.where(live, ported[EDGES]["kernel"], 0)}}
        (value, statistics), grads = loss(ours)
        expected, slopes = ported_loss(seen)
        np.testing.assert_allclose(value, expected, rtol=1e-4)
        for layer in (EDGES, "nodes", "stem1", "stem2", "output"):
            for name, leaf in slopes[layer].items():
                scale = max(float(np.abs(leaf).max()), 1e-4)  # where a normalisation follows, an offset's is 0
                np.testing.assert_allclose(grads[layer][name], leaf, atol=2e-3 * scale, err_msg=f"{layer} {name}")
        ours, state, _ = method.update(state, grads, ours)
        ours = with_statistics(ours, statistics)
        slopes = jax.tree.map(lambda slope, w: np.asarray(slope) + DECAY * w, slopes, ported)
        speed = jax.tree.map(lambda v, slope: MOMENTUM * v + slope, speed, slopes)
        ported = jax.tree.map(lambda w, v: w - RATE * v, ported, speed)
        np.testing.assert_allclose(state.own.edges.weights[EDGES], ported[EDGES]["kernel"], rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(ours["nodes"]["filter"], ported["nodes"]["filter"], rtol=1e-3, atol=1e-4)
        swapped += int((top(ported[EDGES]["kernel"], graph.edges) & ~live).sum())
    assert swapped > 0


def test_initial_weights_are_uniform_within_one_over_the_root_of_their_inputs():
    params = initial_of(NeuralGraph("static"), 0, (32, 32, 3))
    bounds = {"edges kernel": 800, "nodes filter": 9, "stem1 filter": 27, "stem2 filter": 9, "stem2 mix": 16}
    for name, inputs in (bounds | {"output weight": 100, "output bias": 100}).items():
        layer, leaf = name.split()
        values = np.asarray(params[layer][leaf])
        assert 0.8 * inputs**-0.5 < np.abs(values).max() <= inputs**-0.5, name
        if values.size > 100:
            assert values.std() == pytest.approx(inputs**-0.5 / 3**0.5, rel=0.15), name
    assert params["edges"]["kernel"].std() == pytest.approx(0.0204, abs=1e-4)


@pytest.mark.thorough
def test_running_statistics_are_those_of_batch_norm_and_are_what_evaluation_uses():
    graph = NeuralGraph("discrete", **SIZE)
    params = initial_of(graph, 0, (32, 32, 3))
    images = jnp.asarray(np.random.default_rng(0).uniform(size=(5, 32, 32, 3)), jnp.float32)
    train = jax.jit(lambda p: in_training(graph, p, images))
    first = convolved(
        jnp.transpose(images, (0, 3, 1, 2)),
        jnp.transpose(params["stem1"]["filter"].reshape(3, 3, 3, 2), (3, 2, 0, 1)),
        stride=2,
    )
    mean, variance = np.zeros(2), np.ones(2)
    for _ in range(3):
        outputs, statistics = train(params)
        params = with_statistics(params, statistics)
        mean = 0.9 * mean + 0.1 * np.asarray(first.mean((0, 2, 3)))
        variance = 0.9 * variance + 0.1 * np.asarray(first.var((0, 2, 3), ddof=1))
    np.testing.assert_allclose(params["stem1"]["mean"], mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(params["stem1"]["variance"], variance, rtol=1e-4)
    for _ in range(200):  # until they are the batch's own, but for the bias of a variance
        params = with_statistics(params, train(params)[1])
    scores = np.asarray(logits(graph, params, images))
    np.testing.assert_allclose(scores, outputs, atol=0.02)
    np.testing.assert_allclose(logits(graph, params, images[2:3])[0], scores[2], rtol=1e-4, atol=1e-5)


def test_the_running_variance_is_the_unbiased_estimate():
    """Of six numbers, where it is a fifth more than their mean square."""
    x = jnp.arange(12.0).reshape(2, 3, 2) ** 2
    own = {"mean": jnp.zeros(2), "variance": jnp.ones(2), "scale": jnp.ones(2), "offset": jnp.zeros(2)}
    _, moved = batch_normalise(x, own, training=True)
    np.testing.assert_allclose(moved["mean"], 0.1 * np.mean(x, (1, 2)), rtol=1e-6)
    np.testing.assert_allclose(moved["variance"], 0.9 + 0.1 * np.var(x, (1, 2), ddof=1), rtol=1e-6)


def test_the_trainer_of_rounds_sets_the_statistics_of_a_graph_and_another_one_refuses_it(digits):
    graph = NeuralGraph("discrete", nodes=20, edges=40, inputs=4, features=6, side=4)
    config, placement = TrainingConfig(1, 0.1), Placement(tuple(jax.devices()[:1]), 1)
    start = initial_of(graph, 0, (8, 8, 1))
    (ended,) = Trainer(graph, digits, config, placement).train([Job(start, full_masks(kernels_of(start)), 0)])
    for layer, names in graph.statistics.items():
        for name in names:
            assert not np.allclose(ended.params[layer][name], start[layer][name]), "set by its first batch"
    with pytest.raises(
        ValueError, match=r"NeuralGraph is another in training \(in .*allowed here: networks of weights"
    ):
        CentroidTrainer(graph, digits, config, placement).train([], [])


def trained(digits, **changes):
    graph = NeuralGraph("discrete", nodes=20, edges=40, inputs=4, features=6, side=4)
    config, placement = TrainingConfig(5, 0.1, 20, evaluate_every=4), Placement(tuple(jax.devices()[:1]), 1)
    given = (graph, digits, config, placement, DISCOVER, sgd_cosine(0.1, 5))
    trainer = SparseTrainer(*given, watched=edges_between(graph, 3), **changes)
    return graph, trainer.train([graph_job(graph, "discovered", 0, initial_of(graph, 0, (8, 8, 1)))])[0]


@pytest.mark.slow
def test_training_sets_statistics_and_records_the_wiring_halfway_and_at_every_evaluation(digits):
    """Halfway is step 2 of 5, where nothing is evaluated; the records at evaluations count the live edges."""
    graph, outcome = trained(digits)
    params, structure = outcome.trained.params, outcome.structure
    assert (params["stem1"]["mean"] != 0).all()
    assert (params["stem2"]["variance"] != 1).all()
    assert outcome.trained.evaluated_at.tolist() == [0, 4, 5]
    assert structure.watched.shape == (3, 7, 7)
    assert structure.watched.sum((1, 2)).tolist() == [40] * 3
    source, target = graph.endpoints()
    for record, masks in ((0, structure.first), (-1, structure.last)):
        counted = np.zeros((7, 7), int)
        np.add.at(counted, (source[masks[EDGES]] // 3, target[masks[EDGES]] // 3), 1)
        np.testing.assert_array_equal(structure.watched[record], counted)
    assert structure.halfway[EDGES].sum() == 40
    assert (structure.halfway[EDGES] != structure.first[EDGES]).any()
    assert (structure.halfway[EDGES] != structure.last[EDGES]).any()
    _, other = trained(digits, augmentation=Augmentation(1, flip=False))
    assert float(other.trained.validation_loss[-1]) != float(outcome.trained.validation_loss[-1])


@given(st.integers(0, 5), st.booleans(), st.integers(0, 100))
def test_an_augmented_image_is_a_shifted_one_or_its_mirror_image(pad, flip, seed):
    images = np.random.default_rng(seed).integers(1, 256, (7, 6, 5, 3)).astype(np.uint8)
    found = np.asarray(augmented(jax.random.key(seed), jnp.asarray(images), Augmentation(pad, flip)))
    padded = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    for image, whole in zip(found, padded, strict=True):
        shifts = [whole[i : i + 6, j : j + 5] for i in range(2 * pad + 1) for j in range(2 * pad + 1)]
        assert any((image == s).all() or (flip and (image == s[:, ::-1]).all()) for s in shifts)
    again = np.asarray(augmented(jax.random.key(seed), jnp.asarray(images), Augmentation(pad, flip)))
    np.testing.assert_array_equal(found, again)


def test_augmentation_draws_every_shift_and_both_sides_evenly():
    images = np.zeros((4000, 3, 3, 1), np.uint8)
    images[:, 1, 1], images[:, 1, 2] = 1, 2  # a mark with a right-hand side
    found = np.asarray(augmented(jax.random.key(0), jnp.asarray(images), Augmentation(1)))
    rows = np.where((found == 1).any((1, 2, 3)))[0]
    row = (found == 1).any((2, 3))[rows].argmax(1)
    assert np.abs(np.bincount(row, minlength=3) / len(rows) - 1 / 3).max() < 0.03
    both = (found == 1).any((1, 2, 3)) & (found == 2).any((1, 2, 3))
    right = (found == 2).any((1, 3))[both].argmax(1) > (found == 1).any((1, 3))[both].argmax(1)
    assert np.mean(right) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize(
    ("shape", "expected"), [((32, 32, 3), Augmentation(4)), ((28, 28, 1), Augmentation(3, flip=False))]
)
def test_photographs_are_mirrored_and_digits_are_not(shape, expected):
    assert augmentation_of(shape) == expected
    with pytest.raises(ValueError, match="pad is -1; allowed: 0 or more"):
        Augmentation(-1)


def test_pixels_are_described_by_each_channels_mean_and_deviation():
    images = np.random.default_rng(0).integers(0, 200, (9, 4, 5, 3)).astype(np.uint8)
    images[..., 2] = 51
    mean, deviation = pixel_statistics(images, 255)
    np.testing.assert_allclose(mean, (images / 255).mean((0, 1, 2)), atol=5e-4)
    np.testing.assert_allclose(deviation[:2], (images / 255).std((0, 1, 2))[:2], atol=5e-4)
    assert (mean[2], deviation[2]) == (0.2, 1.0)


def test_the_released_random_graphs_leave_out_what_their_mask_does():
    """Column by column, in steps as wide as there are features: nothing leads back before the step's own number."""
    graph = NeuralGraph("static", **SIZE)
    allowed = np.ones((32, 32), bool)
    for step, begin in enumerate(range(4, 32, 6), start=1):
        allowed[begin : begin + 6, : 6 * step] = False
    np.testing.assert_array_equal(released_pairs(graph).reshape(32, 32), allowed)
    assert released_pairs(NeuralGraph("discrete", **SIZE)).all()
    paper = NeuralGraph("static")
    assert released_pairs(paper).sum() == 305_600
    assert paper.carrying().sum() == 264_960


def test_the_rate_is_cut_to_a_tenth_after_half_and_three_quarters():
    steps, weight = 8, jnp.ones(())
    optimiser = sgd_in_steps(0.1, steps)
    state, sizes = optimiser.init(weight), []
    step = jax.jit(partial(optimiser.update, params=jnp.zeros(())))
    speed = 0.0
    for _ in range(steps):
        update, state = step(jnp.ones(()), state)
        speed = 0.9 * speed + 1
        sizes.append(float(-update / speed))
    np.testing.assert_allclose(sizes, [0.1] * 4 + [0.01] * 2 + [0.001] * 2, rtol=1e-5)
