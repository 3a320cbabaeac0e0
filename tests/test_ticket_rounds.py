"""Lottery tickets by anyone's training function: stored, resumed, told apart by code, in NumPy or JAX."""

import os
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from released_rules import Frozen

import supermask as sm
from supermask.analysis.drawing.tickets import compare, draw
from supermask.datasets import load
from supermask.named_members import BUILT_IN

DIGITS = load("digits")
IMAGES = (DIGITS.train.images[:400].reshape(400, 64) / DIGITS.maximum).astype(np.float32)
LABELS = np.eye(10, dtype=np.float32)[DIGITS.train.labels[:400]]
UNSEEN = (DIGITS.test.images.reshape(-1, 64) / DIGITS.maximum).astype(np.float32)
BOTH = [sm.treatment(sm.magnitude_increase), sm.treatment(sm.small_final, pruned=sm.init)]


def initialise(seed):
    random = np.random.default_rng(seed)
    hidden, output = (random.normal(0, (2 / n) ** 0.5, (n, m)).astype(np.float32) for n, m in ((64, 40), (40, 10)))
    return {"hidden": {"w": hidden, "b": np.zeros(40, np.float32)}, "output": output}


def train(params, masks, seed):
    """Full-batch gradient descent in NumPy alone: nothing of JAX is assumed."""
    w, b, v = params["hidden"]["w"], params["hidden"]["b"], params["output"]
    assert all(type(each) is np.ndarray for each in (w, b, v, masks["hidden"]["w"], masks["output"]))
    for _ in range(60):
        hidden = np.maximum(IMAGES @ w + b, 0)
        logits = hidden @ v
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        slope = (odds / odds.sum(axis=1, keepdims=True) - LABELS) / len(LABELS)
        back = (slope @ v.T) * (hidden > 0)
        v = np.where(masks["output"], v - hidden.T @ slope, v)
        w, b = np.where(masks["hidden"]["w"], w - IMAGES.T @ back, w), b - back.sum(axis=0)
    right = (np.maximum(UNSEEN @ w + b, 0) @ v).argmax(axis=1) == DIGITS.test.labels
    return {"hidden": {"w": w, "b": b}, "output": v}, {"accuracy": right.mean()}


class Counted:
    """A training function that is interrupted after some calls."""

    def __init__(self, until: int = 10**9) -> None:
        self.calls, self.until = 0, until

    def __call__(self, params, masks, seed):
        if self.calls == self.until:
            raise KeyboardInterrupt
        self.calls += 1
        return train(params, masks, seed)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tickets")
    return sm.lottery_rounds(
        train, initialise, BOTH, rounds=5, seeds=range(3), folder=folder, fraction=0.4, version="numpy"
    )


