"""Numbers of things read as a person would write them: one is one, and is no plural."""

import pytest

from supermask.analysis.system.words import count


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((1, "seed"), "1 seed"),
        ((0, "seed"), "0 seeds"),
        ((2, "seed"), "2 seeds"),
        ((0.5, "epoch"), "0.5 epochs"),
        ((1.0, "epoch"), "1 epoch"),
        ((1_234_567, "network-step"), "1,234,567 network-steps"),
        ((1, "file of arrays", ("has", "have")), "1 file of arrays has"),
        ((3, "file of arrays", ("has", "have")), "3 files of arrays have"),
    ],
)
def test_one_thing_is_no_plural(arguments, words):
    assert count(*arguments) == words
