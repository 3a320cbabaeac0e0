"""Masks learned on anyone's network: the toolkit's own steps to the bit, any pytree, weights that stay."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import supermask as sm
from supermask import networks
from supermask.evaluation import cross_entropy, scaled
from supermask.keys import Purpose, batch_order, derive_key
from supermask.learned_masks import LearnedMask, MaskJob, MaskTrainer
from supermask.population import Placement
from supermask.training import TrainingConfig

KEY = jax.random.key(5)
WEIGHTS = {
    "block": {"w": jax.random.normal(KEY, (6, 8)), "b": jnp.ones(8), "unused": None},
    "list": [jax.random.normal(KEY, (8, 3))],
}
STEPS = 30


@pytest.mark.skipif(
    "xla_backend_optimization_level=0" not in os.environ["XLA_FLAGS"],
    reason="where XLA optimises, it rounds once or twice in learning rate × gradient + score, by what is around it",
)
@pytest.mark.parametrize(
    ("method", "onto", "rate"),
    [
        ("bernoulli", "signed_constant", 0.1),
        ("edge_popup", "signed_constant", 0.01),
        ("edge_popup", "binary", 0.01),
        ("signed", "signed_constant", 0.01),
    ],
)
def test_scores_are_those_of_the_toolkits_own_trainer_to_the_bit(method, onto, rate, small_network, digits):
    params = networks.initialise(small_network, derive_key(0, Purpose.INITIAL_WEIGHTS), (8, 8, 1))
    learned = LearnedMask(onto, rescaled=True, method=method)
    config, optimiser = TrainingConfig(STEPS, rate, evaluate_every=STEPS), optax.adam(rate)
    trainer = MaskTrainer(small_network, digits, config, Placement(tuple(jax.devices()), 1), optimiser)
    outcome = trainer.train([MaskJob(params, learned, 0)])[0]
    assert outcome.early_stop == STEPS

    if method == "signed":  # in a loop of one's own, the optimiser brings the weight decay
        optimiser = optax.chain(optax.add_decayed_weights(learned.decay), optimiser)
    learner = sm.learn_mask(method, onto=onto, rescaled=True)
    scores = learner.init(derive_key(0, Purpose.MASK_SCORES), params)
    order = batch_order(0, len(digits.train), 60, 0, STEPS)

    @jax.jit
    def step(scores, state, key, images, labels):
        def loss(scores):
            masked = learner.apply(scores, params, key)
            return cross_entropy(small_network, masked, scaled(images, digits.maximum), labels)

        updates, state = optimiser.update(jax.grad(loss)(scores), state, scores)
        return optax.apply_updates(scores, updates), state

    state = optimiser.init(scores)
    for index, batch in enumerate(order):
        key = jax.random.fold_in(derive_key(0, Purpose.MASK_SAMPLES), index)
        scores, state = step(scores, state, key, digits.train.images[batch], digits.train.labels[batch])
    for layer, own in outcome.logits.items():
        np.testing.assert_array_equal(scores[layer]["kernel"], own)


@pytest.mark.parametrize("method", ["bernoulli", "threshold", "edge_popup"])
def test_weights_stay_and_scores_learn_which_of_them_a_function_is_made_of(method):
    """The target is the network under one mask; of the weights' own gradient nothing is left."""
    hidden = jax.tree.map(lambda leaf: jax.random.bernoulli(KEY, 0.5, leaf.shape), WEIGHTS)
    target = sm.apply_masks(WEIGHTS, hidden_only(hidden))
    learner = sm.learn_mask(method)
    scores = learner.init(KEY, WEIGHTS)
    assert scores["block"]["b"] is None

    def loss(scores, weights, key):
        masked = learner.apply(scores, weights, key)
        pairs = zip(*map(jax.tree.leaves, (masked, target)), strict=True)
        return sum(jnp.mean((a - b) ** 2) for a, b in pairs)

    optimiser = optax.adam(0.05)

    def step(carried, key):
        scores, state = carried
        value, gradient = jax.value_and_grad(loss)(scores, WEIGHTS, key)
        updates, state = optimiser.update(gradient, state)
        return (optax.apply_updates(scores, updates), state), value

    begun = (scores, optimiser.init(scores))
    (scores, _), values = jax.jit(lambda: jax.lax.scan(step, begun, jax.random.split(KEY, 200)))()
    assert values[-20:].mean() < 0.4 * values[0]
    assert sm.agreement(learner.masks(scores, WEIGHTS), hidden_only(hidden)).overlap > 0.85
    of_weights = jax.grad(loss, argnums=1)(scores, WEIGHTS, KEY)
    assert not np.asarray(of_weights["block"]["w"]).any()
    assert np.asarray(learner.apply(scores, WEIGHTS, KEY)["block"]["b"]).tolist() == [1.0] * 8


