"""The science under mutation: the tool makes the faults it says, and the tests notice them."""

import subprocess
import sys
import textwrap

import pytest
from mutation.faults import FAULTS
from mutation.operators import mutants_of
from mutation.sampling import ROOT, by_hand, equivalent_mutants, sample, source_of
from mutation.targets import TARGETS

SOURCE = '''
"""A module: 1 < 2."""

def larger(w_initial: Float[Array, "1 + 1"], w_final, alive=True):
    """Not this: a < b."""
    if not alive:
        raise ValueError(f"alive is {alive + 1}")
    return jnp.where(jnp.abs(w_final) < w_initial, 0.0, jnp.minimum(w_final, w_initial, axis=1))
'''


def faulty_lines(source: str) -> set[tuple[str, str]]:
    return {(mutant.kind, mutant.after) for mutant in mutants_of("m", textwrap.dedent(source))}


def test_faults_are_the_ones_that_slip_into_science():
    lines = faulty_lines(SOURCE)
    whole = "return jnp.where(jnp.abs(w_final) < w_initial, 0.0, jnp.minimum(w_final, w_initial, axis=1))"
    for kind, old, new in (
        ("comparison", "jnp.abs(w_final) < w_initial", "(jnp.abs(w_final) <= w_initial)"),
        ("function dropped", "jnp.abs(w_final)", "w_final"),
        ("the other of a pair", "abs(w_final)", "abs(w_initial)"),
        ("constant", "0.0", "1.0"),
        ("another function", "jnp.minimum", "jnp.maximum"),
        ("arguments swapped", "w_final, w_initial", "w_initial, w_final"),
        ("argument dropped", ", axis=1", ""),
    ):
        assert (kind, whole.replace(old, new, 1)) in lines
    assert ("sign or negation dropped", "if alive:") in lines
    assert ("constant", 'def larger(w_initial: Float[Array, "1 + 1"], w_final, alive=False):') in lines


def test_words_and_types_are_left_alone():
    for _, line in faulty_lines(SOURCE):
        assert "raise" not in line
        assert '"""' not in line
        assert "Float" not in line or '"1 + 1"' in line


def test_a_mutant_differs_in_one_place_and_parses():
    source = source_of("supermask.masks")
    mutants = mutants_of("supermask.masks", source)
    assert len({mutant.digest for mutant in mutants}) == len(mutants) > 100
    for mutant in mutants:
        compile(mutant.source, "mutant", "exec")
        assert mutant.source != source


def test_faults_written_by_hand_fit_the_code():
    assert len(by_hand(TARGETS)) == len(FAULTS) >= 16


def test_mutants_called_equivalent_are_still_made_and_say_why():
    made = {mutant.key for module in TARGETS for mutant in mutants_of(module, source_of(module))}
    made |= {mutant.key for mutant in by_hand(TARGETS)}
    for key, reason in equivalent_mutants().items():
        assert key in made, f"tests/mutation/equivalent.toml: {key} is no mutant of today's code"
        assert len(reason) > 20


@pytest.mark.thorough
def test_a_sample_is_the_same_again_and_another_by_another_seed():
    modules = list(TARGETS)
    mutants = sample(modules, 12, seed=0)
    assert mutants == sample(modules, 12, seed=0)
    there = [len(mutants_of(module, source_of(module))) for module in modules]
    assert len({mutant.digest for mutant in mutants}) == sum(min(12, count) for count in there) >= 300
    assert set(sample(modules, 5, seed=0)) < set(mutants)
    assert set(sample(modules, 12, seed=1)) != set(mutants)


@pytest.mark.long
@pytest.mark.parametrize("module", TARGETS)
def test_the_tests_notice_faults_of(module):
    command = [sys.executable, "-m", "tests.mutation", "--modules", module]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
