"""Statistics against SciPy's and against known cases."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from supermask.analysis.drawing.statistics import bands, no_spread, paired_p_value, paired_tests, resolution_of

VALUES = st.lists(st.tuples(*[st.floats(0, 1, allow_subnormal=False)] * 2), min_size=3, max_size=8)


@given(VALUES)
def test_the_paired_test_is_scipys(pairs):
    first, second = map(list, zip(*pairs, strict=True))
    assume(np.ptp(np.subtract(first, second)) > 1e-6)
    assert paired_p_value(first, second) == pytest.approx(stats.ttest_rel(first, second).pvalue, rel=1e-9)


def test_differences_without_spread():
    assert paired_p_value([0.5, 0.25, 0.125], [0.5, 0.25, 0.125]) == 1.0
    assert paired_p_value([0.5, 0.75, 1.0], [0.25, 0.5, 0.75]) == 2 / 8, "the sign test's: three pairs are no certainty"
    assert paired_p_value([0.983, 0.972, 0.961], [0.981, 0.970, 0.959]) == 2 / 8, "rounding is no spread"


def test_what_float32_cannot_tell_apart_is_no_difference():
    """Two units in the last place, of numbers of any size; beyond them a difference counts."""
    resolution = 2.0**-22
    assert resolution_of(np.array([0.5, -1.0]), np.array([math.nan, math.inf])) == resolution
    assert resolution_of(np.array([64.0]), np.array([1.0])) == 64 * resolution
    assert resolution_of(np.array([])) == 0
    assert no_spread(np.array([0.0, 0.0]), 0.0)
    assert no_spread(np.array([0.25, 0.5]), 0.25)
    assert not no_spread(np.array([0.25, 0.75]), 0.25)
    first = np.array([1.0, 1.0, 1.0])
    assert paired_p_value(first, first - np.array([0.25, 0.5, 1.0]) * resolution) == 1.0
    assert paired_p_value(first, first - np.array([1.0, 1.5, 2.0]) * resolution) == 2 / 8
    assert paired_p_value([0.0] * 3, [0.0] * 3) == 1.0


def test_no_test_on_two_seeds_or_on_a_diverged_training():
    assert math.isnan(paired_p_value([0.1, 0.2], [0.3, 0.5]))
    assert math.isnan(paired_p_value([0.1, 0.2, math.nan], [0.3, 0.5, 0.1]))
    with pytest.raises(ValueError, match="second has 1 values"):
        paired_p_value([0.1, 0.2], [0.3])


def test_no_effect_is_rarely_significant():
    random = np.random.default_rng(0)
    found = sum(paired_p_value(*random.normal(size=(2, 5))) < 0.05 for _ in range(1000))
    assert 25 <= found <= 80, "about one in twenty"


def a_table() -> pd.DataFrame:
    rows = [
        {
            "criterion": name,
            "round": round_,
            "seed": seed,
            "accuracy": base + 0.01 * seed + 0.001 * round_ * seed * base,
        }
        for name, base in (("a", 0.5), ("b", 0.4))
        for round_ in (1, 2)
        for seed in range(4)
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def test_tests_are_paired_by_seed_whatever_the_order_of_rows():
    tests = paired_tests(a_table(), "criterion", "a", "b", "accuracy").set_index("round")
    assert tests["pairs"].tolist() == [4, 4]
    by_name = a_table().sort_values("seed").groupby(["criterion", "round"])["accuracy"].apply(list)
    expected = stats.ttest_rel(by_name["a", 2], by_name["b", 2]).pvalue
    assert tests["p_value"][2] == pytest.approx(expected)
    assert tests["difference"][1] == pytest.approx(0.1 + 0.00015)


@pytest.mark.parametrize("column", ["accuracy", "test_loss"])
def test_no_star_is_given_where_a_training_diverged(column):
    """Be it seen by its loss alone: a network of NaN has the accuracy of always answering class 0."""
    table = a_table().assign(test_loss=0.1)
    table.loc[(table["seed"] == 1) & (table["round"] == 2) & (table["criterion"] == "b"), column] = math.nan
    tests = paired_tests(table, "criterion", "a", "b", "accuracy").set_index("round")
    assert math.isnan(tests["p_value"][2])
    assert math.isnan(tests["difference"][2])
    assert tests["p_value"][1] < 0.05


def test_seeds_of_one_side_alone_are_left_out():
    table = a_table()
    tests = paired_tests(table[(table["seed"] > 0) | (table["criterion"] == "a")], "criterion", "a", "b", "accuracy")
    assert tests["pairs"].tolist() == [3, 3]


def test_a_missing_side_gives_no_tests():
    assert paired_tests(a_table(), "criterion", "a", "c", "accuracy").empty


def test_bands_are_mean_least_and_greatest():
    band = bands(a_table(), ["criterion", "round"], "accuracy")
    assert band["seeds"].tolist() == [4] * 4
    assert list(zip(band["criterion"], band["round"], strict=True)) == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    first = band.iloc[0]
    assert (first["least"], first["greatest"]) == (0.5, pytest.approx(0.53 + 0.0015))
    assert first["mean"] == pytest.approx(0.515 + 0.00075)


def test_a_line_without_a_value_in_some_column_has_its_band():
    """Rows of the unpruned network, say, which have no criterion."""
    table = a_table()
    assert (
        len(bands(table.assign(action=table["criterion"].where(table["round"] == 1)), ["criterion", "action"], "seed"))
        == 4
    )
