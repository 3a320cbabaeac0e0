"""Masks by gradient descent: exact draws, gradients straight through, weights untouched, and the science of it."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supermask import learned_masks as learned
from supermask import mask_logits
from supermask.draws import WEIGHTS
from supermask.keys import Purpose, derive_key
from supermask.learned_masks import LearnedMask, MaskJob, MaskTrainer
from supermask.lottery import initial_params
from supermask.mask_scores import completed, others_of
from supermask.networks import kernels_of
from supermask.population import Placement, place
from supermask.training import TrainingConfig
from supermask.untrained_networks import masked_kernels, rescaling, untrained_kernels

FOUR = tuple(LearnedMask(weights, rescaled) for rescaled in (False, True) for weights in ("initial", "signed_constant"))
STEPS = 600
RATES = {"bernoulli": 100.0, "threshold": 1.0, "edge_popup": 1.0, "signed": 1.0}


def same_bits(first, second) -> bool:
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def mask_trainer(trainer, method: str = "bernoulli", steps: int = STEPS, placement=None) -> MaskTrainer:
    config = TrainingConfig(steps, RATES[method], batch_size=50, evaluate_every=200)
    return MaskTrainer(trainer.network, trainer.data, config, placement or place(4000, networks=4))


def jobs(trainer, masks, seeds=(0,)) -> list[MaskJob]:
    return [MaskJob(initial_params(trainer, seed), each, seed) for seed in seeds for each in masks]


@pytest.fixture(scope="module")
def outcomes(trainer):
    return mask_trainer(trainer).train(jobs(trainer, FOUR))


def test_the_science_a_mask_alone_trains_a_network_and_rescaling_helps(trainer):
    """Zhou et al. 2019, table 2, seed by seed: far above chance with no weight trained; better with DWR, and by signs.

    By Adam, which gets as far in 600 steps as the paper's SGD does in many thousands.
    """
    config = TrainingConfig(STEPS, 0.2, batch_size=50, evaluate_every=STEPS)
    optimiser = learned.mask_optimiser("adam", config.learning_rate, STEPS)
    masks = MaskTrainer(trainer.network, trainer.data, config, place(4000, networks=4), optimiser)
    learned_masks = masks.train(jobs(trainer, FOUR, seeds=(0, 1, 2)))
    accuracy = np.array([float(outcome.test_at_early_stop.accuracy) for outcome in learned_masks]).reshape(3, 4)
    initial, constant, rescaled_initial, rescaled_constant = accuracy.T
    assert initial.min() > 0.6
    assert (constant > initial).all()
    assert (rescaled_initial > initial).all()
    assert (rescaled_constant > constant).all()


def test_curves_start_at_chance_and_the_best_step_is_that_of_least_validation_loss(outcomes):
    for outcome in outcomes:
        assert float(outcome.test_at_early_stop.accuracy) > 0.5
        assert float(outcome.curves.accuracy[0]) < 0.3, "before the first step the masks are random"
        assert outcome.evaluated_at.tolist() == [0, 200, 400, 600]
        assert float(outcome.validation_at_early_stop.loss) == outcome.curves.loss.min()
        assert outcome.early_stop == outcome.evaluated_at[outcome.curves.loss.argmin()]


def test_the_best_step_goes_by_loss_where_accuracy_says_another(trainer):
    often = replace(mask_trainer(trainer), config=TrainingConfig(150, 300.0, batch_size=50, evaluate_every=5))
    outcomes = often.train(jobs(trainer, [LearnedMask()], seeds=(0, 1)))
    assert any(outcome.curves.loss.argmin() != outcome.curves.accuracy.argmax() for outcome in outcomes)
    for outcome in outcomes:
        assert outcome.early_stop == outcome.evaluated_at[outcome.curves.loss.argmin()]


@pytest.mark.parametrize("method", ["threshold", "edge_popup"])
def test_masks_without_draws_learn_too(trainer, method):
    mask = LearnedMask("signed_kaiming", method=method, kept=0.4)
    (outcome,) = mask_trainer(trainer, method).train(jobs(trainer, [mask]))
    scores = outcome.test_at_early_stop
    assert float(scores.accuracy) > 0.7
    assert scores.accuracy == scores.rounded_accuracy
    if method == "edge_popup":
        kernels = kernels_of(initial_params(trainer, 0))
        counts = learned.kept_by_layer(mask, kernels)
        masks = mask_logits.rounded_masks(method, outcome.logits, counts)
        for layer, kernel in kernels.items():
            kept = kernel.size - int(0.6 * kernel.size)
            assert int(masks[layer].sum()) == int(counts[layer]) == kept


def test_no_weight_changes_and_what_is_scored_is_weights_times_mask(trainer):
    """Bit for bit: what the logits' network is, is made of the initial draw and of nothing else."""
    (job,) = jobs(trainer, [LearnedMask("initial", rescaled=True)])
    before = jax.tree.map(lambda leaf: np.array(leaf, copy=True), job.initial)
    outcome = mask_trainer(trainer, steps=100).train([job])[0]
    assert same_bits(before, job.initial)
    given_ = learned.given_of(job)
    assert same_bits(given_.kernels, kernels_of(job.initial))
    key = derive_key(0, Purpose.MASK_SAMPLES)
    masks = mask_logits.draw_masks(key, outcome.logits)
    expected = masked_kernels(kernels_of(job.initial), masks, rescaled=True)
    effective = mask_logits.effective_kernels("bernoulli", outcome.logits, key, given_)
    for layer, kernel in effective.items():
        np.testing.assert_array_equal(kernel, expected[layer])


