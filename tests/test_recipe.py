"""Recipes: each optimiser and schedule is optax's, step by step; masks stay exact; bits depend on the recipe alone."""

import math
from dataclasses import fields, replace
from operator import itemgetter

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supermask import compaction, networks
from supermask.augmentation import Augmentation, augmented
from supermask.batch_gradients import Given, batch_gradient
from supermask.compression.dsd import dense_sparse_dense
from supermask.counts import Rates
from supermask.datasets import from_arrays
from supermask.evaluation import cross_entropy
from supermask.keys import Purpose, derive_key
from supermask.live_weights import choice
from supermask.lottery import InMemory, find_tickets, initial_params
from supermask.masks import full_masks
from supermask.networks import FeedForward
from supermask.neural_graphs.graph import NeuralGraph
from supermask.normalisation import Normalised, normalisation_of, without_normalisation
from supermask.params import kernels_of
from supermask.population import Placement, place
from supermask.recipe import OPTIMISERS, PLAIN, SCHEDULES, Recipe, at_step
from supermask.training import Job, Trainer, TrainingConfig
from supermask.treatments import Treatment

EVERYTHING = Recipe(
    "nesterov",
    schedule="cosine",
    warm_up=0.1,
    weight_decay=1e-3,
    clip=1.0,
    label_smoothing=0.1,
    augment=Augmentation(1, flip=False, cut_out=3),
    normalise=True,
)
SETTINGS = {"rate": 0.03, "momentum": 0.8, "decay": 0.01, "steps": 40}


def same_bits(first, second) -> bool:
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def by(trainer, recipe, **changes):
    """The trainer with another recipe, at a rate that suits it."""
    rate = 3e-3 if recipe.optimiser.startswith("adam") else 0.05
    return replace(trainer, recipe=recipe, config=replace(trainer.config, learning_rate=rate, **changes))


def pruned_job(trainer, seed: int, frozen: float = 0.0, **steps) -> Job:
    params = networks.initialise(trainer.network, derive_key(seed, Purpose.INITIAL_WEIGHTS), trainer.data.image_shape)
    random = np.random.default_rng(seed)
    masks = {layer: random.random(kernel.shape) < 0.5 for layer, kernel in kernels_of(params).items()}
    kernels = {layer: np.where(masks[layer], k, np.float32(frozen)) for layer, k in kernels_of(params).items()}
    return Job(networks.with_kernels(params, kernels), masks, seed, **steps)


# The optimiser and its schedule


def reference_schedule(schedule, rate, steps):
    return {
        "constant": rate,
        "steps": optax.piecewise_constant_schedule(rate, {steps // 2: 0.1, 3 * steps // 4: 0.1}),
        "cosine": optax.cosine_decay_schedule(rate, steps),
    }[schedule]


def reference(optimiser, schedule):
    """The same from optax's own optimisers, and weight decay added to the gradient for all but AdamW."""
    rate = reference_schedule(schedule, SETTINGS["rate"], SETTINGS["steps"])
    decay = optax.add_decayed_weights(SETTINGS["decay"])
    momentum = SETTINGS["momentum"]
    return {
        "adam": optax.chain(decay, optax.adam(rate)),
        "adamw": optax.adamw(rate, weight_decay=SETTINGS["decay"]),
        "sgd": optax.chain(decay, optax.sgd(rate, momentum)),
        "nesterov": optax.chain(decay, optax.sgd(rate, momentum, nesterov=True)),
    }[optimiser]


def path(optimiser, steps, seed=0):
    """The parameters after each of `steps` steps along gradients that depend on them."""
    random = np.random.default_rng(seed)
    params = {"kernel": jnp.asarray(random.normal(size=(5, 4)), jnp.float32), "bias": jnp.zeros(4)}
    targets = jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=(steps, *leaf.shape)), jnp.float32), params)
    state, found = optimiser.init(params), []
    step = jax.jit(lambda g, state, params: optimiser.update(g, state, params))
    for index in range(steps):
        gradient = jax.tree.map(jnp.subtract, params, jax.tree.map(itemgetter(index), targets))
        updates, state = step(gradient, state, params)
        params = optax.apply_updates(params, updates)
        found.append(params)
    return found


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_every_step_is_that_of_optax(optimiser, schedule):
    own = {"momentum": SETTINGS["momentum"]} if optimiser in ("sgd", "nesterov") else {}
    recipe = Recipe(optimiser, schedule=schedule, weight_decay=SETTINGS["decay"], **own)
    made = recipe.transformation(SETTINGS["rate"], SETTINGS["steps"])
    ours, theirs = path(made, SETTINGS["steps"]), path(reference(optimiser, schedule), SETTINGS["steps"])
    for step, (first, second) in enumerate(zip(ours, theirs, strict=True)):
        assert same_bits(first, second), step
    assert not same_bits(ours[-1], ours[-2])


