"""The page's training against the toolkit's: the same batches, formulas and keys, step by step, in Node."""

import base64
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from explorer_reference import KEPT, PRUNED, SHOWN, setting
from explorer_site import asked_in_node, train_runs

from supermask import masks as mask_functions
from supermask.actions import KEPT_ACTIONS, PRUNED_ACTIONS, ActionFacts
from supermask.analysis.explorer.bundle import TRAINING, TRAINING_IMAGES, make_bundle
from supermask.analysis.explorer.site import site_files, write_site
from supermask.analysis.studies.experiment import Experiment
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.criteria import CRITERIA
from supermask.evaluation import cross_entropy
from supermask.keys import Purpose, as_key, batch_order, derive_key
from supermask.learned_masks import LearnedMask, MaskJob, given_of, mask_optimiser, start_logits
from supermask.mask_logits import effective_kernels
from supermask.mask_scores import without_biases
from supermask.networks import kernels_of, with_kernels
from supermask.restarts import scores_of
from supermask.training import masked_update

SEED, STEPS = 3, 100


@pytest.fixture(scope="module")
def runs(trainer):
    return train_runs(trainer, [0, SEED], rounds=1)


@pytest.fixture(scope="module")
def site(runs, digits, small_network, tmp_path_factory):
    experiment = Experiment(protocol("quick", changes=Changes(dataset="digits", seeds=2, rounds=1)), digits)
    folder = tmp_path_factory.mktemp("lab") / "site"
    write_site(site_files(make_bundle(experiment, small_network, runs)), folder)
    return folder


@pytest.fixture(scope="module")
def train(digits):
    assert len(digits.train) <= TRAINING_IMAGES
    images = jnp.asarray(digits.train.images).astype(jnp.float32) / digits.maximum
    return SimpleNamespace(images=images, labels=jnp.asarray(digits.train.labels))


def arrays(texts, like):
    """Float32 arrays of those layers' shapes out of base64."""
    found = [np.frombuffer(base64.b64decode(text), np.float32) for text in texts]
    return {layer: each.reshape(like[layer].shape) for layer, each in zip(like, found, strict=True)}


def test_images_come_in_the_toolkits_order(site):
    cases = [(0, 17, 4, 12), (SEED, 3500, 60, 130), (2147483647, 1000, 60, 20)]
    tasks = [[["order", dict(zip(("seed", "examples", "size", "steps"), case, strict=True))]] for case in cases]
    for (seed, examples, size, steps), (found,) in zip(cases, asked_in_node("train.mjs", site, tasks), strict=True):
        np.testing.assert_array_equal(found, batch_order(seed, examples, size, 0, steps))


@pytest.mark.parametrize("name", ["all weights", "a tenth, others 0", "a tenth, others frozen"])
def test_a_hundred_steps_are_the_toolkits(name, site, runs, train, small_network):
    """Losses before every step and weights after a hundred, by Adam at the protocol's rate."""
    initial = runs[1].initial
    kernels = kernels_of(initial)
    share, frozen = 1.0 if name == "all weights" else 0.1, "frozen" in name
    random = np.random.default_rng(0)
    chosen = {layer: random.random(kernel.shape) <= share for layer, kernel in kernels.items()}
    listed = [chosen[layer].astype(int).ravel().tolist() for layer in kernels]
    recipe = {"mode": "weights", "seed": 1, "constants": False, "rescaled": False}
    begun = [["begin", recipe], ["mask", {"masks": listed, "frozen": frozen}]]
    task = [*begun, ["kinds"], ["computed"], ["steps", STEPS], ["weights"]]
    ((_, _, kinds, computed, losses, found),) = asked_in_node("train.mjs", site, [task])
    assert set(kinds) == {"SparseLayer" if share < 1 and not frozen else "DenseLayer"}
    read = [kernels[layer].shape[0] for layer in list(kernels)[1:]]
    if share < 1 and not frozen:
        assert all(map(int.__lt__, computed[:-1], read)), "units that no later layer reads are left out"
    else:
        assert computed[:-1] == read
    starts = {layer: jnp.where(chosen[layer] | frozen, jnp.asarray(k), 0.0) for layer, k in kernels.items()}
    params = with_kernels(jax.tree.map(jnp.asarray, initial), starts)
    optimiser = optax.adam(TRAINING.learning_rate)
    live = {layer: jnp.asarray(mask) for layer, mask in chosen.items()}

    @jax.jit
    def step(params, state, batch):
        given = train.images[batch], train.labels[batch]
        loss, grads = jax.value_and_grad(lambda p: cross_entropy(small_network, p, *given))(params)
        updates, state = optimiser.update(grads, state, params)
        return masked_update(params, updates, live), state, loss

    state, expected = optimiser.init(params), []
    for batch in batch_order(SEED, len(train.labels), TRAINING.batch_size, 0, STEPS):
        params, state, loss = step(params, state, batch)
        expected.append(float(loss))
    np.testing.assert_allclose(losses, expected, rtol=1e-3)
    for layer, weights in arrays(found["weights"], kernels).items():
        np.testing.assert_allclose(weights, params[layer]["kernel"], atol=1e-3, err_msg=layer)
        frozen_here = ~chosen[layer]
        np.testing.assert_array_equal(weights[frozen_here], np.asarray(starts[layer])[frozen_here])
    for layer, text in zip(kernels, found["biases"], strict=True):
        bias = np.frombuffer(base64.b64decode(text), np.float32)
        np.testing.assert_allclose(bias, params[layer]["bias"], atol=1e-3)


