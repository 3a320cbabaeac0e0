"""Edge swaps: losses with the old and the new edge where they are known by hand, and counts over a small training."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from supermask.analysis.drawing.claims import judge_all
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.kinds.edge_swaps import SWAPS, SwapRun
from supermask.analysis.running import runner
from supermask.analysis.store.store import Store
from supermask.analysis.studies.experiment import Experiment
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.evaluation import cross_entropy, scaled
from supermask.figures import edge_swaps
from supermask.intervals import TrainingConfig
from supermask.keys import Purpose, batch_order, derive_key
from supermask.networks import initialise
from supermask.population import Placement
from supermask.sparse_training import METHODS, Horizon, layer_counts, start
from supermask.sparse_training.swaps import SwapJob, SwapTrainer, swap_step
from supermask.zoo import built_in

KEY = derive_key(0, Purpose.SPARSE_STRUCTURE)
SHAPES = {"hidden1": (64, 40), "hidden2": (40, 20), "output": (20, 10)}


def two_edges(first, second):
    """A layer of two edges into one unit, the larger of which is live."""
    params = {"output": {"kernel": jnp.array([[first], [second]]), "bias": jnp.zeros(1)}}
    state = METHODS["dnw"].make(optax.sgd(1.0), Horizon(1, 1)).init(KEY, params, {"output": 1})
    return start(state, params), state


@pytest.mark.parametrize(
    ("loss", "rate", "edges", "old", "new", "weights"),
    [
        # The dead edge is pulled from 0.95 to 1.05 and takes the place of the live one, which stays at 1.
        (lambda a, b: -b, 0.1, 1, 0.0, -1.05, (0.0, 1.05)),
        # At a smaller rate it gets to 0.99: nothing is swapped.
        (lambda a, b: -b, 0.04, 0, 0.0, 0.0, (1.0, 0.0)),
        # The live edge goes down as well, to 0.8: with it the loss is 1.6, with the other one -1.05.
        (lambda a, b: 2 * a - b, 0.1, 1, 1.6, -1.05, (0.0, 1.05)),
        # The slope at 0 pulls the dead edge up, but its whole weight overshoots: the swap is no small step.
        (lambda a, b: 2 * b**2 - b, 0.1, 1, 0.0, 2 * 1.05**2 - 1.05, (0.0, 1.05)),
    ],
)
def test_losses_of_two_edges_are_those_by_hand(loss, rate, edges, old, new, weights):
    params, state = two_edges(1.0, 0.95)
    of_params = lambda params: loss(*params["output"]["kernel"].ravel())  # noqa: E731
    moved, after, swap = swap_step(of_params, rate, state, params)
    assert int(swap.edges) == edges
    np.testing.assert_allclose((swap.old, swap.new), (old, new), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(moved["output"]["kernel"].ravel(), weights, rtol=1e-6)
    assert int(after.step) == 1


CONFIG = TrainingConfig(40, 0.1, evaluate_every=15)


def trainer(network, digits):
    return SwapTrainer(network, digits, CONFIG, Placement(tuple(jax.devices()), 2))


def job(network, rate, seed=0):
    params = initialise(network, derive_key(seed, Purpose.INITIAL_WEIGHTS), (8, 8, 1))
    return SwapJob(params, layer_counts(SHAPES, 0.2, "erk"), rate, seed)


@pytest.mark.thorough
def test_a_training_counts_the_swaps_of_its_steps(small_network, digits):
    """Beside DNW under optax's SGD, step by step; rates in one population are those that are trained alone."""
    own = trainer(small_network, digits)
    jobs = [job(small_network, 0.3), job(small_network, 0.02), job(small_network, 0.3, 1)]
    outcomes = own.train(jobs)
    (alone,) = own.train(jobs[1:2])
    np.testing.assert_array_equal(alone.tally, outcomes[1].tally)
    method = METHODS["dnw"].make(optax.sgd(0.3), Horizon(1, 1))
    params, state = jobs[0].params, method.init(KEY, jobs[0].params, jobs[0].counts)
    params = start(state, params)

    @jax.jit
    def step(params, state, images, labels):
        loss = lambda p: cross_entropy(small_network, p, scaled(images, digits.maximum), labels)  # noqa: E731
        moved, after, info = method.update(state, jax.grad(loss)(params), params)
        dense = {n: {**leaves, "kernel": after.own.weights[n]} for n, leaves in moved.items()}
        kept = {n: {**d, "kernel": jnp.where(state.masks[n], d["kernel"], 0)} for n, d in dense.items()}
        return moved, after, sum(info.grown.values()), loss(kept), loss(moved)

    seen = []
    for batch in batch_order(0, len(digits.train), 60, 0, 40):
        images, labels = digits.train.images[batch], digits.train.labels[batch]
        params, state, edges, old, new = step(params, state, images, labels)
        seen.append((int(edges), float(old), float(new)))
    swaps = np.array([each for each in seen if each[0]])
    tally = outcomes[0].tally
    assert int(tally.steps) == len(swaps) > 20
    assert abs(int(tally.edges) - swaps[:, 0].sum()) <= 0.01 * swaps[:, 0].sum()
    assert abs(int(tally.fell) - (swaps[:, 2] < swaps[:, 1]).sum()) <= 1
    assert abs(int(tally.rose) - (swaps[:, 2] > swaps[:, 1]).sum()) <= 1
    np.testing.assert_allclose((tally.old, tally.new), swaps[:, 1:].sum(0), rtol=1e-3)


def test_networks_whose_loss_is_no_function_of_the_parameters_are_refused(small_network, digits):
    with pytest.raises(ValueError, match="has dropout or running statistics; allowed: networks without"):
        replace(trainer(small_network, digits), network=built_in("resnet20", 10))
    with pytest.raises(ValueError, match="rate is 0; allowed: more than 0"):
        SwapRun(0)


@pytest.mark.slow
def test_the_figure_judges_what_was_counted(digits, tmp_path):
    experiment = Experiment(protocol("quick", changes=Changes(dataset="digits", seeds=3, sparse_epochs=2)), digits)
    shown = Shown((edge_swaps.LARGEST, edge_swaps.SMALLEST))
    study = edge_swaps.study(shown)
    with Store(tmp_path) as store:
        runner.run(experiment, study, store)
        table = edge_swaps.tabulate(Results(experiment, study, store, shown))
        before = store.metrics(SWAPS.results(experiment, edge_swaps.LINES[edge_swaps.SMALLEST], 2)[0].id)
    assert before["fell"] + before["rose"] <= 1
    assert before["old_loss"] > before["new_loss"]
    changes = edge_swaps.change(table)
    assert (changes["fell"][changes["rate"] == edge_swaps.RATES[-1]] > 0.5).all()
    first, second = judge_all(edge_swaps.CLAIMS, table)
    assert (first.seeds, first.effect > 0) == (3, True)
    own = table[table["edges"] == edge_swaps.NEW].pivot(index="seed", columns="rate", values="lower")
    assert second.effect == pytest.approx((own[edge_swaps.RATES[-1]] - own[edge_swaps.RATES[0]]).mean())
