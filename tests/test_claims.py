"""Claims and verdicts on known cases."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from supermask.analysis.drawing.claims import (
    Claim,
    Judgement,
    Pairs,
    Verdict,
    confidence_interval,
    judge,
    judge_pairs,
    one_sided_p_value,
    pair,
)
from supermask.figures import supermasks_at_init

GALLERY = Path(__file__).parents[1] / "figures" / "gallery"
CLAIM = Claim("a beats b", "", {"criterion": "a"}, {"criterion": "b"}, above=0.1, below=0.9)


def table(
    effect: float, *, seeds: int = 5, levels: int = 4, noise: float = 0.01, shuffled: bool = False, seed: int = 0
):
    """Sides a and b at levels 0.8, 0.64, …: b around 0.5, a `effect` above it; labels drawn by lot if shuffled."""
    random = np.random.default_rng(seed)
    rows = []
    for round_ in range(1, levels + 1):
        for member in range(seeds):
            names = ["a", "b"]
            if shuffled:
                random.shuffle(names)
            base = 0.5 + random.normal() * noise
            for name, shift in zip(names, (effect, 0.0), strict=True):
                accuracy = base + shift + random.normal() * noise
                rows.append((name, member, round_, 0.8**round_, accuracy))
    return pd.DataFrame(rows, columns=["criterion", "seed", "round", "weights_remaining", "test_accuracy"])


def test_a_clear_effect_is_reproduced():
    found = judge(CLAIM, table(0.2))
    assert found.verdict is Verdict.REPRODUCED
    assert (found.seeds, found.levels, found.shown) == (5, 4, 4)
    assert found.interval[0] < 0.2 < found.interval[1] or abs(found.effect - 0.2) < 0.02
    assert found.p_value < 0.05


def test_the_contrary_is_not_reproduced_even_on_three_seeds():
    assert judge(CLAIM, table(-0.2, seeds=3)).verdict is Verdict.NOT_REPRODUCED


def test_too_few_seeds_are_not_enough_data_whatever_they_show():
    for seeds in (1, 2):
        assert judge(CLAIM, table(0.3, seeds=seeds)).verdict is Verdict.NOT_ENOUGH_DATA
    assert judge(CLAIM, table(0.001, seeds=3)).verdict is Verdict.NOT_ENOUGH_DATA
    assert judge(CLAIM, table(0.001, seeds=5)).verdict is Verdict.NOT_REPRODUCED


def test_no_effect_on_shuffled_labels_is_not_reproduced():
    verdicts = [judge(CLAIM, table(0.2, shuffled=True, seed=seed)).verdict for seed in range(50)]
    assert verdicts == [Verdict.NOT_REPRODUCED] * 50
    average = [
        judge(Claim("", "", CLAIM.first, CLAIM.second, every_level=False), table(0.2, shuffled=True, seed=seed)).verdict
        for seed in range(100)
    ]
    assert average.count(Verdict.REPRODUCED) <= 12, "about one in twenty, one-sided"


def test_one_level_that_fails_fails_a_claim_of_every_level_but_not_one_of_the_average():
    data = table(0.2)
    data.loc[(data["round"] == 2) & (data["criterion"] == "a"), "test_accuracy"] -= 0.25
    found = judge(CLAIM, data)
    assert (found.verdict, found.shown) == (Verdict.NOT_REPRODUCED, 3)
    average = Claim("", "", CLAIM.first, CLAIM.second, every_level=False)
    assert judge(average, data).verdict is Verdict.REPRODUCED


def test_margins_turn_better_into_much_better_and_into_not_much_worse():
    much = Claim("", "", CLAIM.first, CLAIM.second, margin=0.3)
    no_worse = Claim("", "", CLAIM.first, CLAIM.second, margin=-0.05)
    assert judge(much, table(0.2)).verdict is Verdict.NOT_REPRODUCED
    assert judge(no_worse, table(0.0)).verdict is Verdict.REPRODUCED
    assert judge(no_worse, table(-0.2)).verdict is Verdict.NOT_REPRODUCED


def test_smaller_turns_the_comparison_round():
    slower = Claim("", "", {"criterion": "b"}, {"criterion": "a"}, smaller=True)
    assert judge(slower, table(0.2)).verdict is Verdict.REPRODUCED
    larger = Claim("", "", CLAIM.first, CLAIM.second)
    np.testing.assert_allclose(pair(slower, table(0.2)).differences, pair(larger, table(0.2)).differences)


def test_only_levels_in_the_range_count():
    data = table(0.2, levels=12)
    data.loc[data["weights_remaining"] <= 0.1, "test_accuracy"] = math.nan
    found = judge(CLAIM, data)
    assert found.levels == sum(0.1 < 0.8**r <= 0.9 for r in range(1, 13))
    assert found.verdict is Verdict.REPRODUCED


def test_a_range_is_open_below_and_closed_above():
    edges = replace(CLAIM, above=0.8**3, below=0.8**2)
    assert judge(edges, table(0.2)).levels == 1
    assert pair(edges, table(0.2)).differences.shape == (5, 1)


def test_a_claim_about_levels_that_were_not_run_is_not_enough_data():
    found = judge(replace(CLAIM, above=0.01, below=0.02), table(0.2))
    assert (found.verdict, found.seeds, found.levels) == (Verdict.NOT_ENOUGH_DATA, 5, 0)


def test_a_diverged_training_shows_nothing_and_its_seed_is_counted():
    """Neither a difference of 0 nor a victory: its seed is out of the numbers, and the claim is not reproduced."""
    no_worse = Claim("", "", CLAIM.first, CLAIM.second, margin=-0.05)
    for side in ("a", "b"):
        data = table(0.2, seeds=6)
        data.loc[(data["seed"] == 0) & (data["criterion"] == side) & (data["round"] == 2), "test_accuracy"] = math.nan
        for claim in (CLAIM, no_worse):
            found = judge(claim, data)
            assert (found.verdict, found.seeds, found.diverged) == (Verdict.NOT_ENOUGH_DATA, 5, 1)
            assert found.effect == pytest.approx(0.2, abs=0.02)
            rest = judge(claim, data[data["seed"] > 0])
            assert (rest.verdict, rest.diverged) == (Verdict.REPRODUCED, 0)
            assert (rest.effect, rest.p_value) == (found.effect, found.p_value)


def test_where_all_diverged_nothing_is_reproduced_whatever_the_margin():
    data = table(0.2).assign(test_accuracy=math.nan)
    found = judge(Claim("", "", CLAIM.first, CLAIM.second, margin=-0.05), data)
    assert (found.verdict, found.seeds, found.diverged) == (Verdict.NOT_ENOUGH_DATA, 0, 5)
    assert math.isnan(found.p_value)


@pytest.mark.parametrize("loss", ["test_loss", "validation_loss_at_end"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_training_whose_loss_is_no_number_has_diverged_whatever_its_accuracy(loss, value):
    """A network of NaN answers class 0: its accuracy is that class's share, a finite number."""
    data = table(0.2).assign(**{loss: 0.1})
    data.loc[(data["seed"] == 3) & (data["criterion"] == "b"), ["test_accuracy", loss]] = 0.098, value
    found = judge(CLAIM, data)
    assert (found.seeds, found.diverged) == (4, 1)
    assert found.effect == pytest.approx(0.2, abs=0.02)


