"""Lines between networks: barriers by hand, and a small study whose second networks see data in another order."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import supermask as sm
from supermask.analysis.kinds.barrier import BARRIERS, OTHER_ORDERS, Barrier, UnprunedBarrier
from supermask.analysis.kinds.plan import complete, missing_results
from supermask.analysis.kinds.rounds import ROUNDS, Unpruned, decode_round
from supermask.analysis.running import runner
from supermask.analysis.store.store import Store
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.connectivity import PLACES
from supermask.lottery import initial_of
from supermask.networks import kernels_of
from supermask.population import place
from supermask.restarts import Treatment
from supermask.training import Job, Trainer

ENDS = (
    {"a": {"kernel": jnp.arange(6.0).reshape(2, 3), "bias": jnp.zeros(3)}},
    {"a": {"kernel": jnp.full((2, 3), 9.0), "bias": jnp.ones(3)}},
)


@pytest.mark.parametrize(
    ("accuracies", "barrier"),
    [
        ([0.9, 0.7, 0.9], 0.2),
        ([0.9, 0.9, 0.9], 0.0),
        ([0.8, 0.6, 0.9], 0.25),
        ([0.8, 0.95, 1.0], 0.1),  # half the difference of the ends, as in the paper's definition
        ([0.5, 0.5], 0.0),
    ],
)
def test_a_barrier_is_the_highest_error_above_the_mean_of_the_ends(accuracies, barrier):
    assert sm.error_barrier(accuracies) == pytest.approx(barrier)
    assert sm.error_barrier(accuracies[::-1]) == pytest.approx(barrier), "in either direction"


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_a_barrier_is_never_negative(accuracies):
    assert sm.error_barrier(accuracies) >= 0


def test_a_line_begins_and_ends_with_the_networks_themselves():
    line = sm.on_line(*ENDS)
    assert len(line) == len(PLACES) == 11
    assert line[0] is ENDS[0]
    assert line[-1] is ENDS[1]
    np.testing.assert_allclose(line[3]["a"]["kernel"], 0.7 * ENDS[0]["a"]["kernel"] + 2.7, rtol=1e-6)
    assert line[3]["a"]["bias"].dtype == np.float32


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sm.on_line(ENDS[0], {"a": {"kernel": jnp.zeros((3, 2)), "bias": jnp.zeros(3)}}), "shapes .*; allowed"),
        (lambda: sm.on_line(ENDS[0], {"b": ENDS[1]["a"]}), "allowed: those of first"),
        (lambda: sm.on_line(*ENDS, places=(0, 1.5)), "places has 1.5; allowed: 0 to 1"),
        (lambda: sm.error_barrier([0.5]), "allowed: two or more"),
        (lambda: sm.error_barrier([0.9, float("nan"), 0.9]), "accuracies has nan; allowed: fractions from 0 to 1"),
        (lambda: sm.error_barrier([90, 80]), "accuracies has 90; allowed: fractions"),
        (lambda: Barrier(between="seeds"), "between is 'seeds'; allowed: orders, rounds"),
    ],
)
def test_what_is_no_line_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.fixture(scope="module")
def made(digits, tmp_path_factory):
    """Both kinds of lines of two rounds and two seeds, and the folder that holds them."""
    changes = Changes(dataset="digits", epochs=4, rounds=2, seeds=2, rates={"dense": 0.6, "output": 0.4})
    experiment = Experiment(protocol("quick", changes=changes), digits)
    study = Study((UnprunedBarrier(), Barrier(), Barrier(between="rounds")))
    folder = tmp_path_factory.mktemp("results")
    with Store(folder) as store:
        runner.run(experiment, study, store)
    return experiment, study, folder


def test_a_study_makes_the_rounds_and_then_the_lines_and_resumes(made):
    experiment, study, folder = made
    assert complete(study).runs[:3] == (Unpruned(), UnprunedBarrier(), Treatment())
    with Store(folder) as store:
        assert missing_results(experiment, study, store) == 0
        for run, rounds in ((UnprunedBarrier(), [0]), (Barrier(), [1, 2]), (Barrier(between="rounds"), [1, 2])):
            named = BARRIERS.results(experiment, run, 1)
            assert [each.description["round"] for each in named] == rounds
            for each in named:
                found = store.metrics(each.id)
                along = [found[f"test_accuracy_at_{at:g}"] for at in PLACES]
                assert found["error_barrier"] == pytest.approx(sm.error_barrier(along), abs=1e-6)
        victim = BARRIERS.results(experiment, Barrier(), 1)[1]
        before = store.metrics(victim.id)
        store.remove(victim.id)
        runner.run(experiment, study, store)
        assert store.metrics(victim.id) == before, "the same, made alone"


def test_both_ends_start_from_one_network_and_mask_and_differ_by_the_order_of_data(made):
    """By hand: the second network of a pruned round, and its accuracy at the line's far end."""
    experiment, _, folder = made
    initial = initial_of(experiment.network, 0, experiment.data.image_shape)
    with Store(folder) as store:
        end = decode_round(store.arrays(ROUNDS.results(experiment, Treatment(), 0)[1].id), kernels_of(initial))
        found = store.metrics(BARRIERS.results(experiment, Barrier(), 0)[1].id)
    placement = place(4000, networks=2)
    trainer = Trainer(experiment.network, experiment.data, experiment.training, placement)
    start = {
        layer: {name: np.where(end.masks[layer], leaf, 0) if name == "kernel" else leaf for name, leaf in own.items()}
        for layer, own in initial.items()
    }
    again, other = trainer.train([Job(start, end.masks, 0), Job(start, end.masks, OTHER_ORDERS)])
    np.testing.assert_array_equal(again.params["hidden1"]["kernel"], end.params["hidden1"]["kernel"])
    assert not np.array_equal(other.params["hidden1"]["kernel"], end.params["hidden1"]["kernel"])
    assert found["test_accuracy_at_0"] == pytest.approx(float(again.test_at_end.accuracy), abs=1e-6)
    assert found["test_accuracy_at_1"] == pytest.approx(float(other.test_at_end.accuracy), abs=1e-6)


