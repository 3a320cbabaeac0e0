"""Every criterion: its formula, and what all of them promise."""

from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from supermask import criteria
from supermask.analysis.studies.plugin_files import load_plugin
from supermask.criteria import CRITERIA, EIGHT, Criterion, LayerFacts, power
from supermask.named_members import with_parameters
from supermask.treatments import Treatment

WEIGHTS = hnp.arrays(
    np.float32, st.sampled_from([(2, 2), (6, 5)]), elements=st.floats(-2, 2, width=32, allow_subnormal=False)
)


def facts(seed: int, shape: tuple[int, ...] = (7, 5), alive: float = 0.7) -> LayerFacts:
    random = np.random.default_rng(seed)
    w_initial, w_final, gradient = (jnp.asarray(random.normal(size=shape), jnp.float32) for _ in range(3))
    return LayerFacts(w_initial, w_final, jnp.asarray(random.random(shape) < alive), gradient)


FORMULAS = {
    "large_final": lambda wi, wf: abs(wf),
    "small_final": lambda wi, wf: -abs(wf),
    "large_init": lambda wi, wf: abs(wi),
    "small_init": lambda wi, wf: -abs(wi),
    "magnitude_increase": lambda wi, wf: abs(wf) - abs(wi),
    "movement": lambda wi, wf: abs(wf - wi),
    "large_final_same_sign": lambda wi, wf: abs(wf) if wi * wf > 0 else 0.0,
    "large_final_diff_sign": lambda wi, wf: 0.0 if wi * wf > 0 else abs(wf),
    "magnitude_increase_same_sign": lambda wi, wf: abs(wf) - abs(wi) if wi * wf > 0 else 0.0,
    "magnitude_increase_diff_sign": lambda wi, wf: 0.0 if wi * wf > 0 else abs(wf) - abs(wi),
    "magnitude_increase_same_sign_strict": lambda wi, wf: abs(wf) - abs(wi) if wi * wf > 0 else -np.inf,
    "magnitude_increase_diff_sign_strict": lambda wi, wf: -np.inf if wi * wf > 0 else abs(wf) - abs(wi),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_elementwise_criteria_follow_their_formula(name):
    given_facts = facts(1)
    expected = np.vectorize(FORMULAS[name])(np.asarray(given_facts.w_initial), np.asarray(given_facts.w_final))
    np.testing.assert_allclose(CRITERIA[name](given_facts), expected, rtol=1e-6)


def test_std_scaled_criteria_use_alpha_of_live_weights():
    given_facts = facts(2)
    wi, wf, alive, *_ = given_facts
    alpha = np.std(np.asarray(wi)[np.asarray(alive)]) / np.std(np.asarray(wf)[np.asarray(alive)])
    assert float(criteria.scale_ratio(wi, wf, alive)) == pytest.approx(alpha, rel=1e-5)
    scaled, initial = alpha * np.abs(wf), np.abs(wi)
    large, small = (CRITERIA[f"{name}_std_scaled"] for name in ("large_init_large_final", "small_init_small_final"))
    np.testing.assert_allclose(large(given_facts), np.minimum(scaled, initial), rtol=1e-5)
    np.testing.assert_allclose(small(given_facts), -np.maximum(scaled, initial), rtol=1e-5)


@pytest.mark.parametrize(("wi", "wf"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_alpha_is_one_for_a_collapsed_layer(wi, wf):
    same = [jnp.full((3, 2), value, jnp.float32) for value in (wi, wf)]
    assert float(criteria.scale_ratio(*same, jnp.ones((3, 2), bool))) == 1.0


@given(WEIGHTS, st.integers(0, 1000))
def test_the_combined_criteria_keep_what_a_common_percentile_would(w_initial, seed):
    """The released rule: some percentile p such that those above it in both magnitudes are the ones kept."""
    random = np.random.default_rng(seed)
    w_final = random.permutation(w_initial.ravel()).reshape(w_initial.shape)
    alive = np.ones(w_initial.shape, bool)
    scores = np.asarray(
        criteria.large_init_large_final(jnp.asarray(w_initial), jnp.asarray(w_final), jnp.asarray(alive))
    )
    ranks = [
        np.array([(np.abs(w) < abs(value)).sum() for value in w.ravel()]).reshape(w.shape) for w in (w_initial, w_final)
    ]
    for p in range(w_initial.size):
        above_both = (ranks[0] >= p) & (ranks[1] >= p)
        np.testing.assert_array_equal(above_both, np.rint(scores * (w_initial.size - 1)) >= p)


def test_snip_and_grad_go_by_the_gradient():
    given_facts = facts(3)
    np.testing.assert_allclose(CRITERIA["snip"](given_facts), np.abs(given_facts.gradient * given_facts.w_initial))
    np.testing.assert_allclose(CRITERIA["grad"](given_facts), np.abs(given_facts.gradient))
    with pytest.raises(ValueError, match="snip needs gradient"):
        CRITERIA["snip"](given_facts._replace(gradient=None))


def test_opposites_rank_in_opposite_order():
    given_facts = facts(4)
    for large, small in (("large_final", "small_final"), ("large_init", "small_init")):
        np.testing.assert_array_equal(CRITERIA[large](given_facts), -CRITERIA[small](given_facts))


@pytest.mark.parametrize("name", ["large_init_large_final", "small_init_small_final"])
def test_ranks_of_what_a_diverged_training_leaves_are_no_numbers(name):
    """So that masks prune it first, as with criteria that take magnitudes as they are."""
    given_facts = facts(5, alive=1.0)
    lost = np.random.default_rng(0).random(given_facts.alive.shape) < 0.3
    scores = CRITERIA[name](given_facts._replace(w_final=jnp.where(jnp.asarray(lost), jnp.nan, given_facts.w_final)))
    np.testing.assert_array_equal(np.isnan(scores), lost)


def test_a_zero_has_no_sign_in_common_with_anything():
    zero, one = jnp.zeros((1,)), jnp.ones((1,))
    assert not criteria.same_sign(zero, one)[0]
    assert not criteria.same_sign(zero, zero)[0]


def test_a_criterion_may_only_ask_for_what_is_known():
    with pytest.raises(ValueError, match="hessian"):
        Criterion("mine", lambda hessian: hessian, "")


def test_the_eight_are_eight():
    assert len(EIGHT) == 8
    assert all(CRITERIA[name].name == name for name in CRITERIA)


@pytest.mark.parametrize("name", CRITERIA)
def test_flipping_all_signs_changes_nothing(name):
    given_facts = facts(8)
    flipped = given_facts._replace(w_initial=-given_facts.w_initial, w_final=-given_facts.w_final)
    np.testing.assert_allclose(CRITERIA[name](flipped), CRITERIA[name](given_facts), rtol=1e-5)


def test_only_rules_that_changed_have_a_later_revision():
    """Results are named by it: a rule that stayed must keep the names of its results."""
    later = {name for name, criterion in CRITERIA.items() if criterion.revision == 2}
    assert later == {
        *("large_init_large_final", "small_init_small_final"),
        *("magnitude_increase_same_sign", "magnitude_increase_diff_sign"),
    }
    assert all(criterion.revision == 1 for name, criterion in CRITERIA.items() if name not in later)
    assert Criterion("mine", lambda w_final: w_final, "wf").revision == 1


def test_powers_have_the_known_criteria_among_them_and_names_of_their_own(tmp_path):
    """The same object goes into the library, into a treatment and into a plug-in file."""
    layer = facts(0)
    for exponents, name in (((1, 0), "large_final"), ((0, 1), "large_init"), ((-1, 0), None)):
        scores = power(*exponents)(layer)
        expected = CRITERIA[name](layer) if name else 1 / jnp.abs(layer.w_final)
        np.testing.assert_allclose(scores, expected, rtol=1e-6)
    values = {name: np.abs(np.asarray(getattr(layer, name), np.float64)) for name in ("w_final", "w_initial")}
    for a, b in ((20, -20), (50, -50), (50, 0), (0, -33.5), (7, 5)):
        exact = (a * np.log(values["w_final"]) + b * np.log(values["w_initial"])).ravel()
        assert (np.argsort(np.asarray(power(a, b)(layer)).ravel()) == np.argsort(exact)).all(), "nothing overflows"
    assert (power(2, -1).revision, power(2.5, 0).revision) == (1, 2)
    growth = power(1, -1)
    assert (growth.name, growth.formula) == ("power_1_-1", "|wf|^1 · |wi|^-1")
    assert growth == power(1.0, -1.0) != power(1, -2)
    assert Treatment(growth).criterion is growth
    assert [power(a, b).name for a, b in ((1.2345678, 1e-9), (1e300, -0.0), (np.float32(0.1), Fraction(1, 3)))] == [
        "power_1.2345678_1e-09",
        "power_1e300_0",
        "power_0.1_0.3333333333333333",
    ], "names tell apart what differs, to the last digit"
    assert power(2, -0.0) == power(2.0, 0)
    zeros = layer._replace(w_initial=jnp.zeros((7, 5)), w_final=jnp.zeros((7, 5)))
    assert not growth(zeros).any()
    for diverged in ({"w_initial": jnp.full((7, 5), jnp.nan)}, {"w_final": jnp.full((7, 5), jnp.nan)}):
        assert jnp.isnan(growth(layer._replace(**diverged))).all(), "a diverged weight has no score"
    with pytest.raises(ValueError, match="b is inf; allowed: finite numbers"):
        power(1, float("inf"))
    file = tmp_path / "mine.py"
    file.write_text("import supermask as sm\n\ngrowth, curved = sm.power(1, -1), sm.power(0.5, -2)\n")
    assert [member.name for member in load_plugin(file).members()] == ["power_1_-1", "power_0.5_-2"]


def test_a_criterion_with_parameters_has_a_text_for_the_command_line():
    assert with_parameters("power(a=1, b=-1)") == with_parameters(" power( b=-1.0,a=1 ) ") == power(1, -1)
    assert with_parameters("movement") is None
    for text, words in {
        "powder(a=1)": r"criterion 'powder\(a=1\)' is unknown; allowed: power\(a=..., b=...\)",
        "power(a=1)": "lacks b; allowed",
        "power()": "has ''; allowed",
        "power(1,-1)": "has '1'; allowed",
        "power(a=1,a=2)": "has 'a'; allowed",
        "power(a=1,c=2)": "has 'c'; allowed",
        "power(a=1,b=x)": "has 'b=x'; allowed: .* of numbers",
        "power(a=1,b=inf)": "b is inf; allowed: finite",
    }.items():
        with pytest.raises(ValueError, match=words):
            with_parameters(text)
