"""Population training: exact masks, results that depend on nothing but their own description, honest early stopping."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supermask import networks
from supermask.datasets import Split, load
from supermask.evaluation import Examples, cross_entropy, evaluate, evaluated_on, trimmed
from supermask.intervals import steps_of
from supermask.keys import Purpose, batch_order, derive_key
from supermask.params import masked_update
from supermask.population import Placement, in_groups, place
from supermask.training import Job, Trainer, TrainingConfig


def job(network, data, seed: int, kept: float = 0.5, frozen: float = 0.1, **steps) -> Job:
    """A network whose pruned weights are frozen at a value that no training would leave them at."""
    params = networks.initialise(network, derive_key(seed, Purpose.INITIAL_WEIGHTS), data.image_shape)
    random = np.random.default_rng(seed)
    masks = {layer: random.random(kernel.shape) < kept for layer, kernel in networks.kernels_of(params).items()}
    kernels = {layer: np.where(masks[layer], k, np.float32(frozen)) for layer, k in networks.kernels_of(params).items()}
    return Job(networks.with_kernels(params, kernels), masks, seed, **steps)


def test_updates_reach_kept_weights_biases_and_layers_without_a_mask():
    params = {layer: {"kernel": jnp.full((2, 3), -0.0), "bias": jnp.zeros(3)} for layer in ("hidden1", "output")}
    updates = jax.tree.map(jnp.ones_like, params)
    mask = jnp.array([[True, False, True], [False, False, True]])
    moved = masked_update(params, updates, {"hidden1": mask})
    assert np.asarray(moved["hidden1"]["kernel"]).tobytes() == np.where(mask, 1, np.float32(-0.0)).tobytes()
    assert (moved["output"]["kernel"] == 1).all()
    assert all((leaves["bias"] == 1).all() for leaves in moved.values())


def same_bits(first, second) -> bool:
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


OPTIMISERS = {
    "adam": None,
    "momentum and weight decay": optax.chain(optax.add_decayed_weights(1e-2), optax.sgd(0.05, momentum=0.9)),
    "adamw": optax.adamw(1e-3, weight_decay=0.1),
}


@pytest.mark.parametrize("optimiser", OPTIMISERS.values(), ids=OPTIMISERS.keys())
@pytest.mark.parametrize("frozen", [0.0, -0.0, 0.1])
def test_pruned_weights_are_bit_equal_after_training_and_kept_ones_move(trainer, optimiser, frozen):
    start = job(trainer.network, trainer.data, 0, frozen=frozen)
    trained = replace(trainer, optimiser=optimiser).train([start])[0]
    for layer, kernel in networks.kernels_of(trained.params).items():
        before, mask = np.asarray(start.params[layer]["kernel"]), start.masks[layer]
        assert kernel[~mask].tobytes() == before[~mask].tobytes()
        assert (kernel[mask] != before[mask]).mean() > 0.5


def test_a_networks_result_does_not_depend_on_what_it_is_trained_beside(trainer):
    jobs = [job(trainer.network, trainer.data, seed) for seed in range(5)]
    together = trainer.train(jobs)
    alone = [trainer.train([each])[0] for each in jobs]
    reversed_ = trainer.train(jobs[::-1])[::-1]
    for index in range(5):
        assert same_bits(together[index], alone[index])
        assert same_bits(together[index], reversed_[index])


@pytest.mark.parametrize(("devices", "slots"), [(1, 1), (1, 7), (2, 1), (2, 3)])
def test_the_same_bits_on_one_device_or_two_and_for_any_number_of_slots(trainer, devices, slots):
    jobs = [job(trainer.network, trainer.data, seed) for seed in range(3)]
    elsewhere = replace(trainer, placement=Placement(tuple(jax.devices()[:devices]), slots))
    assert same_bits(elsewhere.train(jobs), trainer.train(jobs))


def test_all_at_once_is_one_after_another_to_rounding(trainer, monkeypatch):
    """Accelerators take a device's networks at once (vmap), CPUs one after another: the same science."""
    jobs = [job(trainer.network, trainer.data, seed) for seed in range(3)]
    monkeypatch.setattr(Placement, "one_at_a_time", False)
    at_once = replace(trainer).train(jobs)
    monkeypatch.undo()
    for first, second in zip(at_once, trainer.train(jobs), strict=True):
        np.testing.assert_allclose(first.validation_loss, second.validation_loss, rtol=1e-3)
        assert first.test_at_end.accuracy == pytest.approx(float(second.test_at_end.accuracy), abs=0.01)


