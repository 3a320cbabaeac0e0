"""The lottery ticket algorithm: counts, nesting, rewinding, going on; and the science, on real digits."""

import jax
import numpy as np
import pytest

import supermask as sm
from supermask import lottery, masks, restarts
from supermask.actions import KEPT_ACTIONS, PRUNED_ACTIONS
from supermask.criteria import CRITERIA
from supermask.figures.rewinding import flipped_share
from supermask.lottery import InMemory, Treatment, find_tickets, initial_params
from supermask.masks import Rates, kept_counts
from supermask.named_members import BUILT_IN
from supermask.networks import kernels_of, layer_kinds
from supermask.training import Job

RATES = Rates(dense=0.4, output=0.2)


def records_of(trainer, treatments, seeds=(0,), rounds=2, rates=RATES, memory=None):
    found = list(find_tickets(trainer, rates, treatments, seeds, rounds, memory))
    return {(record.treatment, record.seed, record.round): record for record in found}


def same_bits(first, second) -> bool:
    return all(
        np.asarray(a).tobytes() == np.asarray(b).tobytes()
        for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    )


@pytest.mark.parametrize("schedule", ["iterative", "one_shot"])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_prunes_the_rounds_exact_counts(trainer, criterion, schedule):
    treatment = BUILT_IN.treatment(criterion, schedule=schedule)
    records = records_of(trainer, [treatment])
    initial = kernels_of(records[None, 0, 0].start.params)
    sizes = {layer: kernel.size for layer, kernel in initial.items()}
    expected = kept_counts(sizes, RATES.by_layer(layer_kinds(initial)), 2)
    for round_ in (1, 2):
        start = records[treatment, 0, round_].start
        assert {layer: int(np.sum(mask)) for layer, mask in start.masks.items()} == expected[round_]
        for layer, mask in start.masks.items():
            kernel, kept = np.asarray(start.params[layer]["kernel"]), np.asarray(mask)
            np.testing.assert_array_equal(kernel, np.where(kept, initial[layer], 0), "rewound, and pruned ones at 0")


@pytest.mark.parametrize("criterion", ["large_final", "random", "magnitude_increase"])
def test_masks_nest_and_pruned_weights_stay_pruned(trainer, criterion):
    treatment = BUILT_IN.treatment(criterion)
    records = records_of(trainer, [treatment], rounds=3)
    for round_ in (1, 2):
        before, after = (records[treatment, 0, r].start.masks for r in (round_, round_ + 1))
        assert all(not np.any(np.asarray(after[n]) & ~np.asarray(before[n])) for n in before)
    last = records[treatment, 0, 3]
    for layer, kernel in kernels_of(last.trained.params).items():
        assert not np.any(np.asarray(kernel)[~np.asarray(last.start.masks[layer])])


@pytest.mark.parametrize("kept", KEPT_ACTIONS)
def test_every_kept_action_restarts_and_trains(trainer, kept):
    treatment = BUILT_IN.treatment(kept=kept)
    record = records_of(trainer, [treatment], rounds=1)[treatment, 0, 1]
    assert np.isfinite(record.trained.validation_loss).all()
    for layer, mask in record.start.masks.items():
        assert not np.any(np.asarray(record.start.params[layer]["kernel"])[~np.asarray(mask)])


@pytest.mark.parametrize("pruned", PRUNED_ACTIONS)
def test_every_pruned_action_freezes_for_good(trainer, pruned):
    treatment = BUILT_IN.treatment(pruned=pruned)
    records = records_of(trainer, [treatment])
    initial = kernels_of(records[None, 0, 0].start.params)
    first, second = (records[treatment, 0, round_] for round_ in (1, 2))
    for layer, mask in first.start.masks.items():
        frozen = ~np.asarray(mask)
        values = np.asarray(first.start.params[layer]["kernel"])[frozen]
        assert np.isin(values, np.append(initial[layer][frozen], 0)).all(), "0 or the initial value"
        for later in (first.trained.params, second.start.params, second.trained.params):
            assert np.asarray(later[layer]["kernel"])[frozen].tobytes() == values.tobytes()


@pytest.mark.parametrize("schedule", ["iterative", "one_shot"])
def test_one_shot_masks_are_cut_from_the_weights_of_round_0(trainer, schedule):
    """One-shot masks keep the largest weights of the unpruned network; iterative ones those of the round before."""
    treatment = BUILT_IN.treatment("large_final", schedule=schedule)
    records = records_of(trainer, [treatment], rounds=3)
    for round_ in (1, 2, 3):
        before = records[None, 0, 0] if schedule == "one_shot" or round_ == 1 else records[treatment, 0, round_ - 1]
        for layer, mask in records[treatment, 0, round_].start.masks.items():
            magnitude = np.where(before.start.masks[layer], np.abs(before.trained.params[layer]["kernel"]), -1)
            assert magnitude[mask].min() > magnitude[~np.asarray(mask)].max()