@pytest.mark.parametrize(("constants", "rescaled"), [(True, False), (False, True)])
def test_a_learned_masks_steps_are_the_toolkits(constants, rescaled, site, runs, train, small_network):
    """The same draws from the same keys, and the same way back to the logits."""
    learned = LearnedMask("signed_constant" if constants else "initial", rescaled)
    job = MaskJob(runs[1].initial, learned, SEED)
    recipe = {"mode": "mask", "seed": 1, "constants": constants, "rescaled": rescaled}
    ((_, losses, texts),) = asked_in_node("train.mjs", site, [[["begin", recipe], ["steps", 60], ["logits"]]])
    length = int(TRAINING.masks.epochs * len(train.labels) // TRAINING.batch_size)
    optimiser = mask_optimiser("adam", TRAINING.masks.learning_rate, length)
    given, logits = given_of(job), start_logits(job)

    @jax.jit
    def step(logits, state, index, batch):
        key = jax.random.fold_in(as_key(given.training_key), index)

        def loss(logits):
            kernels = effective_kernels("bernoulli", logits, key, given)
            return cross_entropy(small_network, without_biases(kernels), train.images[batch], train.labels[batch])

        value, grads = jax.value_and_grad(loss)(logits)
        updates, state = optimiser.update(grads, state)
        return optax.apply_updates(logits, updates), state, value

    state, expected = optimiser.init(logits), []
    for index, batch in enumerate(batch_order(SEED, len(train.labels), TRAINING.batch_size, 0, 60)):
        logits, state, value = step(logits, state, index, batch)
        expected.append(float(value))
    # Adam's steps have one size whatever the gradient's, so where that is rounding alone, signs may differ; and a unit
    # that sums equal constants to 0 is above 0 by rounding alone.
    np.testing.assert_allclose(losses[:20], expected[:20], rtol=0.02)
    np.testing.assert_allclose(losses, expected, rtol=0.15)
    for layer, found in arrays(texts, logits).items():
        wanted = np.asarray(logits[layer])
        assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > (0.9 if constants else 0.99), layer


def test_pruning_and_rewinding_are_the_toolkits(site, runs):
    """Every criterion among live weights in round 2, to the bit, and every restart, from the round's keys."""
    recipe = {"mode": "weights", "seed": 1, "constants": False, "rescaled": False}
    treatments = [(*values, pruned) for values in KEPT for pruned in PRUNED if values[0] != "fresh"]
    tasks = []
    for at, criterion in enumerate(SHOWN):
        kept, signs, pruned = treatments[at % len(treatments)]
        given = setting(seed=1, kept=kept, signs=signs, pruned=pruned, region=[])
        first, second = given | {"level": 8, "criterion": "large_final"}, given | {"level": 20, "criterion": criterion}
        rounds = [["prune", first], ["rewind", first], ["steps", 5], ["weights"], ["prune", second], ["rewind", second]]
        tasks.append([["begin", recipe], ["steps", 5], *rounds, ["weights"]])
    initial = kernels_of(runs[1].initial)
    for criterion, task, answer in zip(SHOWN, tasks, asked_in_node("train.mjs", site, tasks), strict=True):
        before, after, given = answer[5], answer[-1], task[6][1]
        alive = {layer: jnp.asarray(mask == 1) for layer, mask in arrays(before["masks"], initial).items()}
        final = arrays(before["weights"], initial)
        found = {layer: mask == 1 for layer, mask in arrays(after["masks"], initial).items()}
        scores = scores_of(CRITERIA[criterion], initial, final, alive, None)
        key = derive_key(SEED, Purpose.TIES, 2)
        counts = {layer: int(mask.sum()) for layer, mask in found.items()}
        assert sum(counts.values()) < sum(int(mask.sum()) for mask in alive.values())
        for layer, mask in mask_functions.keep_best_of_layers(key, scores, alive, counts).items():
            np.testing.assert_array_equal(found[layer], mask, err_msg=criterion)
        names = KEPT[given["kept"], given["signs"] or given["kept"] == "initial"], PRUNED[given["pruned"]]
        key = derive_key(SEED, Purpose.KEPT_VALUES, 2)
        for index, (layer, weights) in enumerate(arrays(after["weights"], initial).items()):
            none = jnp.zeros(weights.shape, bool)
            values = (jnp.asarray(tree[layer]) for tree in (initial, final, initial))
            facts = ActionFacts(jax.random.fold_in(key, index), *values, jnp.asarray(found[layer]), alive[layer], none)
            kept, pruned = KEPT_ACTIONS[names[0]](facts), PRUNED_ACTIONS[names[1]](facts)
            np.testing.assert_allclose(weights, np.where(found[layer], kept, pruned), rtol=1e-6, err_msg=str(names))