def test_early_stop_is_the_step_of_lowest_validation_loss(trainer):
    trained = trainer.train([job(trainer.network, trainer.data, 3)])[0]
    assert trained.evaluated_at.tolist() == [0, 100, 200, 300]
    best = int(np.argmin(trained.validation_loss))
    assert trained.early_stop == trained.evaluated_at[best]
    assert trained.validation_at_early_stop.loss == trained.validation_loss[best]
    assert trained.validation_at_end.loss == trained.validation_loss[-1]


def test_test_accuracy_at_early_stop_is_that_of_the_weights_at_that_step(trainer):
    """With a learning rate that diverges later on, the best step is before the end; train just to it and compare."""
    wild = replace(trainer, optimiser=optax.sgd(optax.piecewise_constant_schedule(0.3, {150: 1e4})))
    trained = wild.train([job(trainer.network, trainer.data, 1)])[0]
    assert 0 < trained.early_stop < 300
    stopped = wild.train([job(trainer.network, trainer.data, 1, last_step=trained.early_stop)])[0]
    assert stopped.test_at_end == trained.test_at_early_stop
    assert trained.test_at_end.accuracy < trained.test_at_early_stop.accuracy


def test_a_training_that_diverges_is_a_result(trainer):
    broken = replace(trainer, optimiser=optax.sgd(1e30)).train([job(trainer.network, trainer.data, 1)])[0]
    assert not np.isfinite(broken.validation_at_end.loss)
    assert broken.early_stop == 0
    assert 0 <= broken.test_at_early_stop.accuracy <= 1


def test_jobs_of_different_length_keep_their_places(trainer):
    lengths = [300, 120, 300, 0]
    trained = trainer.train([job(trainer.network, trainer.data, 1, last_step=length) for length in lengths])
    assert [int(each.evaluated_at[-1]) for each in trained] == lengths
    assert trained[1].evaluated_at.tolist() == [0, 100, 120]
    assert same_bits(trained[0], trained[2])


def test_going_on_from_a_step_takes_the_batches_after_it(trainer):
    """Plain gradient descent has no state of its own, so two halves are the whole, to the bit."""
    plain = replace(trainer, optimiser=optax.sgd(0.1))
    whole = plain.train([job(trainer.network, trainer.data, 2)])[0]
    half = plain.train([job(trainer.network, trainer.data, 2, last_step=100)])[0]
    start = job(trainer.network, trainer.data, 2)
    rest = plain.train([Job(half.params, start.masks, 2, first_step=100)])[0]
    assert same_bits(rest.params, whole.params)


def test_progress_counts_every_network_step(trainer):
    steps: list[int] = []
    trainer.train([job(trainer.network, trainer.data, seed) for seed in range(3)], steps.append)
    assert sum(steps) == 3 * 300


def with_blank_pixels(size: int, seed: int = 0) -> Split:
    """Images of ten classes that each use an eighth of the pixels."""
    random = np.random.default_rng(seed)
    used = random.random((10, 8, 8, 1)) < 1 / 8
    labels = random.integers(0, 10, size).astype(np.int32)
    return Split(random.integers(0, 17, (size, 8, 8, 1), dtype=np.uint8) * used[labels], labels)