@pytest.mark.parametrize("pruned", ["zero", "zero_if_shrunk"])
def test_a_weight_that_the_rule_sets_to_zero_starts_at_zero_ever_after(trainer, pruned):
    treatment = BUILT_IN.treatment(kept="rewind_or_zero", pruned=pruned)
    records = records_of(trainer, [treatment], rounds=3)
    before = records[None, 0, 0]
    initial = kernels_of(before.start.params)
    again = 0
    for round_ in (1, 2, 3):
        record = records[treatment, 0, round_]
        for layer, wi in initial.items():
            started, final = (np.asarray(p[layer]["kernel"]) for p in (before.start.params, before.trained.params))
            kept, shrunk = np.asarray(record.start.masks[layer]), np.abs(final) < np.abs(wi)
            expected = np.where((started == 0) | shrunk, 0, wi)
            np.testing.assert_array_equal(np.asarray(record.start.params[layer]["kernel"])[kept], expected[kept])
            again += int((kept & (started == 0) & ~shrunk).sum())
        before = record
    assert again > 0, "weights that a rule without memory would have put back"


def test_rewinding_to_a_later_step_goes_back_to_exactly_those_weights(trainer):
    treatment = Treatment(rewind_step=100)
    record = records_of(trainer, [treatment], rounds=1)[treatment, 0, 1]
    params = initial_params(trainer, 0)
    at_step = trainer.train([Job(params, masks.full_masks(kernels_of(params)), 0, last_step=100)])[0].params
    for layer, mask in record.start.masks.items():
        expected = np.where(np.asarray(mask), at_step[layer]["kernel"], 0)
        np.testing.assert_array_equal(record.start.params[layer]["kernel"], expected)
        np.testing.assert_array_equal(record.start.params[layer]["bias"], at_step[layer]["bias"])
    assert record.trained.evaluated_at.tolist() == [100, 200, 300]


def test_rewinding_the_learning_rate_alone_goes_on_from_all_trained_parameters(trainer):
    """Kept weights and biases; in the library's own restart, too, which otherwise takes biases back."""
    treatment = BUILT_IN.treatment(kept="trained")
    records = records_of(trainer, [treatment])
    for before, after in (
        (records[None, 0, 0], records[treatment, 0, 1]),
        (records[treatment, 0, 1], records[treatment, 0, 2]),
    ):
        ended, start, kept = before.trained.params, after.start.params, after.start.masks
        for layer, leaves in start.items():
            np.testing.assert_array_equal(leaves["bias"], ended[layer]["bias"])
            np.testing.assert_array_equal(leaves["kernel"], np.where(kept[layer], ended[layer]["kernel"], 0))
            assert np.any(ended[layer]["bias"])
    initial, key = records[None, 0, 0].start.params, jax.random.key(0)
    masks_tree = {layer: {"kernel": kept[layer], "bias": None} for layer in initial}
    for action, source in ((sm.trained, ended), (sm.rewind, initial)):
        own = sm.restart(key, initial, ended, masks_tree, kept=action)
        for layer, leaves in own.items():
            np.testing.assert_array_equal(leaves["bias"], source[layer]["bias"])
            np.testing.assert_array_equal(leaves["kernel"], np.where(kept[layer], source[layer]["kernel"], 0))
    end = restarts.End(kept, kernels_of(ended), {})
    pruning = restarts.Pruning(trainer.network, trainer.data.image_shape, RATES)
    origin = restarts.Origin(0, initial, initial, kernels_of(ended))
    with pytest.raises(ValueError, match="kept is trained, and the end of the round has kernels alone"):
        restarts.restart(pruning, treatment, origin, 3, end)


def test_flipped_signs_are_counted_among_kept_weights():
    initial = {"a": np.array([1.0, -1.0, 2.0, -2.0, 0.5])}
    final = {"a": np.array([-1.0, -3.0, 2.0, 2.0, -0.5])}
    assert flipped_share(initial, final, {"a": np.array([True, True, True, True, False])}) == 2 / 4
    assert np.isnan(flipped_share(initial, final, {"a": np.zeros(5, bool)}))
    assert np.isnan(flipped_share(initial, {"a": np.full(5, np.nan)}, {"a": np.ones(5, bool)}))


def test_rewinding_beyond_the_training_is_refused_before_it(trainer):
    with pytest.raises(ValueError, match="rewind_step is 301; a training has 300 steps"):
        records_of(trainer, [Treatment(rewind_step=301)])


