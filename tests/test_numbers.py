"""Numbers of any type stand for what they say, wherever they come in; what is no number is refused by name."""

from dataclasses import replace
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import supermask as sm
from supermask.analysis.kinds.plan import results_of
from supermask.analysis.studies.experiment import Experiment
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.compression.dsd import DSDRun
from supermask.compression.runs import CompressionRun
from supermask.counts import own_number
from supermask.learned_masks import LearnedMask
from supermask.masks import Rates
from supermask.sparse_training import layer_counts
from supermask.sparse_training.dsr import DSRConfig
from supermask.sparse_training.runs import SparseRun
from supermask.treatments import Treatment

pytestmark = pytest.mark.usefixtures("unchecked")

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)
INITIAL = {"w": RANDOM.normal(size=(10, 10)).astype(np.float32), "b": np.zeros(10, np.float32)}
FINAL = {"w": 1.1 * INITIAL["w"] + np.float32(0.01), "b": INITIAL["b"]}
SEVEN_TENTHS = [
    0.7,
    np.float64(0.7),
    np.float32(0.7),
    np.float16(0.7),
    jnp.bfloat16(0.7),
    jnp.float32(0.7),
    np.array(0.7),
    Fraction(7, 10),
]
NO_NUMBERS = ["0.5", None, True, np.True_, [0.5], np.array([0.5]), 1j, jnp.complex64(1)]


def kept(masks) -> int:
    return sum(int(np.sum(mask)) for mask in jax.tree.leaves(masks))


def train(params, masks, seed):
    return params, {"loss": 1.0}


@pytest.mark.parametrize("value", SEVEN_TENTHS, ids=repr)
def test_seven_tenths_are_seven_tenths_in_every_type(value, tmp_path, digits):
    """As a double, single precision's 0.7 is less: floor(0.69999999 × 100) weights were pruned, one too few."""
    assert own_number("x", value) == 0.7
    for ranking in ("layer", "global"):
        assert kept(sm.prune(KEY, INITIAL, FINAL, fraction=value, ranking=ranking)) == 30
    assert kept(sm.prune(KEY, INITIAL, FINAL, fraction={"w": value})) == 30
    for number, fraction in enumerate((value, {"w": value})):
        found = sm.lottery_rounds(
            train, lambda seed: INITIAL, rounds=1, fraction=fraction, folder=tmp_path / str(number), version="1"
        )
        assert found.results[1].weights_remaining == 0.3
    assert Rates(conv=value, dense=value, output=value) == Rates(0.7, 0.7, 0.7)
    assert layer_counts({"w": (10, 10)}, value, "erk") == {"w": 70}
    optimiser = sm.static(optax.sgd(0.1), density=value, steps=5, key=KEY)
    assert kept(sm.masks_of(optimiser.init(INITIAL), INITIAL)) == 70
    assert kept(sm.prune_at_initialisation(KEY, INITIAL, lambda params: params, density=value)) == 70
    learner = sm.learn_mask("edge_popup", kept=value)
    assert kept(learner.masks(learner.init(KEY, INITIAL), INITIAL)) == 70
    experiment = Experiment(protocol("quick", changes=Changes(dataset="digits", rates={"dense": value})), digits)
    own = Experiment(protocol("quick", changes=Changes(dataset="digits", rates={"dense": 0.7})), digits)
    for one, other in (
        (Treatment(), Treatment()),
        (SparseRun("set", value), SparseRun("set", 0.7)),
        (DSDRun(value), DSDRun(0.7)),
        (LearnedMask(start=value), LearnedMask(start=0.7)),
    ):
        assert results_of(experiment, one, 0)[-1].id == results_of(own, other, 0)[-1].id


def test_numbers_in_double_precision_stay_as_they_are():
    """A computed 1 - 0.9 is part of results' names as it is, though it counts as a tenth."""
    for value in (1 - 0.9, 1 / 3, 5, float("inf")):
        assert own_number("x", value) == value
    assert [own_number("x", kind(3)) for kind in (np.int64, np.uint8, jnp.int32)] == [3, 3, 3]
    assert type(own_number("x", np.float64(1 - 0.9))) is float
    assert np.isnan(own_number("x", np.float32("nan")))