def test_who_diverged_at_once_or_never_learned_did_not_learn_sooner():
    """Early stopping at step 0 is the start itself: of a training that led nowhere, not of a fast one."""
    steps = table(0.0).rename(columns={"test_accuracy": "early_stop_step"})
    steps["early_stop_step"] = 1000 + 10 * steps["seed"] + np.where(steps["criterion"] == "a", -400, 0)
    steps["early_stop_step"] += np.arange(len(steps)) % 7
    sooner = Claim("", "", CLAIM.first, CLAIM.second, metric="early_stop_step", smaller=True)
    assert judge(sooner, steps).verdict is Verdict.REPRODUCED
    dead = steps.copy()
    dead.loc[dead["criterion"] == "a", "early_stop_step"] = 0
    assert judge(sooner, dead).verdict is Verdict.NOT_ENOUGH_DATA
    assert judge(sooner, dead).diverged == 5


def test_a_seed_that_lacks_a_level_on_either_side_is_left_out_and_has_not_diverged():
    data = table(0.2, seeds=6)
    gap = (data["seed"] == 2) & (data["criterion"] == "a") & (data["round"] == 3)
    found = judge(CLAIM, data[~gap])
    assert (found.verdict, found.seeds, found.levels, found.diverged) == (Verdict.REPRODUCED, 5, 4, 0)
    assert found == judge(CLAIM, data[data["seed"] != 2])
    short = judge(CLAIM, data[(data["round"] < 3) | (data["criterion"] == "a")])
    assert (short.verdict, short.seeds) == (Verdict.NOT_ENOUGH_DATA, 0), "b has not been run at all levels"