@pytest.mark.thorough
def test_a_signed_supermask_learns_and_decay_makes_it_sparse(trainer):
    """Koster et al. 2022: far above chance with a small part of the weights; binary weights learn as well."""
    decays = {decay: LearnedMask("signed_kaiming", method="signed", decay=decay) for decay in (0.0, 3e-3)}
    binary = LearnedMask("binary", method="edge_popup", kept=0.3)
    config = TrainingConfig(STEPS, 0.01, batch_size=50, evaluate_every=100)
    optimiser = learned.mask_optimiser("adam", config.learning_rate, STEPS)
    masks = MaskTrainer(trainer.network, trainer.data, config, place(4000, networks=3), optimiser)
    dense, sparse, multi_prize = masks.train(jobs(trainer, [*decays.values(), binary]))
    assert float(dense.test_at_end.accuracy) > 0.85
    assert float(sparse.test_at_end.accuracy) > 0.8
    assert float(multi_prize.test_at_end.accuracy) > 0.5
    assert float(sparse.test_at_end.remaining) < 0.4 < 0.5 < float(dense.test_at_end.remaining)
    limits = mask_logits.limits_of(decays[3e-3], sparse.logits)
    ternary = mask_logits.rounded_masks("signed", sparse.logits, limits)
    kept, size = sum(int((m != 0).sum()) for m in ternary.values()), sum(m.size for m in ternary.values())
    assert float(sparse.validation_at_early_stop.remaining) == pytest.approx(kept / size)
    assert {int(value) for m in ternary.values() for value in np.unique(m)} == {-1, 0, 1}


@pytest.mark.thorough
@pytest.mark.parametrize(("weights", "method"), [("binary", "edge_popup"), ("signed_constant", "signed")])
def test_what_is_told_of_binary_and_of_inverted_weights_is_the_networks_own(trainer, weights, method):
    (job,) = jobs(trainer, [LearnedMask(weights, rescaled=True, method=method, kept=0.3)])
    outcome = mask_trainer(trainer, method, steps=100).train([job])[0]
    initial, kernels = kernels_of(job.initial), {}
    masks = mask_logits.rounded_masks(method, outcome.logits, mask_logits.limits_of(job.learned, initial))
    for layer, mask in masks.items():
        values, kept = np.asarray(mask, np.float32), np.asarray(mask) != 0
        drawn = np.asarray(untrained_kernels(initial, "kaiming")[layer])
        size = np.abs(drawn)[kept].mean() if weights == "binary" else np.std(initial[layer])
        kernels[layer] = np.sign(drawn) * size * values * kept.size / kept.sum()
    params = {layer: {"kernel": jnp.asarray(k), "bias": jnp.zeros(k.shape[1])} for layer, k in kernels.items()}
    (scores,) = trainer.evaluate([params], trainer.data.test)
    told = outcome.test_at_early_stop
    assert float(told.loss) == pytest.approx(float(scores.loss), rel=1e-4)
    assert float(told.accuracy) == pytest.approx(float(scores.accuracy), abs=1 / 300), "at a tie that rounding breaks"