def test_a_signed_mask_finds_which_weights_are_inverted():
    """The target is the network with some weights kept, some hidden and some inverted."""
    signs = jax.tree.map(lambda leaf: jax.random.randint(KEY, leaf.shape, -1, 2), WEIGHTS)
    target = jax.tree.map(lambda leaf, sign: leaf * sign, WEIGHTS, signs)
    learner = sm.learn_mask("signed")
    scores = learner.init(KEY, WEIGHTS)
    optimiser = optax.chain(optax.add_decayed_weights(0.01), optax.adam(0.02))

    def loss(scores, weights):
        masked = learner.apply(scores, weights, KEY)
        return sum(jnp.mean((masked[name][at] - target[name][at]) ** 2) for name, at in (("block", "w"), ("list", 0)))

    def step(carried, _):
        scores, state = carried
        updates, state = optimiser.update(jax.grad(loss)(scores, WEIGHTS), state, scores)
        return (optax.apply_updates(scores, updates), state), None

    (scores, _), _ = jax.jit(lambda: jax.lax.scan(step, (scores, optimiser.init(scores)), None, 300))()
    masks = learner.masks(scores, WEIGHTS)
    assert masks["block"]["b"] is None
    assert masks["block"]["w"].dtype == jnp.int8
    found, wanted = (
        np.concatenate([np.ravel(each["block"]["w"]), np.ravel(each["list"][0])]) for each in (masks, signs)
    )
    assert (found == wanted).mean() > 0.75, "where a third would be by chance"
    assert set(wanted.tolist()) == {-1, 0, 1}
    assert not np.asarray(jax.grad(loss, argnums=1)(scores, WEIGHTS)["block"]["w"]).any()
    kept = jax.tree.map(lambda mask: mask != 0, masks)
    assert sm.apply_masks(WEIGHTS, kept)["list"][0].dtype == jnp.float32
    with pytest.raises(ValueError, match="mask of block/w is int8"):
        sm.apply_masks(WEIGHTS, masks)


def hidden_only(hidden):
    return {"block": {"w": hidden["block"]["w"], "b": None, "unused": None}, "list": hidden["list"]}


def test_what_is_kept_is_exact_in_bfloat16_and_for_many_networks_at_once():
    learner = sm.learn_mask("edge_popup", kept=0.25, where=lambda path, leaf: path == "list/0")
    low = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), WEIGHTS)
    scores = jax.vmap(learner.init, (0, None))(jax.random.split(KEY, 3), low)
    masked = jax.vmap(learner.apply, (0, None, None))(scores, low, KEY)
    assert masked["list"][0].dtype == jnp.bfloat16
    assert (masked["list"][0] != 0).sum((1, 2)).tolist() == [6, 6, 6]
    assert scores["block"]["w"] is None
    np.testing.assert_array_equal(masked["block"]["w"][1], low["block"]["w"])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda: sm.learn_mask("gumbel"), "method is 'gumbel'; allowed: bernoulli, threshold, edge_popup, signed"),
        (lambda: sm.learn_mask(onto="ones"), "onto is 'ones'; allowed: initial"),
        (lambda: sm.learn_mask(kept=0), "kept is 0; allowed"),
        (lambda: sm.learn_mask("signed", threshold=1), "threshold is 1; allowed"),
        (lambda: sm.learn_mask().init(KEY, {"b": jnp.ones(3)}), "where finds nothing to prune"),
        (
            lambda: sm.learn_mask().apply({"w": jnp.ones((2, 3))}, {"w": jnp.ones((3, 3))}, KEY),
            "scores of w have shape",
        ),
        (lambda: sm.learn_mask().apply({"v": jnp.ones((3, 3))}, {"w": jnp.ones((3, 3))}, KEY), "pytrees differ"),
    ],
)
def test_what_cannot_be_is_refused_by_name(use, words):
    with pytest.raises(ValueError, match=words):
        use()
