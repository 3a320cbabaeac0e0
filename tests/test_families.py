"""Descriptions of a family are read once, with the outcome of reading each by itself, whatever a record holds."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supermask.analysis.drawing.tidy_cells import csv_lines, tabulated
from supermask.analysis.kinds import rounds
from supermask.analysis.store.database import Record
from supermask.analysis.store.families import family_of
from supermask.analysis.store.identity import identity
from supermask.analysis.store.store import StoredResult

HONEST = {
    **{"kind": "training", "dataset": "digits", "network": "fc", "optimiser": "adam", "learning_rate": 0.003},
    **{"rates": {"dense": 0.2}, "round": 3, "seed": 7, "treatment": {"criterion": "movement"}},
}
UNTRAINED = {
    **{"kind": "untrained", "criterion": "random", "dataset": "digits", "network": "fc", "level": 2, "seed": 0},
    **{"weights": "initial"},
}


def read(text: object, id_: object = None) -> list[tuple[object, ...] | None]:
    """Description and family of four readings of a text, of which the first has no family yet."""
    id_ = identity(json.loads(str(text))) if id_ is None else id_
    record = Record(id_, text, '{"test_accuracy": 0.5}', None, 1.0, "2026-01-02", 1, None, "{}", None)
    return [parts and (parts.description, parts.family) for parts in (record.parts() for _ in range(4))]


@pytest.mark.parametrize("description", [HONEST, UNTRAINED])
@pytest.mark.parametrize("number", [0, 1, 10, 4_294_967_295, 10**18 - 1])
def test_numbers_of_a_family_are_read_as_each_by_itself(description, number):
    for name in ("seed", "level" if "level" in description else "round"):
        expected = dict(sorted((description | {name: number}).items()))
        for found in read(json.dumps(expected)):
            assert found is not None
            assert list(found[0].items()) == list(expected.items())
            assert type(found[0][name]) is int
        assert found[1] is not None
        assert not any(read(json.dumps(expected), "0" * 32)), "an id that is not its own"


ODD = {
    "a seed of a part": '{"part": {"seed": 5}, "seed": 6}',
    "a seed of a part alone": '{"part": {"round": 5}}',
    "two seeds": '{"seed": 5, "seed": 6}',
    "two seeds, one spaced": '{"seed": 5, "seed" : 6}',
    "a name that ends alike": '{"a\\"seed": 5, "seed": 6}',
    "a text that holds one": '{"a": "\\"seed\\": 5}", "seed": 6}',
    "round and level": '{"level": 1, "round": 2, "seed": 3}',
    "unsorted": '{"seed": 3, "round": 2}',
    "minus zero": '{"seed": -0}',
    "a float": '{"seed": 3.0}',
    "nineteen digits": '{"seed": 9999999999999999999}',
    "a power": '{"seed": 1e3}',
    "twenty-five digits": '{"seed": 1234567890123456789012345}',
    "a text": '{"seed": "3"}',
    "a truth": '{"seed": true}',
    "spaces": '{"seed":   3 }',
    "no spaces": '{"round":2,"seed":3}',
    "a list": '[{"seed": 3}]',
    "its place": '{"a": "\\u0000 seed", "seed": 3}',
    "a surrogate": '{"a": "\\ud800", "seed": 3}',
    "nothing": "{}",
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_odd_texts_are_read_as_each_by_itself(text):
    expected = json.loads(text)
    for found in read(text):
        assert found is not None
        assert json.dumps(found[0]) == json.dumps(expected)
    assert not any(read(text, "0" * 32))


@pytest.mark.parametrize(
    "text", ['{"seed": 03}', '{"seed": NaN}', '{"seed": 3', '{"a": NaN, "seed": 3}', "", None, b"{}", 5]
)
def test_what_is_no_description_is_damaged_at_every_reading(text):
    assert read(text, "0" * 32) == [None] * 4


@given(
    st.recursive(
        st.integers() | st.text() | st.booleans() | st.none(),
        lambda own: st.dictionaries(st.sampled_from(["seed", "round", "level", "a"]), own, max_size=3),
        max_leaves=8,
    ),
    st.data(),
)
def test_any_description_is_read_as_by_itself(part, data):
    description = {"part": part, "seed": data.draw(st.integers(0, 12)), "round": data.draw(st.integers(0, 12))}
    text = json.dumps(description, sort_keys=True)
    for found in read(text):
        assert found is not None
        assert json.dumps(found[0]) == text


def result_of(description: dict, seconds: float = 1.5) -> StoredResult:
    text = json.dumps(description, sort_keys=True)
    family_of(text)
    found = family_of(text)
    assert found is not None
    metrics = json.dumps({"test_accuracy": 0.5, "test_loss": None, 'a "name", so': 2.0})
    own = (identity(description), json.loads(text), metrics, None, seconds, "2026-01-02, late")
    return StoredResult(*own, {"jax": "0.9, or so", "devices": 2}, None, found[0])


@pytest.mark.parametrize("description", [HONEST, UNTRAINED])
@pytest.mark.parametrize("number", [0, 5])
def test_cells_of_a_family_are_those_of_each_by_itself(description, number):
    own = result_of(description | {"seed": number, "level" if "level" in description else "round": number + 1})
    shared, single = tabulated(own), tabulated(replace(own, family=None))
    assert shared is not None
    assert shared.described is not None
    assert single is not None
    assert shared[:2] == single[:2]
    assert list(map(type, shared.cells)) == list(map(type, single.cells))
    assert shared.csv(csv_lines()) == single.csv(csv_lines())


def test_a_kind_whose_columns_depend_on_a_number_is_served_one_by_one(monkeypatch):
    for columns in (
        lambda own, description: {"criterion": f"of seed {description['seed']}"},
        lambda own, description: {"kept_fraction": 0.5 * description["round"]},
        lambda own, description: {"round": description["round"] + 1},
    ):
        monkeypatch.setattr(rounds.Rounds, "columns", columns)
        own = result_of(HONEST | {"seed": 3, "steps": hash(columns) % 1000})
        shared = tabulated(own)
        assert shared is not None
        assert shared == tabulated(replace(own, family=None))


def test_equal_numbers_of_other_types_are_told_apart():
    """A cache takes 2, 2.0 and True for one."""
    own = result_of(HONEST)
    assert tabulated(replace(own, made_with={"devices": 1})) is not None
    for devices in (1.0, True):
        assert tabulated(replace(own, made_with={"devices": devices})) is None
