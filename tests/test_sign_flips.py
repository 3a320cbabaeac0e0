"""Sign flips: counted by hand in short histories, the same under every transformation, and in real trainings."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import supermask as sm
from supermask.analysis.kinds.plan import missing_results
from supermask.analysis.kinds.rounds import ROUNDS, Unpruned
from supermask.analysis.kinds.sign_flips import SIGN_FLIPS, Flips, UnprunedFlips
from supermask.analysis.running import runner
from supermask.analysis.store.store import Store
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.lottery import initial_of
from supermask.networks import FeedForward, kernels_of
from supermask.population import place
from supermask.recorded_training import RecordingTrainer
from supermask.restarts import Treatment
from supermask.sign_flips import PRUNED
from supermask.training import Job, Trainer, TrainingConfig

NAN = float("nan")


def every_leaf(path, leaf):
    return True


def watched(history, masks=None, **choices):
    """What looks at each row of a history have found, as of one leaf 'w'."""
    rows = [{"w": jnp.asarray(row, jnp.float32)} for row in history]
    flips = sm.watch_signs(rows[0], None if masks is None else {"w": masks}, where=every_leaf, **choices)
    for row in rows[1:]:
        flips = sm.record_flips(flips, row)
    return flips


@pytest.mark.parametrize(
    ("history", "flips", "sign"),
    [
        ([1, 2, 0.5, 3], 0, 1),
        ([1, -1, 1, -1], 3, -1),
        ([1, 0, 1, 0], 0, 1),  # back to where it came from
        ([1, 0, 0, -1], 1, -1),  # through 0, which is no sign
        ([0, 0, -1, -2], 0, -1),  # its first sign
        ([0, -1, 1, 0], 1, 1),
        ([0, 0, 0, 0], 0, 0),
        ([1, NAN, -1, NAN], 1, -1),
        ([1e-30, -1e-30, -0.0, 0.0], 1, -1),
    ],
)
def test_a_flip_is_another_sign_than_the_last_one(history, flips, sign):
    found = watched([[each] for each in history])
    assert (int(found.looks), int(found.flips["w"][0]), int(found.signs["w"][0])) == (3, flips, sign)


def test_waiting_times_are_between_flips_and_the_last_place_has_all_longer_ones():
    """Flips at looks 2, 3 and 8: it waited once for 1 look, and once for 5."""
    history = [[x] for x in (1, 1, -1, 1, 1, 1, 1, 1, -1, -1)]
    np.testing.assert_array_equal(watched(history, longest=6).waits["w"], [1, 0, 0, 0, 1, 0])
    np.testing.assert_array_equal(watched(history, longest=3).waits["w"], [1, 0, 1])
    assert int(watched(history).last["w"][0]) == 8


def test_pruned_weights_are_never_counted_whatever_they_are_frozen_at():
    history = [[1.0, 1, 1, 0], [-1.0, -1, -1, 0], [1.0, 1, 1, 0]]
    found = watched(history, masks=jnp.array([True, False, True, False]))
    np.testing.assert_array_equal(found.signs["w"], [1, PRUNED, 1, PRUNED])
    np.testing.assert_array_equal(found.flips["w"], [2, 0, 2, 0])
    assert sm.flip_counts(found)["w"] == (2, 0, 2, 4)
    np.testing.assert_array_equal(sm.flip_numbers(found)["w"], [0, 0, 2])


def test_what_never_has_a_sign_is_not_counted():
    assert sm.flip_counts(watched([[0.0, 1], [0, -1], [NAN, 1], [0, -1]]))["w"] == (1, 1, 1, 3)


@given(st.integers(0, 2**31), st.integers(2, 12), st.integers(1, 9))
def test_any_history_is_counted_as_numpy_counts_it(seed, looks, size):
    history = np.random.default_rng(seed).integers(-1, 2, (looks, size)).astype(np.float32)
    found = watched(history, longest=20)
    waits = np.zeros(20, int)
    for weight in range(size):
        signs = [(at, sign) for at, sign in enumerate(history[:, weight]) if sign]
        at = [now for (_, before), (now, sign) in pairwise(signs) if sign != before]
        assert int(found.flips["w"][weight]) == len(at)
        np.add.at(waits, np.diff(at).astype(int) - 1, 1)
        if signs:
            assert (signs[0][1] != signs[-1][1]) == len(at) % 2
            assert int(found.signs["w"][weight]) == signs[-1][1]
    np.testing.assert_array_equal(found.waits["w"], waits)
    assert sum(sm.flip_numbers(found)["w"]) == (history != 0).any(axis=0).sum()


def test_it_is_the_same_under_jit_scan_and_vmap():
    history = jax.random.normal(jax.random.key(0), (9, 2, 4, 3))
    one = [{"a": {"kernel": row}, "b": {"bias": row[0]}} for row in history[:, 0]]
    by_hand = sm.watch_signs(one[0])
    assert list(by_hand.signs) == ["a/kernel"], "what prune leaves dense is not watched"
    for row in one[1:]:
        by_hand = sm.record_flips(by_hand, row)

    def scanned(rows):
        first, rest = rows[0], rows[1:]
        begin = sm.watch_signs({"a": {"kernel": first}})
        return jax.lax.scan(lambda f, row: (sm.record_flips(f, {"a": {"kernel": row}}), None), begin, rest)[0]

    alone = jax.jit(scanned)(history[:, 0])
    both = jax.vmap(scanned, in_axes=1)(history)
    for other in (alone, jax.tree.map(lambda leaf: leaf[0], both)):
        jax.tree.map(np.testing.assert_array_equal, other, by_hand)
    assert not np.array_equal(both.flips["a/kernel"][0], both.flips["a/kernel"][1])


@pytest.mark.parametrize("every", [1, 3])
def test_as_an_optimiser_it_records_the_same_and_changes_no_update(every):
    params = {"w": jax.random.normal(jax.random.key(1), (5, 4))}
    plain, recording = optax.adam(0.3), sm.recording_flips(optax.adam(0.3), every=every)
    own, state = params, recording.init(params)
    other, plain_state = params, plain.init(params)
    flips = sm.watch_signs(params)
    for step in range(1, 8):
        grads = {"w": jnp.sin(7 * own["w"] + step)}
        updates, state = recording.update(grads, state, own)
        expected, plain_state = plain.update(grads, plain_state, other)
        own, other = optax.apply_updates(own, updates), optax.apply_updates(other, expected)
        np.testing.assert_array_equal(own["w"], other["w"])
        if step % every == 0 and step < 7:
            flips = sm.record_flips(flips, own)
    found = sm.flips_of((state, "of a chain"))
    jax.tree.map(np.testing.assert_array_equal, found, flips)
    assert int(found.looks) == 6 // every
    assert int(found.flips["w"].sum()) > 0


def test_tenths_by_distance_are_equal_parts_of_what_is_counted():
    """Weights 1 to 8, of which one is pruned and one flips: the one that began nearest to 0."""
    initial = jnp.arange(1.0, 9.0)
    later = initial.at[0].set(-1)
    found = watched([initial, later], masks=jnp.arange(8) != 4)
    halves = sm.flips_by_distance(found, {"w": initial}, parts=2)["w"]
    assert halves == ((4, 1, 1, 1), (3, 0, 0, 0))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: watched([[1.0]], longest=0), "longest is 0; allowed: 1 or more"),
        (lambda: sm.recording_flips(optax.sgd(1), every=0), "every is 0; allowed: 1 or more"),
        (lambda: sm.record_flips(watched([[1.0]]), {"v": jnp.ones(1)}), "params have w of shape None; allowed"),
        (lambda: sm.record_flips(watched([[1.0]]), {"w": jnp.ones(2)}), r"shape \(2,\); allowed: \(1,\)"),
        (lambda: sm.flips_of(optax.sgd(1).init({})), "0 records of flips; allowed: one"),
        (lambda: sm.flips_by_distance(watched([[1.0]]), {"w": jnp.ones(2)}), "initial has w"),
        (lambda: sm.watch_signs({"w": jnp.ones((2, 2))}, {"w": jnp.ones((2, 3), bool)}), "mask of w"),
        (lambda: sm.recording_flips(optax.sgd(1)).update({}, None), "params are missing"),
        (lambda: sm.geometric_tail([1, -1]), "allowed: whole numbers, 0 or more"),
        (lambda: sm.geometric_tail([0.5, 1]), "numbers is float64"),
    ],
)
def test_what_cannot_be_recorded_is_refused(call, words, unchecked):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_geometric_tail_is_told_from_poissons_and_both_are_found_again():
    whole = np.arange(60)
    geometric = np.round(1e7 * 0.4 * 0.6 ** (whole - 1)).astype(int)
    geometric[0] = 123  # below the tail
    found = sm.geometric_tail(geometric)
    assert found.ratio == pytest.approx(0.6, abs=1e-4)
    assert found.geometric < 1e-4 < 0.05 < found.poisson
    assert found.advantage > 0.1
    logs = whole * np.log(2.5) - np.cumsum(np.log(np.maximum(whole, 1)))
    poisson = sm.geometric_tail(np.round(1e7 * np.exp(logs)).astype(int), least=2)
    assert poisson.rate == pytest.approx(2.5, abs=1e-3)
    assert poisson.poisson < 1e-4 < 0.05 < poisson.geometric
    assert poisson.advantage < -0.04


def test_tails_with_little_in_them():
    none, equal, few = (sm.geometric_tail(np.array(numbers)) for numbers in ([7], [7, 5], [7, 3, 1]))
    assert none.size == 0
    assert np.isnan(none[1:]).all()
    assert equal == (5, 0, 0, 0, 0, 0)
    assert few.ratio == pytest.approx(0.2)  # mean 1.25, of which 0.25 beyond 1
    assert few.size == 4


NETWORK = FeedForward(hidden=(9, 8))


def recording(digits, every, steps=9, evaluate_every=3):
    config = TrainingConfig(steps, 0.02, batch_size=30, evaluate_every=evaluate_every)
    return RecordingTrainer(NETWORK, digits, config, place(4000, networks=2), every=every)


def jobs_of(digits):
    """An unpruned network, and one pruned by half in its first layer."""
    initial = initial_of(NETWORK, 0, digits.image_shape)
    full = {layer: np.ones(kernel.shape, bool) for layer, kernel in kernels_of(initial).items()}
    half = full | {"hidden1": np.random.default_rng(0).random(full["hidden1"].shape) < 0.5}
    start = {layer: dict(leaves) for layer, leaves in initial.items()}
    start["hidden1"]["kernel"] = np.where(half["hidden1"], start["hidden1"]["kernel"], 0)
    return [Job(initial, full, 0), Job(start, half, 1)]


def test_a_recorded_training_has_the_same_bits_and_the_flips_of_its_steps(digits):
    """By hand: the weights after 1, 2, ... steps, and the signs that change between them."""
    jobs, trainer = jobs_of(digits), recording(digits, 1)
    plain = Trainer(NETWORK, digits, trainer.config, trainer.placement)
    recorded = trainer.train_recorded(jobs)
    for own, expected in zip(recorded, plain.train(jobs), strict=True):
        jax.tree.map(np.testing.assert_array_equal, own.trained, expected)
    for job, own in zip(jobs, recorded, strict=True):
        ends = plain.train([Job(job.params, job.masks, job.seed, last_step=step) for step in range(1, 10)])
        history = [kernels_of(job.params), *(kernels_of(end.params) for end in ends)]
        by_hand = sm.watch_signs(history[0], job.masks, where=every_leaf)
        for kernels in history[1:]:
            by_hand = sm.record_flips(by_hand, kernels)
        assert sm.flip_counts(own.flips) == sm.flip_counts(by_hand)
        assert sum(each.flips for each in sm.flip_counts(by_hand).values()) > 5
        for layer, waits in own.flips.waits.items():
            np.testing.assert_array_equal(waits[:256], by_hand.waits[layer])
        assert int(own.flips.looks) == 9
    assert sm.flip_counts(recorded[1].flips)["hidden1"].weights == jobs[1].masks["hidden1"].sum()


def test_fewer_looks_see_the_same_changes_and_no_more_flips(digits):
    """Also where the last interval is shorter than the others."""
    (often,), (seldom,) = (recording(digits, n, 16, 6).train_recorded(jobs_of(digits)[:1]) for n in (1, 3))
    assert (int(often.flips.looks), int(seldom.flips.looks)) == (16, 6)
    for layer, counts in sm.flip_counts(often.flips).items():
        other = sm.flip_counts(seldom.flips)[layer]
        assert other.changed == counts.changed
        assert other.flips <= counts.flips
        assert (counts.flips - other.flips) % 2 == 0
    with pytest.raises(ValueError, match="every is 4; allowed: whole parts of evaluate_every, 6"):
        recording(digits, 4, 16, 6)


@pytest.fixture(scope="module")
def made(digits, tmp_path_factory):
    changes = Changes(dataset="digits", epochs=4, rounds=2, seeds=2, rates={"dense": 0.6, "output": 0.4})
    experiment = Experiment(protocol("quick", changes=changes), digits)
    study = Study((UnprunedFlips(), UnprunedFlips(rate=0.5), Flips()))
    folder = tmp_path_factory.mktemp("results")
    with Store(folder) as store:
        runner.run(experiment, study, store)
    return experiment, study, folder


def test_recorded_trainings_are_those_of_the_rounds(made):
    """They end at the same loss, and as many signs differ as between both ends of a stored training."""
    experiment, _, folder = made
    with Store(folder) as store:
        for seed in (0, 1):
            (named,) = SIGN_FLIPS.results(experiment, UnprunedFlips(), seed)
            stored = store.arrays(ROUNDS.results(experiment, Unpruned(), seed)[0].id)
            layers = ("hidden1", "hidden2", "output")
            changed = {n: np.sum(stored[f"initial.{n}.kernel"] * stored[f"final.{n}.kernel"] < 0) for n in layers}
            arrays, metrics = store.arrays(named.id), store.metrics(named.id)
            assert {n: arrays[f"distance.{n}"][:, 1].sum() for n in layers} == changed
            assert {n: arrays[f"number.{n}"][1::2].sum() for n in layers} == changed
            weights = sum(arrays[f"distance.{n}"][:, 0].sum() for n in layers)
            assert metrics["changed"] == pytest.approx(sum(changed.values()) / weights)
            (unpruned,) = ROUNDS.results(experiment, Unpruned(), seed)
            assert metrics["validation_loss"] == store.metrics(unpruned.id)["validation_loss"]


def test_only_kept_weights_of_a_round_are_counted(made):
    experiment, _, folder = made
    with Store(folder) as store:
        for round_, named in enumerate(SIGN_FLIPS.results(experiment, Flips(), 1), 1):
            arrays, metrics = store.arrays(named.id), store.metrics(named.id)
            counted = sum(arrays[name][:, 0].sum() for name in arrays if name.startswith("distance."))
            kept = store.arrays(ROUNDS.results(experiment, Treatment(), 1)[round_ - 1].id)
            assert counted == sum(kept[name].size for name in kept if name.startswith("kept."))
            assert 0 < metrics["changed"] <= metrics["flipped"] < 1


def test_a_missing_result_is_made_alone_and_the_same(made):
    experiment, study, folder = made
    with Store(folder) as store:
        assert missing_results(experiment, study, store) == 0
        victim = SIGN_FLIPS.results(experiment, Flips(), 0)[1]
        before, arrays = store.metrics(victim.id), store.arrays(victim.id)
        store.remove(victim.id)
        runner.run(experiment, study, store)
        assert store.metrics(victim.id) == before
        jax.tree.map(np.testing.assert_array_equal, store.arrays(victim.id), arrays)


def test_weights_near_zero_flip_more_and_a_higher_rate_flips_more(made):
    """The science, small."""
    experiment, _, folder = made
    with Store(folder) as store:
        found = {rate: SIGN_FLIPS.results(experiment, UnprunedFlips(rate=rate), 0)[0].id for rate in (0.5, 1.0)}
        tenths = store.arrays(found[1.0])["distance.hidden1"]
        assert tenths[0, 1] > 5 * tenths[-1, 1]
        low, high = (store.metrics(found[rate]) for rate in (0.5, 1.0))
    assert high["flips_per_weight"] > low["flips_per_weight"]
    assert high["changed"] < 0.5