@pytest.mark.parametrize("rescaled", [False, True])
def test_what_is_told_of_a_mask_is_the_masked_networks_own(trainer, rescaled):
    (job,) = jobs(trainer, [LearnedMask("signed_constant", rescaled)])
    outcome = mask_trainer(trainer, steps=100).train([job])[0]
    rounded = mask_logits.rounded_masks("bernoulli", outcome.logits, {})
    kernels = masked_kernels(untrained_kernels(kernels_of(job.initial), "signed_constant"), rounded, rescaled)
    params = {layer: {"kernel": k, "bias": jnp.zeros(k.shape[1])} for layer, k in kernels.items()}
    (scores,) = trainer.evaluate([params], trainer.data.test)
    told = outcome.test_at_early_stop
    assert float(told.rounded_loss) == pytest.approx(float(scores.loss), rel=1e-4)
    assert float(told.rounded_accuracy) == pytest.approx(float(scores.accuracy), abs=1e-6)


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_that_there_is_not_is_refused(trainer, seed):
    (job,) = jobs(trainer, FOUR[:1])
    with pytest.raises(ValueError, match=f"seed is {seed}; allowed: 0 to"):
        mask_trainer(trainer, steps=1).train([replace(job, seed=seed)])


def test_an_optimiser_of_no_steps_is_one():
    """A cosine over 0 steps would divide by them."""
    optimiser = learned.mask_optimiser("adam", 0.1, 0)
    optimiser.update(jnp.ones(3), optimiser.init(jnp.zeros(3)))


@pytest.mark.thorough
def test_a_masks_outcome_depends_on_its_own_description_alone(trainer):
    own = jobs(trainer, FOUR[:2], seeds=(0, 1))
    trainer_ = mask_trainer(trainer, steps=100)
    together = trainer_.train(own)
    alone = [trainer_.train([job])[0] for job in own]
    one_device = mask_trainer(trainer, steps=100, placement=Placement(tuple(jax.local_devices()[:1]), 3)).train(own)
    for index in range(len(own)):
        assert same_bits(together[index], alone[index])
        assert same_bits(together[index], one_device[index])
    assert not same_bits(together[0].logits, together[2].logits), "another seed, other logits"


@pytest.mark.thorough
def test_draws_go_by_the_step_however_often_a_mask_is_evaluated(trainer):
    """Evaluations look on: the last step's scores are the same to the bit after one interval as after five."""
    rare = replace(mask_trainer(trainer), config=TrainingConfig(20, 100.0, batch_size=50, evaluate_every=20))
    often = replace(rare, config=replace(rare.config, evaluate_every=4))
    once, many = (masks.train(jobs(trainer, FOUR[1:2]))[0] for masks in (rare, often))
    assert len(many.curves.loss) == 6
    assert same_bits([c[-1] for c in once.curves], [c[-1] for c in many.curves])


def test_all_at_once_is_one_after_another(trainer, monkeypatch):
    """The accelerators' way through a population gives the CPU's results, up to rounding."""
    own = jobs(trainer, FOUR[2:])
    loop = mask_trainer(trainer, steps=20).train(own)
    monkeypatch.setattr(Placement, "one_at_a_time", False)
    vmap = mask_trainer(trainer, steps=20).train(own)
    for one, other in zip(loop, vmap, strict=True):
        for layer, logits in one.logits.items():
            np.testing.assert_allclose(logits, other.logits[layer], rtol=1e-3, atol=1e-3)


def released_gradient(outer, weights, mask, through_factor):
    """d sum(outer · w′) / d mask by hand, w′ = w · mask · size / ones: of the product, and of the ones in the factor.

    In double precision, in NumPy: d w′ⱼ / d maskᵢ = [i = j] · wⱼ · size / ones − wⱼ · maskⱼ · size / ones².
    """
    outer, weights, mask = (np.asarray(each, np.float64) for each in (outer, weights, mask))
    size, ones = mask.size, mask.sum()
    of_the_factor = (outer * weights * mask).sum() * size / ones**2
    return outer * weights * size / ones - (of_the_factor if through_factor else 0.0)


