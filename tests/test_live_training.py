"""Trainings that take their steps on live weights alone: chosen by the job alone, to the bits of no neighbour."""

from dataclasses import replace

import jax
import numpy as np
import optax
import pytest

from supermask.analysis.kinds.dsd import DSD
from supermask.analysis.kinds.rounds import ROUNDS
from supermask.analysis.store.checkpoints import FolderCheckpoints
from supermask.analysis.studies.experiment import Experiment
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.compression.dsd import DSDRun
from supermask.live_weights import choice, pays
from supermask.lottery import initial_params
from supermask.masks import full_masks
from supermask.named_members import BUILT_IN
from supermask.networks import kernels_of, with_kernels
from supermask.population import Placement, place
from supermask.restarts import Treatment
from supermask.training import Job, Trainer


@pytest.fixture
def always(monkeypatch):
    """However short a training is, live weights pay where there are few."""
    monkeypatch.setattr(choice, "WORTHWHILE", 0)


def job(trainer: Trainer, seed: int, kept: float, frozen: float = 0.0) -> Job:
    """A network with random masks."""
    params = initial_params(trainer, seed)
    random = np.random.default_rng(seed)
    masks = {layer: random.random(kernel.shape) < kept for layer, kernel in kernels_of(params).items()}
    kernels = {n: np.where(masks[n], k, np.float32(frozen)) for n, k in kernels_of(params).items()}
    return Job(with_kernels(params, kernels), masks, seed)


def on_live_weights(trainer: Trainer, job: Job) -> bool:
    return trainer._live_masks(job) is not None


def same_bits(first, second) -> bool:
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def test_a_training_on_live_weights_is_the_dense_one_but_for_rounding(trainer, monkeypatch):
    jobs = [job(trainer, 0, 0.3), job(trainer, 1, 0.05)]
    jobs.append(replace(job(trainer, 2, 0.2), first_step=120))
    dense = trainer.train(jobs)
    monkeypatch.setattr(choice, "WORTHWHILE", 0)
    assert all(on_live_weights(trainer, each) for each in jobs)
    for each, old, new in zip(jobs, dense, trainer.train(jobs), strict=True):
        for layer, mask in each.masks.items():
            start, kernel = np.asarray(each.params[layer]["kernel"]), new.params[layer]["kernel"]
            assert kernel[~mask].tobytes() == start[~mask].tobytes()
            np.testing.assert_allclose(kernel, old.params[layer]["kernel"], atol=5e-4)
            np.testing.assert_allclose(new.params[layer]["bias"], old.params[layer]["bias"], atol=5e-4)
        assert new.early_stop == old.early_stop
        assert new.evaluated_at.tolist() == old.evaluated_at.tolist()
        np.testing.assert_allclose(new.validation_loss, old.validation_loss, rtol=1e-4)
        np.testing.assert_allclose(new.validation_accuracy, old.validation_accuracy, atol=0.006)
        np.testing.assert_allclose(new.test_at_end.loss, old.test_at_end.loss, rtol=1e-4)
        np.testing.assert_allclose(new.test_at_early_stop.loss, old.test_at_early_stop.loss, rtol=1e-4)
        np.testing.assert_allclose(new.validation_at_early_stop.loss, new.validation_loss.min())
        (tested,) = trainer.evaluate([new.params])
        np.testing.assert_allclose(new.test_at_end, tested, rtol=1e-5)


def test_a_training_has_the_same_bits_alone_and_among_others_on_any_number_of_cores(trainer, always):
    """A dense job and jobs of other densities and lengths beside it."""
    jobs = [job(trainer, seed, kept) for seed, kept in enumerate((0.02, 0.3, 0.9, 0.3, 0.3))]
    jobs.append(replace(jobs[1], last_step=130))
    assert [on_live_weights(trainer, each) for each in jobs] == [True, True, False, True, True, True]
    together, told = trainer, []
    outcomes = together.train(jobs, told.append)
    assert sum(told) == 5 * 300 + 130
    one_core = replace(trainer, placement=place(4000, jax.devices()[:1], networks=1))
    for each, outcome in zip(jobs, outcomes, strict=True):
        if on_live_weights(trainer, each):
            assert same_bits(one_core.train([each])[0], outcome)
    assert outcomes[5].evaluated_at.tolist() == [0, 100, 130]
    assert same_bits(outcomes[5].validation_loss[:2], outcomes[1].validation_loss[:2])