def test_a_side_with_a_seed_twice_is_refused():
    with pytest.raises(ValueError, match="twice"):
        judge(CLAIM, pd.concat([table(0.2), table(0.2)]))


def test_a_side_that_is_not_there_is_not_enough_data():
    missing = Claim("", "", {"criterion": "a"}, {"criterion": "c"})
    assert judge(missing, table(0.2)).verdict is Verdict.NOT_ENOUGH_DATA


SEEDS, LEVELS, SIMULATIONS = 5, 8, 1500


def simulated(effects: list[float], *, every_level: bool = True, seed: int = 0) -> list[Judgement]:
    """Judgements on draws whose levels have these true effects, in standard deviations of a difference."""
    random = np.random.default_rng(seed)
    claim = Claim("", "", {}, {}, every_level=every_level)
    draws = random.normal(effects, 1.0, (SIMULATIONS, SEEDS, len(effects)))
    return [judge_pairs(claim, Pairs(draw)) for draw in draws]


def reproduced(judgements: list[Judgement]) -> float:
    return sum(found.verdict is Verdict.REPRODUCED for found in judgements) / len(judgements)


def one_levels_power(effect: float) -> float:
    """Of the one-sided t-test at 5%, by the noncentral t distribution."""
    critical = stats.t.isf(0.05, SEEDS - 1)
    return float(stats.nct.sf(critical, SEEDS - 1, effect * math.sqrt(SEEDS)))


def test_a_false_claim_of_every_level_is_called_reproduced_in_one_of_twenty_at_most():
    """The worst case of an intersection-union test: one level without effect, the others beyond doubt."""
    one_false = reproduced(simulated([0.0] + [20.0] * (LEVELS - 1)))
    assert one_false == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / SIMULATIONS)), "its size is what it says"
    assert reproduced(simulated([0.0] * LEVELS, seed=1)) == 0.0, "eight lucky levels are not seen"