@given(st.sampled_from(SCHEDULES), st.integers(1, 60), st.sampled_from([0.0, 0.1, 0.29]), st.sampled_from([0.1, 0.5]))
def test_a_rate_rises_stays_and_falls_as_its_formula_has_it(schedule, steps, warm_up, factor):
    cuts = (0.3, 0.9)
    own = {"cuts": cuts, "cut_factor": factor} if schedule == "steps" else {}
    recipe, largest = Recipe(schedule=schedule, warm_up=warm_up, **own), 0.7
    rate = recipe.rate(largest, steps)
    warm = round(100 * warm_up) * steps // 100
    for step in range(steps):
        if step < warm:
            expected = largest * step / warm
        elif schedule == "steps":
            expected = largest * factor ** sum(step >= round(10 * cut) * steps // 10 for cut in cuts)
        elif schedule == "cosine":
            expected = largest * (1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2
        else:
            expected = largest
        found = rate(step) if callable(rate) else rate
        assert float(found) == pytest.approx(expected, rel=1e-5, abs=1e-7), step


def test_the_default_is_the_papers_adam_to_the_bit(trainer):
    jobs = [pruned_job(trainer, seed) for seed in range(2)]
    given_one = replace(trainer, optimiser=optax.adam(trainer.config.learning_rate))
    assert same_bits(trainer.train(jobs), given_one.train(jobs))
    assert PLAIN.plain
    assert Recipe(learning_rate=0.1, batch_size=7).plain
    assert not any(replace(PLAIN, **{name: value}).plain for name, value in EVERYTHING.changed().items())


def test_a_training_takes_the_recipes_steps(trainer):
    """Held to the same optax optimiser, given beside the default recipe."""
    recipe = Recipe("nesterov", schedule="cosine", weight_decay=1e-3)
    own = by(trainer, recipe)
    rate = optax.cosine_decay_schedule(0.05, trainer.config.steps)
    theirs = optax.chain(optax.add_decayed_weights(1e-3), optax.sgd(rate, 0.9, nesterov=True))
    job = pruned_job(trainer, 0)
    assert same_bits(own.train([job]), replace(trainer, optimiser=theirs).train([job]))


def test_weight_decay_leaves_pruned_weights_where_they_are_and_shrinks_the_others(trainer):
    for optimiser in ("adamw", "sgd"):  # which add it after and before
        job = pruned_job(trainer, 1, frozen=0.1)
        with_decay, without = (
            by(trainer, Recipe(optimiser, weight_decay=decay), steps=100).train([job])[0].params for decay in (0.1, 0.0)
        )
        for layer, mask in job.masks.items():
            before = np.asarray(job.params[layer]["kernel"])[~mask]
            assert with_decay[layer]["kernel"][~mask].tobytes() == before.tobytes(), optimiser
        size = [np.abs(p["hidden1"]["kernel"][job.masks["hidden1"]]).sum() for p in (with_decay, without)]
        assert size[0] < size[1], optimiser


def test_a_gradient_is_clipped_to_its_norm_over_trained_weights_alone(trainer):
    """Under SGD without momentum, a step of a clipped gradient moves by the rate times that norm, at most."""
    recipe, rate = Recipe("sgd", momentum=0.0, clip=0.01), 0.05
    job = pruned_job(trainer, 0, last_step=1)
    moved = by(trainer, recipe).train([job])[0].params
    steps = jax.tree.map(lambda after, before: np.asarray(after, np.float64) - before, moved, job.params)
    assert math.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(steps))) == pytest.approx(rate * 0.01, rel=1e-3)
    unclipped = by(trainer, replace(recipe, clip=1e6)).train([job])[0].params
    assert same_bits(unclipped, by(trainer, replace(recipe, clip=0.0)).train([job])[0].params)