def layer_of_gradients(shape, logits, **choices):
    """The gradient of a layer's logits, and all that it is made of, for a random loss that is linear in its weights."""
    job = MaskJob({"output": {"kernel": draw(1, shape), "bias": np.zeros(shape[-1])}}, LearnedMask(**choices), 0)
    given_, key = learned.given_of(job), derive_key(3, Purpose.MASK_SAMPLES)
    outer = draw(2, shape) + draw(1, shape)  # goes along with the weights, so that the factor matters

    def loss(values):
        kernels = mask_logits.effective_kernels(job.learned.method, {"output": values}, key, given_)
        return jnp.sum(outer * kernels["output"])

    if job.learned.method == "bernoulli":
        mask = mask_logits.draw_masks(key, {"output": logits})["output"]
    else:
        mask = mask_logits.rounded_masks(job.learned.method, {"output": logits}, given_.limits)["output"]
    return np.asarray(jax.grad(loss)(logits)), outer, given_.kernels["output"], np.asarray(mask)


def draw(seed, shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


SHAPES = {
    "FC's output": (100, 10),
    "FC's hidden1": (784, 300),
    "Conv2's conv1": (3, 3, 3, 64),
    "Conv2's": (3, 3, 64, 64),
}


@pytest.mark.parametrize("through", [True, False])
@pytest.mark.parametrize("method", ["bernoulli", "threshold"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_gradient_is_the_released_one_straight_through_draw_and_factor(shape, method, through):
    logits = draw(0, shape) - 1
    gradient, outer, weights, mask = layer_of_gradients(
        shape, logits, rescaled=True, method=method, through_factor=through
    )
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    expected = released_gradient(outer, weights, mask, through) * p * (1 - p)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())
    other = released_gradient(outer, weights, mask, not through) * p * (1 - p)
    assert np.abs(gradient - other).max() > 1e-2 * np.abs(expected).max(), "the two readings are told apart"


def test_the_gradient_of_the_unrescaled_and_of_edge_popup_has_no_factor():
    """d loss / d logit is d loss / d weight · w · p (1 - p), for kept and for dropped weights alike."""
    shape = (6, 5)
    logits = draw(0, shape)
    gradient, outer, weights, _ = layer_of_gradients(shape, logits)
    p = jax.nn.sigmoid(logits)
    np.testing.assert_allclose(gradient, outer * weights * p * (1 - p), rtol=1e-5)
    gradient, outer, weights, mask = layer_of_gradients(shape, logits, rescaled=True, method="edge_popup", kept=0.3)
    np.testing.assert_allclose(gradient, outer * weights * (mask.size / mask.sum()) * np.sign(logits), rtol=1e-5)


@pytest.mark.parametrize("rescaled", [False, True])
def test_a_signed_mask_keeps_hides_and_inverts_and_its_gradient_goes_straight_to_the_score(rescaled):
    """d loss / d score = d loss / d weight · w, for hidden weights, too; a factor that is constant multiplies it."""
    shape, reach = (6, 5), np.sqrt(6 / 11)
    scores = jnp.asarray(np.linspace(-reach, reach, 30, dtype=np.float32).reshape(shape))
    choices = {"method": "signed", "threshold": 0.5, "rescaled": rescaled, "through_factor": False}
    gradient, outer, weights, mask = layer_of_gradients(shape, scores, **choices)
    expected = np.sign(scores) * (np.abs(scores) > 0.5 * reach)
    np.testing.assert_array_equal(mask, expected)
    assert (mask.dtype, (mask == 0).sum(), (mask == -1).sum()) == (np.int8, 14, 8)
    factor = 30 / 16 if rescaled else 1.0
    np.testing.assert_allclose(gradient, outer * weights * factor, rtol=1e-5)
    job = MaskJob({"output": {"kernel": draw(1, shape), "bias": np.zeros(5)}}, LearnedMask(**choices), 0)
    key = derive_key(3, Purpose.MASK_SAMPLES)
    stepped = mask_logits.effective_kernels("signed", {"output": scores}, key, learned.given_of(job))["output"]
    np.testing.assert_allclose(stepped, weights * expected * factor, rtol=1e-6)


def test_a_threshold_is_a_value_that_is_itself_hidden_and_no_mask_is_signed_by_rounding():
    scores = jnp.asarray([[0.25, -0.25, 0.5], [-0.5, 0.0, -0.0]])
    mask = mask_logits.ternary_mask(scores, 0.25)
    assert mask.tolist() == [[0, 0, 1], [-1, 0, 0]]
    assert same_bits(mask, jax.jit(mask_logits.ternary_mask)(scores, 0.25))
    assert mask_logits.ternary_mask(scores, 0.0).tolist() == [[1, -1, 1], [-1, 0, 0]]


@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.4])
def test_a_threshold_is_the_fraction_that_is_hidden_at_first(threshold):
    """Of the largest start value, which is that of Glorot's uniform distribution, in each layer."""
    mask = LearnedMask(method="signed", threshold=threshold)
    kernels = {"conv": draw(0, (3, 3, 16, 32)), "output": draw(1, (300, 20))}
    start = mask_logits.start_scores(derive_key(0, Purpose.MASK_SCORES), kernels, mask)
    limits = mask_logits.limits_of(mask, kernels)
    for layer, (fan_in, fan_out) in {"conv": (144, 288), "output": (300, 20)}.items():
        reach = np.sqrt(6 / (fan_in + fan_out))
        assert float(limits[layer]) == pytest.approx(threshold * reach)
        assert 0.99 * reach < np.abs(start[layer]).max() <= reach
        hidden = mask_logits.rounded_masks("signed", start, limits)[layer] == 0
        assert float(hidden.mean()) == pytest.approx(threshold, abs=0.03)


