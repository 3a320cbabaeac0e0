"""Batch norm and dropout through every trainer: running statistics follow, are rewound, and are stored and resumed."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from supermask import networks
from supermask.counts import Rates
from supermask.learned_masks import LearnedMask, MaskJob, MaskTrainer, mask_optimiser
from supermask.lottery import find_tickets, initial_of
from supermask.masks import full_masks
from supermask.networks import Network, kernels_of
from supermask.population import place
from supermask.running_in import run_in
from supermask.sparse_training import METHODS
from supermask.sparse_training.trainer import SparseJob, SparseTrainer
from supermask.training import Job, Trainer, TrainingConfig
from supermask.treatments import Treatment
from supermask.untrained_networks import untrained_kernels
from supermask.zoo.resnet import ResNet

SMALL = ResNet(stages=((4, 1), (8, 1)))
SHAPE = (8, 8, 1)
STATE = {"stem_norm", *(f"block{i}/norm{j}" for i in (1, 2) for j in (1, 2)), "block2/shortcut_norm"}


class Dropped(Network):
    """A network with dropout, and no state."""

    @nn.compact
    def __call__(self, x, training=False):
        x = nn.relu(nn.Dense(40, name="hidden1")(x.reshape(x.shape[0], -1)))
        return nn.Dense(10, name="output")(nn.Dropout(0.5, deterministic=not training)(x))


@pytest.fixture(scope="module")
def small(digits):
    """Trains the small residual network."""
    return Trainer(SMALL, digits, TrainingConfig(90, 2e-2, 30, 30), place(3000, networks=2))


@pytest.fixture(scope="module")
def rounds(small):
    return list(find_tickets(small, Rates(conv=0.5, dense=0.5, output=0.5), [Treatment(rewind_step=30)], [0], 1))


def state_of(params):
    return {layer: {n: leaves[n] for n in ("mean", "var")} for layer, leaves in params.items() if "mean" in leaves}


def test_statistics_are_leaves_of_their_layers_and_no_parameters(digits):
    assert networks.statistics_of(SMALL, SHAPE) == dict.fromkeys(sorted(STATE), ("mean", "var"))
    params = initial_of(SMALL, 0, SHAPE)
    assert set(state_of(params)) == STATE
    assert all((leaves["var"] == 1).all() and not leaves["mean"].any() for leaves in state_of(params).values())
    leaves = sum(leaf.size for layer in params.values() for leaf in layer.values())
    assert leaves - networks.parameter_count(SMALL, SHAPE) == 2 * (4 * 3 + 8 * 3)


@pytest.mark.slow
def test_a_residual_network_learns_and_its_statistics_are_those_of_its_images(rounds, small, digits):
    """In evaluation, it normalises nearly as it would by the training images themselves."""
    trained = rounds[0].trained
    assert trained.test_at_end.accuracy > 0.8
    assert trained.test_at_end.loss < 1.0
    params = trained.params
    own = run_in(SMALL, jax.tree.map(jnp.asarray, params), small._placed.train, digits.maximum)
    for layer, leaves in state_of(own).items():
        np.testing.assert_allclose(
            params[layer]["mean"], leaves["mean"], atol=0.35 * float(jnp.sqrt(leaves["var"]).max())
        )
        np.testing.assert_allclose(params[layer]["var"], leaves["var"], rtol=0.6)


def test_statistics_that_are_run_in_are_the_means_of_the_batches_own(digits):
    """Against batch norm's formulas on the first layer; whatever the momentum, and where they start."""
    params = jax.tree.map(jnp.asarray, initial_of(SMALL, 0, SHAPE))
    trainer = Trainer(SMALL, digits, TrainingConfig(1, 1e-3), place(3000, networks=1))
    found = run_in(SMALL, params, trainer._placed.train, digits.maximum)
    images = jnp.asarray(digits.train.images[:1000], jnp.float32) / digits.maximum
    stem = jax.lax.conv_general_dilated(
        images, params["stem"]["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    ).reshape(4, 250, 8, 8, 4)
    np.testing.assert_allclose(found["stem_norm"]["mean"], stem.mean((0, 1, 2, 3)), atol=1e-4)
    np.testing.assert_allclose(found["stem_norm"]["var"], stem.var((1, 2, 3)).mean(0), rtol=1e-3)
    far = jax.tree.map(jnp.asarray, params)
    far["stem_norm"] = {**far["stem_norm"], "mean": far["stem_norm"]["mean"] + 3.0}
    again = run_in(SMALL, far, trainer._placed.train, digits.maximum)
    np.testing.assert_allclose(again["stem_norm"]["mean"], found["stem_norm"]["mean"], atol=1e-5)


@pytest.mark.thorough
def test_statistics_go_back_to_the_step_that_is_rewound_to(rounds, small):
    """With weights, biases and scales: to those of step 30, which training to it again gives."""
    start = rounds[1].start
    job = Job(initial_of(SMALL, 0, SHAPE), full_masks(kernels_of(start.params)), 0, last_step=30)
    (at_30,) = small.train([job])
    for layer, leaves in state_of(at_30.params).items():
        for name, leaf in leaves.items():
            np.testing.assert_array_equal(start.params[layer][name], leaf)
            assert not np.array_equal(leaf, rounds[0].trained.params[layer][name])


def test_pruned_weights_stay_at_0_and_counts_are_exact(rounds):
    record = rounds[1]
    for layer, mask in record.start.masks.items():
        assert int(np.sum(mask)) == mask.size - mask.size // 2
        assert not np.asarray(record.trained.params[layer]["kernel"])[~np.asarray(mask)].any()
    assert set(record.start.masks) == {"stem", "block1/conv1", "block1/conv2", "block2/conv1", "block2/conv2"}


def test_a_network_trains_alike_beside_another_one(small):
    """Statistics, too, are each network's own."""
    jobs = [
        Job(initial_of(SMALL, s, SHAPE), full_masks(kernels_of(initial_of(SMALL, s, SHAPE))), s, 0, 30) for s in (0, 1)
    ]
    together, alone = small.train(jobs), small.train(jobs[1:])
    for one, other in zip(jax.tree.leaves(together[1].params), jax.tree.leaves(alone[0].params), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.thorough
def test_weight_decay_leaves_statistics_alone(digits):
    """They are set, not descended: a decay of 1 would halve them in no time."""
    config, placement = TrainingConfig(20, 1e-2, 30, 20), place(3000, networks=1)
    job = Job(initial_of(SMALL, 0, SHAPE), full_masks(kernels_of(initial_of(SMALL, 0, SHAPE))), 0)
    frozen = optax.chain(optax.add_decayed_weights(1.0), optax.scale(0.0))
    plain, decayed = (Trainer(SMALL, digits, config, placement, o).train([job])[0] for o in (optax.scale(0.0), frozen))
    for layer, leaves in state_of(plain.params).items():
        for name, leaf in leaves.items():
            np.testing.assert_allclose(decayed.params[layer][name], leaf, rtol=1e-6)
            assert not np.array_equal(leaf, initial_of(SMALL, 0, SHAPE)[layer][name])


def test_dropout_draws_anew_at_every_step_and_never_in_evaluation(digits):
    network = Dropped()
    params = initial_of(network, 0, SHAPE)
    images = jnp.asarray(digits.train.images[:20], jnp.float32) / digits.maximum
    keys = [jax.random.key(0), jax.random.key(0), jax.random.key(1)]
    first, again, other = (networks.in_training(network, params, images, key)[0] for key in keys)
    assert (first == again).all()
    assert (first != other).any()
    evaluated = networks.logits(network, params, images)
    np.testing.assert_allclose(evaluated, network.apply({"params": params}, images), rtol=1e-6)
    config, placement = TrainingConfig(100, 3e-3, 60, 50), place(4000, networks=1)
    job = Job(params, full_masks(kernels_of(params)), 0)
    trained = [Trainer(network, digits, config, placement).train([job])[0] for _ in range(2)]
    assert trained[0].test_at_end.accuracy > 0.8
    for one, two in zip(*(jax.tree.leaves(each.params) for each in trained), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["threshold", "edge_popup"])
def test_masks_are_learned_on_a_residual_network(method, digits):
    """Kernels, biases and scales stay; running statistics follow the masks, and evaluation goes by them."""
    config = TrainingConfig(60, 0.02, 60, 30)
    trainer = MaskTrainer(SMALL, digits, config, place(3000, networks=1), mask_optimiser("adam", 0.02, 60))
    initial = initial_of(SMALL, 0, SHAPE)
    (outcome,) = trainer.train([MaskJob(initial, LearnedMask("kaiming", method=method), 0)])
    assert outcome.test_at_end.accuracy > 0.3
    assert set(outcome.logits) == set(kernels_of(initial))
    assert set(outcome.state) == STATE
    assert all((leaves["var"] != 1).any() for leaves in outcome.state.values())


@pytest.mark.thorough
def test_sparse_training_keeps_running_statistics(digits):
    config = TrainingConfig(200, 1e-2, 30, 100)
    trainer = SparseTrainer(SMALL, digits, config, place(3000, networks=1), METHODS["set"], optax.adam(1e-2))
    initial = initial_of(SMALL, 0, SHAPE)
    counts = {layer: kernel.size // 2 for layer, kernel in kernels_of(initial).items()}
    (outcome,) = trainer.train([SparseJob(initial, counts, 0)])
    assert outcome.trained.test_at_end.accuracy > 0.85
    assert {layer: int(np.sum(mask)) for layer, mask in outcome.structure.last.items()} == counts


def test_kaiming_weights_have_their_variance_whatever_was_drawn():
    """The factor from Glorot's variance was taken for every network's."""
    kernels = kernels_of(initial_of(SMALL, 0, SHAPE))
    for layer, kernel in untrained_kernels(kernels, "kaiming", glorot=SMALL.glorot).items():
        assert np.sqrt(np.mean(np.square(kernel))) == pytest.approx(
            np.sqrt(2 / np.prod(kernel.shape[:-1])), rel=1e-5
        ), layer