# The loss, and what is done to images


@given(st.integers(0, 1000), st.floats(0, 0.9))
def test_label_smoothing_spreads_a_part_of_the_target_over_all_classes(seed, smoothing):
    random = np.random.default_rng(seed)
    network = FeedForward(hidden=(), classes=4)
    params = {"output": {"kernel": random.normal(size=(9, 4)).astype("f"), "bias": np.zeros(4, "f")}}
    images, labels = random.random((6, 3, 3, 1)).astype("f"), random.integers(0, 4, 6).astype(np.int32)
    outputs = images.reshape(6, 9).astype(float) @ params["output"]["kernel"]
    log_p = outputs - np.log(np.exp(outputs).sum(1, keepdims=True))
    target = (1 - smoothing) * np.eye(4)[labels] + smoothing / 4
    found = cross_entropy(network, params, jnp.asarray(images), jnp.asarray(labels), smoothing=smoothing)
    assert float(found) == pytest.approx(-(target * log_p).sum(1).mean(), rel=1e-4)


@given(st.integers(0, 9), st.integers(0, 12), st.integers(0, 1000))
def test_a_cut_out_is_one_square_around_a_pixel_of_the_image(height, side, seed):
    height += 1
    images = jnp.ones((8, height, 6, 2))
    cut = np.asarray(augmented(jax.random.key(seed), images, Augmentation(0, flip=False, cut_out=side), (3.0, 4.0)))
    for image in cut:
        blank = image[..., 0] == 3.0
        np.testing.assert_array_equal(blank, image[..., 1] == 4.0)
        assert (image[~blank] == 1.0).all()
        if not side:
            assert not blank.any()
            continue
        rows, columns = np.flatnonzero(blank.any(1)), np.flatnonzero(blank.any(0))
        assert blank.sum() == len(rows) * len(columns) > 0
        for found, length in ((rows, height), (columns, 6)):
            assert found[-1] - found[0] + 1 == len(found)
            whole = found[0] > 0 and found[-1] < length - 1
            assert len(found) == side if whole else min(side // 2, length) <= len(found) <= side


def test_cut_outs_are_drawn_for_each_image_and_step():
    images = jnp.ones((50, 8, 8, 1))
    how = Augmentation(0, flip=False, cut_out=3)
    first, again, other = (np.asarray(augmented(jax.random.key(seed), images, how)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert len({image.tobytes() for image in first}) > 20


@pytest.mark.thorough
def test_a_recipes_bits_do_not_depend_on_what_is_trained_beside(trainer):
    own = by(trainer, EVERYTHING)
    jobs = [pruned_job(trainer, seed) for seed in range(3)]
    together = own.train(jobs)
    assert same_bits(together, [own.train([job])[0] for job in jobs])
    elsewhere = replace(own, placement=Placement(tuple(jax.devices()[:1]), 2))
    assert same_bits(together, elsewhere.train(jobs))
    assert not same_bits(together[0].params, together[1].params)


@pytest.mark.thorough
def test_all_at_once_is_one_after_another_to_rounding(trainer, monkeypatch):
    """Accelerators take a device's networks at once (vmap): the same draws, schedule and masks."""
    own, jobs = by(trainer, EVERYTHING, steps=60, evaluate_every=20), [pruned_job(trainer, seed) for seed in range(3)]
    in_turn = own.train(jobs)
    monkeypatch.setattr(Placement, "one_at_a_time", False)
    for first, second in zip(replace(own).train(jobs), in_turn, strict=True):
        np.testing.assert_allclose(first.validation_loss, second.validation_loss, rtol=1e-3)
        for a, b in zip(jax.tree.leaves(first.params), jax.tree.leaves(second.params), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-3)


def test_every_seed_and_step_draws_its_own_augmentation(trainer):
    """The gradients of one batch at one point differ by step and seed, and by nothing else."""
    gradient = jax.jit(batch_gradient(trainer.network, Recipe(augment=Augmentation(1, flip=False))))
    params = initial_params(trainer, 0)
    images = jnp.asarray(trainer.data.train.images[:20], jnp.float32) / trainer.data.maximum
    labels = jnp.asarray(trainer.data.train.labels[:20])

    def at(seed: int, step: int):
        key = jax.random.key_data(derive_key(seed, Purpose.AUGMENTATION))
        return gradient(params, Given({}, None, key), jnp.int32(step), images, labels)

    with pytest.raises(ValueError, match=r"given.key is None, and the recipe augments images; allowed: a key"):
        gradient(params, Given({}), jnp.int32(0), images, labels)
    assert same_bits(at(0, 3), at(0, 3))
    assert not same_bits(at(0, 3), at(0, 4))
    assert not same_bits(at(0, 3), at(1, 3))


def test_evaluation_is_neither_augmented_nor_smoothed(trainer):
    changed = by(trainer, Recipe(augment=Augmentation(2, cut_out=4), label_smoothing=0.3))
    params = [initial_params(trainer, 0)]
    assert changed.evaluate(params) == trainer.evaluate(params)
    job = pruned_job(trainer, 0, last_step=0)
    assert same_bits(changed.train([job]), trainer.train([job]))
    assert same_bits(changed.gradients(params[0]), trainer.gradients(params[0]))


def coloured(size=400, seed=0):
    """Images of three channels of different means, in bytes."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, size).astype(np.int32)
    images = random.integers(0, 60, (size, 6, 6, 3)) + np.array([0, 80, 140]) + 30 * (labels[:, None, None, None] == 2)
    return images.astype(np.uint8), labels


def test_normalised_images_are_those_that_training_images_make_so(small_network):
    """Held to a data set that is normalised by hand, in float32, with the same constants; evaluation too."""
    parts = [coloured(seed=seed) for seed in range(3)]
    data = from_arrays(parts[0], parts[2], validation=parts[1], name="bytes", classes=3)
    mean, deviation = normalisation_of(data.train.images, data.maximum)
    scaled = data.train.images / data.maximum
    np.testing.assert_allclose(mean, scaled.mean((0, 1, 2)), rtol=1e-3)
    np.testing.assert_allclose(deviation, scaled.std((0, 1, 2)), rtol=1e-3)
    by_hand = [
        (((images / np.float32(data.maximum) - np.float32(mean)) / np.float32(deviation)).astype("f"), labels)
        for images, labels in parts
    ]
    other = from_arrays(by_hand[0], by_hand[2], validation=by_hand[1], name="numbers", classes=3)
    config, placement = TrainingConfig(60, 3e-3), place(4000, networks=2)
    recipe = Recipe(label_smoothing=0.1)  # not the plain one, which has other code for images in bytes
    own = Trainer(small_network, data, config, placement, recipe=replace(recipe, normalise=True))
    hand = Trainer(small_network, other, config, placement, recipe=recipe)
    start = initial_params(own, 0)
    assert same_bits(start, initial_params(hand, 0)), "normalisation changes no initial weight"
    jobs = [Job(start, full_masks(kernels_of(start)), 0)]
    found, expected = own.train(jobs)[0], hand.train(jobs)[0]
    for a, b in zip(jax.tree.leaves(found.params), jax.tree.leaves(expected.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.validation_loss, expected.validation_loss, rtol=1e-4)
    np.testing.assert_allclose(own.gradients(start)["output"], hand.gradients(start)["output"], rtol=1e-3, atol=1e-6)
    ranks = {n: np.arange(k.size, dtype=np.int32).reshape(k.shape) for n, k in kernels_of(start).items()}
    levels = [{n: k.size // part for n, k in kernels_of(start).items()} for part in (1, 2)]
    for (loss, _), (by_hand_loss, _) in zip(
        own.evaluate_levels(start, ranks, levels), hand.evaluate_levels(start, ranks, levels), strict=True
    ):
        assert float(loss) == pytest.approx(float(by_hand_loss), rel=1e-4)


@pytest.mark.thorough
def test_a_network_of_batch_statistics_is_normalised_in_training_and_evaluation():
    """Held to a neural graph, which normalises its images by itself; running statistics are found under their names."""
    size = {"nodes": 32, "edges": 120, "inputs": 4, "features": 6, "steps": 5, "side": 8}
    mean, deviation = (0.1, 0.5, 0.3), (0.2, 0.3, 0.4)
    plain = NeuralGraph("static", **size)
    own, normalised = (
        plain.clone(pixel_mean=mean, pixel_deviation=deviation),
        Normalised(plain, mean, deviation),
    )
    params = networks.initialise(plain, jax.random.key(0), (16, 16, 3))
    assert same_bits(params, networks.initialise(normalised, jax.random.key(0), (16, 16, 3)))
    images = jax.random.uniform(jax.random.key(1), (5, 16, 16, 3))
    assert normalised.statistics == plain.statistics
    assert normalised.products((16, 16, 3)) == plain.products((16, 16, 3))
    for function in (networks.logits, networks.in_training):
        found, expected = (function(each, params, images) for each in (normalised, own))
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert without_normalisation(normalised) is plain
    assert without_normalisation(plain) is plain


@given(st.sampled_from([1e-4, 1.0, 1e4]), st.integers(0, 100))
def test_constants_of_numbers_of_any_size_have_four_digits(size, seed):
    images = (size * np.random.default_rng(seed).normal(2, 1, (50, 3, 3, 2))).astype(np.float32)
    images[..., 1] = np.float32(0.1 * size)
    (first, second), (spread, constant) = normalisation_of(images, 1)
    assert spread == pytest.approx(images[..., 0].std(dtype=float), rel=1e-3)
    assert spread == float(f"{spread:.3e}")
    assert first == pytest.approx(images[..., 0].mean(dtype=float), abs=1e-3 * spread)
    assert constant == 1.0
    assert second == pytest.approx(0.1 * size, abs=1e-3)


def test_cut_outs_of_normalised_images_show_the_mean(digits, small_network):
    """A network that reads nothing but cut-outs puts out its biases, for the mean is 0 to it."""
    network = Normalised(small_network, *normalisation_of(digits.train.images, digits.maximum))
    recipe = Recipe(augment=Augmentation(0, flip=False, cut_out=40), normalise=True)
    params = networks.initialise(small_network, derive_key(0, Purpose.INITIAL_WEIGHTS), digits.image_shape)
    images = jnp.asarray(digits.train.images[:5], jnp.float32) / digits.maximum
    key = jax.random.key_data(derive_key(0, Purpose.AUGMENTATION))
    labels = jnp.asarray(digits.train.labels[:5])
    grads, _ = batch_gradient(network, recipe)(params, Given({}, None, key), jnp.int32(0), images, labels)
    assert not grads["hidden1"]["kernel"].any()
    assert grads["output"]["bias"].any()


# Code for the default recipe alone is left


@pytest.mark.parametrize("recipe", [Recipe(schedule="cosine"), EVERYTHING])
def test_what_knows_only_the_default_recipe_is_left(trainer, monkeypatch, recipe):
    """With thresholds at which live weights and dead units pay at once, all but the default's bits stay."""
    own, job = by(trainer, recipe), pruned_job(trainer, 0)
    before = own.train([job])
    plain = trainer.train([job])[0]
    monkeypatch.setattr(choice, "WORTHWHILE", 0.0)
    monkeypatch.setattr(compaction, "WORTHWHILE", -1.0)
    assert replace(trainer)._live_masks(job) is not None
    assert replace(trainer)._compaction(job) is not None
    assert not same_bits(replace(trainer).train([job])[0].params, plain.params)
    assert same_bits(replace(own).train([job]), before)


# Parts of a training


def test_the_schedule_goes_on_from_the_step_that_is_rewound_to(trainer):
    """SGD without momentum has no other state: two parts of a training are the whole, to the bit."""
    recipe = Recipe("sgd", momentum=0.0, schedule="cosine", warm_up=0.5, augment=Augmentation(1, flip=False))
    own = by(trainer, recipe)
    whole = own.train([pruned_job(trainer, 2)])[0]
    half = own.train([pruned_job(trainer, 2, last_step=100)])[0]
    start = pruned_job(trainer, 2)
    rest = own.train([Job(half.params, start.masks, 2, first_step=100)])[0]
    assert same_bits(rest.params, whole.params)
    anew = own.train([Job(half.params, start.masks, 2, first_step=100, schedule_step=0)])[0]
    assert not same_bits(anew.params, whole.params)


def test_only_the_schedule_is_where_a_later_step_has_it():
    """Adam corrects its means by its own number of steps, which begins anew."""
    state = Recipe(schedule="cosine").transformation(0.1, 10).init({"kernel": jnp.zeros(3)})
    moved = at_step(state, 7)
    assert int(optax.tree_utils.tree_get(moved[0], "count")) == 0
    assert int(moved[-1].count) == 7
    assert same_bits(at_step(moved, 0), state)


def test_late_rewinding_trains_on_at_the_rates_of_round_zero(trainer):
    """Nothing is pruned, so that a round from step 100 ends where round 0 did."""
    own = by(trainer, Recipe("sgd", momentum=0.0, schedule="steps"))
    treatment = Treatment(rewind_step=100)
    nothing = Rates(conv=0.0, dense=1e-9, output=0.0)
    first, second = find_tickets(own, nothing, [treatment], [0], 1, InMemory())
    assert second.weights_remaining == 1.0
    assert same_bits(first.trained.params, second.trained.params)


@pytest.mark.thorough
def test_every_phase_of_dense_sparse_dense_has_the_whole_schedule(trainer):
    """The control's second phase is a training of its own length from where the first ended, on the next batches."""
    own = by(trainer, Recipe("sgd", schedule="cosine", learning_rate=0.05), steps=100)
    phases = dense_sparse_dense(own, [initial_params(own, 0)], [0], [0.0])[0.0, 0]
    masks = full_masks(kernels_of(phases.dense.params))
    for before, after, first, rate in (
        (phases.dense, phases.sparse, 100, 0.05),
        (phases.sparse, phases.last, 200, 0.005),
    ):
        recipe = replace(own.recipe, learning_rate=None)
        alone = replace(own, recipe=recipe, config=replace(own.config, learning_rate=rate))
        job = Job(before.params, masks, 0, first, first + 100, schedule_step=0)
        assert same_bits(alone.train([job])[0].params, after.params)
        assert np.abs(before.params["output"]["kernel"] - after.params["output"]["kernel"]).max() > 1e-4


@pytest.mark.thorough
def test_a_recipe_of_everything_is_better_than_the_default(trainer):
    """On the small digits, on average over three seeds; and smoothed labels leave less certain outputs."""
    smoothed = Recipe(
        "nesterov",
        schedule="cosine",
        warm_up=0.05,
        weight_decay=1e-4,
        clip=1.0,
        label_smoothing=0.1,
        augment=Augmentation(0, flip=False, cut_out=2),
        normalise=True,
    )
    starts = [initial_params(trainer, seed) for seed in range(3)]
    jobs = [Job(start, full_masks(kernels_of(start)), seed) for seed, start in enumerate(starts)]
    recipes = (PLAIN, smoothed, replace(smoothed, label_smoothing=0.0))
    default, whole, certain = (by(trainer, recipe, steps=900).train(jobs) for recipe in recipes)
    accuracy = [float(np.mean([each.test_at_end.accuracy for each in outcome])) for outcome in (default, whole)]
    assert accuracy[1] > accuracy[0] + 0.005
    assert accuracy[1] > 0.97
    images = jnp.asarray(trainer.data.test.images, jnp.float32) / trainer.data.maximum
    network = Normalised(trainer.network, *normalisation_of(trainer.data.train.images, trainer.data.maximum))
    outputs = [networks.logits(network, each[0].params, images) for each in (whole, certain)]
    confidence = [float(jax.nn.softmax(each).max(1).mean()) for each in outputs]
    assert confidence[0] < confidence[1] - 0.03


# What is refused


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimiser": "lion"}, "optimiser is 'lion'; allowed: adam, adamw, sgd, nesterov"),
        ({"schedule": "linear"}, "schedule is 'linear'; allowed: constant, steps, cosine"),
        ({"learning_rate": 0}, "learning_rate is 0.0; allowed: more than 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan; allowed: more than 0"),
        ({"batch_size": 0}, "batch_size is 0; allowed: 1 or more, a whole number"),
        ({"batch_size": 1.5}, "batch_size is 1.5; allowed: 1 or more"),
        ({"optimiser": "sgd", "momentum": 1.0}, "momentum is 1.0; allowed: 0 or more, below 1"),
        ({"momentum": 0.5}, "momentum is 0.5 for adam; allowed for sgd and nesterov alone"),
        ({"optimiser": "nesterov", "momentum": 0}, "momentum is 0.0 for nesterov; allowed: more than 0"),
        ({"schedule": "steps", "cuts": ()}, r"cuts is \(\); allowed: fractions"),
        ({"schedule": "steps", "cuts": (0.5, 0.5)}, "ascending"),
        ({"schedule": "steps", "cuts": 0.5}, r"cuts is 0.5; allowed: fractions of the training, such as \(0.5, 0.75\)"),
        ({"cuts": (0.2,)}, "cuts is .* for schedule 'constant'; allowed for 'steps' alone"),
        ({"cut_factor": 0.5}, "cut_factor is 0.5 for schedule 'constant'; allowed for 'steps' alone"),
        ({"schedule": "steps", "warm_up": 0.5}, "allowed: cuts after the warm-up alone"),
        ({"warm_up": 1}, "warm_up is 1.0; allowed: 0 or more, below 1"),
        ({"weight_decay": -1e-4}, "weight_decay is -0.0001; allowed: 0 or more"),
        ({"weight_decay": "1e-4"}, "weight_decay is '1e-4'; allowed: a number"),
        ({"clip": float("inf")}, "clip is inf; allowed: 0 for none"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0; allowed: 0 or more, below 1"),
        ({"augment": True}, "augment is True; allowed: None, or an Augmentation"),
        ({"augment": Augmentation(0, flip=False)}, "which changes nothing; allowed: None"),
        ({"normalise": 1}, "normalise is 1; allowed: True, False"),
    ],
)
def test_what_cannot_be_is_refused_by_name(settings, words, unchecked):
    with pytest.raises(ValueError, match=words):
        Recipe(**settings)


def test_a_cut_out_or_flip_that_cannot_be_is_refused(unchecked):
    with pytest.raises(ValueError, match="cut_out is -1; allowed: 0 or more"):
        Augmentation(cut_out=-1)
    with pytest.raises(ValueError, match="flip is 1; allowed: True, False"):
        Augmentation(flip=1)


def test_numbers_of_any_type_make_equal_recipes(unchecked):
    first = Recipe("sgd", np.float32(0.1), np.int64(128), weight_decay=np.float32(5e-4), warm_up=-0.0)
    second = Recipe("sgd", 0.1, 128, weight_decay=5e-4)
    assert repr(first) == repr(second)
    assert {type(getattr(first, f.name)) for f in fields(first)} <= {str, float, int, tuple, bool, type(None)}


def test_a_trainer_refuses_a_recipe_that_contradicts_what_is_beside_it(trainer):
    with pytest.raises(ValueError, match=r"recipe.learning_rate is 0.1, and config.learning_rate 0.003; allowed: the"):
        replace(trainer, recipe=Recipe(learning_rate=0.1))
    with pytest.raises(ValueError, match=r"recipe.batch_size is 7, and config.batch_size 60; allowed: the"):
        replace(trainer, recipe=Recipe(batch_size=7))
    replace(trainer, recipe=Recipe(learning_rate=3e-3, batch_size=60))
    with pytest.raises(ValueError, match=r"optimiser is given beside recipe .* allowed with it: label_smoothing"):
        replace(trainer, recipe=Recipe("sgd"), optimiser=optax.sgd(0.1))
    replace(trainer, recipe=Recipe(label_smoothing=0.1), optimiser=optax.sgd(0.1))