@given(st.integers(1, 2600), st.integers(0, 10))
def test_trimmed_chunks_hold_every_image_and_leave_out_blank_pixels_alone(size, seed):
    split = with_blank_pixels(size, seed)
    parts = trimmed(split)
    found = []
    for part in parts or ():
        assert part.images.shape == (*part.labels.shape, part.pixels.shape[1])
        for pixels, images, labels in zip(*part, strict=True):
            assert (np.diff(pixels) > 0).all()
            whole = np.zeros((len(images), 64), np.uint8)
            whole[:, pixels] = images
            found += [(int(label), image.tobytes()) for label, image in zip(labels, whole, strict=True)]
    if parts is None:
        assert np.mean(split.images.reshape(size, -1).any(axis=0)) > 0.5, "only a split that uses most pixels is left"
    else:
        everything = zip(split.labels, split.images.reshape(size, -1), strict=True)
        assert sorted(found) == sorted((int(label), image.tobytes()) for label, image in everything)


def test_a_split_without_blank_pixels_is_left_whole():
    full = Split(np.ones((600, 8, 8, 1), np.uint8), np.zeros(600, np.int32))
    assert trimmed(full) is None
    assert trimmed(with_blank_pixels(600)) is not None
    assert trimmed(load("mnist5k").validation) is not None


@pytest.mark.parametrize("size", [1, 251, 2100])
@pytest.mark.parametrize("inputs", [None, np.arange(3, 60, 2, dtype=np.int32)], ids=["all inputs", "some inputs"])
def test_evaluation_of_a_trimmed_split_is_that_of_the_whole(small_network, size, inputs):
    split = with_blank_pixels(size)
    parts = trimmed(split)
    assert parts is not None
    seen = (8, 8, 1) if inputs is None else (len(inputs), 1, 1)
    params = networks.initialise(small_network, derive_key(0, Purpose.INITIAL_WEIGHTS), seen)
    examples = Examples(jnp.asarray(split.images), jnp.asarray(split.labels))
    whole, scores = (evaluate(small_network, params, each, 16, inputs) for each in (examples, parts))
    assert scores.loss == pytest.approx(float(whole.loss), rel=1e-5)
    assert scores.accuracy == pytest.approx(float(whole.accuracy), abs=1e-6)


def test_a_convolutional_network_is_evaluated_on_whole_images():
    conv = networks.FeedForward(conv_pairs=(4,), hidden=(8,))
    split = with_blank_pixels(300)
    assert isinstance(evaluated_on(conv, place(1000, networks=1), split), Examples)
    params = networks.initialise(conv, derive_key(0, Purpose.INITIAL_WEIGHTS), (8, 8, 1))
    with pytest.raises(ValueError, match="split is trimmed; allowed: whole"):
        evaluate(conv, params, trimmed(split), 16)


@pytest.mark.parametrize("size", [1, 999, 1000, 1001, 2345])
def test_evaluation_in_chunks_is_evaluation_at_once(small_network, digits, size):
    random = np.random.default_rng(0)
    examples = Examples(
        jnp.asarray(random.integers(0, 17, (size, 8, 8, 1)), jnp.uint8),
        jnp.asarray(random.integers(0, 10, size), jnp.int32),
    )
    params = networks.initialise(small_network, derive_key(0, Purpose.INITIAL_WEIGHTS), (8, 8, 1))
    scores = jax.jit(lambda p, e: evaluate(small_network, p, e, 16))(params, examples)
    images = examples.images.astype(jnp.float32) / 16
    assert scores.loss == pytest.approx(float(cross_entropy(small_network, params, images, examples.labels)), rel=1e-5)
    predicted = jnp.argmax(networks.logits(small_network, params, images), axis=-1)
    assert scores.accuracy == pytest.approx(float((predicted == examples.labels).mean()), rel=1e-6)