def test_zero_has_no_sign():
    """-0.0 equals 0.0, but was captioned '-0 epochs', and named results of its own."""
    names = ("epochs", "mask_epochs", "task_epochs", "sparse_epochs", "graph_epochs")
    own = Changes(dataset="digits", **dict.fromkeys(names, -0.0))
    changed = protocol("quick", changes=own)
    parts = (changed, changed.masks, changed.tasks, changed.sparse, changed.graph)
    rates = protocol("quick", changes=Changes(rates={"dense": -0.0})).rates.dense
    epochs = (part.epochs for part in parts)
    for each in (*epochs, rates, own_number("x", np.float32(-0.0)), own_number("x", jnp.float32(-0.0))):
        assert str(each) == "0.0"


def test_numbers_that_differ_late_name_other_criteria():
    names = [
        sm.iterative_snip(steps, density).name for steps in (1_234_567, 1_234_568) for density in (0.05, 0.0500001)
    ]
    assert len(set(names)) == 4
    assert names[0] == "iterative_snip_1234567_0.05"


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_refused_by_name(value, tmp_path):
    """Text, lists and None once ended in Python's own TypeError; True was 1."""
    words = r"is .*; allowed: "
    sparse = {"steps": 9, "key": KEY}
    doors = {
        "fraction": [
            lambda: sm.prune(KEY, INITIAL, FINAL, fraction=value),
            lambda: sm.prune(KEY, INITIAL, FINAL, fraction=value, ranking="global"),
            lambda: sm.lottery_rounds(train, lambda seed: INITIAL, rounds=1, fraction=value, folder=tmp_path),
            lambda: sm.rigl(optax.sgd(0.1), density=0.5, fraction=value, **sparse),
        ],
        r"fraction\['w'\]": [lambda: sm.prune(KEY, INITIAL, FINAL, fraction={"w": value})],
        "density": [
            lambda: sm.static(optax.sgd(0.1), density=value, **sparse).init(INITIAL),
            lambda: sm.prune_at_initialisation(KEY, INITIAL, lambda params: params, density=value),
            lambda: SparseRun("set", value),
            lambda: sm.iterative_snip(5, density=value),
        ],
        "until": [lambda: sm.magnitude_pruning(optax.sgd(0.1), density=0.5, until=value, **sparse)],
        "noise": [lambda: sm.deep_r(optax.sgd(0.1), density=0.5, noise=value, **sparse)],
        "threshold": [
            lambda: sm.dsr(optax.sgd(0.1), density=0.5, threshold=value, **sparse),
            lambda: sm.learn_mask("signed", threshold=value),
        ],
        "decay": [
            lambda: sm.sparse_momentum(optax.sgd(0.1), density=0.5, every=2, decay=value, **sparse),
            lambda: LearnedMask(method="signed", decay=value),
        ],
        "every": [lambda: sm.rigl(optax.sgd(0.1), density=0.5, every=value, **sparse)],
        "a": [lambda: sm.power(value, 1)],
        "steps": [lambda: sm.iterative_snip(value), lambda: sm.iterative_synflow(steps=value)],
        "doublings": [
            lambda: sm.dsr(optax.sgd(0.1), density=0.5, doublings=(0.1, value), **sparse),
            lambda: DSRConfig(doublings="0.5"),
            lambda: DSRConfig(doublings=0.5),
            lambda: DSRConfig(doublings={0.5}),
        ],
        "kept": [lambda: sm.learn_mask(kept=value)],
        "start": [lambda: sm.learn_mask(start=value)],
        "sparsity": [lambda: DSDRun(value)],
        "bits": [lambda: CompressionRun(bits=value)],
        "rewind_step": [lambda: Treatment(rewind_step=value)],
        "rates.dense": [lambda: Rates(dense=value)],
    }
    for argument, calls in doors.items():
        for call in calls:
            with pytest.raises(ValueError, match=f"{argument} {words}"):
                call()
    if value is not None:  # which stands for the protocol's own
        for name in ("seeds", "rounds", "epochs", "mask_epochs", "task_epochs", "sparse_epochs", "graph_epochs"):
            with pytest.raises(ValueError, match=f"{name.replace('_', '-')} {words}"):
                protocol("quick", changes=Changes(**{name: value}))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [1, 1.0, np.float32(1), 1.5, -0.1, float("nan")], ids=repr)