def test_the_table_has_a_row_for_every_treatment_seed_and_round_and_nothing_is_missing(found):
    table = found.frame()
    assert len(table) == 2 * 3 * 6
    assert not table.isna().any().any()
    assert set(table["criterion"]) == {"magnitude_increase", "small_final"}
    dense = table[table["round"] == 0]
    assert (dense["weights_remaining"] == 1).all()
    assert (dense.groupby("seed")["id"].nunique() == 1).all(), "shared by all treatments"
    assert len({result.id for result in found.results if result.trained}) == 3 * (1 + 2 * 5)
    last = table[table["round"] == 5]
    sizes, kept = (2560, 400), [2560, 400]
    for _ in range(5):
        kept = [size - int(size * 2 // 5) for size in kept]
    np.testing.assert_allclose(last["weights_remaining"], sum(kept) / sum(sizes))


def test_weights_that_grew_make_better_tickets_than_those_that_are_small(found):
    """And so says the comparison over seeds; the picture has a line for both."""
    table = found.frame()
    tests = compare(table, "magnitude_increase, zero", "small_final, init").set_index("round")
    assert tests.loc[5, "difference"] > 0.05
    assert tests.loc[5, "p_value"] < 0.05
    assert tests.loc[0, "difference"] == 0
    picture = draw(table)
    texts = [text.get_text() for text in picture.legends[0].get_texts()]
    assert texts == ["magnitude_increase, zero", "small_final, init"]
    assert len({(line.get_color(), line.get_linestyle()) for line in picture.axes[0].get_lines()}) == 2
    with pytest.raises(ValueError, match="first is 'movement'; allowed: magnitude_increase, zero, small_final, init"):
        compare(table, "movement", "small_final, init")
    with pytest.raises(ValueError, match="table has no column 'loss'; it has criterion, kept"):
        draw(table, "loss")


def test_a_ticket_is_what_prune_and_restart_make_of_the_round_before(found):
    """Masks nest, kept weights were rewound, and frozen ones stay where the action put them."""
    params = initialise(1)
    rounds = [each for each in found.results if each.seed == 1 and each.treatment.criterion.name == "small_final"]
    (before, first), (after, second) = (found.load(rounds[index], params) for index in (1, 2))
    assert not (second["output"] & ~first["output"]).any()
    dead = ~second["output"]
    np.testing.assert_array_equal(after["output"][dead], params["output"][dead])
    dropped = first["output"] & ~second["output"]
    kept = np.abs(before["output"])[second["output"]]
    assert np.abs(before["output"])[dropped].min() >= kept.max(), "the smallest are kept"
    assert first["hidden"]["b"] is None
    with pytest.raises(ValueError, match="params and the training differ in hidden/b"):
        found.load(rounds[1], {"output": params["output"]})


def test_an_interrupted_search_goes_on_where_it_was_and_ends_the_same(tmp_path, found):
    choices = {"rounds": 5, "seeds": range(3), "fraction": 0.4, "folder": tmp_path, "version": "numpy"}
    cut = Counted(until=7)
    with pytest.raises(KeyboardInterrupt):
        sm.lottery_rounds(cut, initialise, BOTH, **choices)
    rest, seen = Counted(), []
    again = sm.lottery_rounds(rest, initialise, BOTH, **choices, on_result=seen.append)
    assert cut.calls + rest.calls == 3 * (1 + 2 * 5)
    assert seen == list(again.results)
    assert again.frame().equals(found.frame())
    more = Counted()
    sm.lottery_rounds(more, initialise, BOTH, **choices | {"rounds": 6, "seeds": [2]})
    assert more.calls == 2, "what is there is not trained again"
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".safetensors"]


def quick(scale, returned=None):
    """A training of one line: its code reads `scale`."""

    def train(params, masks, seed):
        final = jax.tree.map(lambda leaf: leaf * scale, params)
        return final if returned is None else returned(final)

    return train


def small(seed):
    return {"w": jnp.arange(1.0, 13).reshape(3, 4).astype(jnp.bfloat16), "b": jnp.ones(4), "unused": None}


@dataclass
class Changing:
    scale: float = 1.0

    def __call__(self, w_final):
        return self.scale * abs(w_final)


def complex_numbers(seed):
    return {"w": np.ones((3, 4), np.complex128), "v": np.ones((3, 4), np.float32)}


def alive(scale):
    return quick(scale, lambda final: (final, {"loss": jnp.float32("nan")}))


def test_arrays_of_double_precision_are_given_as_such_in_every_round(tmp_path):
    """Their weights are those of single precision from round 1 on."""
    given = []

    def train(params, masks, seed):
        given.append((params["w"].dtype, params["v"].dtype))
        return params, {"loss": 0.5}

    def initialise(seed):
        drawn = np.random.default_rng(seed)
        return {"w": drawn.normal(size=(3, 4)), "v": drawn.normal(size=(4, 2)).astype(np.float32)}

    sm.lottery_rounds(train, initialise, rounds=2, folder=tmp_path, version="1")
    assert given == [(np.float64, np.float32)] * 3


def test_changed_code_or_parameters_are_trained_anew(tmp_path):
    def trained(train, initialise=small, **changes):
        found = sm.lottery_rounds(train, initialise, rounds=1, folder=tmp_path, **{"fraction": 0.5} | changes)
        assert found.frame()["loss"].isna().all()
        return [each.trained for each in found.results]

    assert trained(alive(2)) == [True, True]
    assert trained(alive(2)) == [False, False]
    assert trained(alive(3)) == [True, True]
    assert trained(alive(2), lambda seed: {**small(seed), "b": jnp.zeros(4)}) == [True, True]
    assert trained(alive(2), fraction=0.25) == [False, True]
    assert trained(alive(2), treatments=[sm.treatment(sm.random)]) == [False, True]
    assert trained(alive(2), treatments=[sm.treatment(kept=sm.reinit)]) == [False, True]
    assert trained(alive(2), where=lambda path, leaf: path == "b") == [True, True]


def test_leaves_keep_their_types_through_a_file(tmp_path):
    def train(params, masks, seed):
        assert params["w"].dtype == jnp.bfloat16
        assert isinstance(masks["w"], jax.Array)
        return params, {}

    for _ in range(2):
        found = sm.lottery_rounds(train, small, rounds=2, folder=tmp_path)
        final, masks = found.load(found.results[2], small(0))
        assert final["w"].dtype == jnp.bfloat16
        np.testing.assert_array_equal(np.asarray(final["w"], np.float32)[~masks["w"]], 0)


def moved(final):
    return jax.tree.map(lambda leaf: leaf + 1, final), {}


@pytest.mark.parametrize(
    ("train", "changes", "words"),
    [
        (quick(1), {}, "train returned a dict; allowed: \\(final parameters, metrics\\)"),
        (quick(1, moved), {}, "train moved pruned weights of w; allowed: pruned weights that end as they started"),
        (
            quick(1, lambda final: ({**final, "w": final["b"]}, {})),
            {},
            r"train returned w as float32 of shape \(4,\); it was",
        ),
        (quick(1, lambda final: ({"w": final["w"]}, {})), {}, "pytrees differ: b, unused in one of them alone"),
        (quick(1, lambda final: (final, {"seed": 1})), {}, "train returned the metric 'seed'; allowed: other names"),
        (quick(1, lambda final: (final, {"loss": "low"})), {}, "train returned loss as str; allowed: a number"),
        (quick(1, lambda final: (final, [1])), {}, "train returned metrics of list"),
        (quick(Path(__file__).open()), {}, r"train cannot be told from changed code: scale is .*allowed with version="),  # noqa: SIM115
        (alive(1), {"rounds": -1}, "rounds is -1; allowed: 0 or more"),
        (alive(1), {"seeds": []}, "seeds are none; allowed: one or more"),
        (alive(1), {"seeds": [-1]}, "seed is -1"),
        (alive(1), {"seeds": np.array([0.5])}, "seed is .*; allowed: whole numbers"),
        (alive(1), {"seeds": 3}, "seeds are 3; allowed: a list of one or more"),
        (alive(1), {"treatments": sm.treatment(sm.movement)}, "treatments are Treatment.*; allowed: a list of one"),
        (alive(1), {"treatments": ["movement"]}, "treatments have 'movement'; allowed: what treatment\\(\\) makes"),
        (alive(1), {"treatments": [sm.movement]}, "treatments have <function movement.*; allowed: what treatment"),
        (quick(1, lambda final: (final, {"loss": 1j})), {}, "train returned loss as complex; allowed: a number"),
        (quick(1, lambda final: (final, {"loss": 10**400})), {}, "train returned loss as int; allowed: a number"),
        (
            quick(1, lambda final: ({**final, "w": final["w"].astype(jnp.float32)}, {})),
            {},
            r"train returned w as float32 of shape \(3, 4\); it was given bfloat16 of shape",
        ),
        (
            alive(1),
            {"treatments": [sm.treatment(Changing())]},
            "criterion .* is a Changing, which has no hash; allowed",
        ),
        (alive(1), {"fraction": 1.5}, "fraction is 1.5"),
        (alive(1), {"initialise": complex_numbers}, "initial parameters have w of complex128; allowed: floating-point"),
        (alive(1), {"fraction": {"v": 0.5}}, "fraction has layer 'v'; allowed: w"),
        (alive(1), {"treatments": [sm.treatment(sm.snip)]}, "criterion snip needs gradient; allowed with gradient="),
        (alive(1), {"treatments": [sm.Treatment(schedule="one_shot")]}, "treatments have a schedule or a rewind_step"),
        (alive(1), {"where": lambda path, leaf: False}, "where finds nothing to prune"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_is_refused_by_name(train, changes, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        sm.lottery_rounds(train, **{"initialise": small, "rounds": 1, "folder": tmp_path, "fraction": 0.5} | changes)


def test_a_criterion_may_ask_for_the_gradient(tmp_path):
    found = sm.lottery_rounds(
        alive(1),
        small,
        [sm.treatment(sm.snip)],
        rounds=1,
        folder=tmp_path,
        fraction=0.5,
        gradient=lambda params, seed: jax.tree.map(lambda leaf: 1 / leaf**2, params),
    )
    _, masks = found.load(found.results[1], small(0))
    np.testing.assert_array_equal(masks["w"].ravel(), np.arange(12) < 6)


@pytest.mark.usefixtures("unchecked")
def test_numpys_seeds_and_jaxs_numbers_are_numbers(tmp_path):
    def train(params, masks, seed):
        assert type(seed) is int
        return params, {"loss": jnp.bfloat16(0.5), "steps": np.int64(3)}

    for seeds in (np.arange(2), jnp.arange(2), (np.int32(0), 1, 0)):
        table = sm.lottery_rounds(train, small, rounds=1, folder=tmp_path, seeds=seeds).frame()
        assert table["seed"].tolist() == [0, 0, 1, 1]
        assert table["loss"].tolist() == [0.5] * 4


START = {"w": np.arange(-6, 6, dtype=np.float32).reshape(3, 4), "b": np.ones(4, np.float32)}


def pure(params, masks, seed):
    return {"w": np.where(masks["w"], 0.75 * params["w"] + np.float32(0.5), params["w"]), "b": 2 * params["b"]}, {}


class InPlace:
    """The same training in the very arrays that it is given; it returns some that its next call writes to."""

    def __init__(self) -> None:
        self.returned = {path: np.empty_like(leaf) for path, leaf in START.items()}

    def __call__(self, params, masks, seed):
        for path, leaf in pure(params, masks, seed)[0].items():
            params[path][...] = self.returned[path][...] = leaf
        masks["w"][...] = False
        return self.returned, {}


def test_a_training_may_work_in_place(tmp_path):
    """Round 0 once trained the arrays that all later rounds were rewound to, and treatments shared what it returned."""
    buffer = {path: np.empty_like(leaf) for path, leaf in START.items()}

    def initialise_in_place(seed):
        for path, leaf in START.items():
            buffer[path][...] = leaf + seed % 5
        return buffer

    def initialise(seed):
        return {path: leaf + seed % 5 for path, leaf in START.items()}

    treatments = [*BOTH, sm.treatment(sm.random, sm.reinit)]
    found = {}
    for train, begin in ((pure, initialise), (InPlace(), initialise_in_place)):
        folder = tmp_path / str(len(found))
        own = sm.lottery_rounds(
            train, begin, treatments, rounds=3, fraction=0.3, seeds=(0, 1), folder=folder, version="1"
        )
        found[len(found)] = [own.load(each, START) for each in own.results]
    for one, other in zip(jax.tree.leaves(found[0]), jax.tree.leaves(found[1]), strict=True):
        np.testing.assert_array_equal(one, other)


def halved_or_grown(params, masks, seed):
    """What began positive shrinks, what began negative grows, and a weight that began at 0 moves."""
    w = params["w"]
    return {**params, "w": np.where(masks["w"], np.where(w > 0, w / 2, 2 * w - np.float32(0.25)), w)}, {}


@pytest.mark.parametrize("pruned", ["zero", "zero_if_shrunk"])
def test_a_weight_that_the_rule_set_to_zero_starts_at_zero_ever_after(pruned, tmp_path):
    """As released, and as in the toolkit's own rounds: a round once asked anew, by the first initial value."""
    one = BUILT_IN.treatment(kept="rewind_or_zero", pruned=pruned)
    begun = []

    def train(params, masks, seed):
        begun.append(params["w"].copy())
        return halved_or_grown(params, masks, seed)

    random = np.random.default_rng(0)
    initial = {"w": random.normal(size=(30, 20)).astype(np.float32)}
    found = sm.lottery_rounds(train, lambda seed: initial, [one], rounds=4, fraction=0.3, folder=tmp_path, version="1")
    port = Frozen(initial["w"], of_kept=True, of_pruned=pruned == "zero_if_shrunk")
    alive = np.ones_like(initial["w"], bool)
    for result, start in zip(found.results[:-1], begun[1:], strict=True):
        final, _ = found.load(result, initial)
        _, masks = found.load(found.results[result.round + 1], initial)
        np.testing.assert_array_equal(start, port.next_start(final["w"], alive, masks["w"]))
        alive = masks["w"]
    again = sm.lottery_rounds(train, lambda seed: initial, [one], rounds=4, fraction=0.3, folder=tmp_path, version="1")
    assert not any(each.trained for each in again.results), "starts are what they were where rounds come from files"


def test_a_damaged_file_is_named_and_not_overwritten(tmp_path):
    found = sm.lottery_rounds(alive(1), small, rounds=1, folder=tmp_path)
    path = tmp_path / f"{found.results[1].id}.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=f"{path.name}' cannot be read as a training"):
        sm.lottery_rounds(alive(1), small, rounds=1, folder=tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OSError, match="it is not a regular file"):
        sm.lottery_rounds(alive(1), small, rounds=1, folder=tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match=f"has no training {path.stem}"):
        found.load(found.results[1], small(0))