def test_gradients_are_those_of_the_mean_loss_over_the_training_split(trainer):
    params = networks.initialise(trainer.network, derive_key(0, Purpose.INITIAL_WEIGHTS), (8, 8, 1))
    images = jnp.asarray(trainer.data.train.images, jnp.float32) / 16
    labels = jnp.asarray(trainer.data.train.labels)
    expected = jax.grad(lambda p: cross_entropy(trainer.network, p, images, labels))(params)
    for layer, gradient in trainer.gradients(params).items():
        np.testing.assert_allclose(gradient, expected[layer]["kernel"], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_job_of_a_seed_that_there_is_not_is_refused(trainer, seed):
    """JAX would take it for another seed, whose weights it then shared."""
    start = job(trainer.network, trainer.data, 0)
    with pytest.raises(ValueError, match=f"seed is {seed}; allowed: 0 to 2,147,483,647"):
        trainer.train([replace(start, seed=seed)])


def test_training_learns(trainer):
    trained = trainer.train([job(trainer.network, trainer.data, 0, kept=1.0)])[0]
    assert trained.test_at_early_stop.accuracy > 0.9


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 60), st.integers(0, 60), st.integers(0, 3))
def test_the_order_of_batches_is_permutations_laid_end_to_end(examples, batch, first, length, seed):
    whole = batch_order(seed, examples, batch, 0, first + length).ravel()
    np.testing.assert_array_equal(
        batch_order(seed, examples, batch, first, first + length), whole.reshape(-1, batch)[first:]
    )
    for start in range(0, whole.size - examples + 1, examples):
        assert sorted(whole[start : start + examples]) == list(range(examples))


def test_seeds_and_epochs_have_orders_of_their_own():
    first, second = batch_order(0, 50, 50, 0, 2)
    assert first.tolist() != second.tolist()
    assert first.tolist() != batch_order(1, 50, 50, 0, 1)[0].tolist()


def test_steps_of_the_paper():
    assert steps_of(55, 55_000, 60) == 50_416


@pytest.mark.parametrize(
    ("field", "value"), [("steps", -1), ("learning_rate", 0.0), ("batch_size", 0), ("evaluate_every", 0)]
)
def test_impossible_configurations_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=f"{field} is {value}"):
        replace(TrainingConfig(1, 0.1), **{field: value})


def test_placement_fills_memory_not_more():
    assert place(266_610).slots == 32
    assert place(4_301_642).slots_per_device == 5
    assert place(10**9).slots_per_device == 1
    assert place(266_610, networks=3).slots_per_device == 2
    with pytest.raises(ValueError, match="slots_per_device is 0"):
        Placement(tuple(jax.devices()), 0)
    with pytest.raises(ValueError, match="networks has 0 members"):
        place(10).stack([])


def test_the_counts_are_spread_evenly():
    three = Placement(tuple(jax.devices()[:2]), 4)
    assert np.asarray(three.counts(5)).tolist() == [3, 2]
    members = [{"w": np.full(2, n, np.float32)} for n in range(5)]
    assert [int(m["w"][0]) for m in three.unstack(three.stack(members), 5)] == [0, 1, 2, 3, 4]


@given(st.lists(st.integers(0, 3)), st.integers(1, 4))
def test_things_of_one_kind_are_made_together_and_returned_in_their_order(kinds, size):
    calls = []

    def make(places):
        calls.append([kinds[place] for place in places])
        return [(place, kinds[place]) for place in places]

    assert in_groups(kinds, size, make) == [*enumerate(kinds)]
    assert all(len(set(own)) == 1 and len(own) <= size for own in calls)
    assert [own[0] for own in calls] == sorted(own[0] for own in calls)
    assert len(calls) == sum(-(-kinds.count(kind) // size) for kind in set(kinds)), "as few populations as can be"


def test_a_trainer_compiles_once_for_all_populations(trainer):
    fresh = Trainer(trainer.network, trainer.data, trainer.config, trainer.placement)
    for count in (1, 3, 2):
        fresh.train([job(trainer.network, trainer.data, seed) for seed in range(count)])
    (program,) = fresh._programs.values()
    assert program._cache_size() == 1
    assert fresh._placed.evaluated._cache_size() == 1