def test_all_weights_of_a_layer_are_never_pruned(value):
    """A fraction of 1 left networks without a weight, without a word."""
    for ranking in ("layer", "global"):
        with pytest.raises(ValueError, match=r"fraction is .*; allowed: 0 <= fraction < 1"):
            sm.prune(KEY, INITIAL, FINAL, fraction=value, ranking=ranking)
    with pytest.raises(ValueError, match=r"density is .*; allowed: 0 < density < 1"):
        sm.prune_at_initialisation(KEY, INITIAL, lambda params: params, density=1 - value)


def test_a_traced_fraction_is_refused_in_words():
    with pytest.raises(ValueError, match="fraction is traced; allowed: a number that is known as a function is"):
        jax.jit(lambda fraction: sm.prune(KEY, INITIAL, FINAL, fraction=fraction))(0.5)


@pytest.mark.parametrize("value", [2.5, 3.0, np.float32(3)], ids=repr)
def test_numbers_of_things_are_whole(value):
    for argument, call in {
        "bits": lambda: CompressionRun(bits=value),
        "rewind_step": lambda: Treatment(rewind_step=value),
        "every": lambda: sm.set_training(optax.sgd(0.1), density=0.5, steps=9, key=KEY, every=value),
        "seeds": lambda: protocol("quick", changes=Changes(seeds=value)),
        "rounds": lambda: protocol("quick", changes=Changes(rounds=value)),
    }.items():
        with pytest.raises(ValueError, match=rf"{argument} is .*; allowed: .*whole number"):
            call()
    assert CompressionRun(bits=np.int64(3)) == CompressionRun(bits=3)
    assert type(CompressionRun(bits=np.int64(3)).bits) is int
    assert type(protocol("quick", changes=Changes(rounds=np.int64(3))).rounds) is int


@pytest.mark.parametrize("value", ["yes", None, 1, np.True_], ids=repr)
def test_a_choice_of_two_is_true_or_false(value):
    for argument in ("rescaled", "through_factor"):
        with pytest.raises(ValueError, match=rf"{argument} is .*; allowed: True, False"):
            replace(LearnedMask(), **{argument: value})
    with pytest.raises(ValueError, match=r"pruned is .*; allowed: True, False"):
        CompressionRun(pruned=value)


@pytest.mark.parametrize("key", [0, None, "key", np.zeros(3, np.uint32), np.zeros(2, np.int32)], ids=repr)
def test_what_is_no_key_is_refused_by_name(key):
    masks = {"w": INITIAL["w"] > 0, "b": None}
    learner = sm.learn_mask()
    for call in (
        lambda: sm.prune(key, INITIAL, FINAL, fraction=0.5),
        lambda: sm.restart(key, INITIAL, FINAL, masks),
        lambda: sm.prune_at_initialisation(key, INITIAL, lambda params: params, density=0.5),
        lambda: learner.init(key, INITIAL),
        lambda: learner.apply(learner.init(KEY, INITIAL), INITIAL, key),
        lambda: sm.rigl(optax.sgd(0.1), density=0.5, steps=9, key=key),
    ):
        with pytest.raises(ValueError, match=r"key is .*; allowed: jax\.random\.key\(seed\)"):
            call()
    popular = sm.learn_mask("edge_popup")
    popular.apply(popular.init(KEY, INITIAL), INITIAL, None)  # which draws nothing
