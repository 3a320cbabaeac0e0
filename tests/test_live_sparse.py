"""Sparse training on live weights: the steps of the dense path but for rounding, the same bits wherever they run."""

from dataclasses import replace

import jax
import numpy as np
import optax
import pytest

from supermask.analysis.kinds.sparse_training import SPARSE
from supermask.analysis.store.checkpoints import FolderCheckpoints
from supermask.analysis.studies.experiment import Experiment
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.datasets import load
from supermask.intervals import Course, DataOrder
from supermask.keys import Purpose, derive_key
from supermask.live_weights import Adam, Momentum, choice, optimisers
from supermask.networks import initialise
from supermask.population import Placement, place
from supermask.sparse_training import METHODS, layer_counts
from supermask.sparse_training.on_live_weights import Stretch, _dense, live_stepping
from supermask.sparse_training.runs import SMALL_DENSE, SparseRun, sgd_cosine
from supermask.sparse_training.sparse_momentum import remembered_steps
from supermask.sparse_training.trainer import SparseJob, SparseTrainer
from supermask.training import TrainingConfig

SHAPES = {"hidden1": (64, 40), "hidden2": (40, 20), "output": (20, 10)}
LIVE = [name for name, spec in METHODS.items() if spec.sparse_steps]


@pytest.fixture(autouse=True)
def always(monkeypatch):
    """However short a training is, live weights pay where there are few."""
    monkeypatch.setattr(choice, "WORTHWHILE", 0)


def trainer_of(network, digits, name, steps=100, **changes):
    spec, config = METHODS[name], TrainingConfig(steps, 0.1, evaluate_every=50)
    own = {"every": 10} | ({"decay": 0.05} if name == "sparse_momentum" else {})  # else all of its steps were dense
    method = spec.config(**own) if "every" in spec.config.__dataclass_fields__ else None
    placement = Placement(tuple(jax.devices()), 2)
    trainer = SparseTrainer(network, digits, config, placement, spec, sgd_cosine(0.1, steps), method)
    return replace(trainer, **changes)


def job(network, seed, density=0.1):
    params = initialise(network, derive_key(seed, Purpose.INITIAL_WEIGHTS), (8, 8, 1))
    return SparseJob(params, layer_counts(SHAPES, density, "erk"), seed)


def same_bits(first, second) -> bool:
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


@pytest.mark.parametrize("name", LIVE)
def test_a_hundred_steps_are_those_of_the_dense_path(name, small_network, digits):
    """Weights, masks, and what the optimiser and the method remember, after each step and each change of the mask."""
    trainer = trainer_of(small_network, digits, name)
    own, begun = trainer._on_live_weights, trainer.begin(job(small_network, 0))
    course = Course(trainer._placed, trainer.config, [DataOrder(0, 0, len(digits.train))], 100)
    steps = live_stepping(own, course, [begun])
    dense, population, on_live_weights = begun.moving, steps.start, 0
    for taken in range(100):
        (before,) = population
        population = steps.interval(population, taken, 1)
        (found,) = population
        dense = _dense(own, dense, course.batches_of(0, taken, 1), 50, change=taken + 1 in own.changes)
        expected, state = dense.method, found.moving.method
        assert int(state.step) == int(expected.step) == taken + 1
        for layer, mask in expected.masks.items():
            np.testing.assert_array_equal(state.masks[layer], mask)
            kernel = found.moving.params[layer]["kernel"]
            assert not kernel[~mask].any()
            stayed = ~mask & ~before.moving.method.masks[layer]
            assert kernel[stayed].tobytes() == before.moving.params[layer]["kernel"][stayed].tobytes()
        # Rounding alone takes 1e-7. Where it moves the input of a ReLU across 0, an image's gradient changes at once.
        close = lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4)  # noqa: E731
        jax.tree.map(close, found.moving.params, dense.params)
        jax.tree.map(close, state.optimiser, expected.optimiser)
        assert same_bits(found.moving.grown, dense.grown)
        if taken + 1 == 50:
            middle = expected.masks  # of a hundred steps, after the change that falls there
        (stretch,) = own.stretches(taken, taken + 1)
        live = int(sum(map(np.count_nonzero, before.moving.method.masks.values())))
        on_live_weights += not stretch.dense and choice.sparse_enough(3560, live)
    assert (population[0].moving.method.masks["hidden1"] != begun.moving.method.masks["hidden1"]).any() == (
        name != "static"
    )
    assert on_live_weights > 40
    assert same_bits(population[0].halfway, middle)


def test_the_last_steps_before_a_change_are_dense_where_the_method_asks_for_them(small_network, digits):
    own = trainer_of(small_network, digits, "rigl")._on_live_weights
    assert own.stretches(5, 25) == [
        Stretch(5, 9, dense=False, change=False),
        Stretch(9, 10, dense=True, change=True),
        Stretch(10, 19, dense=False, change=False),
        Stretch(19, 20, dense=True, change=True),
        Stretch(20, 25, dense=False, change=False),
    ]
    assert own.stretches(72, 90) == [Stretch(72, 90, dense=False, change=False)], "no change comes after"
    assert own.stretches(9, 10) == [Stretch(9, 10, dense=True, change=True)]
    assert own.stretches(7, 7) == []
    own = trainer_of(small_network, digits, "set")._on_live_weights
    assert own.stretches(0, 20) == [Stretch(0, 10, dense=False, change=True), Stretch(10, 20, dense=False, change=True)]
    assert trainer_of(small_network, digits, "dnw").method.dense_steps is None
    assert [remembered_steps(decay) for decay in (0.0, 0.5, 0.9)] == [1, 24, 158]