def test_successive_rounds_end_where_the_round_before_does(made):
    experiment, _, folder = made
    with Store(folder) as store:
        rounds = [store.metrics(each.id) for each in ROUNDS.results(experiment, Treatment(), 0)]
        unpruned = store.metrics(ROUNDS.results(experiment, Unpruned(), 0)[0].id)
        lines = [store.metrics(each.id) for each in BARRIERS.results(experiment, Barrier(between="rounds"), 0)]
    for line, first, second in zip(lines, rounds, (unpruned, *rounds), strict=False):
        assert line["weights_remaining"] == first["weights_remaining"]
        assert line["test_accuracy_at_0"] == pytest.approx(first["test_accuracy_at_end"], abs=1e-6)
        assert line["test_accuracy_at_1"] == pytest.approx(second["test_accuracy_at_end"], abs=1e-6)


def test_networks_of_two_starts_are_not_connected_and_trainings_of_one_start_are(digits):
    """The science, small: other initial weights leave a barrier that another order of data does not."""
    experiment = Experiment(protocol("quick", changes=Changes(dataset="digits", epochs=20)), digits)
    trainer = Trainer(experiment.network, digits, experiment.training, place(4000, networks=3))
    masks = {
        layer: np.ones(kernel.shape, bool)
        for layer, kernel in kernels_of(initial_of(experiment.network, 0, digits.image_shape)).items()
    }
    starts = [initial_of(experiment.network, seed, digits.image_shape) for seed in (0, 0, 1)]
    first, reordered, other = (each.params for each in trainer.train([Job(s, masks, n) for n, s in enumerate(starts)]))

    def barrier(second):
        return sm.error_barrier([float(score.accuracy) for score in trainer.evaluate(sm.on_line(first, second))])

    assert barrier(reordered) < 0.02
    assert barrier(other) > 0.10