def test_global_ranking_counts_over_the_network(trainer):
    treatment = Treatment(ranking="global")
    records = records_of(trainer, [treatment])
    sizes = {layer: kernel.size for layer, kernel in kernels_of(records[None, 0, 0].start.params).items()}
    total = kept_counts({"network": sum(sizes.values())}, {"network": RATES.dense}, 2)
    for round_ in (1, 2):
        start = records[treatment, 0, round_].start
        assert sum(int(np.sum(mask)) for mask in start.masks.values()) == total[round_]["network"]


def test_a_runs_results_do_not_depend_on_the_study_around_it(trainer):
    mine, others = (
        BUILT_IN.treatment("movement"),
        [BUILT_IN.treatment("snip"), BUILT_IN.treatment("random", kept="constant")],
    )
    alone = records_of(trainer, [mine])
    among = records_of(trainer, [others[0], mine, others[1]], seeds=(1, 0))
    for round_ in (1, 2):
        first, second = alone[mine, 0, round_], among[mine, 0, round_]
        assert same_bits((first.start.masks, first.trained), (second.start.masks, second.trained))


def test_an_interrupted_study_goes_on_to_the_same_end(trainer):
    treatments = [Treatment(), BUILT_IN.treatment("movement", pruned="init")]
    straight = records_of(trainer, treatments, seeds=(0, 1))
    memory, early = InMemory(), {}
    for record in find_tickets(trainer, RATES, treatments, (0, 1), 2, memory):
        early[record.treatment, record.seed, record.round] = record
        if len(early) == 6:
            break
    late = records_of(trainer, treatments, seeds=(0, 1), memory=memory)
    assert not set(early) & set(late), "nothing is trained twice"
    both = early | late
    assert set(both) == set(straight)
    for name, record in both.items():
        assert same_bits((record.start.params, record.trained), (straight[name].start.params, straight[name].trained))


def test_more_rounds_continue_where_fewer_ended(trainer):
    memory = InMemory()
    records_of(trainer, [Treatment()], rounds=1, memory=memory)
    later = records_of(trainer, [Treatment()], rounds=2, memory=memory)
    assert list(later) == [(Treatment(), 0, 2)]
    with pytest.raises(KeyError, match="round 1"):
        memory.end_of_round(Treatment(), 0, 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [("criterion", "largest"), ("kept", "zero"), ("pruned", "rewind"), ("schedule", "never"), ("ranking", "class")],
)
def test_an_unknown_choice_is_refused_with_the_choices(field, value):
    with pytest.raises(ValueError, match=rf"{field} is '{value}'; allowed: \w+"):
        BUILT_IN.treatment(**{field: value})


def test_zeros_are_asked_for_where_a_rule_goes_by_them():
    assert BUILT_IN.treatment(kept="rewind_or_zero").asks_for_zeros
    assert BUILT_IN.treatment(pruned="zero_if_grown").asks_for_zeros
    assert not BUILT_IN.treatment(kept="rewind_or_zero", schedule="one_shot").asks_for_zeros, "each round begins anew"
    assert not Treatment().asks_for_zeros
    assert not Treatment(schedule="one_shot").asks_for_zeros


def test_a_negative_rewind_step_is_refused():
    with pytest.raises(ValueError, match="rewind_step is -1"):
        Treatment(rewind_step=-1)


def test_the_science_good_masks_beat_random_beats_bad(trainer):
    """At 3% of the weights, over three seeds: large_final > random > small_final by clear margins (figure 3)."""
    names = ("large_final", "random", "small_final")
    records = records_of(
        trainer, [BUILT_IN.treatment(name) for name in names], seeds=(0, 1, 2), rounds=6, rates=Rates(dense=0.45)
    )
    accuracy = {
        name: np.mean([records[BUILT_IN.treatment(name), s, 6].trained.test_at_early_stop.accuracy for s in (0, 1, 2)])
        for name in names
    }
    assert accuracy["large_final"] > accuracy["random"] + 0.1
    assert accuracy["random"] > accuracy["small_final"] + 0.1


def test_only_what_is_asked_for_is_computed(trainer, monkeypatch):
    """Fresh weights and gradients cost time, so only treatments that use them ask for them."""

    def refuse(*_):
        raise AssertionError("asked for without need")

    initial = initial_params(trainer, 0)
    monkeypatch.setattr(lottery, "initial_params", lambda trainer, seed: initial)
    monkeypatch.setattr(restarts, "initialise", refuse)
    monkeypatch.setattr(type(trainer), "gradients", refuse)
    records_of(trainer, [Treatment()], rounds=1)
    with pytest.raises(AssertionError, match="without need"):
        records_of(trainer, [BUILT_IN.treatment(kept="reinit")], rounds=1)
    with pytest.raises(AssertionError, match="without need"):
        records_of(trainer, [BUILT_IN.treatment("snip")], rounds=1)