class StopError(Exception):
    """Stands for whatever ends a process."""


@pytest.mark.parametrize("after", [1, 301, 601])
def test_a_training_that_was_cut_off_ends_in_the_same_bits(trainer, always, tmp_path, after):
    jobs, told = [job(trainer, seed, 0.3) for seed in range(3)], []
    straight = trainer.train(jobs)
    folder = FolderCheckpoints(tmp_path / "unfinished", seconds_between=0.0)
    own = replace(trainer, checkpoints=folder)

    def stop(steps: int) -> None:
        told.append(steps)
        if sum(told) >= after:
            raise StopError

    with pytest.raises(StopError):
        own.train(jobs, stop)
    resumed: list[int] = []
    other = replace(jobs[0], params=jobs[1].params, masks=jobs[1].masks)
    assert same_bits(own.train([other])[0], trainer.train([other])[0]), "other work is not taken for one's own"
    assert same_bits(straight, own.train(jobs, resumed.append))
    assert sum(resumed) == 3 * 300, "what was done before counts as done"
    assert resumed[0] >= 300 * (after // 300) - 300


def test_live_weights_are_chosen_where_they_can_be_and_pay(trainer, always, monkeypatch):
    sparse = job(trainer, 0, 0.3)
    assert on_live_weights(trainer, sparse)
    assert not on_live_weights(replace(trainer, optimiser=optax.adam(3e-3)), sparse), "another optimiser"
    assert not on_live_weights(trainer, job(trainer, 0, 0.3, frozen=0.1)), "frozen values take part"
    assert not on_live_weights(trainer, job(trainer, 0, 0.7)), "too dense"
    params = initial_params(trainer, 0)
    assert not on_live_weights(trainer, Job(params, full_masks(kernels_of(params)), 0))
    assert not on_live_weights(trainer, replace(sparse, masks={})), "layers without masks are live"
    monkeypatch.setattr(Placement, "one_at_a_time", False)
    assert not on_live_weights(trainer, sparse), "accelerators take all networks at once"
    monkeypatch.undo()
    assert not on_live_weights(trainer, sparse), "too short to pay"
    weights = 266_200
    limit = int(choice.DENSEST * weights)
    assert pays(weights, limit, 80)
    assert not pays(weights, limit + 1, 80)
    assert not pays(weights, limit, 70)


def revisions(run, **changes) -> list[int]:
    from supermask.datasets import load

    experiment = Experiment(protocol("short", changes=Changes(seeds=1, rounds=8, **changes)), load("mnist5k"))
    kind = DSD if isinstance(run, DSDRun) else ROUNDS
    return [each["revision"] for each in kind.describe(experiment, run, 0)]


def test_results_whose_bits_changed_have_another_revision_and_no_others():
    """20% a round of the dense layers: from the third round on a network is sparse enough."""
    by_layer = revisions(Treatment())
    assert by_layer == [2] * 2 + [3] * 6
    assert revisions(Treatment(ranking="global")) == by_layer
    assert revisions(BUILT_IN.treatment(pruned="init")) == [2] * 8
    assert revisions(BUILT_IN.treatment(pruned="zero_if_shrunk")) == [2] * 8
    assert revisions(Treatment(), epochs=0.5) == [2] * 8, "too short to pay"
    assert revisions(Treatment(rewind_step=120)) == [2] * 8, "what is left is too short"
    assert [revisions(DSDRun(sparsity))[0] for sparsity in (0.0, 0.3, 0.8)] == [1, 1, 2]