def test_a_false_claim_about_the_mean_is_called_reproduced_in_one_of_twenty():
    found = reproduced(simulated([1.0, -1.0] * (LEVELS // 2), every_level=False, seed=2))
    assert found == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / SIMULATIONS))


@pytest.mark.parametrize("effect", [1.5, 2.5, 4.0])
def test_the_power_of_a_claim_of_every_level_is_that_of_its_levels_together(effect):
    """Independent levels: the product of their tests' powers. A correction for their number would lose most of it."""
    expected = one_levels_power(effect) ** LEVELS
    found = reproduced(simulated([effect] * LEVELS, seed=3))
    assert found == pytest.approx(expected, abs=4 * math.sqrt(0.25 / SIMULATIONS))


def test_p_is_that_of_the_least_certain_level():
    differences = np.array([[0.1, 0.3], [0.2, 0.1], [0.15, -0.1], [0.12, 0.2]])
    claim = Claim("", "", {}, {})
    found = judge_pairs(claim, Pairs(differences))
    expected = [stats.ttest_1samp(column, 0, alternative="greater").pvalue for column in differences.T]
    assert found.p_value == pytest.approx(max(expected))
    assert (found.levels, found.shown) == (2, 1)


def test_p_values_and_intervals_are_scipys():
    values = np.array([0.1, 0.3, 0.2, 0.05, 0.4])
    assert one_sided_p_value(values) == pytest.approx(stats.ttest_1samp(values, 0, alternative="greater").pvalue)
    for some in (values, values[:2]):
        expected = stats.ttest_1samp(some, 0).confidence_interval(0.95)
        assert confidence_interval(some) == pytest.approx((expected.low, expected.high))
    assert confidence_interval(values[:1]) == pytest.approx((math.nan, math.nan), nan_ok=True)


def test_equal_differences_are_no_certainty():
    """Accuracies on 1,000 images often differ by the same few of them: then the sign test's p, which needs five."""
    assert one_sided_p_value(np.full(3, 0.2)) == 1 / 8
    assert one_sided_p_value(np.full(5, 0.2)) == 1 / 32
    assert one_sided_p_value(np.zeros(5)) == one_sided_p_value(np.full(5, -0.2)) == 1.0
    assert math.isnan(one_sided_p_value(np.array([0.2, 0.3])))


def test_rounding_is_no_spread():
    """0.983 - 0.981 and 0.972 - 0.970 are the same two images, whatever floats make of them."""
    data = table(0.0, seeds=3, levels=1)
    images = data["seed"] * 11 + np.where(data["criterion"] == "a", 972, 970)
    data["test_accuracy"] = (images / 1000).astype(np.float32).astype(float)
    found = judge(CLAIM, data)
    assert (found.p_value, found.verdict) == (1 / 8, Verdict.NOT_ENOUGH_DATA)


def test_one_seeds_random_masks_are_no_better_than_anothers():
    """The claim that flipped signs are no better than chance, held against chance itself and against what beats it."""
    claim = supermasks_at_init.CLAIMS[3]
    table = pd.read_csv(GALLERY / "supermasks-at-init-fc-mnist-paper.csv")
    chance = table[(table["criterion"] == "random") & (table["weights"] == "initial")]
    for shift in (1, 2, 3, 4):
        other = chance.assign(seed=(chance["seed"] + shift) % 5, criterion=claim.second["criterion"])
        assert judge(claim, pd.concat([chance, other])).verdict is Verdict.REPRODUCED
        better = other.assign(test_accuracy=other["test_accuracy"] + 0.06)
        assert judge(claim, pd.concat([chance, better])).verdict is Verdict.NOT_REPRODUCED


def against_the_unpruned(above: dict[int, float], unpruned: float = 0.9, seeds: int = 5) -> pd.DataFrame:
    """Round 0 is the unpruned network, once a seed; rounds 1 and later of `a` are that much above it."""
    rows = [("unpruned", member, 0, 1.0, unpruned + 0.01 * member) for member in range(seeds)]
    for round_, effect in above.items():
        wobble = np.random.default_rng(round_).normal(size=seeds) * 1e-3
        rows += [("a", m, round_, 0.8**round_, unpruned + 0.01 * m + effect + wobble[m]) for m in range(seeds)]
    return pd.DataFrame(rows, columns=["criterion", "seed", "round", "weights_remaining", "test_accuracy"])


def test_the_unpruned_network_is_compared_at_every_level_seed_by_seed():
    claim = replace(CLAIM, second={"criterion": "unpruned"}, baseline=True, above=0.4, below=0.7)
    found = judge(claim, against_the_unpruned({1: -0.5, 2: 0.02, 3: 0.03, 4: 0.04, 5: -0.5}))
    assert (found.verdict, found.levels) == (Verdict.REPRODUCED, 3), "0.64, 0.51 and 0.41 of the weights"
    assert found.effect == pytest.approx(0.03, abs=2e-3)
    assert found.interval[1] - found.interval[0] < 5e-3, "the spread over seeds, five times as large, cancels"
    assert judge(claim, against_the_unpruned({2: 0.02, 3: -0.02, 4: 0.02})).verdict is Verdict.NOT_REPRODUCED
    nothing = judge(replace(claim, below=0.41, above=0.405), against_the_unpruned({2: 0.02}))
    assert (nothing.verdict, nothing.levels) == (Verdict.NOT_ENOUGH_DATA, 0)