def test_binary_weights_have_the_mean_size_of_those_kept_and_the_gradient_of_those_they_stand_for():
    magnitudes, kept = jnp.asarray([[1.0, 2.0], [4.0, 8.0]]), jnp.asarray([[True, False], [True, False]])
    assert float(mask_logits.gain(magnitudes, kept)) == 2.5
    assert float(mask_logits.gain(magnitudes, jnp.zeros((2, 2), bool))) == 0.0
    shape = (6, 5)
    scores, choices = draw(0, shape), {"weights": "binary", "method": "edge_popup", "kept": 0.3}
    gradient, outer, drawn, mask = layer_of_gradients(shape, scores, **choices)
    np.testing.assert_allclose(gradient, outer * drawn * np.sign(scores), rtol=1e-5)
    job = MaskJob({"output": {"kernel": draw(1, shape), "bias": np.zeros(5)}}, LearnedMask(**choices), 0)
    own, key = learned.given_of(job), derive_key(3, Purpose.MASK_SAMPLES)
    stepped = mask_logits.effective_kernels("edge_popup", {"output": scores}, key, own)["output"]
    assert mask.sum() == 9
    np.testing.assert_allclose(stepped, np.sign(drawn) * np.abs(drawn)[mask].mean() * mask, rtol=1e-6)
    jitted = jax.jit(lambda scores: mask_logits.effective_kernels("edge_popup", {"output": scores}, key, own))
    assert same_bits(jitted(scores)["output"], stepped)


@given(st.integers(0, 2**31 - 1), st.floats(0.0, 1.0, width=32))
def test_straight_through_is_the_mask_to_the_bit(seed, soft):
    hard = jnp.asarray(np.random.default_rng(seed).integers(0, 2, 7), jnp.float32)
    assert same_bits(mask_logits.straight_through(hard, jnp.full(7, soft)), hard)