class StopError(Exception):
    """Stands for whatever ends a process."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rigl", "magnitude_pruning"])
def test_bits_are_the_same_alone_among_others_on_one_core_and_resumed(name, small_network, digits, tmp_path):
    trainer = trainer_of(small_network, digits, name, steps=120)
    jobs = [job(small_network, seed, density) for seed, density in enumerate((0.1, 0.8, 0.3, 0.05, 0.1))]
    assert [trainer._is_live(each) for each in jobs] == [True, False, True, True, True]
    told: list[int] = []
    together = trainer.train(jobs, told.append)
    assert sum(told) == 5 * 120
    one_core = replace(trainer, placement=place(4000, jax.devices()[:1], networks=1))
    for index in (0, 2, 4):
        assert same_bits(one_core.train([jobs[index]])[0], together[index])
    own = replace(trainer, checkpoints=FolderCheckpoints(tmp_path, seconds_between=0.0))
    live = [jobs[index] for index in (0, 2, 3, 4)]

    def stop(steps: int) -> None:
        if steps:
            raise StopError

    with pytest.raises(StopError):
        own.train(live, stop)
    resumed: list[int] = []
    assert same_bits(own.train(live, resumed.append), [together[index] for index in (0, 2, 3, 4)])
    assert sum(resumed) == 4 * 120, "what was done before counts as done"
    for outcome in together:
        assert outcome.trained.evaluated_at.tolist() == [0, 50, 100, 120]
        assert outcome.structure.live[-1].sum() == sum(map(np.count_nonzero, outcome.structure.last.values()))


def test_live_weights_are_chosen_where_they_can_be_and_pay(small_network, digits, monkeypatch):
    trainer, sparse = trainer_of(small_network, digits, "set"), job(small_network, 0)
    assert trainer._is_live(sparse)
    assert not trainer._is_live(job(small_network, 0, 0.8)), "too dense"
    assert not replace(trainer, optimiser=optax.sgd(0.1, momentum=0.9))._is_live(sparse), "another optimiser"
    assert not trainer_of(small_network, digits, "dnw")._is_live(sparse), "needs the gradient of dead weights"
    assert replace(trainer, optimiser=Adam(1e-3))._is_live(sparse)
    monkeypatch.setattr(Placement, "one_at_a_time", False)
    assert not trainer._is_live(sparse), "accelerators take all networks at once"
    monkeypatch.undo()
    assert not trainer._is_live(sparse), "too short to pay"


@pytest.mark.parametrize(
    "optimiser", [Adam(0.01), Adam(lambda step: 0.01 * 0.9**step), Momentum(0.1), sgd_cosine(1, 9)]
)
def test_what_an_optimiser_remembers_goes_to_optax_and_back(optimiser):
    params = {"output": {"kernel": np.ones((3, 2), np.float32), "bias": np.ones(2, np.float32)}}
    state = optimiser.transformation.init(params)
    found = optimisers.memories(optimiser, state)
    assert len(found) == len(optimiser.memory)
    new = [jax.tree.map(lambda leaf, n=n: leaf + n + 1, memory) for n, memory in enumerate(found)]
    moved = optimisers.with_memories(optimiser, state, new, 7)
    assert same_bits(optimisers.memories(optimiser, moved), new)
    assert all(int(count) == 7 for _, count in optax.tree_utils.tree_get_all_with_path(moved, "count"))
    _, after = optimiser.transformation.update(params, moved, params)
    assert jax.tree.structure(after) == jax.tree.structure(state)


def test_a_schedule_is_named_by_its_rates():
    texts = {optimisers.text_of(sgd_cosine(rate, 50), 50) for rate in (0.1, 0.1, 0.2)}
    assert len(texts) == 2
    assert not any(" at 0x" in text for text in texts), "no place in memory is part of a checkpoint's name"
    assert optimisers.text_of(Momentum(0.1), 50) != optimisers.text_of(Momentum(0.1, 0.8), 50)


def test_results_whose_bits_changed_have_another_revision_and_no_others(monkeypatch):
    monkeypatch.undo()
    data = load("mnist5k")

    def revision(run, network="fc", **changes) -> int:
        experiment = Experiment(
            protocol("short", network, changes=Changes(dataset="mnist5k", seeds=1, **changes)), data
        )
        return SPARSE.describe(experiment, run, 0)[0]["revision"]

    for name in LIVE:
        assert revision(SparseRun(name, 0.1)) == 2
    assert revision(SparseRun("static", 0.1, structure="dnw")) == 2
    assert revision(SparseRun("magnitude_pruning", distribution="paper", start="trained")) == 2
    for unchanged in (SparseRun(), SparseRun("dnw", 0.1), SparseRun(SMALL_DENSE, 0.1), SparseRun("set", 0.9)):
        assert revision(unchanged) == 1
    assert revision(SparseRun("static", 0.1), sparse_epochs=0.5) == 1, "too short to pay"
    assert revision(SparseRun("static", 0.1), "lenet5") == 1
    assert all(spec.sparse_steps == (trainer_is_sparse(name)) for name, spec in METHODS.items())


def trainer_is_sparse(name: str) -> bool:
    from supermask.sparse_training import Horizon

    return METHODS[name].make(optax.sgd(0.1), Horizon(1000, 10)).dense_steps is not None
