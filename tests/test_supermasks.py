"""Heuristic supermasks: what goes onto an untrained network, and the science of it on real digits."""

import numpy as np
import pytest

from supermask.criteria import CRITERIA, score_layers
from supermask.keys import Purpose, derive_key
from supermask.lottery import initial_params
from supermask.masks import Rates, full_masks, kept_counts, one_shot, rank_layers
from supermask.networks import FeedForward, kernels_of, layer_kinds, with_kernels
from supermask.population import place
from supermask.restarts import facts_of
from supermask.training import Job, Trainer, TrainingConfig
from supermask.untrained_networks import masked_kernels, untrained_kernels, untrained_network


@pytest.fixture(scope="module")
def trained_once(trainer):
    """Initial parameters of three seeds, and what training makes of their kernels."""
    params = [initial_params(trainer, seed) for seed in range(3)]
    jobs = [Job(p, full_masks(kernels_of(p)), seed) for seed, p in enumerate(params)]
    return [(p, kernels_of(t.params)) for p, t in zip(params, trainer.train(jobs), strict=True)]


def untrained_accuracy(trainer, trained_once, criterion: str, weights: str) -> np.ndarray:
    """Test accuracy, seeds × levels."""
    rows = []
    for seed, (params, final) in enumerate(trained_once):
        initial = kernels_of(params)
        full = full_masks(initial)
        scores = score_layers(CRITERIA[criterion], facts_of(initial, final, full, None))
        ranks = rank_layers(derive_key(seed, Purpose.TIES), scores, full)
        rates = Rates(dense=0.36, output=0.19).by_layer(layer_kinds(initial))
        levels = kept_counts({layer: kernel.size for layer, kernel in initial.items()}, rates, 6)
        scores = trainer.evaluate_levels(untrained_network(params, weights), ranks, levels)
        rows.append([float(score.accuracy) for score in scores])
    return np.array(rows)


def test_signed_constants_are_sign_times_the_layers_standard_deviation(trained_once):
    initial = kernels_of(trained_once[0][0])
    for layer, kernel in untrained_kernels(initial, "signed_constant").items():
        np.testing.assert_allclose(kernel, np.sign(initial[layer]) * np.std(initial[layer]), rtol=1e-6)
    assert untrained_kernels(initial, "initial") is initial


def test_other_weights_are_refused():
    with pytest.raises(ValueError, match="weights is 'trained'; allowed: initial, signed_constant"):
        untrained_kernels({}, "trained")


def test_levels_are_evaluated_as_the_masked_networks_are(trainer, trained_once):
    params, final = trained_once[0]
    full = full_masks(final)
    facts = facts_of(kernels_of(params), final, full, None)
    ranks = rank_layers(derive_key(0, Purpose.TIES), score_layers(CRITERIA["movement"], facts), full)
    sizes = {layer: kernel.size for layer, kernel in final.items()}
    levels = kept_counts(sizes, dict.fromkeys(sizes, 0.1), trainer.placement.slots + 1)
    network = untrained_network(params, "signed_constant")
    masks = [one_shot(ranks, level) for level in levels]
    kept = [masked_kernels(kernels_of(network), mask, rescaled=False) for mask in masks]
    for level, mask in zip(levels, masks, strict=True):
        assert {layer: int(mask[layer].sum()) for layer in mask} == level
    expected = trainer.evaluate([with_kernels(network, kernels) for kernels in kept])
    found = trainer.evaluate_levels(network, ranks, levels)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_levels_of_a_convolutional_network_are_masked_where_they_are_used(digits):
    """The way that all networks go on accelerators: the masked networks' scores, to the bit."""
    trainer = Trainer(
        FeedForward(conv_pairs=(4,), hidden=(8,)), digits, TrainingConfig(1, 1e-3), place(4000, networks=4)
    )
    params = initial_params(trainer, 0)
    kernels = kernels_of(params)
    random = np.random.default_rng(0)
    ranks = {n: random.permutation(k.size).reshape(k.shape).astype(np.int32) for n, k in kernels.items()}
    levels = kept_counts({n: k.size for n, k in kernels.items()}, dict.fromkeys(kernels, 0.2), 5)
    masked = [masked_kernels(kernels, one_shot(ranks, level), rescaled=False) for level in levels]
    expected = trainer.evaluate([with_kernels(params, each) for each in masked])
    assert trainer.evaluate_levels(params, ranks, levels) == expected


@pytest.mark.parametrize("weights", ["initial", "signed_constant"])
def test_the_science_a_same_sign_mask_makes_an_untrained_network_accurate(trainer, trained_once, weights):
    """Paper figures 6 and 7: a large_final mask that keeps signs is far above chance, a random one is not."""
    supermask = untrained_accuracy(trainer, trained_once, "large_final_same_sign", weights).mean(axis=0)
    random = untrained_accuracy(trainer, trained_once, "random", weights).mean(axis=0)
    assert supermask.max() > 0.35
    assert supermask.max() > random.max() + 0.2
    # Constants of one size make outputs that tie up to rounding, and weights are summed in the order of their ranks.
    assert supermask[0] == pytest.approx(random[0], abs=0.01), "level 0 is no mask at all"
    assert supermask[0] < 0.2