@given(st.integers(0, 1000), st.floats(-6, 6, width=32), st.booleans())
def test_draws_are_exact_bernoulli_and_the_key_decides(seed, logit, odd):
    shape = (151, 67) if odd else (200, 50)
    logits = {"output": jnp.full(shape, logit)}
    key = derive_key(seed, Purpose.MASK_SAMPLES)
    mask = mask_logits.draw_masks(key, logits)["output"]
    p, size = float(jax.nn.sigmoid(jnp.float32(logit))), mask.size
    assert abs(int(mask.sum()) - p * size) < 5 * np.sqrt(p * (1 - p) * size) + 2
    assert same_bits(mask, jax.jit(mask_logits.draw_masks)(key, logits)["output"])
    half = mask.ravel()[: size // 2]
    assert 0.0 < p < 1.0
    if 0.2 < p < 0.8:
        assert not same_bits(half, mask.ravel()[size // 2 : 2 * (size // 2)]), "no bits are used twice"


def test_impossible_logits_are_never_and_always():
    logits = {"output": jnp.asarray([[-200.0, 200.0]] * 500)}
    mask = mask_logits.draw_masks(derive_key(0, Purpose.MASK_SAMPLES), logits)["output"]
    assert not mask[:, 0].any()
    assert mask[:, 1].all()


def test_a_start_moves_the_sparsity(trainer):
    masks = [LearnedMask(start=start) for start in (-2.0, 2.0)]
    sparse, dense = mask_trainer(trainer, steps=100).train(jobs(trainer, masks))
    assert float(sparse.curves.remaining[0]) == pytest.approx(float(jax.nn.sigmoid(-2.0)), abs=0.02)
    assert float(sparse.test_at_end.remaining) < 0.3 < 0.7 < float(dense.test_at_end.remaining)


def test_an_unknown_optimiser_is_refused():
    with pytest.raises(ValueError, match="optimiser is 'adagrad'; allowed: sgd, adam"):
        learned.mask_optimiser("adagrad", 0.1, 10)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_weights_are_what_they_are_called(trainer, weights):
    initial = kernels_of(initial_params(trainer, 0))
    for layer, kernel in untrained_kernels(initial, weights).items():
        assert (np.sign(kernel) == np.sign(initial[layer])).all()
        spread = float(np.std(kernel))
        glorot = np.sqrt(2 / sum(initial[layer].shape))
        expected = glorot if weights in ("initial", "signed_constant") else np.sqrt(2 / initial[layer].shape[0])
        assert spread == pytest.approx(expected, rel=0.1)


@given(st.integers(0, 50), st.integers(1, 50))
def test_rescaling_is_weights_over_ones(ones, zeros):
    mask = jnp.arange(ones + zeros) < ones
    assert float(rescaling(mask)) == pytest.approx((ones + zeros) / ones if ones else 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": "trained"}, "weights is 'trained'; allowed: initial"),
        ({"method": "magic"}, "method is 'magic'; allowed: bernoulli"),
        ({"start": float("nan")}, "start is nan; allowed: -20 to 20"),
        ({"kept": 1.0}, "kept is 1.0; allowed: 0 <= fraction < 1"),
        ({"kept": 0.0}, "kept is 0; allowed: 0 < kept < 1"),
        ({"threshold": 1.0}, "threshold is 1.0; allowed: 0 <= fraction < 1"),
        ({"decay": -0.1}, "decay is -0.1; allowed: 0 <= fraction < 1"),
    ],
)
def test_impossible_masks_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(LearnedMask(), **change)


def test_the_gradient_passes_through_the_factor_of_rescaling_by_default():
    """As in the released code; the other choice keeps half of the weights where this one keeps 30%."""
    assert LearnedMask(rescaled=True) == LearnedMask(rescaled=True, through_factor=True)
    assert LearnedMask(rescaled=True) != LearnedMask(rescaled=True, through_factor=False)


def test_what_stays_beside_masked_kernels_has_its_shape_and_zero_biases():
    """A bias of one number per output is made anew; of another shape, and what is no bias of a kernel, is passed on."""
    params = {
        "dense": {"kernel": np.ones((3, 4)), "bias": np.ones(4)},
        "maps": {"kernel": np.ones((3, 4)), "bias": np.ones((2, 4))},
        "norm": {"scale": np.full(4, 2.0), "bias": np.ones(4)},
    }
    others = others_of(params)
    assert set(others) == {"maps", "norm"}
    np.testing.assert_array_equal(others["maps"]["bias"], np.zeros((2, 4)))
    np.testing.assert_array_equal(others["norm"]["scale"], np.full(4, 2.0))
    np.testing.assert_array_equal(others["norm"]["bias"], np.ones(4))
    whole = completed({"dense": np.ones((3, 4)), "maps": np.ones((3, 4))}, others)
    assert {layer: {n: leaf.shape for n, leaf in own.items()} for layer, own in whole.items()} == {
        layer: {n: leaf.shape for n, leaf in own.items()} for layer, own in params.items()
    }
