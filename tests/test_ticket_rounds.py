"""Lottery tickets by anyone's training function: stored, resumed, told apart by code, in NumPy or JAX."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import supermask as sm
from supermask.analysis.drawing.tickets import compare, draw
from supermask.datasets import load

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


def alive(scale):
    return quick(scale, lambda final: (final, {"loss": jnp.float32("nan")}))


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
        (quick(1, lambda final: ({**final, "w": final["b"]}, {})), {}, r"train returned w of shape \(4,\); it was"),
        (quick(1, lambda final: ({"w": final["w"]}, {})), {}, "pytrees differ: b, unused in one of them alone"),
        (quick(1, lambda final: (final, {"seed": 1})), {}, "train returned the metric 'seed'; allowed: other names"),
        (quick(1, lambda final: (final, {"loss": "low"})), {}, "train returned loss as str; allowed: a number"),
        (quick(1, lambda final: (final, [1])), {}, "train returned metrics of list"),
        (quick(Path(__file__).open()), {}, r"train cannot be told from changed code: scale is .*allowed with version="),  # noqa: SIM115
        (alive(1), {"rounds": -1}, "rounds is -1; allowed: 0 or more"),
        (alive(1), {"seeds": []}, "seeds are none; allowed: one or more"),
        (alive(1), {"seeds": [-1]}, "seed is -1"),
        (alive(1), {"fraction": 1.5}, "fraction is 1.5"),
        (alive(1), {"fraction": {"v": 0.5}}, "fraction has layer 'v'; allowed: w"),
        (alive(1), {"treatments": [sm.treatment(sm.snip)]}, "criterion snip needs gradient; allowed with gradient="),
        (alive(1), {"treatments": [sm.Treatment(schedule="one_shot")]}, "treatments have a schedule or a rewind_step"),
        (alive(1), {"where": lambda path, leaf: False}, "where finds nothing to prune"),
    ],
)
def test_what_cannot_be_is_refused_by_name(train, changes, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        sm.lottery_rounds(train, small, **{"rounds": 1, "folder": tmp_path, "fraction": 0.5} | changes)


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
