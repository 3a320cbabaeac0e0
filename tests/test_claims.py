"""Claims and verdicts on known cases."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis.claims import Claim, Verdict, confidence_interval, holm, judge, one_sided_p_value, paired_differences
from figures import supermasks_at_init

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
    np.testing.assert_allclose(
        paired_differences(slower, table(0.2)), paired_differences(Claim("", "", CLAIM.first, CLAIM.second), table(0.2))
    )


def test_only_levels_in_the_range_count():
    data = table(0.2, levels=12)
    data.loc[data["weights_remaining"] <= 0.1, "test_accuracy"] = math.nan
    found = judge(CLAIM, data)
    assert found.levels == sum(0.1 < 0.8**r <= 0.9 for r in range(1, 13))
    assert found.verdict is Verdict.REPRODUCED


def test_a_diverged_training_shows_nothing():
    data = table(0.2)
    data.loc[(data["seed"] == 0) & (data["criterion"] == "a"), "test_accuracy"] = math.nan
    assert paired_differences(CLAIM, data)[0].tolist() == [0.0] * 4


def test_a_side_that_is_not_there_is_not_enough_data():
    missing = Claim("", "", {"criterion": "a"}, {"criterion": "c"})
    assert judge(missing, table(0.2)).verdict is Verdict.NOT_ENOUGH_DATA


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10))
def test_holms_correction_never_lowers_and_keeps_the_order(p_values):
    corrected = holm(p_values)
    assert all(p <= c <= 1 for p, c in zip(p_values, corrected, strict=True))
    assert corrected[int(np.argmin(p_values))] == pytest.approx(min(1, min(p_values) * len(p_values)))
    order = np.argsort(p_values)
    assert (np.diff(np.asarray(corrected)[order]) >= 0).all()


def test_holm_on_a_textbook_case():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_p_values_and_intervals_are_scipys():
    values = np.array([0.1, 0.3, 0.2, 0.05, 0.4])
    assert one_sided_p_value(values) == pytest.approx(stats.ttest_1samp(values, 0, alternative="greater").pvalue)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert confidence_interval(values) == pytest.approx((expected.low, expected.high))
    assert one_sided_p_value(np.array([0.2, 0.2, 0.2])) == 0.0
    assert one_sided_p_value(np.array([0.0, 0.0, 0.0])) == 1.0


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
