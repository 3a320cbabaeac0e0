"""Dead units: found exactly, left out without a trace, and never left out where they matter."""

from dataclasses import replace
from itertools import pairwise

import jax
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import monitoring

from supermask import compaction as compacting
from supermask.compaction import compaction, live_units
from supermask.keys import Purpose, derive_key
from supermask.networks import NETWORKS, FeedForward, initialise, kernels_of, with_kernels
from supermask.population import Placement
from supermask.training import Job, Trainer

SIZES = (6, 5, 4, 3)
LAYERS = ("hidden1", "hidden2", "output")
STEPS = 10**9  # as many as make anything worth while


def sparse_job(network, data, seed: int, kept: float, frozen: float = 0.0, bias: float = 0.0) -> Job:
    """A network whose inputs and units are mostly dead: most rows and columns of its masks are empty."""
    params = initialise(network, derive_key(seed, Purpose.INITIAL_WEIGHTS), data.image_shape)
    random = np.random.default_rng(seed)
    masks, kernels = {}, {}
    for layer, kernel in kernels_of(params).items():
        rows, columns = (random.random(side) < kept for side in kernel.shape)
        columns |= layer == "output"
        masks[layer] = rows[:, None] & columns & (random.random(kernel.shape) < 0.7)
        kernels[layer] = np.where(masks[layer], kernel, np.float32(frozen))
    shifted = {layer: leaves | {"bias": leaves["bias"] + np.float32(bias)} for layer, leaves in params.items()}
    return Job(with_kernels(shifted, kernels), masks, seed)


def paths(masks, biases) -> list[np.ndarray]:
    """Live units by walking: every path from an input, or from a unit of positive bias, to a logit, one by one."""
    seen = [np.zeros(size, bool) for size in SIZES]

    def walk(depth: int, path: tuple[int, ...]) -> None:
        if depth == len(LAYERS):
            for level, unit in enumerate(path, len(SIZES) - len(path)):
                seen[level][unit] = True
            return
        for unit in np.flatnonzero(masks[LAYERS[depth]][path[-1]]):
            walk(depth + 1, (*path, unit))

    for unit in range(SIZES[0]):
        walk(0, (unit,))
    for depth, layer in enumerate(LAYERS[:-1], 1):
        for unit in np.flatnonzero(biases[layer] > 0):
            walk(depth, (unit,))
    return seen


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.6), st.floats(0, 0.5))
def test_live_units_are_those_on_a_path(seed, kept, biased):
    random = np.random.default_rng(seed)
    masks = {layer: random.random(shape) < kept for layer, shape in zip(LAYERS, pairwise(SIZES), strict=True)}
    biases = {layer: random.choice([-1.0, 0.0], size) for layer, size in zip(LAYERS, SIZES[1:], strict=True)}
    for layer in LAYERS:
        biases[layer][random.random(biases[layer].shape) < biased] = 1.0
    params = {layer: {"kernel": np.where(masks[layer], 0.5, 0.0), "bias": biases[layer]} for layer in LAYERS}
    found = live_units(LAYERS, params, masks)
    expected = paths(masks, biases)
    for level in range(len(SIZES) - 1):
        np.testing.assert_array_equal(found[level], expected[level])
    assert found[-1].all(), "every class keeps its logit"


def test_frozen_weights_and_layers_without_masks_are_live():
    masks = {layer: np.zeros(shape, bool) for layer, shape in zip(LAYERS, pairwise(SIZES), strict=True)}
    biases = {layer: np.zeros(size) for layer, size in zip(LAYERS, SIZES[1:], strict=True)}
    frozen = {layer: {"kernel": np.full(masks[layer].shape, 0.1), "bias": biases[layer]} for layer in LAYERS}
    zero = {layer: {"kernel": np.zeros(masks[layer].shape), "bias": biases[layer]} for layer in LAYERS}
    assert all(units.all() for units in live_units(LAYERS, frozen, masks))
    assert all(units.all() for units in live_units(LAYERS, zero, {}))
    assert [int(units.sum()) for units in live_units(LAYERS, zero, masks)] == [0, 0, 0, 3]


@given(st.integers(0, 1000), st.floats(0, 1))
def test_sizes_are_eighths_and_hold_every_live_unit(seed, kept):
    network = FeedForward(hidden=(40, 20))
    params = initialise(network, jax.random.key(seed), (8, 8, 1))
    random = np.random.default_rng(seed)
    masks = {layer: random.random(kernel.shape) < kept**3 for layer, kernel in kernels_of(params).items()}
    zeroed = with_kernels(params, {layer: np.where(masks[layer], k, 0) for layer, k in kernels_of(params).items()})
    smaller = compaction(network, zeroed, masks, STEPS)
    live = live_units([*LAYERS], zeroed, masks)
    if smaller is None:
        assert sum(units.sum() * 8 > 7 * units.size for units in live) == 4, "nothing to leave out"
        return
    assert smaller.network(network).hidden == smaller.sizes[1:-1]
    chosen = [smaller.inputs, *(outputs for _, outputs in smaller.units.values())]
    for units, indices in zip(live, chosen, strict=True):
        assert set(np.flatnonzero(units)) <= set(indices)
        assert (np.diff(indices) > 0).all()
        assert len(indices) in [-(-part * units.size // 8) for part in range(1, 9)]
    assert jax.tree.all(
        jax.tree.map(np.array_equal, smaller.restored(smaller.params(zeroed), zeroed), jax.tree.map(np.asarray, zeroed))
    )


@pytest.mark.parametrize("bias", [0.0, -0.1, 0.1], ids=["no bias", "negative bias", "positive bias"])
def test_training_without_dead_units_is_training_with_them(trainer, monkeypatch, bias):
    jobs = [sparse_job(trainer.network, trainer.data, seed, kept=0.5, bias=bias) for seed in range(3)]
    monkeypatch.setattr(compacting, "WORTHWHILE", np.inf)
    whole = trainer.train(jobs)
    monkeypatch.setattr(compacting, "WORTHWHILE", 1)
    plans = [compaction(trainer.network, job.params, job.masks, 300) for job in jobs]
    assert all(plan is not None and plan.sizes[0] < 64 for plan in plans)
    trained: list[tuple[int, ...]] = []
    program = Trainer._program
    monkeypatch.setattr(
        Trainer, "_program", lambda self, network: trained.append(network.hidden) or program(self, network)
    )
    smaller = trainer.train(jobs)
    assert set(trained) == {plan.sizes[1:-1] for plan in plans}
    for job, plan, old, new in zip(jobs, plans, whole, smaller, strict=True):
        for layer, leaves in new.params.items():
            kernel, start, mask = leaves["kernel"], np.asarray(job.params[layer]["kernel"]), job.masks[layer]
            assert kernel[~mask].tobytes() == start[~mask].tobytes()
            assert (kernel[mask] != start[mask]).any()
            left_out = np.ones(kernel.shape, bool)
            left_out[np.ix_(*plan.units[layer])] = False
            assert kernel[left_out].tobytes() == old.params[layer]["kernel"][left_out].tobytes()
            np.testing.assert_allclose(kernel, old.params[layer]["kernel"], atol=2e-4)
            np.testing.assert_allclose(leaves["bias"], old.params[layer]["bias"], atol=2e-4)
        np.testing.assert_allclose(new.validation_loss, old.validation_loss, rtol=1e-4)
        np.testing.assert_allclose(new.test_at_end.loss, old.test_at_end.loss, rtol=1e-4)


@pytest.mark.thorough
def test_networks_of_any_size_can_be_trained_side_by_side(trainer, monkeypatch):
    """Sizes follow from a network's own masks, so its bits do not depend on what it is trained beside."""
    monkeypatch.setattr(compacting, "WORTHWHILE", 1)
    jobs = [
        sparse_job(trainer.network, trainer.data, seed, kept) for seed, kept in enumerate((0.2, 0.5, 0.5, 0.9, 1.0))
    ]
    together = trainer.train(jobs)
    for job, outcome in zip(jobs, together, strict=True):
        (alone,) = trainer.train([job])
        same = jax.tree.map(lambda a, b: np.asarray(a).tobytes() == np.asarray(b).tobytes(), alone, outcome)
        assert jax.tree.all(same)


def test_one_program_a_size_whatever_is_trained(trainer, monkeypatch):
    """Compilations are counted: the second population of the same sizes, other masks and seeds, adds none."""
    monkeypatch.setattr(compacting, "WORTHWHILE", 1)
    compiled: list[str] = []

    def count(event: str, seconds: float, **_: object) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(event)

    def half_blind(seed: int) -> Job:
        job = sparse_job(trainer.network, trainer.data, seed, kept=1.0)
        seen = np.arange(64)[:, None] < 32
        kernel = np.where(seen, np.asarray(job.params["hidden1"]["kernel"]), np.float32(0))
        masks = {**job.masks, "hidden1": job.masks["hidden1"] & seen}
        return replace(job, params=with_kernels(job.params, {"hidden1": kernel}), masks=masks)

    fresh = replace(trainer)
    assert {fresh._compaction(half_blind(seed)).sizes for seed in range(7)} == {(32, 40, 20, 10)}
    monitoring.register_event_duration_secs_listener(count)
    try:
        fresh.train([half_blind(seed) for seed in range(2)])
        first = len(compiled)
        fresh.train([half_blind(seed) for seed in range(2, 7)])
    finally:
        monitoring.unregister_event_duration_listener(count)
    assert first > 0
    assert len(compiled) == first


def test_what_is_left_out_only_where_it_is_exact_and_pays(trainer, monkeypatch):
    monkeypatch.setattr(compacting, "WORTHWHILE", 1)
    job = sparse_job(trainer.network, trainer.data, 0, kept=0.3)
    plan = trainer._compaction
    assert plan(job) is not None
    assert replace(trainer, optimiser=optax.adamw(1e-3))._compaction(job) is None, "weight decay moves what is dead"
    assert plan(sparse_job(trainer.network, trainer.data, 0, kept=0.3, frozen=0.1)) is None, "frozen values are live"
    monkeypatch.setattr(Placement, "one_at_a_time", False)
    assert plan(job) is None, "size is not time where all train at once"
    monkeypatch.undo()
    assert plan(job) is None, "too short to pay"
    conv = NETWORKS["conv2"]
    params = initialise(conv, jax.random.key(0), (8, 8, 3))
    empty = {layer: np.zeros(kernel.shape, bool) for layer, kernel in kernels_of(params).items()}
    assert compaction(conv, params, empty, STEPS) is None
